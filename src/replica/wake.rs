//! What a command does after its commit: it tells every gateway on this machine, and waits until each
//! has the change in force.
//!
//! A gateway listens on a Unix socket beside the replica, `<file>.<pid>.sock`. The writer sends the
//! journal position that it committed as a decimal line; the gateway catches up and answers the
//! position that it reached. Asked `admin`, it answers the address of its admin listener. A socket on which nobody listens belongs to a gateway that has ended.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use super::file::real_path;
use super::journal::Position;
use super::private::connect_to_gateway;

/// How long a gateway may take to confirm a change.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Pause before a line is said again.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest line of the protocol: a position, or a few words.
pub(super) const MAX_LINE: u64 = 64;

/// The line that asks where a gateway is administered.
pub(super) const WHERE: &str = "admin\n";

/// The admin listeners of the gateways on `replica`. One that does not answer is left out.
pub fn admin_listeners(replica: &Path) -> Vec<SocketAddr> {
    let replica = real_path(replica);
    let own = replica.clone();
    let ask = move |socket: &Path| converse(socket, &own, WHERE).ok()?.trim_end().parse::<SocketAddr>().ok();
    let answers = ask_all(&replica, ask).unwrap_or_default();
    answers.into_iter().filter_map(|(_, address)| address.flatten()).collect()
}

/// The change is committed, but a running gateway may still decide by the state before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotEnforced {
    /// The gateways that did not confirm: process id (as its socket names it), and what happened.
    pub gateways: Vec<(String, String)>,
}

impl fmt::Display for NotEnforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the change is committed, but not confirmed by every gateway:")?;
        for (pid, why) in &self.gateways {
            write!(f, " process {pid} {why};")?;
        }
        write!(f, " it may still decide by the former state. See whether it is stopped or cannot read the ")?;
        write!(f, "replica; ending it is safe, and a restarted gateway has the change in force")
    }
}

impl std::error::Error for NotEnforced {}

/// A folder that is open, so that sockets in it are reached by a short path however deep it lies: the
/// address of a Unix socket holds 108 bytes (unix(7)).
#[derive(Debug)]
pub(super) struct Beside {
    folder: fs::File,
    folder_path: PathBuf,
    /// The replica's file name and a dot: what the name of each of its sockets begins with.
    prefix: OsString,
}

impl Beside {
    pub(super) fn new(replica: &Path) -> io::Result<Self> {
        let folder_path = replica.parent().unwrap_or(Path::new("/")).to_owned();
        let mut prefix = replica.file_name().unwrap_or_default().to_owned();
        prefix.push(".");
        Ok(Self { folder: fs::File::open(&folder_path)?, folder_path, prefix })
    }

    /// The names of the gateways whose sockets are here: the part between the file name and `.sock`,
    /// a process id first.
    pub(super) fn gateways(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder_path)? {
            let name = entry?.file_name();
            let middle = name.as_bytes().strip_prefix(self.prefix.as_bytes());
            let middle = middle.and_then(|rest| rest.strip_suffix(b".sock"));
            let Some(Ok(middle)) = middle.map(std::str::from_utf8) else { continue };
            if middle.starts_with(|c: char| c.is_ascii_digit()) {
                names.push(middle.to_owned());
            }
        }
        Ok(names)
    }

    /// A path by which the socket of `gateway` can be bound and reached.
    pub(super) fn short(&self, gateway: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd())).join(self.name(gateway))
    }

    /// The path of the socket of `gateway` in the folder.
    pub(super) fn long(&self, gateway: &str) -> PathBuf {
        self.folder_path.join(self.name(gateway))
    }

    fn name(&self, gateway: &str) -> OsString {
        let name = [self.prefix.as_bytes(), gateway.as_bytes(), b".sock"].concat();
        OsString::from_vec(name)
    }
}

/// Tells every gateway on the replica that the journal has reached `position`, all at the same time,
/// and waits for each at most [`PATIENCE`].
pub(super) fn tell(replica: &Path, position: Position) -> Result<(), NotEnforced> {
    let unknown =
        |error: io::Error| NotEnforced { gateways: vec![("(unknown)".to_owned(), error.to_string())] };
    let own = replica.to_owned();
    let answers = ask_all(replica, move |socket| ask(socket, &own, position)).map_err(unknown)?;
    let late = || Err(format!("did not answer within {} s", PATIENCE.as_secs()));
    let why = |answer: Option<Result<(), String>>| answer.unwrap_or_else(late).err();
    let failed: Vec<_> =
        answers.into_iter().filter_map(|(gateway, answer)| Some((gateway, why(answer)?))).collect();
    if failed.is_empty() { Ok(()) } else { Err(NotEnforced { gateways: failed }) }
}

/// The gateways on `replica` with their answers; `None`: not within [`PATIENCE`].
fn ask_all<T: Send + 'static>(
    replica: &Path,
    ask: impl Fn(&Path) -> T + Send + Sync + 'static,
) -> io::Result<Vec<(String, Option<T>)>> {
    let (beside, ask) = (Arc::new(Beside::new(replica)?), Arc::new(ask));
    let (answer, answers) = mpsc::channel();
    let mut waiting = beside.gateways()?;
    for gateway in waiting.clone() {
        let (beside, ask, answer) = (beside.clone(), ask.clone(), answer.clone());
        // A thread, because connecting has no timeout and blocks when a stopped gateway's queue of
        // connections is full. One that is stuck is left behind.
        thread::Builder::new().name("storegate-wake".into()).spawn(move || {
            let outcome = ask(&beside.short(&gateway));
            let _ = answer.send((gateway, outcome));
        })?;
    }
    drop(answer);
    let deadline = Instant::now() + PATIENCE;
    let mut answered = Vec::new();
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((gateway, outcome)) = answers.recv_timeout(left) else { break };
        waiting.retain(|other| *other != gateway);
        answered.push((gateway, Some(outcome)));
    }
    answered.extend(waiting.into_iter().map(|gateway| (gateway, None)));
    Ok(answered)
}

fn ask(socket: &Path, replica: &Path, position: Position) -> Result<(), String> {
    let answer = match converse(socket, replica, &format!("{position}\n")) {
        // Nobody listens, or a stranger: the gateway has ended, or has not answered a look-up yet (it binds the
        // socket and then clears its caches, before it serves).
        Err(error) if is_nobody(&error) => return Ok(()),
        answer => answer,
    };
    match answer {
        Ok(line) => match line.trim_end().parse::<Position>() {
            Ok(reached) if reached >= position => Ok(()),
            Ok(reached) => Err(format!("is at change {reached}, before {position}")),
            Err(_) => Err("cannot read the replica".to_owned()),
        },
        Err(error) => Err(format!("did not confirm it: {error}")),
    }
}

/// Whether connecting failed because no process holds the other end.
pub(super) fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// Says a line to a gateway and hears one. It waits for the line only so long (`watch.rs`): where this process came too
/// late, nobody has read it, and it is said again.
fn converse(socket: &Path, replica: &Path, line: &str) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match exchange(connect_to_gateway(socket, replica)?, line) {
            Err(error) if is_unread(&error) && Instant::now() < deadline => thread::sleep(PAUSE),
            heard => return heard,
        }
    }
}

/// Whether the other end was closed before the line was read (unix(7)).
fn is_unread(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn exchange(mut stream: UnixStream, line: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(line.as_bytes())?; // one write: the other side may not wait for two
    read_line(stream)
}

/// One line of the protocol, without trusting the other side to end it.
pub(super) fn read_line(stream: impl Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line)?;
    if line.ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
