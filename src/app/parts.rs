//! The parts of a gateway, each built from its section of the configuration.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pingora::apps::HttpServerOptions;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;

use super::StartError;
use crate::admin;
use crate::config::{self, Config};
use crate::gate::{Gate, GateSettings, HeadLimits};
use crate::hasher::Hasher;
use crate::idp::{self, Idp, LoginKey, Logo};
use crate::limits::{FailureBudgets, Limits, Places, RateLimits, RateSettings, RouteRate};
use crate::model::ProofKey;
use crate::oauth::{self, Authority};
use crate::proxy::{
    self, Door, DoorLimits, InFlight, LeashBook, Local, MOST_ATTEMPTS, Recorder, RequestIds, Scheme,
    StoreProxy, Upstream, UpstreamServer, UpstreamTimeouts, UpstreamTls, Upstreams,
};
use crate::replica::{self, Replica, WriteQueue};
use crate::telemetry::{AccessLog, Destination, Metrics, Telemetry};

/// How long an HTTP/2 connection may stay without a stream.
const H2_IDLE: Duration = Duration::from_secs(60);

pub(super) struct Parts {
    pub(super) door: Door<HttpProxy<StoreProxy<Arc<Replica>>>>,
    pub(super) places: Arc<Places>,
    pub(super) leashes: Arc<LeashBook>,
    pub(super) replica: Arc<Replica>,
    pub(super) upstreams: Arc<Upstreams>,
    /// For the checks, which connect as the proxy does.
    pub(super) conf: Arc<ServerConf>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) in_flight: Arc<InFlight>,
    /// The identity provider, where there is one.
    pub(super) idp: Option<Arc<Idp>>,
}

pub(super) async fn build(config: Config) -> Result<Parts, StartError> {
    let replica = Replica::open(
        &config.replica.path,
        replica::Options {
            readers: config.server.threads + 1,
            cache_entries: NonZeroUsize::new(config.replica.cache_entries).unwrap_or(NonZeroUsize::MIN),
            key_file: config.replica.key_file.clone(),
            sweeps: match config.replica.source {
                config::Source::Local => true,
            },
        },
    )?;
    let telemetry = Arc::new(telemetry(&config)?);
    let metrics = Arc::clone(&telemetry.metrics);
    replica.on_enforced(move |delay, entries| {
        for _ in 0..entries {
            metrics.enforcement_delay.observe(delay.as_secs_f64());
        }
    });
    let limits = Arc::new(limits(&config, Arc::clone(&telemetry.metrics)).await);
    let proof_key = ProofKey::random()?;
    let hasher = Arc::new(Hasher::start(config.hasher.threads, config.hasher.queue, proof_key.clone())?);
    let (local, idp) = local(&config, &replica, &hasher, &limits, &proof_key)?;
    let conf = Arc::new(server_conf(&config)?);
    let upstreams: Result<_, _> = config.upstreams.iter().map(upstream).collect();
    let upstreams = Arc::new(Upstreams::prepare(upstreams?).await);
    let http2 = http2_options(&config);
    let door_limits =
        DoorLimits { header_timeout: config.server.header_timeout, head_bytes: config.server.max_head_bytes };
    let places = Places::new(
        config.server.max_connections,
        config.server.max_connections_per_address,
        config.server.trusted_proxies.clone(),
    );
    let trusted_proxies = config.server.trusted_proxies.clone();
    let gate = gate(config, proof_key);
    let in_flight = Arc::new(InFlight::default());
    let recorder: Arc<dyn Recorder> = Arc::clone(&telemetry) as _;
    let request_ids = Arc::new(RequestIds::new()?);
    let leashes = LeashBook::start(Arc::clone(&replica))?;
    let inner = StoreProxy::new(proxy::Parts {
        gate,
        directory: Arc::clone(&replica),
        hasher,
        limits,
        local,
        upstreams: Arc::clone(&upstreams),
        recorder: Arc::clone(&recorder),
        in_flight: Arc::clone(&in_flight),
        request_ids: Arc::clone(&request_ids),
        leashes: Arc::clone(&leashes),
    });
    let mut proxy = HttpProxy::new(inner, Arc::clone(&conf));
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(H2_IDLE);
    proxy.server_options = Some(options);
    proxy.handle_init_modules();
    proxy.h2_options = Some(http2);
    let door = Door::new(proxy, door_limits, trusted_proxies, Arc::clone(&places), recorder, request_ids);
    Ok(Parts { door, places, leashes, replica, upstreams, conf, telemetry, in_flight, idp })
}

