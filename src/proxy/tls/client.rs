//! Certificates of clients: who must show one, and what is passed on of it.

use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use pingora::tls::{CertificateDer, ClientCertVerifier, RootCertStore, WebPkiClientVerifier};
use sha2::{Digest, Sha256};

use super::{TlsFileError, pem, subject};

/// Whether a client must show a certificate. One that is shown must be good in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Without one there is no connection.
    Required,
    /// Without one there is no certificate to pass on.
    Optional,
}

/// Verifies the certificates of clients against the operator's authorities, and against no others.
#[derive(Debug, Clone)]
pub struct ClientVerifier(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientVerifier {
    /// Reads the authorities.
    ///
    /// # Errors
    ///
    /// [`TlsFileError`] when the file cannot be read, or a certificate in it cannot be an authority.
    pub fn read(authorities: &Path, auth: ClientAuth) -> Result<Self, TlsFileError> {
        let failed = |error: &dyn std::fmt::Display| TlsFileError::new(authorities, error);
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(authorities)? {
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        pingora::tls::install_default_crypto_provider();
        let builder = WebPkiClientVerifier::builder(Arc::new(roots));
        let builder = match auth {
            ClientAuth::Required => builder,
            ClientAuth::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map(Self).map_err(|error| failed(&error))
    }
}

/// A certificate that the handshake has verified, as the upstream is told of it.
#[derive(Debug)]
pub(in crate::proxy) struct ClientCertificate {
    /// The subject by RFC 4514; `None` where it is too long to be passed on.
    pub(in crate::proxy) subject: Option<HeaderValue>,
    /// SHA-256 of the certificate's DER form, in lower-case hexadecimal.
    pub(in crate::proxy) fingerprint: HeaderValue,
}

impl ClientCertificate {
    /// Reads a certificate that was verified.
    pub(super) fn verified(der: &[u8]) -> Option<Self> {
        let text = data_encoding::HEXLOWER.encode(&Sha256::digest(der));
        let fingerprint = HeaderValue::try_from(text).ok()?;
        let certificate = CertificateDer::from(der);
        let parsed = pem::parse(&certificate).ok()?;
        let subject = subject::text(parsed.subject()).and_then(|text| HeaderValue::try_from(text).ok());
        Some(Self { subject, fingerprint })
    }
}
