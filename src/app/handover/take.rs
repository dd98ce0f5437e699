//! The next process's side: it finds the running one, takes the sockets, and says when it is ready.
//!
//! Blocking, with deadlines: nothing else can be done before there are sockets.

use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::super::sockets::{Taken, names};
use super::super::{StartError, TakeOver};
use super::{Folder, LEAVING, MAX_LINE, MOST_SOCKETS, Offer, PROTOCOL, READY, Wish, pid};
use crate::config::Config;
use crate::replica::connect_to_gateway;

/// How long the running process may take for each answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The running process, which waits for this one to be ready.
#[derive(Debug)]
pub(in crate::app) struct Predecessor {
    /// Its id.
    pub(in crate::app) pid: u32,
    stream: UnixStream,
}

impl Predecessor {
    /// Finds the gateway that listens where `config` says, and takes copies of its sockets. `None` where there
    /// is none, and none was asked for by its process id.
    pub(in crate::app) fn find(
        config: &Config,
        which: TakeOver,
    ) -> Result<Option<(Self, Taken)>, StartError> {
        let failed = |why: String| Err(StartError::TakeOver(why));
        let (mut found, mut silent) = (Vec::new(), Vec::new());
        for (pid, stream) in running(config, which) {
            match ask(&stream, config) {
                Ok(taken) if taken.is_empty() => {}
                Ok(taken) => found.push((Self { pid, stream }, taken)),
                Err(error) => silent.push(format!("process {pid}: {error}")),
            }
        }
        if let Some(why) = silent.into_iter().next().filter(|_| found.is_empty()) {
            return failed(why);
        }
        if found.len() > 1 {
            let pids: Vec<_> = found.iter().map(|(found, _)| format!("--take-over={}", found.pid)).collect();
            return failed(format!("several gateways are meant; say which: {}", pids.join(" or ")));
        }
        match (found.pop(), which) {
            (None, TakeOver::From(pid)) => {
                failed(format!("process {pid} is no gateway that listens where this configuration does"))
            }
            (found, _) => Ok(found),
        }
    }

    /// Tells it to go, and waits until it accepts nothing any more. Where it is gone by itself, that is as well.
    pub(in crate::app) fn release(mut self) -> io::Result<()> {
        self.stream.write_all(READY.as_bytes())?;
        match line(&self.stream)?.0.as_str() {
            LEAVING => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The gateways on the configuration's replica that can be reached.
fn running(config: &Config, which: TakeOver) -> Vec<(u32, UnixStream)> {
    // No folder or no file: nobody runs on it.
    let Ok(folder) = Folder::of(&config.replica.path) else { return Vec::new() };
    let names = folder.gateways().unwrap_or_default();
    let reach = |name: String| {
        let pid = pid(&name)?;
        let is_asked = match which {
            TakeOver::From(asked) => asked == pid,
            TakeOver::Any => true,
            TakeOver::Nothing => false,
        };
        let stream = is_asked.then(|| connect_to_gateway(&folder.socket(&name), &config.replica.path))?;
        Some((pid, stream.ok()?)) // nobody listens, or a stranger: it has ended
    };
    names.into_iter().filter_map(reach).collect()
}

fn ask(mut stream: &UnixStream, config: &Config) -> io::Result<Taken> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (public, admin) = names(config);
    let wish = Wish { protocol: PROTOCOL, sockets: public.into_iter().chain([admin]).collect() };
    let mut text = serde_json::to_vec(&wish).map_err(io::Error::other)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let (text, sockets) = line(stream).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "it did not answer within {} s: another process may be taking over from it, or it hangs; try again \
                 when that one has started or given up",
                PATIENCE.as_secs()
            ),
        ),
        _ => error,
    })?;
    let offer: Offer = serde_json::from_str(&text).map_err(io::Error::other)?;
    if offer.protocol != PROTOCOL {
        return Err(io::Error::other("its version hands over in another way; stop it, and start this one"));
    }
    if offer.sockets.len() != sockets.len() {
        return Err(io::Error::other("it passed other sockets than it said"));
    }
    Ok(offer.sockets.into_iter().zip(sockets.into_iter().map(TcpListener::from)).collect())
}

/// Reads a line with what is attached to it.
fn line(stream: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let (mut text, mut attached) = (Vec::new(), Vec::new());
    while !text.ends_with(b"\n") {
        let mut part = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        // Closed when another program is executed: what this process starts has no use for them.
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut part)], &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                attached.extend(sockets);
            }
        }
        text.extend_from_slice(&part[..received.bytes]);
        if received.bytes == 0 || text.len() > MAX_LINE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((String::from_utf8(text).map_err(io::Error::other)?, attached))
}
