//! How the bcrypt workers keep up, by what they check: the secrets of apps, or the passwords of people.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Metrics of the bcrypt workers.
#[derive(Debug)]
pub struct Hashers {
    waiting: IntGaugeVec,
    refused: IntCounterVec,
    seconds: HistogramVec,
}

/// Those of one kind of work.
#[derive(Debug, Clone)]
pub struct HasherMetrics {
    waiting: IntGauge,
    refused: IntCounter,
    seconds: Histogram,
}

impl Hashers {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let waiting = IntGaugeVec::new(
            Opts::new("storegate_hasher_queue_length", "Secrets and passwords that wait for bcrypt."),
            &["kind"],
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "storegate_hasher_refused_total",
                "Secrets and passwords that were not checked: the queue was full, or they waited too long.",
            ),
            &["kind"],
        )?;
        let buckets = vec![5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "storegate_hasher_seconds",
                "Time that a secret or password took to check, its wait included, in seconds.",
            )
            .buckets(buckets),
            &["kind"],
        )?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        let all = Self { waiting, refused, seconds };
        let _ = (all.secrets(), all.passwords()); // there from the start
        Ok(all)
    }

    /// Of those who prove the secrets of apps.
    pub fn secrets(&self) -> HasherMetrics {
        self.of("secret")
    }

    /// Of those who check the passwords of people.
    pub fn passwords(&self) -> HasherMetrics {
        self.of("password")
    }

    fn of(&self, kind: &str) -> HasherMetrics {
        HasherMetrics {
            waiting: self.waiting.with_label_values(&[kind]),
            refused: self.refused.with_label_values(&[kind]),
            seconds: self.seconds.with_label_values(&[kind]),
        }
    }
}

impl crate::hasher::Observer for HasherMetrics {
    fn queued(&self) {
        self.waiting.inc();
    }

    fn taken(&self) {
        self.waiting.dec();
    }

    fn refused(&self) {
        self.refused.inc();
    }

    fn judged(&self, after: Duration) {
        self.seconds.observe(after.as_secs_f64());
    }
}
