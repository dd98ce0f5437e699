//! The running process's side: who wants to take over, and what it is given.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, process};

use parking_lot::Mutex;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::sockets::{Name, Sockets};
use super::{Folder, LEAVING, MAX_LINE, MOST_SOCKETS, Offer, PROTOCOL, READY, Wish, is_meant, pid};

/// How long the next process may take to say what it wants, and to take an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take from then until it accepts: a migration of a large replica is part of it.
const START: Duration = Duration::from_secs(600);

/// How many gateways of one process id may share a replica (containers number processes alike).
const NAMES: u32 = 16;

/// Pause after a failure to accept; out of descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);

/// Copies of the listening sockets, for as long as this process listens.
#[derive(Debug, Clone, Default)]
pub(in crate::app) struct Offered(Arc<Mutex<Vec<(Name, SocketAddr, TcpListener)>>>);

/// A process that accepts connections in this one's place.
#[derive(Debug)]
pub(in crate::app) struct Heir {
    /// Its id.
    pub(in crate::app) pid: u32,
    leaving: oneshot::Sender<()>,
}

/// Those that come to take over. Dropping it removes the socket.
#[derive(Debug)]
pub(in crate::app) struct Heirs {
    coming: mpsc::Receiver<Heir>,
    task: JoinHandle<()>,
    folder: Folder,
    name: String,
}

impl Offered {
    pub(in crate::app) fn of(sockets: &Sockets) -> io::Result<Self> {
        let copy = |socket: &super::super::sockets::Socket| {
            Ok((socket.name, socket.bound, socket.listener.try_clone()?))
        };
        Ok(Self(Arc::new(Mutex::new(sockets.all().map(copy).collect::<io::Result<_>>()?))))
    }

    /// Closes the copies: this process listens no more.
    pub(in crate::app) fn close(&self) {
        self.0.lock().clear();
    }
}

impl Heir {
    /// Tells it that this process accepts no more connections.
    pub(in crate::app) fn leave(self) {
        let _ = self.leaving.send(()); // it may be gone
    }
}

impl Heirs {
    /// Waits for processes that take over; `replica` must exist.
    pub(in crate::app) fn await_on(replica: &Path, offered: Offered) -> io::Result<Self> {
        let folder = Folder::of(replica)?;
        remove_stale(&folder)?;
        let (listener, name) = bind(&folder)?;
        let (come, coming) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => match serve(stream, &offered).await {
                        Ok(Some(heir)) => _ = come.send(heir).await,
                        Ok(None) => {}
                        Err(error) => tracing::warn!("a process that wanted to take over did not: {error}"),
                    },
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        });
        Ok(Self { coming, task, folder, name })
    }

    /// Waits for the next one.
    pub(in crate::app) async fn next(&mut self) -> Heir {
        match self.coming.recv().await {
            Some(heir) => heir,
            None => std::future::pending().await, // the task ended: nobody will come
        }
    }
}

impl Drop for Heirs {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.folder.socket(&self.name));
        self.task.abort();
    }
}

/// Serves one process; `None` where it wanted nothing that is here.
async fn serve(mut stream: UnixStream, offered: &Offered) -> io::Result<Option<Heir>> {
    let peer = stream.peer_cred()?;
    let is_own = [rustix::process::geteuid().as_raw(), 0].contains(&peer.uid());
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
    let (Some(pid), true) = (pid, is_own) else {
        return Err(io::Error::other(format!("the user {} may not", peer.uid())));
    };
    let wish = timeout(PATIENCE, line(&mut stream)).await??;
    let wish: Wish = serde_json::from_str(&wish).map_err(io::Error::other)?;
    let has_something = timeout(PATIENCE, offer(&stream, &wish, offered)).await??;
    if !has_something {
        return Ok(None);
    }
    tracing::info!(pid, "another process prepares to take over");
    match timeout(START, line(&mut stream)).await? {
        Ok(said) if said == READY => {}
        Ok(_) | Err(_) => return Err(io::Error::other("it ended before it was ready; nothing has changed")),
    }
    let (leaving, left) = oneshot::channel();
    tokio::spawn(async move {
        if left.await.is_ok() {
            let _ = timeout(PATIENCE, stream.write_all(LEAVING.as_bytes())).await;
        }
    });
    Ok(Some(Heir { pid, leaving }))
}

/// Sends what is wished for and here, and tells whether that is anything.
async fn offer(stream: &UnixStream, wish: &Wish, offered: &Offered) -> io::Result<bool> {
    loop {
        stream.writable().await?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            let own = offered.0.lock();
            let mut left: Vec<_> = own.iter().collect();
            let (mut sockets, mut copies) = (Vec::new(), Vec::new());
            for wished in wish.sockets.iter().filter(|_| wish.protocol == PROTOCOL) {
                let found = left.iter().position(|(name, bound, _)| is_meant(*wished, *name, *bound));
                if let Some(found) = found {
                    copies.push(left.remove(found).2.as_fd());
                    sockets.push(*wished);
                }
            }
            let is_any = !sockets.is_empty();
            let mut text =
                serde_json::to_vec(&Offer { protocol: PROTOCOL, sockets }).map_err(io::Error::other)?;
            text.push(b'\n');
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
            let mut attached = SendAncillaryBuffer::new(&mut space);
            if is_any && !attached.push(SendAncillaryMessage::ScmRights(&copies)) {
                return Err(io::Error::other("it wants more sockets than can be passed"));
            }
            // The socket is new and its buffer empty, so that the line goes whole.
            rustix::net::sendmsg(stream, &[IoSlice::new(&text)], &mut attached, SendFlags::NOSIGNAL)?;
            Ok(is_any)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
    }
}

async fn line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE as u64)).read_line(&mut line).await?;
    if line.ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Binds the first free name, mode 0600.
fn bind(folder: &Folder) -> io::Result<(UnixListener, String)> {
    let own = process::id();
    for name in (1..=NAMES).map(|n| if n == 1 { own.to_string() } else { format!("{own}-{n}") }) {
        match UnixListener::bind(folder.socket(&name)) {
            Ok(listener) => {
                fs::set_permissions(folder.socket(&name), fs::Permissions::from_mode(0o600))?;
                return Ok((listener, name));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Removes what gateways that were killed left behind: nobody listens, and the process is gone or has our own
/// number. (A living one may be about to listen.)
fn remove_stale(folder: &Folder) -> io::Result<()> {
    for name in folder.gateways()? {
        let may_start = pid(&name) != Some(process::id())
            && PathBuf::from(format!("/proc/{}", pid(&name).unwrap_or(0))).exists();
        let is_nobody = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if !may_start && BlockingStream::connect(folder.socket(&name)).is_err_and(is_nobody) {
            let _ = fs::remove_file(folder.socket(&name));
        }
    }
    Ok(())
}
