//! The upstreams: prepared peers, cloned per request. Names are resolved outside the request path,
//! since Pingora would resolve them blocking and panic on failure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pingora::upstreams::peer::{ALPN, HttpPeer};

use super::tls::UpstreamTls;

/// How often host names are resolved anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// How long an idle connection to an upstream is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Concurrent requests on one HTTP/2 connection to an upstream, the least that RFC 9113 section 6.5.2
/// recommends servers to allow.
const HTTP2_STREAMS: usize = 100;

/// A named upstream, as configured.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// Its servers; requests take turns.
    pub servers: Vec<UpstreamServer>,
    /// How long it may take.
    pub timeouts: UpstreamTimeouts,
    /// Whether HTTP/2 is spoken: by ALPN over TLS, by prior knowledge in clear (RFC 9113 section 3.3).
    pub http2: bool,
    /// Authorities and certificate of the servers that have TLS.
    pub tls: UpstreamTls,
}

/// The limits of one request to an upstream.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// To connect, the TLS handshake included.
    pub connect: Duration,
    /// For the first byte and between reads of the answer.
    pub read: Duration,
    /// For each write of the request.
    pub write: Duration,
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamServer {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host name or address.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
}

/// How an upstream is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS, the certificate verified against the authorities and the host name.
    Https,
}

/// All upstreams, ready to serve.
#[derive(Debug)]
pub struct Upstreams(Vec<Prepared>);

#[derive(Debug)]
struct Prepared {
    upstream: Upstream,
    turn: AtomicUsize,
    /// One entry per resolved address; replaced whole.
    peers: RwLock<Arc<[HttpPeer]>>,
}

impl Upstreams {
    /// Prepares the upstreams and resolves their names once. A name that cannot be resolved yet is
    /// no error here: its requests get 502 until it can.
    pub async fn prepare(upstreams: Vec<Upstream>) -> Self {
        let mut prepared = Vec::with_capacity(upstreams.len());
        for upstream in upstreams {
            let peers = RwLock::new(Arc::from([]));
            let one = Prepared { upstream, turn: AtomicUsize::new(0), peers };
            one.resolve().await;
            prepared.push(one);
        }
        Self(prepared)
    }

    /// Keeps resolving host names until the task is dropped. Does nothing where all servers are
    /// addresses.
    pub async fn keep_resolved(self: Arc<Self>) {
        let named: Vec<&Prepared> = self.0.iter().filter(|one| one.has_names()).collect();
        if named.is_empty() {
            return;
        }
        let mut ticks = tokio::time::interval(RESOLVE_EVERY);
        ticks.tick().await; // `prepare` did the first
        loop {
            ticks.tick().await;
            for one in &named {
                one.resolve().await;
            }
        }
    }

    /// The next server of an upstream; `None` while no name of it can be resolved.
    pub(super) fn peer(&self, upstream: usize) -> Option<HttpPeer> {
        let one = self.0.get(upstream)?;
        let peers = one.peers.read().unwrap_or_else(PoisonError::into_inner);
        let turn = one.turn.fetch_add(1, Ordering::Relaxed);
        peers.get(turn.checked_rem(peers.len())?).cloned()
    }

    /// How many addresses an upstream has now.
    pub(super) fn size(&self, upstream: usize) -> usize {
        self.0.get(upstream).map_or(0, |one| one.peers.read().unwrap_or_else(PoisonError::into_inner).len())
    }
}

impl Prepared {
    fn has_names(&self) -> bool {
        self.upstream.servers.iter().any(|server| server.host.parse::<std::net::IpAddr>().is_err())
    }

    async fn resolve(&self) {
        let mut peers = Vec::new();
        for server in &self.upstream.servers {
            match tokio::net::lookup_host((&*server.host, server.port)).await {
                Ok(addresses) => {
                    let mut addresses: Vec<SocketAddr> = addresses.collect();
                    addresses.sort_unstable();
                    addresses.dedup();
                    peers.extend(addresses.into_iter().map(|address| self.peer(server, address)));
                }
                Err(error) => tracing::warn!(
                    upstream = &*self.upstream.name,
                    host = &*server.host,
                    "the host name cannot be resolved: {error}"
                ),
            }
        }
        // What was known stays when nothing can be resolved: the name server may be away.
        if !peers.is_empty() {
            *self.peers.write().unwrap_or_else(PoisonError::into_inner) = peers.into();
        }
    }

    fn peer(&self, server: &UpstreamServer, address: SocketAddr) -> HttpPeer {
        let tls = server.scheme == Scheme::Https;
        // The name is for TLS; a peer without one is copied without an allocation.
        let name = if tls { server.host.to_string() } else { String::new() };
        let mut peer = HttpPeer::new(address, tls, name);
        let timeouts = self.upstream.timeouts;
        peer.options.connection_timeout = Some(timeouts.connect);
        peer.options.total_connection_timeout = Some(timeouts.connect);
        peer.options.read_timeout = Some(timeouts.read);
        peer.options.write_timeout = Some(timeouts.write);
        peer.options.idle_timeout = Some(IDLE);
        if self.upstream.http2 {
            peer.options.alpn = ALPN::H2;
            peer.options.max_h2_streams = HTTP2_STREAMS;
        }
        self.upstream.tls.apply(&mut peer);
        // Pingora would share connections between upstreams with different authorities.
        let mut group = DefaultHasher::new();
        (&*self.upstream.name, self.upstream.http2, self.upstream.tls.digest()).hash(&mut group);
        peer.group_key = group.finish();
        peer
    }
}
