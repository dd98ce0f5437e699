//! Start, serve, stop.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::Fds;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::listener_tls::ListenerTls;
use super::parts::{self, Parts};
use super::reload::{Fixed, Kept, Reloader};
use crate::admin::{self, TokenFile, TokenFileError};
use crate::config::Config;
use crate::model::Timestamp;
use crate::proxy::{InFlight, TlsFileError};
use crate::replica::{OpenError, Watch};
use crate::usage;

/// What is read ahead of a TLS connection, in bytes: about a record. In clear nothing is, since whoever reads
/// has a buffer. Pingora's 64 KiB were most of what an idle connection cost.
const TLS_RECORD: usize = 16 * 1024;

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {error}; {}", listen_help(error))]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The replica cannot be opened.
    #[error(transparent)]
    Replica(#[from] OpenError),
    /// The admin token.
    #[error(transparent)]
    AdminToken(#[from] TokenFileError),
    /// Certificate, key or client authorities of the public listener.
    #[error("server.tls: {0}")]
    Tls(TlsFileError),
    /// Certificate or key of the admin listener.
    #[error("admin.tls: {0}")]
    AdminTls(TlsFileError),
    /// Authorities, certificate or key of an upstream.
    #[error("upstream.{upstream}: {error}")]
    UpstreamTls {
        /// Its name.
        upstream: String,
        /// Which file, and why.
        error: TlsFileError,
    },
    /// The TLS listener refuses its settings.
    #[error("TLS cannot be served: {0}")]
    TlsListener(String),
    /// No certificate authorities are installed, and an upstream is spoken to over TLS.
    #[error(
        "no certificate authorities were found on this machine, and an upstream uses https: {0}; install the package ca-certificates"
    )]
    Authorities(String),
    /// The access log's file.
    #[error("cannot write the access log to {path}: {error}")]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The operating system refuses threads, randomness or signals.
    #[error("the operating system refuses what the gateway needs: {0}")]
    System(#[from] io::Error),
    /// The operating system has no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

fn listen_help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process has the port; choose another, or 0 for a free one",
        io::ErrorKind::PermissionDenied => "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address",
        _ => "check server.listen and admin.listen",
    }
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
    draining: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    in_flight: Arc<InFlight>,
    proxy: JoinHandle<()>,
    /// On the admin listener's address and, with TLS, on that of the commands.
    admin: Vec<JoinHandle<()>>,
    reloads: JoinHandle<()>,
    renewals: Vec<JoinHandle<()>>,
    _watch: Watch,
}

impl Gateway {
    /// Binds, opens the replica, and accepts requests. Runs on the current runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing listens then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let public: Vec<TcpListener> =
            config.server.listen.iter().map(|address| bind(*address)).collect::<Result<_, _>>()?;
        let admin_listener = bind(config.admin.listen)?;
        let addresses = Addresses {
            public: public.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?,
            admin: admin_listener.local_addr()?,
        };
        let tls = config.server.tls.as_ref().map(ListenerTls::read).transpose()?;
        let admin_tls = config.admin.tls.as_ref().map(ListenerTls::read_admin).transpose()?;
        // The commands speak no TLS. They are told this address by the socket beside the replica.
        let for_commands = admin_tls.as_ref().map(|_| bind((Ipv4Addr::LOCALHOST, 0).into())).transpose()?;
        let counts = config.usage.settings.clone();
        let (fixed, kept) = (Fixed::of(&config), Kept::of(&config));
        let (source, reloads_on_change) = (config.file.clone(), config.server.reload_on_change);
        let hangup = signal(SignalKind::hangup())?;
        raise_open_files();
        let handshake = tls.as_ref().map(ListenerTls::handshake).transpose()?;
        let Parts { door, engines, builder, places, leashes, endings, replica, checker, in_flight } =
            parts::build(config, handshake).await?;
        let metrics = Arc::clone(&builder.metrics);
        let token = TokenFile::open(replica.path())?;
        replica.announce(match &for_commands {
            Some(listener) => listener.local_addr()?,
            None => addresses.admin,
        });
        let watch = replica.watch()?;

        let mut service = Service::new("storegate".to_owned(), door);
        let mut fds = Fds::new();
        for (number, listener) in public.into_iter().enumerate() {
            // The label is only a key: several listeners may be configured with port 0.
            let label = format!("public-{number}");
            fds.add(label.clone(), listener.into_raw_fd());
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
            places,
            leashes,
            endings,
            engines,
            reloader: Arc::clone(&reloader),
            draining: Arc::clone(&draining),
        };
        let admin_listener = tokio::net::TcpListener::from_std(admin_listener)?;
        let router = admin::router(status, replica, token);
        let mut admin = Vec::new();
        if let Some(listener) = for_commands {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            admin.push(tokio::spawn(admin::serve(listener, None, router.clone())));
        }
        admin.push(tokio::spawn(admin::serve(admin_listener, admin_handshake, router)));
        Ok(Self {
            addresses,
            reloader,
            draining,
            stop,
            in_flight,
            proxy,
            admin,
            reloads,
            renewals,
            _watch: watch,
        })
    }

    /// Stops accepting, lets running requests finish within the grace period, and ends. Returns how
    /// many requests were cut.
    pub async fn stop(mut self) -> usize {
        self.draining.store(true, Ordering::Release);
        let _ = self.stop.send(true); // fails only when the service has ended by itself
        let drained = async {
            let _ = (&mut self.proxy).await;
            self.in_flight.drained().await;
        };
        let _ = tokio::time::timeout(self.reloader.grace_period(), drained).await;
        self.reloads.abort();
        self.reloader.end();
        self.renewals.iter().chain(&self.admin).for_each(JoinHandle::abort);
        self.in_flight.count()
    }
}

/// Serves until SIGTERM or SIGINT; a second one ends at once. `ready` is called when requests are
/// accepted.
///
/// # Errors
///
/// [`StartError`].
pub fn run(config: Config, ready: impl FnOnce(&Addresses)) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.threads)
        .thread_name("storegate")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let gateway = Gateway::start(config).await?;
        ready(&gateway.addresses);
        serve_until(gateway, &mut signals).await;
        Ok(())
    })
    // The runtime is dropped here: what still runs past the grace period is cut.
}

/// Waits for a signal and stops the gateway; a second signal ends the process.
async fn serve_until(gateway: Gateway, signals: &mut Signals) {
    let name = signals.next().await;
    tracing::info!(
        requests = gateway.in_flight.count(),
        "{name}: no new requests; a second signal ends at once"
    );
    tokio::select! {
        cut = gateway.stop() => match cut {
            0 => tracing::info!("stopped"),
            cut => tracing::warn!("stopped; {cut} requests were cut at the end of the grace period"),
        },
        name = signals.next() => {
            tracing::warn!("{name}: ended at once");
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

/// Each connection is an open file. Where the limit cannot be raised the lower one holds: connections
/// past it wait to be accepted.
fn raise_open_files() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("the limit of open files cannot be raised: {error}");
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error| StartError::Listen { address, error })
}
