//! The certificate that the listener shows, replaced while connections go on: a handshake takes the
//! pair in force, and one that has begun keeps its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use pingora::tls::sign::CertifiedKey;
use pingora::tls::{ClientHello, CryptoProvider, ResolvesServerCert};

use super::{TlsFileError, pem};
use crate::model::Timestamp;

/// Certificate and key of the listener, from their files.
#[derive(Debug)]
pub struct ServerCertificate {
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<Seen>,
}

/// Certificate and key that are not in force yet, from files that may be others.
#[derive(Debug)]
pub struct OtherFiles {
    files: Files,
    stamps: Stamps,
    pair: Pair,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What is known of the files.
#[derive(Debug)]
struct Seen {
    files: Files,
    /// As they were when the pair in force was read.
    in_force: Stamps,
    /// As they were at the last failure, and what it was: the same is not reported twice.
    failed: Option<(Stamps, TlsFileError)>,
}

/// What a renewal came to.
#[derive(Debug)]
pub enum Renewal {
    /// The files are those in force, or as unusable as at the last look.
    Nothing,
    /// New connections are shown another certificate, which expires then.
    Renewed(Timestamp),
    /// The files cannot be used; the pair before stays in force.
    Failed(TlsFileError),
}

/// What changes when a file is written or replaced; `None` where it cannot be looked at. Links are
/// followed, since orchestrators renew certificates by moving one.
type Stamp = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;
type Stamps = [Stamp; 2];

#[derive(Debug)]
struct Pair {
    key: CertifiedKey,
    expires: Timestamp,
}

impl ServerCertificate {
    /// Reads the pair. Returns the time at which it expires as well.
    ///
    /// # Errors
    ///
    /// [`TlsFileError`] when a file cannot be read, or the key is not the certificate's.
    pub fn read(cert: PathBuf, key: PathBuf) -> Result<(Self, Timestamp), TlsFileError> {
        let OtherFiles { files, stamps, pair } = OtherFiles::read(cert, key)?;
        let current = ArcSwap::from_pointee(pair.key);
        let seen = Mutex::new(Seen { files, in_force: stamps, failed: None });
        Ok((Self { current, seen }, pair.expires))
    }

    /// Whether these are the files that are looked at.
    pub fn is_of(&self, cert: &Path, key: &Path) -> bool {
        let files = &self.seen().files;
        files.cert == cert && files.key == key
    }

    /// Shows the certificate of other files from now on, and looks at those. Returns when it expires.
    pub fn take(&self, other: OtherFiles) -> Timestamp {
        let OtherFiles { files, stamps, pair } = other;
        let mut seen = self.seen();
        self.current.store(Arc::new(pair.key));
        *seen = Seen { files, in_force: stamps, failed: None };
        pair.expires
    }

    /// Looks at the files, and takes them over if they changed or `always`. Blocks for as long as
    /// reading takes.
    pub fn renew(&self, now: Timestamp, always: bool) -> Renewal {
        let mut seen = self.seen();
        let Files { cert, key } = seen.files.clone();
        let stamps = stamps(&cert, &key);
        if !always && stamps == seen.in_force {
            seen.failed = None;
            return Renewal::Nothing;
        }
        let read = read(&cert, &key).and_then(|pair| {
            // What is in force may be expired too, but more likely the wrong file was put here.
            if pair.expires > now { Ok(pair) } else { Err(TlsFileError::new(&cert, "it is expired")) }
        });
        match read {
            Ok(pair) => {
                self.current.store(Arc::new(pair.key));
                (seen.in_force, seen.failed) = (stamps, None);
                Renewal::Renewed(pair.expires)
            }
            // Read again at the next look: what failed may have been the system's fault.
            Err(error) => {
                let failure = Some((stamps, error.clone()));
                let known = !always && seen.failed == failure;
                seen.failed = failure;
                if known { Renewal::Nothing } else { Renewal::Failed(error) }
            }
        }
    }
}

impl ServerCertificate {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OtherFiles {
    /// Reads the pair.
    ///
    /// # Errors
    ///
    /// As [`ServerCertificate::read`].
    pub fn read(cert: PathBuf, key: PathBuf) -> Result<Self, TlsFileError> {
        let stamps = stamps(&cert, &key); // before the files are read: a later change is seen
        let pair = read(&cert, &key)?;
        Ok(Self { files: Files { cert, key }, stamps, pair })
    }

    /// When the certificate expires.
    pub fn expires(&self) -> Timestamp {
        self.pair.expires
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(cert: &Path, key: &Path) -> Result<Pair, TlsFileError> {
    let chain = pem::certificates(cert)?;
    let private = pem::private_key(key)?;
    let leaf = pem::parse(&chain[0]).map_err(|why| TlsFileError::new(cert, why))?;
    let expires = Timestamp(leaf.validity().not_after.timestamp());
    pingora::tls::install_default_crypto_provider();
    let provider = CryptoProvider::get_default().expect("a provider was just installed");
    let key = CertifiedKey::from_der(chain, private, provider)
        .map_err(|error| TlsFileError::new(key, format!("with {}: {error}", cert.display())))?;
    Ok(Pair { key, expires })
}

fn stamps(cert: &Path, key: &Path) -> Stamps {
    [cert, key].map(|path| {
        let found = fs::metadata(path).ok()?;
        let written = (found.mtime(), found.mtime_nsec());
        Some((found.dev(), found.ino(), found.size(), written, (found.ctime(), found.ctime_nsec())))
    })
}
