//! `admin.token`: the bearer token with every permission, in a file beside the replica that only its
//! owner can read. Made at first start; there is no default secret.

use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use subtle::ConstantTimeEq;

use crate::model::{Secret, TokenDigest};

/// How the token begins.
const PREFIX: &str = "sx_admin_";

/// The shortest token that is taken from a file, in bytes.
const SHORTEST: usize = 32;

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
    /// The file cannot be read or made, others can read it, or it holds no token.
    pub fn open(replica: &Path) -> Result<Self, TokenFileError> {
        let path = path(replica);
        let token = match Self::read(replica)? {
            Some(token) => token,
            None => make(&path)
                .map_err(|error| TokenFileError { path, why: format!("it cannot be made: {error}") })?,
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
        let token = match fs::read_to_string(&path) {
            Ok(text) => Secret::new(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error.to_string())),
        };
        let mode = fs::metadata(&path).map_err(|error| fail(error.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(fail(
                "others can read it; run chmod 600 on it, or remove it to get a new one".into(),
            ));
        }
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

fn make(path: &Path) -> io::Result<Secret> {
    let token = Secret::generate(PREFIX)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", token.expose())?;
    file.sync_all()?;
    Ok(token)
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenFile(…)")
    }
}

#[cfg(test)]
mod tests {
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
}
