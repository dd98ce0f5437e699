//! Session signing keys and the keys of the identity provider at rest.
//!
//! They are needed in clear to verify and to sign, so that they cannot be hashed. With a key file they
//! are stored sealed: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with a random 24-byte nonce and
//! the client id (or the key's name) as associated data, so that a sealed key cannot be moved elsewhere. This
//! protects copies of the replica (backups, stolen disks), not a machine on which the key file can
//! be read.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use zeroize::Zeroizing;

use super::write::key_owner;
use crate::model::Secret;

/// How a sealed value begins; no key that is taken over may begin like this.
pub(super) const SEALED: &str = "xchacha20poly1305:";

/// What is sealed into `replica_state.key_check`, under an associated data that no client id can be.
const CHECK_TEXT: &str = "storegate";
const CHECK_AAD: &str = "replica_state.key_check";

const NONCE: usize = 24;

/// The columns that are sealed: how their plain values are found and replaced, and for whom each is sealed.
type Column = (&'static str, &'static str, fn(&str) -> String);
const SEALED_COLUMNS: [Column; 2] = [
    (
        "SELECT client_id, session_signing_key FROM apps WHERE session_signing_key IS NOT NULL",
        "UPDATE apps SET session_signing_key = ?2 WHERE client_id = ?1",
        str::to_owned,
    ),
    (
        "SELECT kid, private_key FROM identity_keys",
        "UPDATE identity_keys SET private_key = ?2 WHERE kid = ?1",
        key_owner,
    ),
];

/// Why the key file cannot be used. No text holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The replica holds sealed keys and no key file is configured.
    #[error("the replica holds sealed session signing keys; set replica.key_file to the file with their key")]
    Needed,
    /// The replica holds sealed keys and the key file is gone.
    #[error(
        "the key file {0} does not exist, but the replica holds keys sealed with it; restore the file from a backup"
    )]
    Missing(PathBuf),
    /// The key file holds another key than the one in use.
    #[error(
        "the key file {0} does not hold the key with which the replica's session signing keys are sealed"
    )]
    Wrong(PathBuf),
    /// Others than its owner may use the file.
    #[error("the key file {0} can be used by others than its owner; run: chmod 600 {0}")]
    Exposed(PathBuf),
    /// The file's content is not a key.
    #[error("the key file {0} is not a key: expected 64 hexadecimal digits")]
    Malformed(PathBuf),
    /// The file cannot be read or made.
    #[error("the key file {0}: {1}")]
    Io(PathBuf, io::Error),
    /// The replica cannot be read or changed.
    #[error("sealing the session signing keys: {0}")]
    Replica(String),
}

/// A stored key that cannot be opened: sealed with another key, moved from another app, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed session signing key cannot be opened")]
pub(super) struct Unsealable;

/// Seals and opens stored keys; without a key it stores them plain.
#[derive(Clone, Default)]
pub(super) struct Sealer(Option<XChaCha20Poly1305>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Sealer(…)" } else { "Sealer(plain)" })
    }
}

impl Sealer {
    /// The form in which the key of `client_id` is stored.
    pub(super) fn seal(&self, client_id: &str, key: &str) -> Result<String, getrandom::Error> {
        let Some(cipher) = &self.0 else { return Ok(key.to_owned()) };
        let mut nonce = [0u8; NONCE];
        getrandom::fill(&mut nonce)?;
        let payload = Payload { msg: key.as_bytes(), aad: client_id.as_bytes() };
        let sealed = cipher
            .encrypt(&nonce.into(), payload)
            .expect("a text of a few bytes is below the cipher's limit of 256 GiB");
        let mut text = String::from(SEALED);
        HEXLOWER.encode_append(&nonce, &mut text);
        HEXLOWER.encode_append(&sealed, &mut text);
        Ok(text)
    }

    /// The key of `client_id` in clear, from its stored form.
    pub(super) fn open(&self, client_id: &str, stored: &str) -> Result<Secret, Unsealable> {
        let Some(hex) = stored.strip_prefix(SEALED) else { return Ok(Secret::new(stored.to_owned())) };
        let cipher = self.0.as_ref().ok_or(Unsealable)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| Unsealable)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or(Unsealable)?;
        let payload = Payload { msg: sealed, aad: client_id.as_bytes() };
        let key = Zeroizing::new(cipher.decrypt(&(*nonce).into(), payload).map_err(|_| Unsealable)?);
        std::str::from_utf8(&key).map(|key| Secret::new(key.to_owned())).map_err(|_| Unsealable)
    }

    /// Whether `conn`, a replica, is sealed with this key (or not sealed, for a plain sealer). Changes
    /// nothing.
    pub(super) fn fits(&self, conn: &Connection, key_file: Option<&Path>) -> Result<(), KeyError> {
        let check = key_check(conn)?;
        match (check, key_file) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(KeyError::Needed),
            (Some(check), Some(path)) => match self.open(CHECK_AAD, &check) {
                Ok(text) if text.expose() == CHECK_TEXT => Ok(()),
                _ => Err(KeyError::Wrong(path.to_owned())),
            },
        }
    }
}

/// Makes the sealer for a replica: reads the key file (or makes it, when nothing is sealed yet) and
/// seals what is stored plain. `conn` may write.
pub(super) fn unlock(conn: &mut Connection, key_file: Option<&Path>) -> Result<Sealer, KeyError> {
    let Some(path) = key_file else {
        Sealer::default().fits(conn, None)?;
        return Ok(Sealer::default());
    };
    let in_use = key_check(conn)?.is_some();
    if !in_use {
        create_if_missing(path)?;
    }
    let sealer = Sealer(Some(read_key(path)?));
    if !in_use {
        seal_all(conn, &sealer)?;
    }
    sealer.fits(conn, Some(path))?;
    Ok(sealer)
}

