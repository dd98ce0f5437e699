//! Why a gateway could not start, in words that name the remedy.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::admin::TokenFileError;
use crate::idp::FileError;
use crate::proxy::TlsFileError;
use crate::replica::OpenError;
use crate::telemetry::FingerprintKeyError;

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {error}; {}", listen_help(error))]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A socket that the service manager passes cannot be used.
    #[error("a socket that the service manager passes (LISTEN_FDS) cannot be used: {0}")]
    Inherited(String),
    /// The running gateway does not hand its sockets over.
    #[error("nothing was taken over: {0}")]
    TakeOver(String),
    /// The replica cannot be opened.
    #[error(transparent)]
    Replica(#[from] OpenError),
    /// The admin token.
    #[error(transparent)]
    AdminToken(#[from] TokenFileError),
    /// Certificate, key or client authorities of the public listener.
    #[error("server.tls: {0}")]
    Tls(TlsFileError),
    /// Certificate or key of the admin listener.
    #[error("admin.tls: {0}")]
    AdminTls(TlsFileError),
    /// Authorities, certificate or key of an upstream.
    #[error("upstream.{upstream}: {error}")]
    UpstreamTls {
        /// Its name.
        upstream: String,
        /// Which file, and why.
        error: TlsFileError,
    },
    /// A file of the identity provider.
    #[error(transparent)]
    Idp(#[from] FileError),
    /// The TLS listener refuses its settings.
    #[error("TLS cannot be served: {0}")]
    TlsListener(String),
    /// No certificate authorities are installed, and an upstream is spoken to over TLS.
    #[error(
        "no certificate authorities were found on this machine, and an upstream uses https: {0}; install the package ca-certificates"
    )]
    Authorities(String),
    /// The access log's file.
    #[error("cannot write the access log to {path}: {error}")]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The key of the fingerprints in the access log.
    #[error(transparent)]
    Fingerprints(#[from] FingerprintKeyError),
    /// The operating system refuses threads, randomness or signals.
    #[error("the operating system refuses what the gateway needs: {0}")]
    System(#[from] io::Error),
    /// The operating system has no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

fn listen_help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process has the port; choose another, or 0 for a free one; --take-over takes a running gateway's place"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address",
        _ => "check server.listen and admin.listen",
    }
}
