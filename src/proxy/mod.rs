//! The only folder that names Pingora: its phases, the upstreams, local answers, the guard of each
//! connection. It turns the phases into one decision of the gate and carries it out; it decides
//! nothing itself.

mod answer;
mod context;
mod forwarded;
mod grpc;
mod guard;
mod hop;
mod service;
mod tls;
mod upstream;

pub use context::{Outcome, Record};
pub use guard::{Guarded, InFlight};
pub use service::{Recorder, StoreProxy};
pub use tls::{ClientAuth, ClientVerifier, Renewal, ServerCertificate, TlsFileError, UpstreamTls, listener};
pub use upstream::{Scheme, Upstream, UpstreamServer, UpstreamTimeouts, Upstreams};
