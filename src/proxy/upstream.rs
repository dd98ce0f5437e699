//! The upstreams: prepared peers, cloned per request. Names are resolved outside the request path,
//! since Pingora would resolve them blocking and panic on failure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use pingora::upstreams::peer::{ALPN, HttpPeer};
use tokio::task::JoinSet;

use super::balance::{self, Balance, Ejection, MOST_SERVERS, Standing, State, Turn};
use super::health::{Checker, HealthCheck};
use super::tls::UpstreamTls;
use crate::model::Timestamp;

/// How often host names are resolved anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// Concurrent requests on one HTTP/2 connection to an upstream, the least that RFC 9113 section 6.5.2
/// recommends servers to allow.
const HTTP2_STREAMS: usize = 100;

/// A named upstream, as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// Its servers.
    pub servers: Vec<UpstreamServer>,
    /// How requests are spread over them.
    pub balance: Balance,
    /// When a server that fails is left out.
    pub ejection: Ejection,
    /// How servers are checked; not at all by default.
    pub health: Option<HealthCheck>,
    /// How long it may take.
    pub timeouts: UpstreamTimeouts,
    /// Whether HTTP/2 is spoken: by ALPN over TLS, by prior knowledge in clear (RFC 9113 section 3.3).
    pub http2: bool,
    /// Authorities and certificate of the servers that have TLS.
    pub tls: UpstreamTls,
}

/// The limits of one request to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// To connect, the TLS handshake included.
    pub connect: Duration,
    /// For the first byte and between reads of the answer.
    pub read: Duration,
    /// For each write of the request.
    pub write: Duration,
    /// How long a connection is kept that no request uses.
    pub idle: Duration,
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
pub struct Upstreams {
    all: Vec<Arc<Prepared>>,
    /// What the times of the servers' standings count from.
    epoch: Instant,
}

/// One upstream, and what happened to it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) upstream: Upstream,
    turn: AtomicUsize,
    /// One entry per resolved address; replaced whole.
    servers: RwLock<Arc<[Arc<Server>]>>,
    /// Ejections happen one at a time, so that they can count each other; shared as the standings are.
    ejecting: Arc<Mutex<()>>,
    pub(super) counts: Arc<Counts>,
    /// What is done in the background; ended when the upstream is out of force or dropped.
    tasks: Mutex<Option<JoinSet<()>>>,
}

/// What is counted under an upstream's name, since the start and whatever else of it changes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    ejections: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) retries: AtomicU64,
}

/// One address of an upstream. It outlives a new resolution that finds it again.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) peer: HttpPeer,
    pub(super) configured: UpstreamServer,
    pub(super) address: SocketAddr,
    /// Shared with the same server of the configuration before.
    pub(super) standing: Arc<Standing>,
}

/// An upstream as the metrics show it. The counts are since the start.
#[derive(Debug)]
pub struct UpstreamStatus<'u> {
    /// Its name in the configuration.
    pub name: &'u str,
    /// Servers that requests are sent to.
    pub up: usize,
    /// Servers left out because requests failed.
    pub ejected: usize,
    /// Servers left out because their checks failed.
    pub down: usize,
    /// Ejections, those after a failed trial included.
    pub ejections: u64,
    /// Connections that could not be opened.
    pub connect_failures: u64,
    /// Attempts after the first one of a request.
    pub retries: u64,
    /// When the certificate that it is shown expires, where it is shown one.
    pub certificate_expires: Option<Timestamp>,
}

impl Upstreams {
    /// Prepares the upstreams and resolves their names once. A name that cannot be resolved yet is
    /// no error here: its requests get 502 until it can.
    ///
    /// An upstream that is the same as `before` is taken over with all that is known of it. Of one that
    /// changed, the servers that it keeps are taken over: ejected ones stay ejected, and those that the checks
    /// found down stay down as long as the checks are the same. Nothing of `before` is changed.
    pub async fn prepare(upstreams: Vec<Upstream>, before: Option<&Self>) -> Self {
        let mut all = Vec::with_capacity(upstreams.len());
        for upstream in upstreams {
            let known = before.and_then(|before| before.all.iter().find(|one| one.has_name_of(&upstream)));
            all.push(match known {
                Some(one) if one.upstream == upstream => Arc::clone(one),
                known => Arc::new(Prepared::new(upstream, known.map(|one| &**one)).await),
            });
        }
        Self { all, epoch: before.map_or_else(Instant::now, |before| before.epoch) }
    }

