//! What the operator learns of the running gateway: metrics and the access log. Nothing here slows
//! a request: counters are pre-registered handles, log lines are put into memory and written by another
//! thread, and a full buffer is counted, not waited for.

mod access_log;
mod line;
mod metrics;

pub use access_log::{AccessLog, Destination};
pub use metrics::Metrics;

use std::sync::Arc;

use crate::proxy::{Record, Recorder};

/// Counts each request and passes it to the access log.
#[derive(Debug)]
pub struct Telemetry {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The access log, unless it is off.
    pub access_log: Option<AccessLog>,
}

impl Recorder for Telemetry {
    fn record(&self, record: &Record<'_>) {
        self.metrics.count(record);
        if let Some(log) = &self.access_log
            && !log.push(record)
        {
            self.metrics.access_log_dropped.inc();
        }
    }
}
