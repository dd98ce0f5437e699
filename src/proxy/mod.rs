//! The only folder that names Pingora: its phases, the upstreams, local answers, the guard of each
//! connection. It turns the phases into one decision of the gate and carries it out; it decides
//! nothing itself.

mod answer;
mod attempt;
mod balance;
mod context;
mod forwarded;
mod guard;
mod health;
mod hop;
mod service;
mod upstream;

pub use attempt::MOST_ATTEMPTS;
pub use balance::{Balance, Ejection, MOST_SERVERS};
pub use context::{Outcome, Record};
pub use guard::{Guarded, InFlight};
pub use health::{HealthCheck, Probe};
pub use service::{Recorder, StoreProxy};
pub use upstream::{Scheme, Upstream, UpstreamServer, UpstreamStatus, UpstreamTimeouts, Upstreams};
