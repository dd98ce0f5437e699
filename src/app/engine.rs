//! From a configuration to the engine that decides and forwards by it: at start, and at each reload.

use std::sync::Arc;

use super::StartError;
use crate::config::{self, Config};
use crate::gate::{Gate, GateSettings, HeadLimits, Refusals};
use crate::idp::{Idp, Provider};
use crate::limits::{FailureBudgets, Limits, RateLimits, RateSettings, RouteRate};
use crate::model::ProofKey;
use crate::oauth::{self, Authority, Merchants};
use crate::proxy::{
    ClientLimits, DoorLimits, Engine, LeastPace, Local, Scheme, Upstream, UpstreamServer, UpstreamTimeouts,
    UpstreamTls, Upstreams,
};
use crate::telemetry::{AccessLog, Metrics, Recent, RouteName, Telemetry};
use crate::usage::Usage;

/// What every engine of this process is built with.
pub(super) struct EngineBuilder {
    pub(super) proof_key: ProofKey,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) recent: Arc<Recent>,
    /// What token endpoints work with.
    pub(super) authority: Arc<Authority>,
    pub(super) usage: Option<Arc<Usage>>,
    /// What identity providers work with.
    pub(super) provider: Arc<Provider>,
    /// Where spans are exported, if they are.
    #[cfg(feature = "otlp")]
    pub(super) spans: Option<Arc<crate::telemetry::Exporter>>,
    /// Why the system's certificate authorities cannot be used, if they cannot.
    pub(super) no_authorities: Option<String>,
}

impl EngineBuilder {
    /// Builds an engine. What is the same as `before` goes on with what is known of it: servers that are
    /// left out, and what callers have used up of their limits. Changes nothing of `before`.
    pub(super) async fn build(&self, config: Config, before: Option<&Engine>) -> Result<Engine, StartError> {
        let upstreams: Result<Vec<_>, _> = config.upstreams.iter().map(upstream).collect();
        if let Some(why) = self.no_authorities.as_ref().filter(|_| needs_authorities(&config)) {
            return Err(StartError::Authorities(why.clone()));
        }
        let upstreams = Upstreams::prepare(upstreams?, before.map(|before| &before.upstreams)).await;
        let limits = limits(&config, before.map(|before| &*before.limits), Arc::clone(&self.metrics)).await;
        let door = DoorLimits {
            header_timeout: config.server.header_timeout,
            head_bytes: config.server.max_head_bytes,
            header_fields: config.server.max_header_fields,
            client: ClientLimits {
                pace: LeastPace { window: config.server.body_timeout, rate: config.server.min_body_rate },
                websocket_idle: config.server.websocket_idle_timeout,
            },
        };
        let routes = config.routes.routes().iter().zip(&config.rates);
        let routes = routes.map(|(route, rate)| {
            let is_limited = match rate {
                RouteRate::Everywhere => config.limits.requests.is_some() && route.access.is_protected(),
                RouteRate::Unlimited => false,
                RouteRate::Own { .. } => true,
            };
            let upstream = config.upstreams.get(route.upstream);
            let upstream = upstream.map(|upstream| upstream.name.as_str()).unwrap_or_default().into();
            (RouteName { pattern: route.pattern.clone(), upstream }, is_limited)
        });
        let telemetry = Telemetry::new(
            Arc::clone(&self.metrics),
            Arc::clone(&self.access_log),
            Arc::clone(&self.recent),
            self.usage.clone(),
            routes,
        );
        #[cfg(feature = "otlp")]
        let telemetry = telemetry.exporting(self.spans.clone());
        let refusals = Refusals::new(config.errors.format, config.errors.docs_url.as_deref());
        let limits = Arc::new(limits);
        let local = self.local(&config, &limits)?;
        let gate = gate(config, self.proof_key.clone());
        Ok(Engine { gate, limits, local, upstreams, door, refusals, recorder: Arc::new(telemetry) })
    }
}

impl EngineBuilder {
    /// What the public listener answers itself.
    fn local(&self, config: &Config, limits: &Arc<Limits>) -> Result<Local, StartError> {
        let idp = match &config.idp {
            Some(settings) => Some(Arc::new(Idp::open(&self.provider, limits, settings.clone())?)),
            None => None,
        };
        let settings = oauth::Settings {
            endpoints: config.token_endpoints.clone(),
            customer_tokens: config.customer_tokens.clone(),
            access_token_prefix: config.credentials.access_token_prefix.as_str().into(),
            merchants: idp.clone().map(|idp| idp as Arc<dyn Merchants>),
        };
        let (router, paths) = oauth::router(&self.authority, limits, settings);
        let local = Local::new(router, paths, config.routes.case());
        Ok(match idp {
            Some(idp) => local.and(idp.router(), idp.settings().paths()),
            None => local,
        })
    }
}

/// Whether an upstream is verified against the system's certificate authorities.
pub(super) fn needs_authorities(config: &Config) -> bool {
    let is_https = |server: &config::UpstreamServer| server.scheme == config::Scheme::Https;
    let mut on_system = config.upstreams.iter().filter(|upstream| upstream.tls.ca.is_none());
    on_system.any(|upstream| upstream.servers.iter().any(is_https))
}

/// The decision, as `run` and `explain` use it.
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

async fn limits(config: &Config, before: Option<&Limits>, metrics: Arc<Metrics>) -> Limits {
    let rates = RateSettings {
        everywhere: config.limits.requests,
        routes: config.rates.clone(),
        shared: config.limits.shared.clone(),
    };
    let failed = move || metrics.shared_limit_failures.inc();
    Limits {
        failures: match before {
            None => FailureBudgets::new(config.limits.failures),
            Some(before) => FailureBudgets::succeed(&before.failures, config.limits.failures),
        },
        rates: RateLimits::start(rates, before.map(|before| &before.rates), failed).await,
    }
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
