//! The listener's side of the handshake: TLS 1.2 and 1.3, HTTP/2 or HTTP/1.1 by ALPN.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{ALPN, TlsAccept};
use pingora::protocols::tls::TlsRef;

use super::client::ClientCertificate;
use super::{ClientVerifier, ServerCertificate};

/// What a listener speaks TLS with.
///
/// # Errors
///
/// None in practice: with this backend the settings always exist.
pub fn listener(
    certificate: Arc<ServerCertificate>,
    clients: Option<&ClientVerifier>,
) -> pingora::Result<TlsSettings> {
    let mut settings = TlsSettings::with_callbacks(Box::new(Verified))?;
    settings.set_cert_resolver(certificate);
    if let Some(ClientVerifier(verifier)) = clients {
        settings.set_client_cert_verifier(Arc::clone(verifier));
    }
    settings.set_alpn(ALPN::H2H1);
    Ok(settings)
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
