//! What is known of the configuration in force, and of the attempts to change it.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::model::Timestamp;

/// The metrics of the configuration.
#[derive(Debug)]
pub struct Reloads {
    successful: IntGauge,
    applied_at: IntGauge,
    count: IntCounterVec,
    info: IntGaugeVec,
}

impl Reloads {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let successful = gauge(
            "storegate_config_last_reload_successful",
            "Whether the last configuration that was to be put in force was: 1, or 0.",
        )?;
        let applied_at = gauge(
            "storegate_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was put in force, in Unix seconds.",
        )?;
        let count = IntCounterVec::new(
            Opts::new(
                "storegate_config_reloads_total",
                "Attempts to put a configuration in force, by result.",
            ),
            &["result"],
        )?;
        registry.register(Box::new(count.clone()))?;
        let info = IntGaugeVec::new(
            Opts::new(
                "storegate_config_info",
                "The SHA-256 of the configuration file in force; the value is always 1.",
            ),
            &["checksum"],
        )?;
        registry.register(Box::new(info.clone()))?;
        for result in ["applied", "refused"] {
            count.with_label_values(&[result]);
        }
        Ok(Self { successful, applied_at, count, info })
    }

    /// The configuration with this checksum is in force from the start.
    pub fn started(&self, checksum: &str, now: Timestamp) {
        self.successful.set(1);
        self.applied_at.set(now.0);
        self.info.reset();
        self.info.with_label_values(&[checksum]).set(1);
    }

    /// The configuration with this checksum was put in force.
    pub fn applied(&self, checksum: &str, now: Timestamp) {
        self.started(checksum, now);
        self.count.with_label_values(&["applied"]).inc();
    }

    /// A configuration could not be put in force; the one before stays.
    pub fn refused(&self) {
        self.successful.set(0);
        self.count.with_label_values(&["refused"]).inc();
    }
}
