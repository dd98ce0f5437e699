//! The only folder that names Pingora: its phases, the upstreams, local answers, the guard of each
//! connection. It turns the phases into one decision of the gate and carries it out; it decides
//! nothing itself.

mod alarm;
mod answer;
mod answer_pace;
mod attempt;
mod balance;
mod context;
mod decide;
mod door;
mod ending;
mod engine;
mod forwarded;
mod grpc;
mod health;
mod hop;
mod http2;
mod in_flight;
mod leash;
mod leashed;
mod local;
mod pace;
mod peer;
mod plain;
mod service;
mod tls;
mod trace;
mod upstream;
mod waiting;
mod watch;

pub use attempt::MOST_ATTEMPTS;
pub use balance::{Balance, Ejection, MOST_SERVERS};
pub use context::{Asked, Outcome, Record};
pub use door::{Door, DoorLimits, DoorParts};
pub use ending::{Ending, Endings};
pub use engine::{Engine, Engines};
pub use forwarded::RequestIds;
pub use health::{Checker, HealthCheck, Probe};
pub use in_flight::InFlight;
pub use leash::LeashBook;
pub use local::Local;
pub use pace::LeastPace;
pub use service::{Parts, Recorder, StoreProxy};
pub use tls::{
    AdminHandshake, ClientAuth, ClientVerifier, Handshake, OtherFiles, Renewal, ServerCertificate,
    TlsFileError, UpstreamTls,
};
#[cfg(feature = "otlp")]
pub use trace::Span;
pub use upstream::{Scheme, Upstream, UpstreamServer, UpstreamStatus, UpstreamTimeouts, Upstreams};
pub use watch::ClientLimits;
