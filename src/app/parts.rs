//! The parts of a gateway, each built from its section of the configuration.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora::tls::RootCertStore;

use super::StartError;
use super::engine::{EngineBuilder, needs_authorities};
use super::reload::Reloader;
use crate::admin::{self, ReloadReport, ReloadRequest};
use crate::config::{self, Config};
use crate::hasher::Hasher;
use crate::idp::Provider;
use crate::limits::Places;
use crate::model::{ProofKey, Timestamp, TokenDigest};
use crate::oauth::Authority;
use crate::proxy::{
    self, Checker, Door, DoorParts, Endings, Engines, Handshake, InFlight, LeashBook, MOST_ATTEMPTS,
    RequestIds, StoreProxy,
};
use crate::replica::{self, Prefixes, Replica};
use crate::telemetry::{AccessLog, Decision, Destination, FingerprintKey, Metrics, Opened, Recent};
use crate::usage::{self, Usage};

/// How long an HTTP/2 connection may stay without a stream.
const H2_IDLE: Duration = Duration::from_secs(60);

pub(super) struct Parts {
    pub(super) door: Door<HttpProxy<StoreProxy<Arc<Replica>>>>,
    pub(super) engines: Arc<Engines>,
    pub(super) builder: EngineBuilder,
    pub(super) places: Arc<Places>,
    pub(super) leashes: Arc<LeashBook>,
    pub(super) endings: Arc<Endings>,
    pub(super) replica: Arc<Replica>,
    pub(super) checker: Checker,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) provider: Arc<Provider>,
}

/// Builds the parts. `handshake` is what TLS is spoken with, if it is; `closing` closes the connections that
/// wait for a request.
pub(super) async fn build(
    config: Config,
    handshake: Option<Handshake>,
    closing: ShutdownWatch,
) -> Result<Parts, StartError> {
    let replica = Replica::open(
        &config.replica.path,
        replica::Options {
            readers: config.server.threads + 1,
            cache_entries: NonZeroUsize::new(config.replica.cache_entries).unwrap_or(NonZeroUsize::MIN),
            key_file: config.replica.key_file.clone(),
            sweeps: match config.replica.source {
                config::Source::Local => true,
            },
            retention: replica::Retention {
                age: i64::try_from(config.audit.keep.as_secs()).unwrap_or(i64::MAX),
                entries: i64::try_from(config.audit.entries).unwrap_or(i64::MAX),
            },
        },
    )?;
    let metrics = Arc::new(Metrics::new().map_err(std::io::Error::other)?);
    let observed = Arc::clone(&metrics);
    replica.on_enforced(move |delay, entries| {
        for _ in 0..entries {
            observed.enforcement_delay.observe(delay.as_secs_f64());
        }
    });
    let fingerprints = FingerprintKey::open(replica.path())?;
    let access_log = Arc::new(AccessLog::start(open(&config.log)?, fingerprints)?);
    let proof_key = ProofKey::random()?;
    let hasher = Arc::new(Hasher::start(config.hasher.threads, config.hasher.queue, proof_key.clone())?);
    hasher.observe(metrics.hashers.secrets());
    let passwords = Hasher::start(config.hasher.threads, config.hasher.queue, proof_key.clone())?;
    passwords.observe(metrics.hashers.passwords());
    let authority = Arc::new(Authority::new(&replica, &hasher, passwords, proof_key.clone()));
    let provider = Provider::new(Arc::clone(&authority));
    let (conf, no_authorities) = server_conf(&config)?;
    let conf = Arc::new(conf);
    let places = Places::new(
        config.server.max_connections,
        config.server.max_connections_per_address,
        config.server.trusted_proxies.clone(),
    );
    let recent = Arc::new(Recent::new(config.log.recent_decisions));
    let usage = start_usage(&config, &replica, access_log.fingerprints())?;
    #[cfg(feature = "otlp")]
    let spans = match &config.otlp {
        Some(otlp) => {
            let (key, metrics) = (access_log.fingerprints().clone(), metrics.otlp.clone());
            Some(Arc::new(crate::telemetry::Exporter::start(otlp, key, metrics)?))
        }
        None => None,
    };
    let builder = EngineBuilder {
        proof_key,
        metrics,
        access_log,
        recent,
        authority,
        provider: Arc::clone(&provider),
        usage,
        #[cfg(feature = "otlp")]
        spans,
        no_authorities,
    };
    let engines = Arc::new(Engines::new(builder.build(config, None).await?));
    let in_flight = Arc::new(InFlight::default());
    let request_ids = Arc::new(RequestIds::new()?);
    let leashes = LeashBook::start(Arc::clone(&replica))?;
    let endings = Arc::new(Endings::default());
    let inner = StoreProxy::new(proxy::Parts {
        engines: Arc::clone(&engines),
        directory: Arc::clone(&replica),
        hasher,
        in_flight: Arc::clone(&in_flight),
        request_ids: Arc::clone(&request_ids),
        leashes: Arc::clone(&leashes),
        endings: Arc::clone(&endings),
    });
    let mut proxy = HttpProxy::new(inner, Arc::clone(&conf));
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(H2_IDLE);
    // So that the gate refuses it as it refuses TRACE, counted and in JSON: Pingora would with neither.
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    proxy.handle_init_modules();
    let door = Door::new(
        proxy,
        DoorParts {
            engines: Arc::clone(&engines),
            handshake,
            places: Arc::clone(&places),
            request_ids,
            endings: Arc::clone(&endings),
            closing,
        },
    );
    let checker = Checker::new(conf);
    Ok(Parts { door, engines, builder, places, leashes, endings, replica, checker, in_flight, provider })
}

