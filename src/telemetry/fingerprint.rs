//! The fingerprint of a credential in the access log: who reads the log can follow one credential through days and
//! processes, and learns nothing of it.
//!
//! It is the beginning of the HMAC-SHA-256 of the credential's SHA-256. That is all that is kept of an access token, and
//! so alerts and `storegate why` can name a token as its line does.
//!
//! It is keyed: without the key nobody can try out what a guessed or found credential's fingerprint would be. The key
//! stands in a file beside the replica that only its owner can read, made once.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::model::TokenDigest;
use crate::replica::read_private;

/// Bytes of the key, as many as HMAC-SHA-256 puts out (RFC 2104 section 3).
const KEY: usize = 32;

/// Bytes of a credential that its fingerprint is made of: nothing longer is ever good.
pub(super) const LONGEST: usize = 4096;

/// Hexadecimal digits of a fingerprint: of 10,000 credentials two are alike once in five million logs.
pub(super) const DIGITS: usize = 12;

/// Makes fingerprints.
#[derive(Clone)]
pub struct FingerprintKey(Hmac<Sha256>);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("the key of the access log's fingerprints, {}: {why}", path.display())]
pub struct FingerprintKeyError {
    path: PathBuf,
    why: String,
}

impl FingerprintKey {
    /// Reads `log.key` in the replica's folder, or makes it (mode 0600).
    ///
    /// # Errors
    ///
    /// The file cannot be read or made, a stranger owns it, others can read it, or it does not hold 32 bytes.
    pub fn open(replica: &Path) -> Result<Self, FingerprintKeyError> {
        if let Some(key) = Self::read(replica)? {
            return Ok(key);
        }
        let path = path(replica);
        let fail = |why: &str| FingerprintKeyError { path: path.clone(), why: why.to_owned() };
        make(&path).map_err(|error| fail(&format!("it cannot be made: {error}")))?;
        Self::read(replica)?.ok_or_else(|| fail("it was removed at once"))
    }

    /// Reads it; `None` where there is none yet.
    ///
    /// # Errors
    ///
    /// As [`FingerprintKey::open`].
    pub fn read(replica: &Path) -> Result<Option<Self>, FingerprintKeyError> {
        let path = path(replica);
        let fail = |why: String| FingerprintKeyError { path: path.clone(), why };
        let Some(key) = read_private(&path, replica, KEY).map_err(fail)? else { return Ok(None) };
        match key.len() {
            KEY => Ok(Some(Self::new(&key))),
            _ => Err(fail(format!("it does not hold {KEY} bytes; remove it to get a new one"))),
        }
    }

    /// The fingerprint of a credential, as the access log shows it.
    pub fn fingerprint(&self, credential: &[u8]) -> String {
        self.of(head(credential)).iter().map(|digit| char::from(*digit)).collect()
    }

    /// The fingerprint of the access token with this digest.
    pub fn of_token(&self, digest: &TokenDigest) -> String {
        self.of_digest(&digest.0).iter().map(|digit| char::from(*digit)).collect()
    }

    fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104)"))
    }

    pub(super) fn of(&self, credential: &[u8]) -> [u8; DIGITS] {
        self.of_digest(&Sha256::digest(credential).into())
    }

    fn of_digest(&self, digest: &[u8; 32]) -> [u8; DIGITS] {
        let mut digits = [0; DIGITS];
        let tag = self.0.clone().chain_update(digest).finalize().into_bytes();
        data_encoding::HEXLOWER.encode_mut(&tag[..DIGITS / 2], &mut digits);
        digits
    }
}

/// As much of a credential as its fingerprint is made of.
pub(super) fn head(credential: &[u8]) -> &[u8] {
    &credential[..credential.len().min(LONGEST)]
}

fn path(replica: &Path) -> PathBuf {
    replica.with_file_name("log.key")
}

/// Puts a whole file in its place, or leaves the one that another process put there meanwhile.
fn make(path: &Path) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY]);
    getrandom::fill(&mut *key).map_err(io::Error::other)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?; // mode 0600
    file.write_all(&*key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let replica = folder.path().join("storegate.db");
        (folder, replica)
    }

    #[test]
    fn it_is_made_once_and_the_same_ever_after() {
        let (folder, replica) = folder();
        let first = FingerprintKey::open(&replica).unwrap();
        let path = folder.path().join("log.key");
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, 32));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
        let again = FingerprintKey::open(&replica).unwrap();
        assert_eq!(first.of(b"sx_at_1"), again.of(b"sx_at_1"));
        assert_ne!(first.of(b"sx_at_1"), again.of(b"sx_at_2"));
        fs::remove_file(&path).unwrap();
        let other = FingerprintKey::open(&replica).unwrap();
        assert_ne!(first.of(b"sx_at_1"), other.of(b"sx_at_1"), "it depends on the key");
        assert_eq!(format!("{other:?}"), "FingerprintKey(…)");
    }

    /// As Python's `hmac` computes it. A token is known by its digest alone.
    #[test]
    fn it_is_the_beginning_of_the_hmac_of_the_digest() {
        let (key, token) = (FingerprintKey::new(b"Jefe"), b"what do ya want for nothing?");
        assert_eq!(&key.of(token), b"5e95b0cc691c");
        assert_eq!(key.fingerprint(token), "5e95b0cc691c");
        assert_eq!(key.of_token(&TokenDigest::of(token)), "5e95b0cc691c");
    }

    #[test]
    fn those_who_make_it_at_once_have_one_key() {
        let (_folder, replica) = folder();
        let fingerprints = std::thread::scope(|threads| {
            let open = || FingerprintKey::open(&replica).unwrap().of(b"a");
            let all: Vec<_> = (0..8).map(|_| threads.spawn(open)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!(fingerprints.len(), 1);
    }

    #[test]
    fn what_is_no_secret_key_is_refused() {
        let (folder, replica) = folder();
        let path = folder.path().join("log.key");
        for (content, mode, why) in [
            (&[7; 32][..], 0o644, "others can read it"),
            (&[7; 32], 0o640, "others can read it"),
            (&[7; 31], 0o600, "32 bytes"),
            (&[7; 33], 0o600, "32 bytes"),
            (&[], 0o600, "32 bytes"),
        ] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = FingerprintKey::open(&replica).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("log.key"), "{error}");
        }
        let nowhere = folder.path().join("no/such/storegate.db");
        assert!(FingerprintKey::open(&nowhere).unwrap_err().to_string().contains("cannot be made"));
    }
}
