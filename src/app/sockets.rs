//! The listening sockets of a gateway: taken over from the process before, passed by the service
//! manager, or bound here.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use serde::{Deserialize, Serialize};

use super::StartError;
use crate::config::Config;

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// `server.listen`.
    Public,
    /// `admin.listen`.
    Admin,
}

/// A listening socket as the configuration names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) purpose: Purpose,
    /// As configured; its port may be 0.
    pub(super) address: SocketAddr,
}

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) name: Name,
    /// Where it is bound.
    pub(super) bound: SocketAddr,
    pub(super) listener: TcpListener,
}

/// Sockets taken over, as the configuration names them.
pub(super) type Taken = Vec<(Name, TcpListener)>;

/// Sockets that listened before this process did.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Passed by the service manager.
    inherited: Vec<(SocketAddr, TcpListener)>,
    /// From the process whose place this one takes.
    pub(super) taken: Taken,
}

/// All sockets of a gateway.
#[derive(Debug)]
pub(super) struct Sockets {
    /// In the order of `server.listen`.
    pub(super) public: Vec<Socket>,
    pub(super) admin: Socket,
}

impl Given {
    /// What the service manager passes (`LISTEN_FDS`, sd_listen_fds(3)). The variables are removed from the
    /// environment: to be called before there are threads.
    pub(super) fn by_service_manager() -> Result<Self, StartError> {
        let mut passed = ListenFd::from_env();
        let count = passed.len();
        let take = |number| {
            let taken = passed.take_tcp_listener(number);
            let listener = taken.and_then(|listener| listener.ok_or(io::ErrorKind::NotFound.into()))?;
            Ok((listener.local_addr()?, listener))
        };
        let inherited = (0..count).map(take).collect::<io::Result<_>>();
        let inherited = inherited.map_err(|error| StartError::Inherited(error.to_string()))?;
        Ok(Self { inherited, taken: Vec::new() })
    }

    fn take(&mut self, name: Name) -> Option<TcpListener> {
        if let Some(found) = self.taken.iter().position(|(taken, _)| *taken == name) {
            return Some(self.taken.remove(found).1);
        }
        let found = self.inherited.iter().position(|(address, _)| *address == name.address)?;
        Some(self.inherited.remove(found).1)
    }
}

impl Sockets {
    /// The sockets that the configuration names; what is not given is bound.
    pub(super) fn open(config: &Config, mut given: Given) -> Result<Self, StartError> {
        let mut open = |name: Name| {
            let opened = match given.take(name) {
                Some(listener) => Ok(listener),
                None => TcpListener::bind(name.address),
            };
            let socket = opened.and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(Socket { name, bound: listener.local_addr()?, listener })
            });
            socket.map_err(|error| StartError::Listen { address: name.address, error })
        };
        let (mut public, admin) = names(config);
        let sockets =
            Self { public: public.drain(..).map(&mut open).collect::<Result<_, _>>()?, admin: open(admin)? };
        // One that came both ways is the same socket. Another one would listen, and nobody would accept.
        match given.inherited.iter().find(|(address, _)| sockets.all().all(|own| own.bound != *address)) {
            None => Ok(sockets),
            Some((address, _)) => Err(StartError::Inherited(format!(
                "it listens on {address}, which neither server.listen nor admin.listen names"
            ))),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Socket> {
        self.public.iter().chain([&self.admin])
    }
}

/// The sockets that a configuration names: the public ones, and the admin listener's.
pub(super) fn names(config: &Config) -> (Vec<Name>, Name) {
    let public =
        config.server.listen.iter().map(|address| Name { purpose: Purpose::Public, address: *address });
    (public.collect(), Name { purpose: Purpose::Admin, address: config.admin.listen })
}
