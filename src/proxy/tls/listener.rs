//! The listener's side of the handshake: TLS 1.2 and 1.3, HTTP/2 or HTTP/1.1 by ALPN.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::listeners::tls::{Acceptor, TlsSettings};
use pingora::listeners::{ALPN, TlsAccept};
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Tcp;
use pingora::protocols::tls::TlsRef;

use super::client::ClientCertificate;
use super::{ClientVerifier, ServerCertificate};

/// What the door speaks TLS with.
///
/// Pingora's own listener would shake hands before the door counts the connection, give every client a
/// minute for it, and log each failure as an error.
pub struct Handshake(Acceptor);

/// Why there is no TLS connection.
pub(in crate::proxy) enum NoHandshake {
    /// The client took too long.
    TooSlow,
    /// What it sent is no handshake, or not one that is accepted.
    Failed(Box<pingora::Error>),
}

impl Handshake {
    /// With this certificate; clients show theirs where there is something to verify it with.
    ///
    /// # Errors
    ///
    /// None in practice: with this backend the settings always exist.
    pub fn new(
        certificate: Arc<ServerCertificate>,
        clients: Option<&ClientVerifier>,
    ) -> pingora::Result<Self> {
        let mut settings = TlsSettings::with_callbacks(Box::new(Verified))?;
        settings.set_cert_resolver(certificate);
        if let Some(ClientVerifier(verifier)) = clients {
            settings.set_client_cert_verifier(Arc::clone(verifier));
        }
        settings.set_alpn(ALPN::H2H1);
        Ok(Self(settings.build()))
    }

    /// Shakes hands over a connection that was just accepted.
    pub(in crate::proxy) async fn shake(
        &self,
        stream: Stream,
        patience: Duration,
    ) -> Result<Stream, NoHandshake> {
        let Ok(tcp) = stream.into_any().downcast::<Tcp>() else {
            let why = "the listener gives something other than a plain connection";
            return Err(NoHandshake::Failed(pingora::Error::explain(pingora::ErrorType::InternalError, why)));
        };
        match tokio::time::timeout(patience, self.0.tls_handshake(*tcp)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(NoHandshake::Failed(error)),
            Err(_) => Err(NoHandshake::TooSlow),
        }
    }
}

/// Keeps what the handshake verified with the connection: once per connection, not per request.
struct Verified;

#[async_trait]
impl TlsAccept for Verified {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let certificate = ClientCertificate::verified(tls.peer_certificate_der()?)?;
        Some(Arc::new(certificate))
    }
}