    /// Keeps host names resolved and servers checked from now on, also where `before` already does.
    pub fn start(&self, checker: &Checker) {
        for one in &self.all {
            one.start(checker);
        }
    }

    /// Ends what [`Upstreams::start`] started, for all that is not in force after this.
    pub fn end(&self, after: Option<&Self>) {
        let stays = |one: &Arc<Prepared>| {
            after.is_some_and(|after| after.all.iter().any(|other| Arc::ptr_eq(one, other)))
        };
        for one in self.all.iter().filter(|one| !stays(one)) {
            one.tasks().take();
        }
    }

    /// The state of every upstream at this moment.
    pub fn status(&self) -> impl Iterator<Item = UpstreamStatus<'_>> {
        self.all.iter().map(|one| one.status())
    }

    /// The name of the upstream at this position.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.all.get(index).map(|one| &*one.upstream.name)
    }

    /// The longest that an upstream may be silent.
    pub(super) fn read_timeout(&self, upstream: usize) -> Option<Duration> {
        self.all.get(upstream).map(|one| one.upstream.timeouts.read)
    }

    /// Whether an upstream is spoken to by HTTP/2.
    pub(super) fn speaks_http2(&self, upstream: usize) -> bool {
        self.all.get(upstream).is_some_and(|one| one.upstream.http2)
    }

    pub(super) fn all(&self) -> &[Arc<Prepared>] {
        &self.all
    }

    /// Milliseconds on the clock of the standings.
    pub(super) fn clock(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX / 2)
    }
}

impl Prepared {
    async fn new(upstream: Upstream, before: Option<&Self>) -> Self {
        let one = Self {
            upstream,
            turn: AtomicUsize::new(0),
            servers: RwLock::new(Arc::from([])),
            ejecting: before.map(|before| Arc::clone(&before.ejecting)).unwrap_or_default(),
            counts: before.map(|before| Arc::clone(&before.counts)).unwrap_or_default(),
            tasks: Mutex::new(None),
        };
        one.resolve(before).await;
        one
    }

    fn has_name_of(&self, upstream: &Upstream) -> bool {
        self.upstream.name == upstream.name
    }

