//! The parts of a gateway, each built from its section of the configuration.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::proxy::HttpProxy;
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
use crate::model::ProofKey;
use crate::oauth::Authority;
use crate::proxy::{
    self, Checker, Door, Engines, InFlight, LeashBook, MOST_ATTEMPTS, RequestIds, StoreProxy,
};
use crate::replica::{self, Replica};
use crate::telemetry::{AccessLog, Destination, Metrics, Opened};

/// How long an HTTP/2 connection may stay without a stream.
const H2_IDLE: Duration = Duration::from_secs(60);

pub(super) struct Parts {
    pub(super) door: Door<HttpProxy<StoreProxy<Arc<Replica>>>>,
    pub(super) engines: Arc<Engines>,
    pub(super) builder: EngineBuilder,
    pub(super) places: Arc<Places>,
    pub(super) leashes: Arc<LeashBook>,
    pub(super) replica: Arc<Replica>,
    pub(super) checker: Checker,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) provider: Arc<Provider>,
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
    let access_log = Arc::new(AccessLog::start(open(&config.log.access)?)?);
    let proof_key = ProofKey::random()?;
    let hasher = Arc::new(Hasher::start(config.hasher.threads, config.hasher.queue, proof_key.clone())?);
    let authority = Arc::new(Authority::new(&replica, &hasher, proof_key.clone()));
    let passwords = Hasher::start(config.hasher.threads, config.hasher.queue, proof_key.clone())?;
    let provider = Provider::new(Arc::clone(&authority), passwords);
    let (conf, no_authorities) = server_conf(&config)?;
    let conf = Arc::new(conf);
    let places = Places::new(
        config.server.max_connections,
        config.server.max_connections_per_address,
        config.server.trusted_proxies.clone(),
    );
    let builder = EngineBuilder {
        proof_key,
        metrics,
        access_log,
        authority,
        provider: Arc::clone(&provider),
        no_authorities,
    };
    let engines = Arc::new(Engines::new(builder.build(config, None).await?));
    let in_flight = Arc::new(InFlight::default());
    let request_ids = Arc::new(RequestIds::new()?);
    let leashes = LeashBook::start(Arc::clone(&replica))?;
    let inner = StoreProxy::new(proxy::Parts {
        engines: Arc::clone(&engines),
        directory: Arc::clone(&replica),
        hasher,
        in_flight: Arc::clone(&in_flight),
        request_ids: Arc::clone(&request_ids),
        leashes: Arc::clone(&leashes),
    });
    let mut proxy = HttpProxy::new(inner, Arc::clone(&conf));
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(H2_IDLE);
    // So that the gate refuses it as it refuses TRACE, counted and in JSON: Pingora would with neither.
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    proxy.handle_init_modules();
    let door = Door::new(proxy, Arc::clone(&engines), Arc::clone(&places), request_ids);
    Ok(Parts {
        door,
        engines,
        builder,
        places,
        leashes,
        replica,
        checker: Checker::new(conf),
        in_flight,
        provider,
    })
}

/// Opens the destination of the access log.
pub(super) fn open(destination: &Destination) -> Result<Opened, StartError> {
    Opened::open(destination).map_err(|error| match destination {
        Destination::File(path) => StartError::AccessLog { path: path.clone(), error },
        Destination::Off | Destination::Stdout => StartError::System(error),
    })
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
    pub(super) engines: Arc<Engines>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) provider: Arc<Provider>,
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
        self.metrics.show_upstreams(self.engines.current().upstreams.status());
        self.metrics.show_idp(self.provider.events());
        &self.metrics
    }

    async fn reload(&self, request: ReloadRequest) -> Option<ReloadReport> {
        Arc::clone(&self.reloader).asked(request).await
    }
}
