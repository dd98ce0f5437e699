//! Start, serve, stop.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::Fds;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::handover::{Heir, Heirs, Offered, Predecessor};
use super::listener_tls::ListenerTls;
use super::parts::{self, Parts};
use super::reload::{Fixed, Kept, Reloader};
use super::sockets::{Given, Sockets};
use super::start_error::StartError;
use super::successor::Program;
use super::supervisor::{self, News, Pulse};
use crate::admin::{self, TokenFile};
use crate::config::Config;
use crate::limits::Places;
use crate::model::Timestamp;
use crate::proxy::InFlight;
use crate::replica::{Replica, Watch};
use crate::telemetry::Level;
use crate::usage;

/// What is read ahead of a TLS connection, in bytes: about a record. In clear nothing is, since whoever reads
/// has a buffer. Pingora's 64 KiB were most of what an idle connection cost.
const TLS_RECORD: usize = 16 * 1024;

/// How long a process whose place was taken stays at least: a connection that it has just accepted is counted
/// a moment later.
const STAY: Duration = Duration::from_secs(1);

/// How long calls of the admin API that are under way may take at the end, at least and at most: they have a second
/// also where requests have used the grace period up.
const LAST_CALLS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// How often it looks whether a connection is left.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whose place a gateway takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeOver {
    /// Nobody's.
    Nothing,
    /// That of the gateway on the same replica that listens on the same addresses, if there is one.
    Any,
    /// That of the gateway with this process id.
    From(u32),
}

/// Where a gateway listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The public listeners.
    pub public: Vec<SocketAddr>,
    /// The admin listener.
    pub admin: SocketAddr,
}

/// A gateway that accepts requests.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub addresses: Addresses,
    reloader: Arc<Reloader>,
    replica: Arc<Replica>,
    draining: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    close: watch::Sender<bool>,
    offered: Offered,
    heirs: Heirs,
    in_flight: Arc<InFlight>,
    places: Arc<Places>,
    proxy: JoinHandle<()>,
    /// On the admin listener's address and, with TLS, on that of the commands.
    admin: Vec<JoinHandle<()>>,
    end_admin: watch::Sender<bool>,
    reloads: JoinHandle<()>,
    renewals: Vec<JoinHandle<()>>,
    keys: JoinHandle<()>,
    _watch: Watch,
}

