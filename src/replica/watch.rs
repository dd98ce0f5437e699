//! The threads that keep a running gateway fresh: one polls, one answers the writers that ask, one
//! keeps house (`housekeeping.rs`).
//!
//! Writers of this program ask (see `wake.rs`) and have their answer within a millisecond. Polling is
//! for everybody else who may write to the file, and notices that the file went away.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, process};

use super::housekeeping;
use super::reader::Replica;
use super::wake::{self, Beside};

/// Pause between two looks at the file: the longest that a foreign change stays unnoticed.
const POLL: Duration = Duration::from_millis(10);

/// How long a writer that connected may take to say its line. Only the owner of the replica can
/// connect, and it is served one at a time.
const CLIENT_PATIENCE: Duration = Duration::from_millis(500);

/// How many gateways of one process id may share a replica (containers number processes alike).
const NAMES: u32 = 16;

/// Keeps the replica fresh as long as it lives; dropping it records the last uses of secrets, ends the
/// threads and removes the socket. To
/// be held until the last request has been answered.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
    listener: Option<JoinHandle<()>>,
    beside: Beside,
    name: String,
}

impl Replica {
    /// Starts following the file. To be called before requests are served: from its return on, a
    /// command that changes credentials waits for this process.
    ///
    /// # Errors
    ///
    /// The socket beside the replica cannot be made, or a thread cannot be started.
    pub fn watch(self: &Arc<Self>) -> io::Result<Watch> {
        let beside = Beside::new(self.path())?;
        remove_stale(&beside)?;
        let (listener, name) = bind(&beside)?;
        // A writer that found no socket yet was not told to anybody, but its commit came before the
        // socket: nothing that was read before that stays in memory.
        self.forget_everything();
        let _ = self.catch_up(); // unreadable is a state, which the poller goes on to watch

        let mut watch =
            Watch { stop: Arc::default(), poller: None, keeper: None, listener: None, beside, name };
        let (replica, stop) = (self.clone(), watch.stop.clone());
        watch.poller = Some(spawn("storegate-poll", move || poll(&replica, &stop))?);
        let (replica, stop) = (self.clone(), watch.stop.clone());
        watch.keeper = Some(spawn("storegate-keep", move || housekeeping::keep(&replica, &stop))?);
        let (replica, stop) = (self.clone(), watch.stop.clone());
        watch.listener = Some(spawn("storegate-told", move || answer(&listener, &replica, &stop))?);
        Ok(watch)
    }
}

impl Watch {
    /// The socket on which this process is told of changes.
    pub fn socket(&self) -> PathBuf {
        self.beside.long(&self.name)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in [self.poller.take(), self.keeper.take()].into_iter().flatten() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        let woken = UnixStream::connect(self.beside.short(&self.name)); // ends the wait in accept
        let _ = fs::remove_file(self.beside.short(&self.name));
        if let (Some(listener), Ok(_)) = (self.listener.take(), woken) {
            let _ = listener.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn poll(replica: &Replica, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        replica.poll();
        thread::park_timeout(POLL);
    }
}

fn answer(listener: &UnixListener, replica: &Replica, stop: &AtomicBool) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        match stream {
            Ok(stream) => {
                if let Err(error) = serve(stream, replica) {
                    tracing::debug!(%error, "a writer left before it was answered");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot be told of changes for the moment");
                thread::park_timeout(POLL); // out of descriptors, say: no busy loop
            }
        }
    }
}

fn serve(mut stream: UnixStream, replica: &Replica) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
    stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
    // A number itself is not needed: catching up reads whatever is committed.
    if wake::read_line(&stream)? == wake::WHERE {
        let admin = replica.admin().map_or_else(|| "nowhere\n".to_owned(), |admin| format!("{admin}\n"));
        return stream.write_all(admin.as_bytes());
    }
    let answer =
        replica.catch_up().map_or_else(|_| "unreadable\n".to_owned(), |reached| format!("{reached}\n"));
    stream.write_all(answer.as_bytes())
}

/// Binds the first free name, `<file>.<pid>.sock`, mode 0600.
fn bind(beside: &Beside) -> io::Result<(UnixListener, String)> {
    let pid = process::id();
    let names = (1..=NAMES).map(|n| if n == 1 { pid.to_string() } else { format!("{pid}-{n}") });
    for name in names {
        match UnixListener::bind(beside.short(&name)) {
            Ok(listener) => {
                fs::set_permissions(beside.short(&name), fs::Permissions::from_mode(0o600))?;
                return Ok((listener, name));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Removes the sockets of gateways that were killed: nobody listens, and the process is gone, or has
/// our own number. (A living process that is just about to listen refuses connections, too.)
fn remove_stale(beside: &Beside) -> io::Result<()> {
    for name in beside.gateways()? {
        let pid = name.split('-').next().unwrap_or_default();
        let may_be_starting = pid != process::id().to_string() && Path::new("/proc").join(pid).exists();
        let path = beside.short(&name);
        if !may_be_starting && UnixStream::connect(&path).is_err_and(|error| wake::is_nobody(&error)) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}
