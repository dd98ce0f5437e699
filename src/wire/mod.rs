//! Pure parsers of hostile bytes: the request target, credentials, the query, Host, Accept, forwarded
//! addresses, trace context, field names.
//!
//! Every function here takes bytes of a stranger and answers with a borrowed, checked form or a
//! closed error. Nothing is looked up, no clock is read, nothing is logged, and the ordinary request
//! costs no allocation. All work is linear in the input, whose size the listener has bounded.

pub mod accept;
pub mod authorization;
pub mod basic;
mod blank;
mod class;
pub mod field;
pub mod forwarded;
pub mod head;
pub mod host;
mod members;
pub mod parameters;
mod percent;
pub mod query;
pub mod session_token;
pub mod shopify_session;
pub mod target;
pub mod trace_context;