impl Gateway {
    /// Binds, opens the replica, and accepts requests. Runs on the current runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing listens then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_on(config, Given::default()).await
    }

    /// The same on sockets that are there already, as far as they are.
    async fn start_on(config: Config, given: Given) -> Result<Self, StartError> {
        let sockets = Sockets::open(&config, given)?;
        let offered = Offered::of(&sockets)?;
        let Sockets { public, admin } = sockets;
        let addresses =
            Addresses { public: public.iter().map(|socket| socket.bound).collect(), admin: admin.bound };
        let tls = config.server.tls.as_ref().map(ListenerTls::read).transpose()?;
        let admin_tls = config.admin.tls.as_ref().map(ListenerTls::read_admin).transpose()?;
        // The commands speak no TLS. They are told this address by the socket beside the replica.
        let for_commands = admin_tls.as_ref().map(|_| free_port()).transpose()?;
        let counts = config.usage.settings.clone();
        let (fixed, kept) = (Fixed::of(&config), Kept::of(&config));
        let key_life = kept.key_life;
        let (source, reloads_on_change) = (config.file.clone(), config.server.reload_on_change);
        let hangup = signal(SignalKind::hangup())?;
        raise_open_files();
        let (close, closing) = watch::channel(false);
        let handshake = tls.as_ref().map(ListenerTls::handshake).transpose()?;
        let Parts { door, engines, builder, places, leashes, endings, replica, checker, in_flight, provider } =
            parts::build(config, handshake, closing).await?;
        let metrics = Arc::clone(&builder.metrics);
        let token = TokenFile::open(replica.path())?;
        replica.announce(Some(match &for_commands {
            Some(listener) => listener.local_addr()?,
            None => addresses.admin,
        }));
        let watch = replica.watch()?;
        let heirs = Heirs::await_on(replica.path(), offered.clone())?;
        let admin_listener = tokio::net::TcpListener::from_std(admin.listener)?;

        let mut service = Service::new("storegate".to_owned(), door);
        let mut fds = Fds::new();
        for (number, socket) in public.into_iter().enumerate() {
            // The label is only a key: several listeners may be configured with port 0.
            let label = format!("public-{number}");
            fds.add(label.clone(), socket.listener.into_raw_fd());
            // TLS, where it is spoken, begins at the door.
            let buffer = L4BufferSettings::default().read(if tls.is_some() { TLS_RECORD } else { 0 });
            service.add_listener(ListenerConfig::tcp(&label).l4_buffer(buffer));
        }
        let (stop, stopped) = watch::channel(false);
        let fds = Arc::new(Mutex::new(fds));
        let proxy = tokio::spawn(async move { service.start_service(Some(fds), stopped, 1).await });

        let admin_handshake = admin_tls.as_ref().map(ListenerTls::admin_handshake);
        let certificate = tls.as_ref().map(ListenerTls::certificate);
        let renewals = tls.into_iter().chain(admin_tls).map(|tls| tls.keep_fresh(Arc::clone(&metrics)));
        let renewals = renewals.collect::<io::Result<Vec<_>>>()?;
        engines.current().upstreams.start(&checker);
        metrics.reloads.started(&source.checksum, Timestamp::now());
        let reloader = Arc::new(Reloader {
            file: source.path,
            engines: Arc::clone(&engines),
            builder,
            checker,
            places: Arc::clone(&places),
            certificate,
            fixed,
            kept: Mutex::new(kept),
            tried: tokio::sync::Mutex::new(source.checksum),
            reloads_on_change: AtomicBool::new(reloads_on_change),
        });
        let reloads = tokio::spawn(Arc::clone(&reloader).watch(hangup));
        let draining = Arc::new(AtomicBool::new(false));
        let usage = (usage::path(replica.path()), counts);
        let status = parts::Status {
            usage,
            replica: Arc::clone(&replica),
            metrics,
            in_flight: Arc::clone(&in_flight),
            places: Arc::clone(&places),
            leashes,
            endings,
            engines,
            reloader: Arc::clone(&reloader),
            draining: Arc::clone(&draining),
            provider: Arc::clone(&provider),
        };
        let router = admin::router(status, Arc::clone(&replica), token);
        let (end_admin, admin_ends) = watch::channel(false);
        let mut admin = Vec::new();
        if let Some(listener) = for_commands {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            admin.push(tokio::spawn(admin::serve(listener, None, router.clone(), admin_ends.clone())));
        }
        admin.push(tokio::spawn(admin::serve(admin_listener, admin_handshake, router, admin_ends)));
        provider.rotate_keys_every(key_life);
        let keys = tokio::spawn(provider.look_after());
        Ok(Self {
            addresses,
            reloader,
            replica,
            draining,
            stop,
            close,
            offered,
            heirs,
            in_flight,
            places,
            proxy,
            admin,
            end_admin,
            reloads,
            renewals,
            keys,
            _watch: watch,
        })
    }

    /// Stops accepting, lets running requests finish within the grace period, and ends. Returns how
    /// many requests were cut.
    pub async fn stop(mut self) -> usize {
        self.accept_no_more().await;
        let deadline = Instant::now() + self.reloader.grace_period();
        self.end(deadline).await
    }

    /// Lets another process serve in this one's place. Connections that are open have their requests
    /// answered, the last one with `Connection: close`, and stay until their clients leave, at most for the
    /// grace period; then as [`Gateway::stop`]. `hurry` ends the stay early.
    async fn leave(mut self, heir: Heir, hurry: oneshot::Receiver<()>) -> usize {
        let deadline = Instant::now() + self.reloader.grace_period();
        supervisor::tell(News::Heir(heir.pid)).await;
        // Changes of the configuration and commands that ask for the gateway mean the other one. Changes of
        // credentials are enforced here as well, to the end.
        self.reloads.abort();
        let _ = self.end_admin.send(true);
        self.replica.announce(None);
        self.accept_no_more().await;
        heir.leave();
        let stay = async {
            tokio::time::sleep(STAY).await;
            while self.places.taken() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout_at(deadline, stay) => {}
            _ = hurry => {}
        }
        self.end(deadline).await
    }

    async fn accept_no_more(&mut self) {
        self.draining.store(true, Ordering::Release);
        self.offered.close();
        let _ = self.stop.send(true); // fails only when the service has ended by itself
        let _ = (&mut self.proxy).await;
    }

    async fn end(mut self, deadline: Instant) -> usize {
        let _ = self.close.send(true);
        let _ = tokio::time::timeout_at(deadline, self.in_flight.drained()).await;
        // Answers of the admin API under way are sent: one may hold a new secret.
        let _ = self.end_admin.send(true);
        let [least, most] = LAST_CALLS.map(|time| Instant::now() + time);
        let deadline = deadline.clamp(least, most);
        for listener in &mut self.admin {
            let _ = tokio::time::timeout_at(deadline, listener).await;
        }
        self.reloads.abort();
        self.keys.abort();
        self.reloader.end();
        self.renewals.iter().chain(&self.admin).for_each(JoinHandle::abort);
        self.in_flight.count()
    }

    /// By which it is known whether it can decide.
    fn pulse(&self) -> Pulse {
        Pulse {
            replica: Arc::clone(&self.replica),
            accepting: self.proxy.abort_handle(),
            draining: Arc::clone(&self.draining),
        }
    }

    fn status(&self) -> String {
        let public: Vec<_> = self.addresses.public.iter().map(ToString::to_string).collect();
        format!("serving on {}, admin on {}", public.join(", "), self.addresses.admin)
    }
}

