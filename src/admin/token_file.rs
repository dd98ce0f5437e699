//! `admin.token`: the bearer token with every permission, in a file beside the replica that only its
//! owner can read. Made at first start; there is no default secret.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

use crate::model::{Secret, TokenDigest};
use crate::replica::read_private;

/// How the token begins.
const PREFIX: &str = "sx_admin_";

/// The shortest token that is taken from a file, in bytes, and the longest file.
const SHORTEST: usize = 32;
const LONGEST: usize = 4096;

/// The token, by digest.
pub struct TokenFile(TokenDigest);

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    why: String,
}

impl TokenFile {
    /// Reads `admin.token` in the replica's folder, or makes it (mode 0600).
    ///
    /// # Errors
    ///
    /// The file cannot be read or made, a stranger owns it, others can read it, or it holds no token.
    pub fn open(replica: &Path) -> Result<Self, TokenFileError> {
        let path = path(replica);
        let fail = |why: String| TokenFileError { path: path.clone(), why };
        let token = match Self::read(replica)? {
            Some(token) => token,
            None => {
                make(&path).map_err(|error| fail(format!("it cannot be made: {error}")))?;
                Self::read(replica)?.ok_or_else(|| fail("it was removed at once".to_owned()))?
            }
        };
        Ok(Self(TokenDigest::of(token.expose().as_bytes())))
    }

    /// Reads the token itself, to show it to the gateway; `None` where there is none yet.
    ///
    /// # Errors
    ///
    /// As [`TokenFile::open`].
    pub fn read(replica: &Path) -> Result<Option<Secret>, TokenFileError> {
        let path = path(replica);
        let fail = |why: String| TokenFileError { path: path.clone(), why };
        let Some(bytes) = read_private(&path, replica, LONGEST).map_err(fail)? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|_| fail("it is no text".to_owned()))?;
        let token = Secret::new(text.trim().to_owned());
        if token.expose().len() < SHORTEST {
            return Err(fail(
                "it holds no token of 32 characters or more; remove it to get a new one".into(),
            ));
        }
        Ok(Some(token))
    }

    /// Whether `token` has this digest, in constant time.
    pub(super) fn is(&self, token: &TokenDigest) -> bool {
        bool::from(self.0.0.ct_eq(&token.0))
    }
}

fn path(replica: &Path) -> PathBuf {
    replica.with_file_name("admin.token")
}

/// Puts a whole file in its place, or leaves the one that another process put there meanwhile.
fn make(path: &Path) -> io::Result<()> {
    let token = Secret::generate(PREFIX)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?; // mode 0600
    writeln!(file, "{}", token.expose())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenFile(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let replica = folder.path().join("storegate.db");
        TokenFile::open(&replica).unwrap();
        let path = folder.path().join("admin.token");
        let token = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = TokenFile::open(&replica).unwrap();
        assert!(again.is(&TokenDigest::of(token.trim().as_bytes())));
        assert!(!again.is(&TokenDigest::of(b"sx_admin_")));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(TokenFile::open(&replica).unwrap_err().to_string().contains("others can read it"));
        fs::write(&path, "short\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(TokenFile::open(&replica).unwrap_err().to_string().contains("no token"));
    }

    /// In a folder like /tmp anybody can put one there first.
    #[test]
    fn one_that_is_known_to_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (replica, path) = (folder.path().join("storegate.db"), folder.path().join("admin.token"));
        fs::write(&replica, "").unwrap();
        fs::write(&path, format!("{PREFIX}{}\n", "0".repeat(64))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        TokenFile::open(&replica).unwrap();
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
            return; // only root can give a file away
        }
        assert!(TokenFile::open(&replica).unwrap_err().to_string().contains("belongs to another user"));
    }

    #[test]
    fn those_who_make_it_at_once_have_one_token() {
        let folder = tempfile::tempdir().unwrap();
        let replica = folder.path().join("storegate.db");
        let digests = std::thread::scope(|threads| {
            let all: Vec<_> =
                (0..8).map(|_| threads.spawn(|| TokenFile::open(&replica).unwrap().0.0)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!((digests.len(), fs::read_dir(folder.path()).unwrap().count()), (1, 1));
    }
}
