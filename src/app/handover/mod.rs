//! The next process takes the listening sockets over from the running one, so that an upgrade refuses no
//! connection: they are the same sockets, with the same queue of connections that wait.
//!
//! A gateway listens on a Unix socket beside the replica, `<file>.<pid>.handover`. The next process connects and
//! writes its [`Wish`]; the running one answers an [`Offer`] that carries copies of the sockets (`SCM_RIGHTS`,
//! unix(7)) and goes on accepting. When the next one accepts, too, it writes [`READY`]; only then the running
//! one stops accepting, answers [`LEAVING`], and lets go of its connections. Whatever goes wrong before `READY`
//! ends the connection, and nothing has changed.
//!
//! Each message is a line of JSON or a word. Only the owner of the replica (or root) can connect.

mod give;
mod take;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

pub(super) use give::{Heir, Heirs, Offered};
pub(super) use take::Predecessor;

use super::sockets::Name;

/// The version of what is said here; to be raised when an older program would misunderstand it.
const PROTOCOL: u32 = 1;

/// What the next process says when it accepts connections.
const READY: &str = "ready\n";

/// What the running process says when it accepts none any more.
const LEAVING: &str = "leaving\n";

/// The longest line, in bytes. An address takes 70 at most, and there are 65.
const MAX_LINE: usize = 16 * 1024;

/// The most sockets at a time: those of a configuration.
const MOST_SOCKETS: usize = 65;

/// The sockets that the next process wants.
#[derive(Debug, Serialize, Deserialize)]
struct Wish {
    protocol: u32,
    sockets: Vec<Name>,
}

/// The sockets that the running process has of them, in the order in which they are attached.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    protocol: u32,
    sockets: Vec<Name>,
}

/// A folder that is open, so that a socket in it is reached by a short path however deep it lies: the address
/// of a Unix socket holds 108 bytes (unix(7)).
#[derive(Debug)]
struct Folder {
    open: fs::File,
    path: PathBuf,
    /// The replica's file name and a dot.
    prefix: String,
}

impl Folder {
    fn of(replica: &Path) -> io::Result<Self> {
        let replica = fs::canonicalize(replica)?;
        let path = replica.parent().unwrap_or(Path::new("/")).to_owned();
        let name = replica.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self { open: fs::File::open(&path)?, path, prefix: format!("{name}.") })
    }

    /// The names of the gateways whose sockets are here; a process id first.
    fn gateways(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let middle =
                name.to_str().and_then(|name| name.strip_prefix(&self.prefix)?.strip_suffix(".handover"));
            names.extend(
                middle.filter(|middle| middle.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned),
            );
        }
        names.sort_unstable();
        Ok(names)
    }

    fn socket(&self, gateway: &str) -> PathBuf {
        use std::os::fd::AsRawFd;
        let folder = format!("/proc/self/fd/{}", self.open.as_raw_fd());
        Path::new(&folder).join(format!("{}{gateway}.handover", self.prefix))
    }
}

/// The process id in a gateway's name.
fn pid(gateway: &str) -> Option<u32> {
    gateway.split('-').next()?.parse().ok()
}

/// Whether a socket is meant: as it was configured, or as it was bound.
fn is_meant(wished: Name, own: Name, bound: SocketAddr) -> bool {
    wished.purpose == own.purpose && (wished.address == own.address || wished.address == bound)
}
