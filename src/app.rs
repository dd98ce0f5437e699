//! The composition root: builds every part from the configuration, hands them to Pingora, and ends them. It
//! decides nothing.
//!
//! The life of a gateway is ours, not Pingora's: listeners are bound here, so that a port of 0 is
//! known and a taken one is an error; shutdown waits for requests, not for the clock; the next process
//! takes the listeners over while this one serves.

mod engine;
mod handover;
mod lifecycle;
mod listener_tls;
mod parts;
mod reload;
mod replay;
mod sockets;
mod start_error;
mod successor;
mod supervisor;

pub(crate) use engine::gate;
pub(crate) use lifecycle::Signals;
pub use lifecycle::{Addresses, Gateway, TakeOver, run};
pub use start_error::StartError;