    fn start(self: &Arc<Self>, checker: &Checker) {
        let mut tasks = self.tasks();
        if tasks.is_none() {
            let tasks = tasks.insert(JoinSet::new());
            if self.has_names() {
                tasks.spawn(keep_resolved(Arc::downgrade(self)));
            }
            checker.spawn(self, tasks);
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers as they are known now.
    pub(super) fn servers(&self) -> Arc<[Arc<Server>]> {
        Arc::clone(&self.servers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A server for the next attempt of a request that has been to `tried`, with its position; `None` while
    /// no name can be resolved.
    pub(super) fn choose(&self, tried: u64, now: u64) -> Option<(usize, Arc<Server>, Turn)> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        let (balance, ejection) = (self.upstream.balance, self.upstream.ejection);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let standing = |index: usize| &*servers[index].standing;
        let (index, turn) = balance::choose(servers.len(), standing, balance, ejection, tried, turn, now)?;
        Some((index, Arc::clone(&servers[index]), turn))
    }

    /// How many addresses there are now.
    pub(super) fn size(&self) -> usize {
        self.servers.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// An attempt got no answer, for which the server is to blame.
    pub(super) fn failed(&self, server: &Arc<Server>, turn: Turn, now: u64) {
        let ejection = self.upstream.ejection;
        if !server.standing.failed(turn, ejection) {
            return;
        }
        let _alone = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = self.servers();
        let standing = |index: usize| &*servers[index].standing;
        let Some(index) = servers.iter().position(|other| Arc::ptr_eq(other, server)) else { return };
        if let Some(length) = balance::eject(servers.len(), standing, index, ejection, turn, now) {
            self.counts.ejections.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                upstream = &*self.upstream.name,
                server = %server.address,
                "ejected for {}: requests failed there",
                humantime::format_duration(length)
            );
        }
    }

    /// The server answered.
    pub(super) fn answered(&self, server: &Server, turn: Turn) {
        if server.standing.answered(turn) {
            tracing::info!(upstream = &*self.upstream.name, server = %server.address, "readmitted");
        }
    }

    fn status(&self) -> UpstreamStatus<'_> {
        let servers = self.servers();
        let count = |state| servers.iter().filter(|server| server.standing.state() == state).count();
        UpstreamStatus {
            name: &self.upstream.name,
            up: count(State::Up),
            ejected: count(State::Ejected),
            down: count(State::Down),
            ejections: self.counts.ejections.load(Ordering::Relaxed),
            connect_failures: self.counts.connect_failures.load(Ordering::Relaxed),
            retries: self.counts.retries.load(Ordering::Relaxed),
            certificate_expires: self.upstream.tls.certificate_expires(),
        }
    }

    fn has_names(&self) -> bool {
        self.upstream.servers.iter().any(|server| server.host.parse::<std::net::IpAddr>().is_err())
    }

    /// Looks the names up. At the first time, `before` is the upstream of this name in the configuration
    /// before.
    async fn resolve(&self, before: Option<&Self>) {
        let known = self.servers();
        let inherited = before.map(Self::servers).unwrap_or_default();
        let mut servers = Vec::new();
        for server in &self.upstream.servers {
            let of_server = |known: &&Arc<Server>| known.configured == *server;
            let mut addresses: Vec<SocketAddr> =
                match tokio::net::lookup_host((&*server.host, server.port)).await {
                    Ok(addresses) => addresses.collect(),
                    Err(error) => {
                        tracing::warn!(
                            upstream = &*self.upstream.name,
                            host = &*server.host,
                            "the host name cannot be resolved: {error}"
                        );
                        inherited.iter().filter(of_server).map(|server| server.address).collect()
                    }
                };
            addresses.sort_unstable();
            addresses.dedup();
            servers.extend(addresses.into_iter().map(|address| {
                let same = |known: &&Arc<Server>| known.address == address && of_server(known);
                known.iter().find(same).cloned().unwrap_or_else(|| {
                    let standing = inherited.iter().find(same).map(|server| match before {
                        Some(before) if before.upstream.health != self.upstream.health => {
                            Arc::new(server.standing.without_checks())
                        }
                        _ => Arc::clone(&server.standing),
                    });
                    Arc::new(self.server(server, address, standing.unwrap_or_default()))
                })
            }));
        }
        // What was known stays when nothing can be resolved: the name server may be away.
        if !servers.is_empty() {
            if servers.len() > MOST_SERVERS {
                let (upstream, addresses) = (&*self.upstream.name, servers.len());
                tracing::warn!(upstream, addresses, "only the first {MOST_SERVERS} addresses are used");
                servers.truncate(MOST_SERVERS);
            }
            *self.servers.write().unwrap_or_else(PoisonError::into_inner) = servers.into();
        }
    }

    fn server(&self, configured: &UpstreamServer, address: SocketAddr, standing: Arc<Standing>) -> Server {
        Server { peer: self.peer(configured, address), configured: configured.clone(), address, standing }
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
        peer.options.idle_timeout = Some(timeouts.idle);
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

async fn keep_resolved(one: Weak<Prepared>) {
    let mut ticks = tokio::time::interval(RESOLVE_EVERY);
    ticks.tick().await; // `prepare` did the first
    loop {
        ticks.tick().await;
        let Some(one) = one.upgrade() else { return };
        one.resolve(None).await;
    }
}