/// What the public listener answers itself.
fn local(
    config: &Config,
    replica: &Arc<Replica>,
    hasher: &Arc<Hasher>,
    limits: &Arc<Limits>,
    proof_key: &ProofKey,
) -> Result<(Local, Option<Arc<Idp>>), StartError> {
    let has_tokens = !config.token_endpoints.is_empty() || config.customer_tokens.is_some();
    if !has_tokens && config.idp.is_none() {
        return Ok((Local::default(), None));
    }
    let queue = Arc::new(WriteQueue::start(replica)?);
    let mut local = Local::default();
    if has_tokens {
        let authority = Authority {
            replica: Arc::clone(replica),
            queue: Arc::clone(&queue),
            hasher: Arc::clone(hasher),
            limits: Arc::clone(limits),
            proof_key: proof_key.clone(),
            access_token_prefix: config.credentials.access_token_prefix.as_str().into(),
        };
        let endpoints = config.token_endpoints.clone();
        let (router, paths) = oauth::router(authority, endpoints, config.customer_tokens.as_ref());
        local = Local::new(router, paths);
    }
    let Some(settings) = &config.idp else { return Ok((local, None)) };
    let login_key = match &settings.login {
        idp::Login::Builtin => None,
        idp::Login::External { key_file, .. } => Some(LoginKey::read(key_file)?),
    };
    let idp = Idp::new(idp::Parts {
        settings: settings.clone(),
        replica: Arc::clone(replica),
        queue,
        hasher: Arc::clone(hasher),
        proof_key: proof_key.clone(),
        limits: Arc::clone(limits),
        login_key,
        logo: settings.brand.logo.as_deref().map(Logo::read).transpose()?,
    });
    Ok((local.and(idp.router(), settings.paths(), []), Some(idp)))
}

/// The engine, as `run` and `explain` use it.
pub(crate) fn gate(config: Config, proof_key: ProofKey) -> Gate {
    Gate::new(GateSettings {
        routes: config.routes,
        inject: config.inject,
        access_token_prefix: config.credentials.access_token_prefix.into(),
        trusted_proxies: config.server.trusted_proxies,
        limits: HeadLimits { bytes: config.server.max_head_bytes, fields: config.server.max_header_fields },
        customer_scopes: config.customer_tokens.map(|tokens| tokens.scopes).unwrap_or_default(),
        proof_key,
    })
}

fn telemetry(config: &Config) -> Result<Telemetry, StartError> {
    let destination = &config.log.access;
    let routes: Vec<_> = config.routes.routes().iter().map(|route| route.pattern.clone()).collect();
    let access_log = AccessLog::start(destination, &routes).map_err(|error| match destination {
        Destination::File(path) => StartError::AccessLog { path: path.clone(), error },
        Destination::Off | Destination::Stdout => StartError::System(error),
    })?;
    let mut metrics = Metrics::new().map_err(std::io::Error::other)?;
    metrics.name_limited(config.routes.routes().iter().zip(&config.rates).map(|(route, rate)| {
        let limited = match rate {
            RouteRate::Everywhere => config.limits.requests.is_some() && route.access.is_protected(),
            RouteRate::Unlimited => false,
            RouteRate::Own { .. } => true,
        };
        limited.then_some(&*route.pattern)
    }));
    Ok(Telemetry { metrics: Arc::new(metrics), access_log })
}