/// Begins to count who calls how much, where that is wanted.
fn start_usage(
    config: &Config,
    replica: &Replica,
    key: &FingerprintKey,
) -> Result<Option<Arc<Usage>>, StartError> {
    let config::Usage { enabled, settings, alerts } = &config.usage;
    if !enabled {
        return Ok(None);
    }
    let (path, key) = (usage::path(replica.path()), key.clone());
    let fingerprint = move |token: &TokenDigest| key.of_token(token);
    Ok(Some(Arc::new(Usage::start(path, settings.clone(), alerts.clone(), fingerprint)?)))
}

/// Opens the destination of the access log.
pub(super) fn open(log: &config::Log) -> Result<Opened, StartError> {
    Opened::open(&log.access, log.format).map_err(|error| unwritable(&log.access, error))
}

/// Sees whether it can be opened, as far as that leaves no file behind; gives none to write to.
pub(super) fn try_open(log: &config::Log) -> Result<Opened, StartError> {
    Opened::try_open(&log.access).map_err(|error| unwritable(&log.access, error))
}

fn unwritable(destination: &Destination, error: std::io::Error) -> StartError {
    match destination {
        Destination::File(path) => StartError::AccessLog { path: path.clone(), error },
        Destination::Off | Destination::Stdout => StartError::System(error),
    }
}

/// What Pingora connects by, and why the system's certificate authorities cannot be used, if they cannot.
/// They are read whether or not an upstream needs them: the next configuration may have one.
fn server_conf(config: &Config) -> Result<(ServerConf, Option<String>), StartError> {
    let mut conf =
        ServerConf { threads: config.server.threads, max_retries: MOST_ATTEMPTS, ..ServerConf::default() };
    // As Pingora does it, which would panic where it fails.
    let found = pingora::tls::load_native_certs().map_err(|error| error.to_string());
    let mut store = RootCertStore::empty();
    let added = found.and_then(|all| {
        all.into_iter().try_for_each(|one| store.add(one)).map_err(|error| error.to_string())
    });
    let missing = added.err();
    if let Some(why) = &missing {
        if needs_authorities(config) {
            return Err(StartError::Authorities(why.clone()));
        }
        conf.ca_file = Some("/dev/null".to_owned());
    }
    Ok((conf, missing))
}

/// What the admin listener is told.
pub(super) struct Status {
    pub(super) replica: Arc<Replica>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) places: Arc<Places>,
    pub(super) leashes: Arc<LeashBook>,
    pub(super) endings: Arc<Endings>,
    pub(super) engines: Arc<Engines>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) provider: Arc<Provider>,
    /// The file of who calls how much, and how long it knows that.
    pub(super) usage: (PathBuf, usage::Settings),
}

#[async_trait]
impl admin::Status for Status {
    fn reasons_not_ready(&self) -> Vec<String> {
        let draining = self.draining.load(Ordering::Acquire).then(|| "shutting down".to_owned());
        let replica = self.replica.health().problem.map(|problem| format!("replica: {problem}"));
        draining.into_iter().chain(replica).collect()
    }

    fn metrics(&self) -> &Metrics {
        let count = i64::try_from(self.in_flight.count()).unwrap_or(i64::MAX);
        self.metrics.in_flight.set(count);
        self.metrics.count_connections(self.places.taken(), self.places.refused());
        self.metrics.count_cut(self.leashes.cut());
        self.metrics.count_slow(self.endings.counts());
        self.metrics.count_failed_handshakes(self.endings.failed_handshakes());
        self.metrics.show_replica(self.replica.age(), self.replica.cached());
        self.metrics.show_upstreams(self.engines.current().upstreams.status());
        if let Some(usage) = &self.reloader.builder.usage {
            self.metrics.usage.show(usage);
        }
        self.metrics.show_idp(self.provider.events());
        &self.metrics
    }

    fn prefixes(&self) -> Prefixes {
        self.reloader.prefixes()
    }

    async fn reload(&self, request: ReloadRequest) -> Option<ReloadReport> {
        Arc::clone(&self.reloader).asked(request).await
    }

    fn decision(&self, request_id: &str) -> Option<Decision> {
        self.reloader.builder.recent.find(request_id)
    }

    fn fingerprints(&self) -> &FingerprintKey {
        self.reloader.builder.access_log.fingerprints()
    }

    fn usage(&self, filter: &usage::Filter) -> Result<usage::Report, usage::FileError> {
        usage::report(&self.usage.0, &self.usage.1, filter, Timestamp::now().0)
    }
}