/// Serves until SIGTERM or SIGINT, a second one ends at once, or until another process takes over. `ready` is
/// called when requests are accepted. To be called before the process has other threads.
///
/// # Errors
///
/// [`StartError`].
pub fn run(config: Config, take_over: TakeOver, ready: impl FnOnce(&Addresses)) -> Result<(), StartError> {
    let mut given = Given::by_service_manager()?;
    let predecessor = match Predecessor::find(&config, take_over)? {
        None => None,
        Some((predecessor, taken)) => {
            given.taken = taken;
            Some(predecessor)
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.threads)
        .thread_name("storegate")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let mut program = Program::of_this_process()?;
        let gateway = Gateway::start_on(config, given).await?;
        if let Some(predecessor) = predecessor {
            let pid = predecessor.pid;
            match predecessor.release() {
                Ok(()) => tracing::info!("took over from process {pid}"),
                Err(error) => tracing::warn!("process {pid} did not confirm that it leaves: {error}"),
            }
        }
        ready(&gateway.addresses);
        supervisor::tell(News::Ready(gateway.status())).await;
        let watchdog = tokio::spawn(supervisor::watchdog(gateway.pulse(), gateway.status()));
        serve_until(gateway, &mut signals, &mut program).await;
        watchdog.abort();
        Ok(())
    })
    // The runtime is dropped here: what still runs past the grace period is cut.
}

/// What ends the service of a gateway.
enum End {
    Signal(&'static str),
    Heir(Heir),
}

/// Waits for a signal or an heir and ends the gateway; a further signal ends the process.
async fn serve_until(mut gateway: Gateway, signals: &mut Signals, program: &mut Program) {
    let end = loop {
        tokio::select! {
            name = signals.next() => break End::Signal(name),
            heir = gateway.heirs.next() => break End::Heir(heir),
            () = program.is_asked_for() => program.start_next(),
        }
    };
    let requests = gateway.in_flight.count();
    let cut = match end {
        End::Signal(name) => {
            tracing::info!(requests, "{name}: no new requests; a second signal ends at once");
            supervisor::tell(News::Stopping(format!("stopping; {requests} requests are under way"))).await;
            at_once(gateway.stop(), signals).await
        }
        End::Heir(heir) => {
            tracing::info!(requests, "process {} took over; no new connections", heir.pid);
            let (hurry, hurried) = oneshot::channel();
            let leaving = gateway.leave(heir, hurried);
            tokio::pin!(leaving);
            tokio::select! {
                cut = &mut leaving => cut,
                name = signals.next() => {
                    tracing::info!("{name}: connections without a request are closed; a second signal ends at once");
                    let _ = hurry.send(());
                    at_once(leaving, signals).await
                }
            }
        }
    };
    match cut {
        0 => tracing::info!("stopped"),
        cut => tracing::warn!("stopped; {cut} requests were cut at the end of the grace period"),
    }
}

/// What `ending` gives, unless a signal ends the process first.
async fn at_once(ending: impl Future<Output = usize>, signals: &mut Signals) -> usize {
    tokio::select! {
        cut = ending => cut,
        name = signals.next() => {
            tracing::warn!("{name}: ended at once");
            Level::finish();
            std::process::exit(1);
        }
    }
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from their default action.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// A listener of this machine alone, on any port.
fn free_port() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Each connection is an open file. Where the limit cannot be raised the lower one holds: connections
/// past it wait to be accepted.
fn raise_open_files() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("the limit of open files cannot be raised: {error}");
    }
}
