//! TLS: the listener's certificate and its renewal, the certificates of clients, and what upstreams
//! are spoken to with. What cannot be used is an error that names the file, before anything listens;
//! Pingora, given the same files, would panic.

mod admin;
mod client;
mod listener;
mod pem;
mod server;
mod subject;
mod upstream;

pub use admin::AdminHandshake;
pub use client::{ClientAuth, ClientVerifier};
pub use listener::Handshake;
pub use server::{OtherFiles, Renewal, ServerCertificate};
pub use upstream::UpstreamTls;

pub(super) use client::ClientCertificate;
pub(super) use listener::NoHandshake;

use std::path::{Path, PathBuf};

/// A file that TLS cannot be spoken with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct TlsFileError {
    path: PathBuf,
    why: String,
}

impl TlsFileError {
    fn new(path: &Path, why: impl ToString) -> Self {
        Self { path: path.to_owned(), why: why.to_string() }
    }
}
