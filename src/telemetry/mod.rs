//! What the operator learns of the running gateway: metrics and the access log. Nothing here slows
//! a request: counters are pre-registered handles, log lines are put into memory and written by another
//! thread, and a full buffer is counted, not waited for.

mod access_log;
mod entry;
mod fingerprint;
mod hashers;
mod line;
mod messages;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod recent;
mod reloads;
mod requests;
mod usage;

pub use access_log::{AccessLog, Destination, Opened};
pub use fingerprint::{FingerprintKey, FingerprintKeyError};
pub use hashers::{HasherMetrics, Hashers};
pub use line::Format;
pub use messages::Level;
pub use metrics::Metrics;
#[cfg(feature = "otlp")]
pub use otlp::{Exporter, OtlpMetrics};
pub use recent::{Decision, Recent, RouteName};
pub use reloads::Reloads;
pub use usage::UsageMetrics;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::IntCounter;

use line::Written;
use requests::OfRoute;

use crate::gate::Reason;
#[cfg(feature = "otlp")]
use crate::proxy::Span;
use crate::proxy::{Outcome, Record, Recorder};
use crate::usage::{Sample, Usage, Verdict};
#[cfg(feature = "otlp")]
use crate::wire::trace_context::Parent;

/// Counts each request of one configuration and passes it to the access log.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    access_log: Arc<AccessLog>,
    recent: Arc<Recent>,
    usage: Option<Arc<Usage>>,
    /// By position.
    routes: Box<[Named]>,
    #[cfg(feature = "otlp")]
    spans: Option<Arc<Exporter>>,
}

/// A route, as its requests are recorded.
#[derive(Debug)]
struct Named {
    name: Arc<RouteName>,
    /// Its path.
    written: Written,
    requests: OfRoute,
    /// Where its requests can be past a limit.
    limited: Option<IntCounter>,
}

impl Telemetry {
    /// For these routes, by position: each with whether its requests can be past a limit of rate.
    pub fn new(
        metrics: Arc<Metrics>,
        access_log: Arc<AccessLog>,
        recent: Arc<Recent>,
        usage: Option<Arc<Usage>>,
        routes: impl Iterator<Item = (RouteName, bool)>,
    ) -> Self {
        let name = |(name, is_limited): (RouteName, bool)| Named {
            written: Written::new(&name.pattern),
            requests: metrics.requests.of(&name.pattern),
            limited: is_limited.then(|| metrics.limited(&name.pattern)),
            name: Arc::new(name),
        };
        let routes = routes.map(name).collect();
        Self {
            metrics,
            access_log,
            recent,
            usage,
            routes,
            #[cfg(feature = "otlp")]
            spans: None,
        }
    }

    /// Exports spans as well, where there is somewhere to.
    #[cfg(feature = "otlp")]
    pub fn exporting(self, spans: Option<Arc<Exporter>>) -> Self {
        Self { spans, ..self }
    }
}

impl Recorder for Telemetry {
    fn record(&self, record: &Record<'_>) {
        let route = record.route.and_then(|index| self.routes.get(index));
        self.metrics.count(record, route.map(|route| &route.requests));
        if let (Some(Reason::RateLimited(_)), Some(counter)) =
            (record.reason, route.and_then(|route| route.limited.as_ref()))
        {
            counter.inc();
        }
        if let Some(usage) = &self.usage {
            usage.count(sample(record));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.recent.keep(record, route.map(|route| &route.name), now);
        if !self.access_log.push(record, route.map(|route| &route.written), now) {
            self.metrics.access_log_dropped.inc();
        }
    }

    #[cfg(feature = "otlp")]
    fn begin_span(&self, parent: Option<Parent<'_>>) -> Option<Span> {
        self.spans.as_ref()?.begin(parent)
    }

    #[cfg(feature = "otlp")]
    fn end_span(&self, span: &Span, record: &Record<'_>) {
        let route = record.route.and_then(|index| self.routes.get(index));
        if let Some(spans) = &self.spans {
            spans.end(span, record, route.map(|route| &route.name));
        }
    }
}

/// What is counted of a request.
fn sample(record: &Record<'_>) -> Sample {
    let asked = record.asked.as_ref();
    let proved = asked.is_some_and(|asked| {
        asked.steps.proved_secret() || asked.steps.proved_signature() || asked.steps.found_token()
    });
    Sample {
        app: record.app.cloned(),
        store: record.store.map(|store| store.store_id),
        verdict: match (record.outcome, record.reason) {
            (Outcome::Forwarded, _) => Verdict::Forwarded,
            (Outcome::Refused, Some(reason)) => Verdict::Refused(reason.code()),
            _ => Verdict::Broken,
        },
        kind: record.kind,
        proved,
        token: asked.and_then(|asked| asked.token),
        caller: record.caller,
        total_us: u32::try_from(record.total.as_micros()).unwrap_or(u32::MAX),
        bytes_in: record.bytes_in as u64,
        bytes_out: record.bytes_out as u64,
    }
}
