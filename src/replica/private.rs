//! Whose files and sockets beside the replica count.
//!
//! Their names are known, so that in a folder where others may make files (`/tmp`, say) anybody can put one there
//! first: a token or key that is known to them, or a socket that answers in a gateway's place and is shown the admin
//! token. Only what belongs to this process's user, to root, or to the owner of the replica counts; who is one of
//! those can write the replica itself.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use zeroize::Zeroizing;

/// Anyone but the owner.
const OTHERS: u32 = 0o077;

/// Reads a file with a secret of at most `most` bytes that stands beside the replica; `None` where there is none.
///
/// # Errors
///
/// It cannot be read, is no regular file, belongs to a stranger, can be used by others than its owner, or is longer.
pub fn read_private(path: &Path, replica: &Path, most: usize) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    // Looked at before it is opened, which would wait for ever at a FIFO; and the open file again.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
        Ok(found) if !found.is_file() => return Err("it is no regular file".to_owned()),
        Ok(_) => {}
    }
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !is_trusted(found.uid(), replica) {
        return Err(format!(
            "it belongs to another user (uid {}), who knows what it holds; remove it to get a new one",
            found.uid()
        ));
    }
    if found.permissions().mode() & OTHERS != 0 {
        return Err("others can read it; run chmod 600 on it, or remove it to get a new one".to_owned());
    }
    // One allocation: a secret is not left behind in one that was outgrown.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.len() > most {
        true => Err(format!("it holds more than {most} bytes; remove it to get a new one")),
        false => Ok(Some(bytes)),
    }
}

/// Connects to the socket of a gateway on `replica`.
///
/// # Errors
///
/// As [`UnixStream::connect`]; where a stranger listens it is [`io::ErrorKind::ConnectionRefused`]: no gateway does.
pub fn connect_to_gateway(socket: &Path, replica: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    // Of the process that listens, at the time when it began to (unix(7)).
    let peer = rustix::net::sockopt::socket_peercred(stream.as_fd())?;
    match is_trusted(peer.uid.as_raw(), replica) {
        true => Ok(stream),
        false => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

fn is_trusted(uid: u32, replica: &Path) -> bool {
    let owner = fs::metadata(replica).ok().map(|found| found.uid());
    counts(uid, rustix::process::geteuid().as_raw(), owner)
}

fn counts(uid: u32, own: u32, owner: Option<u32>) -> bool {
    uid == own || uid == 0 || owner == Some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_count() {
        for (uid, own, owner, expected) in [
            (1000, 1000, None, true),
            (1000, 1000, Some(1000), true),
            (0, 1000, Some(1000), true),
            (1000, 0, Some(1000), true), // root runs a command on a service's replica
            (0, 0, None, true),
            (1001, 1000, Some(1000), false),
            (1001, 0, Some(1000), false),
            (1001, 0, Some(0), false),
            (1001, 1000, None, false),
            (1001, 0, None, false),
        ] {
            assert_eq!(counts(uid, own, owner), expected, "{uid} {own} {owner:?}");
        }
    }

    #[test]
    fn only_a_private_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (replica, path) = (folder.path().join("storegate.db"), folder.path().join("secret"));
        let read = || read_private(&path, &replica, 4).map(|found| found.map(|bytes| bytes.to_vec()));
        assert_eq!(read(), Ok(None));
        for (content, mode, expected) in [
            ("abcd", 0o600, Ok("abcd")),
            ("", 0o400, Ok("")),
            ("abcde", 0o600, Err("more than 4 bytes")),
            ("abcd", 0o640, Err("others can read it")),
            ("abcd", 0o604, Err("others can read it")),
            ("abcd", 0o601, Err("others can read it")),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match (read(), expected) {
                (Ok(Some(bytes)), Ok(expected)) => assert_eq!(bytes, expected.as_bytes()),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (found, _) => panic!("{content} {mode:o}: {found:?}"),
            }
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(read().unwrap_err().contains("no regular file"));
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(read().unwrap_err().contains("no regular file"));
        fs::remove_file(&path).unwrap();
        // Only root can give a file away.
        fs::write(&path, "abcd").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_ok() && rustix::process::geteuid().is_root()
        {
            assert!(read().unwrap_err().contains("another user (uid 65534)"));
            fs::write(&replica, "").unwrap();
            std::os::unix::fs::chown(&replica, Some(65_534), None).unwrap();
            assert_eq!(read(), Ok(Some(b"abcd".to_vec())), "the owner of the replica");
        }
    }
}
