//! What the operator learns of the running gateway: metrics and the access log. Nothing here slows
//! a request: counters are pre-registered handles, log lines are put into memory and written by another
//! thread, and a full buffer is counted, not waited for.

mod access_log;
mod line;
mod messages;
mod metrics;
mod reloads;

pub use access_log::{AccessLog, Destination, Opened};
pub use messages::Level;
pub use metrics::Metrics;
pub use reloads::Reloads;

use std::sync::Arc;

use prometheus::IntCounter;

use crate::gate::Reason;
use crate::proxy::{Record, Recorder};

/// Counts each request of one configuration and passes it to the access log.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    access_log: Arc<AccessLog>,
    /// By position.
    routes: Box<[Named]>,
}

/// A route, as its requests are recorded.
#[derive(Debug)]
struct Named {
    /// Its path, as JSON.
    json: String,
    /// Where its requests can be past a limit.
    limited: Option<IntCounter>,
}

impl Telemetry {
    /// For these routes, by position: the path of each, and whether its requests can be past a limit of rate.
    pub fn new<'r>(
        metrics: Arc<Metrics>,
        access_log: Arc<AccessLog>,
        routes: impl Iterator<Item = (&'r str, bool)>,
    ) -> Self {
        let name = |(path, is_limited): (&str, bool)| Named {
            json: serde_json::Value::from(path).to_string(),
            limited: is_limited.then(|| metrics.limited(path)),
        };
        let routes = routes.map(name).collect();
        Self { metrics, access_log, routes }
    }
}

impl Recorder for Telemetry {
    fn record(&self, record: &Record<'_>) {
        let route = record.route.and_then(|index| self.routes.get(index));
        self.metrics.count(record);
        if let (Some(Reason::RateLimited(_)), Some(counter)) =
            (record.reason, route.and_then(|route| route.limited.as_ref()))
        {
            counter.inc();
        }
        if !self.access_log.push(record, route.map(|route| &*route.json)) {
            self.metrics.access_log_dropped.inc();
        }
    }
}