fn key_check(conn: &Connection) -> Result<Option<String>, KeyError> {
    let found = conn.query_row("SELECT key_check FROM replica_state WHERE id = 1", [], |row| row.get(0));
    found.optional().map(Option::flatten).map_err(|error| KeyError::Replica(error.to_string()))
}

fn read_key(path: &Path) -> Result<XChaCha20Poly1305, KeyError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyError::Missing(path.into())),
        Err(error) => return Err(KeyError::Io(path.into(), error)),
    };
    // The size is checked first: the path could name a device or somebody's large file by mistake.
    if !metadata.is_file() || metadata.len() > 128 {
        return Err(KeyError::Malformed(path.into()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Exposed(path.into()));
    }
    let text = Zeroizing::new(fs::read(path).map_err(|error| KeyError::Io(path.into(), error))?);
    let hex = text.trim_ascii();
    let mut key = Zeroizing::new([0u8; 32]);
    if hex.len() != 64 || HEXLOWER_PERMISSIVE.decode_mut(hex, key.as_mut()).is_err() {
        return Err(KeyError::Malformed(path.into()));
    }
    Ok(XChaCha20Poly1305::new(&(*key).into()))
}

/// Makes the key file, mode 0600, complete or not at all; another process that made it first wins.
fn create_if_missing(path: &Path) -> Result<(), KeyError> {
    if path.exists() {
        return Ok(());
    }
    let failed = |error: io::Error| KeyError::Io(path.into(), error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let key = Secret::generate("").map_err(|error| failed(io::Error::other(error.to_string())))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    writeln!(file, "{}", key.expose()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}

/// Seals every plain key and writes the check, in one transaction; then no page and no log keeps a
/// plain one.
fn seal_all(conn: &mut Connection, sealer: &Sealer) -> Result<(), KeyError> {
    let broken = |error: rusqlite::Error| KeyError::Replica(error.to_string());
    let no_chance = |error: getrandom::Error| KeyError::Replica(error.to_string());
    conn.pragma_update(None, "secure_delete", true).map_err(broken)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(broken)?;
    if key_check(&tx)?.is_some() {
        return Ok(()); // another process was faster
    }
    for (select, update, owner) in SEALED_COLUMNS {
        let mut plain = tx.prepare(select).map_err(broken)?;
        let rows = plain
            .query_map([], |row| Ok((row.get::<_, String>(0)?, Zeroizing::new(row.get::<_, String>(1)?))))
            .map_err(broken)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(broken)?;
        for (name, key) in rows.iter().filter(|(_, key)| !key.starts_with(SEALED)) {
            let sealed = sealer.seal(&owner(name), key).map_err(no_chance)?;
            tx.execute(update, params![name, sealed]).map_err(broken)?;
        }
    }
    let check = sealer.seal(CHECK_AAD, CHECK_TEXT).map_err(no_chance)?;
    tx.execute("UPDATE replica_state SET key_check = ?1 WHERE id = 1", [check]).map_err(broken)?;
    tx.commit().map_err(broken)?;
    // Empties the write-ahead log, which still holds the plain keys; a reader may hinder it, and then
    // the next checkpoint does it.
    let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    conn.pragma_update(None, "secure_delete", false).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer(Some(XChaCha20Poly1305::new(&[7u8; 32].into())))
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_app_only() {
        let sealed = sealer().seal("sx_app_1", "0123abcd").unwrap();
        assert!(sealed.starts_with(SEALED) && !sealed.contains("0123abcd"));
        assert_ne!(sealed, sealer().seal("sx_app_1", "0123abcd").unwrap(), "a fresh nonce each time");
        assert_eq!(sealer().open("sx_app_1", &sealed).unwrap().expose(), "0123abcd");

        let other_key = Sealer(Some(XChaCha20Poly1305::new(&[8u8; 32].into())));
        assert_eq!(other_key.open("sx_app_1", &sealed), Err(Unsealable));
        assert_eq!(Sealer::default().open("sx_app_1", &sealed), Err(Unsealable));
        assert_eq!(sealer().open("sx_app_2", &sealed), Err(Unsealable));
        let cut = &sealed[..sealed.len() - 2];
        let flipped = format!("{}{}", cut, if sealed.ends_with("00") { "01" } else { "00" });
        for damaged in [cut, &flipped, SEALED, "xchacha20poly1305:zz", "xchacha20poly1305:00"] {
            assert_eq!(sealer().open("sx_app_1", damaged), Err(Unsealable), "{damaged}");
        }
    }

    #[test]
    fn without_a_key_they_are_stored_as_they_are() {
        let plain = Sealer::default();
        assert_eq!(plain.seal("sx_app_1", "k").unwrap(), "k");
        assert_eq!(plain.open("sx_app_1", "k").unwrap().expose(), "k");
    }

    #[test]
    fn a_key_file_is_64_hex_digits_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replica.key");
        assert!(matches!(read_key(&path), Err(KeyError::Missing(_))));
        create_if_missing(&path).unwrap();
        let made = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        create_if_missing(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), made, "an existing key is never replaced");
        read_key(&path).unwrap();

        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read_key(&path), Err(KeyError::Exposed(_))), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let (long, letters) = ("0".repeat(65), "g".repeat(64));
        for content in ["", "00", long.as_str(), letters.as_str(), &"0".repeat(1000)] {
            fs::write(&path, content).unwrap();
            assert!(matches!(read_key(&path), Err(KeyError::Malformed(_))), "{content}");
        }
        assert!(matches!(read_key(folder.path()), Err(KeyError::Malformed(_))), "a folder");
    }
}
