//! The handshake of the admin listener, which is not Pingora's: TLS 1.2 and 1.3, HTTP/1.1 alone.

use std::io;
use std::sync::Arc;

use pingora::tls::{ServerConfig, TlsAcceptor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::ServerCertificate;

/// What the admin listener speaks TLS with.
#[derive(Clone)]
pub struct AdminHandshake(TlsAcceptor);

impl AdminHandshake {
    /// Shows `certificate`, whatever it is at that time.
    pub fn new(certificate: Arc<ServerCertificate>) -> Self {
        pingora::tls::install_default_crypto_provider();
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(TlsAcceptor::from(Arc::new(config)))
    }

    /// The stream inside TLS.
    ///
    /// # Errors
    ///
    /// The other side speaks no TLS that is acceptable, or is gone.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
        self.0.accept(stream).await
    }
}

impl std::fmt::Debug for AdminHandshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminHandshake(…)")
    }
}