async fn limits(config: &Config, metrics: Arc<Metrics>) -> Limits {
    let rates = RateSettings {
        everywhere: config.limits.requests,
        routes: config.rates.clone(),
        shared: config.limits.shared.clone(),
    };
    Limits {
        failures: FailureBudgets::new(config.limits.failures),
        rates: RateLimits::start(rates, move || metrics.shared_limit_failures.inc()).await,
    }
}

fn server_conf(config: &Config) -> Result<ServerConf, StartError> {
    let mut conf =
        ServerConf { threads: config.server.threads, max_retries: MOST_ATTEMPTS, ..ServerConf::default() };
    let mut own = config.upstreams.iter().filter(|upstream| upstream.tls.ca.is_none());
    let is_https = |server: &config::UpstreamServer| server.scheme == config::Scheme::Https;
    if own.any(|upstream| upstream.servers.iter().any(is_https)) {
        let found = pingora::tls::load_native_certs();
        found.map_err(|error| StartError::Authorities(error.to_string()))?;
    } else {
        // Pingora panics where the machine has no certificate authorities, even if none is needed.
        conf.ca_file = Some("/dev/null".to_owned());
    }
    Ok(conf)
}

/// The limits of an HTTP/2 connection. What a client may send in one head over HTTP/1.1 it may send here:
/// HTTP/2 counts 32 bytes more a field (RFC 9113 section 6.5.2), so that our own limit decides.
fn http2_options(config: &Config) -> H2Options {
    const STREAMS: u32 = 100;
    const FIELD: usize = 32;
    let head = config.server.max_head_bytes + FIELD * config.server.max_header_fields;
    let mut options = default_h2_options();
    options.max_concurrent_streams(STREAMS);
    options.max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX));
    options
}

fn upstream(upstream: &config::Upstream) -> Result<Upstream, StartError> {
    let server = |server: &config::UpstreamServer| UpstreamServer {
        scheme: match server.scheme {
            config::Scheme::Http => Scheme::Http,
            config::Scheme::Https => Scheme::Https,
        },
        host: server.host.as_str().into(),
        port: server.port,
    };
    let files = &upstream.tls;
    let identity = files.identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
    let tls = UpstreamTls::read(files.ca.as_deref(), identity)
        .map_err(|error| StartError::UpstreamTls { upstream: upstream.name.clone(), error })?;
    Ok(Upstream {
        name: upstream.name.as_str().into(),
        servers: upstream.servers.iter().map(server).collect(),
        balance: upstream.balance,
        ejection: upstream.ejection,
        health: upstream.health.clone(),
        timeouts: UpstreamTimeouts {
            connect: upstream.connect_timeout,
            read: upstream.read_timeout,
            write: upstream.write_timeout,
            idle: upstream.idle_timeout,
        },
        http2: upstream.http2,
        tls,
    })
}

/// What the admin listener is told.
pub(super) struct Status {
    pub(super) replica: Arc<Replica>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) places: Arc<Places>,
    pub(super) leashes: Arc<LeashBook>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) idp: Option<Arc<Idp>>,
}

impl admin::Status for Status {
    fn reasons_not_ready(&self) -> Vec<String> {
        let draining = self.draining.load(Ordering::Acquire).then(|| "shutting down".to_owned());
        let replica = self.replica.health().problem.map(|problem| format!("replica: {problem}"));
        draining.into_iter().chain(replica).collect()
    }

    fn metrics(&self) -> &Metrics {
        let count = i64::try_from(self.in_flight.count()).unwrap_or(i64::MAX);
        self.telemetry.metrics.in_flight.set(count);
        self.telemetry.metrics.count_connections(self.places.taken(), self.places.refused());
        self.telemetry.metrics.count_cut(self.leashes.cut());
        self.telemetry.metrics.show_upstreams(self.upstreams.status());
        if let Some(idp) = &self.idp {
            self.telemetry.metrics.show_idp(idp.events());
        }
        &self.telemetry.metrics
    }
}
