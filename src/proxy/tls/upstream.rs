//! What an upstream is spoken to with over TLS: authorities of its own, and a certificate to show.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::tls::{CertificateDer, ClientConfig, PrivateKeyDer, RootCertStore};
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use sha2::{Digest, Sha256};

use super::{TlsFileError, pem};
use crate::model::Timestamp;

/// Of one upstream; the system's authorities and no certificate by default.
#[derive(Clone, Default)]
pub struct UpstreamTls {
    authorities: Option<Arc<CaType>>,
    identity: Option<Arc<CertKey>>,
    /// When the certificate that is shown expires.
    expires: Option<Timestamp>,
    /// Tells these settings from others: connections made with one must not serve the other.
    digest: u64,
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("authorities", &self.authorities.as_ref().map(|all| all.len()))
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

/// Same files' contents, same settings.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl UpstreamTls {
    /// Reads the files: authorities that replace the system's, and certificate and key to show.
    ///
    /// # Errors
    ///
    /// [`TlsFileError`] when one of them cannot be used.
    pub fn read(authorities: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Self, TlsFileError> {
        pingora::tls::install_default_crypto_provider();
        let mut digest = Sha256::new();
        let authorities = authorities.map(|path| read_authorities(path, &mut digest)).transpose()?;
        let identity = identity.map(|(cert, key)| read_identity(cert, key, &mut digest)).transpose()?;
        let (identity, expires) = identity.unzip();
        let digest = digest.finalize();
        let digest = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        Ok(Self { authorities, identity, expires, digest })
    }

    /// Whether certificates are verified against the system's authorities.
    pub fn uses_system_authorities(&self) -> bool {
        self.authorities.is_none()
    }

    /// When the certificate that is shown expires, where one is shown.
    pub(in crate::proxy) fn certificate_expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// What tells connections made with these settings from others.
    pub(in crate::proxy) fn digest(&self) -> u64 {
        self.digest
    }

    /// Has connections to `peer` made with these settings.
    pub(in crate::proxy) fn apply(&self, peer: &mut HttpPeer) {
        peer.options.ca.clone_from(&self.authorities);
        peer.client_cert_key.clone_from(&self.identity);
    }
}

fn read_authorities(path: &Path, digest: &mut Sha256) -> Result<Arc<CaType>, TlsFileError> {
    let certificates = pem::certificates(path)?;
    // Pingora builds the store anew for each connection; here once, so that it cannot fail there.
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| TlsFileError::new(path, error))?;
        part(digest, certificate);
    }
    digest.update(b"authorities");
    Ok(certificates.iter().map(wrap).collect::<Vec<_>>().into())
}

fn read_identity(
    cert: &Path,
    key: &Path,
    digest: &mut Sha256,
) -> Result<(Arc<CertKey>, Timestamp), TlsFileError> {
    let chain = pem::certificates(cert)?;
    let leaf = pem::parse(&chain[0]).map_err(|why| TlsFileError::new(cert, why))?;
    let expires = Timestamp(leaf.validity().not_after.timestamp());
    let private = pem::private_key(key)?;
    let bytes = private.secret_der().to_vec();
    // As Pingora does for each connection, where it would panic.
    let again = PrivateKeyDer::try_from(bytes.clone()).map_err(|why| TlsFileError::new(key, why))?;
    ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain.clone(), again)
        .map_err(|error| TlsFileError::new(key, format!("with {}: {error}", cert.display())))?;
    for certificate in &chain {
        part(digest, certificate);
    }
    part(digest, &bytes);
    digest.update(b"identity");
    let identity = CertKey::new(chain.iter().map(|one| one.to_vec()).collect(), bytes);
    Ok((Arc::new(identity), expires))
}

/// With its length, so that what follows cannot be taken for a part of it.
fn part(digest: &mut Sha256, bytes: &[u8]) {
    digest.update(bytes.len().to_be_bytes());
    digest.update(bytes);
}

fn wrap(certificate: &CertificateDer<'static>) -> WrappedX509 {
    WrappedX509::new(certificate.to_vec(), parse_x509)
}
