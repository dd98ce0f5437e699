//! PEM files (RFC 7468), read whole and within a bound.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pingora::tls::{CertificateDer, PrivateKeyDer};
use rustls_pki_types::pem::{Error, PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::TlsFileError;

/// The largest file that is read, in bytes: the bundles of all public authorities have a fifth of it.
const MAX_BYTES: u64 = 1024 * 1024;

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let failed = |error: std::io::Error| TlsFileError::new(path, error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(TlsFileError::new(path, "this is no file"));
    }
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        0..=MAX_BYTES => Ok(bytes),
        _ => Err(TlsFileError::new(path, "a file with certificates or a key has at most 1 MiB")),
    }
}

/// The certificates of a file in their order; at least one, and each can be parsed.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let bytes = read(path)?;
    let found: Result<Vec<CertificateDer<'static>>, Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| TlsFileError::new(path, malformed(&error)))?;
    if found.is_empty() {
        return Err(TlsFileError::new(path, "there is no certificate in it (BEGIN CERTIFICATE)"));
    }
    for certificate in &found {
        parse(certificate).map_err(|why| TlsFileError::new(path, why))?;
    }
    Ok(found)
}

/// The first private key of a file, not encrypted: PKCS#8, PKCS#1 or SEC 1.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| {
        let why = match error {
            Error::NoItemsFound => "there is no private key in it (BEGIN PRIVATE KEY, not encrypted)",
            other => malformed(&other),
        };
        TlsFileError::new(path, why)
    })
}

/// One certificate.
pub(super) fn parse<'c>(certificate: &'c CertificateDer<'_>) -> Result<X509Certificate<'c>, &'static str> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err("a certificate in it cannot be parsed (X.509, RFC 5280)"),
    }
}

/// In words of our own: the library's would repeat lines of the file, which may be of a key.
fn malformed(error: &Error) -> &'static str {
    match error {
        Error::NoItemsFound => "there is nothing of use in it",
        Error::Base64Decode(_) => "a section of it is not base64",
        Error::SectionTooLarge => "a section of it is too large",
        _ => "this is not a PEM file (RFC 7468)",
    }
}
