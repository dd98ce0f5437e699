//! The spans of requests, exported over OTLP/HTTP as JSON (OpenTelemetry Protocol 1.3): one server span a request that
//! is sampled, with what its line in the access log says, and no part of a credential.
//!
//! A request decides at its start whether it is exported, and leaves its span in a bounded queue at its end; one
//! thread takes them away and sends them. No request waits for it: what finds the queue full is dropped and counted,
//! and so is what the collector does not take.

mod sender;
mod span;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_queue::ArrayQueue;
use prometheus::{IntCounter, Registry};

use super::{FingerprintKey, RouteName};
use crate::config::Otlp;
use crate::proxy::{Record, Span};
use crate::wire::trace_context::Parent;
use sender::{End, Sender};
use span::Finished;

/// Spans that may wait, some 1.5 MB: those of a tenth of a second on a core that does nothing else.
const QUEUE: usize = 4096;

/// How long the last spans may take when the gateway stops.
const FLUSH: Duration = Duration::from_secs(2);

/// Exports spans. Dropping it sends what waits, and takes no longer than two seconds.
#[derive(Debug)]
pub struct Exporter {
    waiting: Arc<ArrayQueue<Finished>>,
    metrics: OtlpMetrics,
    /// Of 2^64 drawn numbers so many begin a trace; `None`: all.
    threshold: Option<u64>,
    ids: Ids,
    end: Arc<End>,
}

/// What became of spans.
#[derive(Debug, Clone)]
pub struct OtlpMetrics {
    exported: IntCounter,
    dropped: IntCounter,
}

/// Ids of traces and spans. They are to be distinct; nothing depends on nobody guessing them.
#[derive(Debug)]
struct Ids {
    process: u64,
    next: AtomicU64,
}

impl Exporter {
    /// Begins to export. Access tokens are named by `key`.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no randomness to give.
    pub fn start(settings: &Otlp, key: FingerprintKey, metrics: OtlpMetrics) -> io::Result<Self> {
        let (exporter, sender) = Self::prepare(settings, key, metrics)?;
        std::thread::Builder::new().name("otlp".into()).spawn(move || sender.run())?;
        Ok(exporter)
    }

    /// All but the thread.
    fn prepare(settings: &Otlp, key: FingerprintKey, metrics: OtlpMetrics) -> io::Result<(Self, Sender)> {
        let (waiting, end) = (Arc::new(ArrayQueue::new(QUEUE)), Arc::new(End::default()));
        let sender = Sender::new(settings, key, Arc::clone(&waiting), metrics.clone(), Arc::clone(&end));
        let threshold = (settings.sample < 1.0).then_some((settings.sample * 2f64.powi(64)) as u64);
        Ok((Self { waiting, metrics, threshold, ids: Ids::new()?, end }, sender))
    }

    /// Begins a span, where the request is exported: if its caller's trace is sampled, or for the configured share of
    /// those without a trace.
    pub(super) fn begin(&self, parent: Option<Parent<'_>>) -> Option<Span> {
        match parent {
            Some(parent) => parent.is_sampled.then(|| Span::new(Some(parent), 0, self.ids.next())),
            None => {
                let drawn = self.ids.next();
                let is_sampled = self.threshold.is_none_or(|threshold| drawn < threshold);
                is_sampled.then(|| Span::new(None, self.ids.trace(), self.ids.next()))
            }
        }
    }

    /// Leaves the span of a request that ended, on this route.
    pub(super) fn end(&self, span: &Span, record: &Record<'_>, route: Option<&Arc<RouteName>>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.waiting.push(Finished::of(span, record, route, now)).is_err() {
            self.metrics.dropped.inc();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.end.within(FLUSH);
    }
}

impl OtlpMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            exported: counter("storegate_otlp_exported_total", "Spans that the collector took.")?,
            dropped: counter(
                "storegate_otlp_dropped_total",
                "Spans dropped because their queue was full or the collector did not take them.",
            )?,
        })
    }
}

impl Ids {
    fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { process: getrandom::u64()?, next: AtomicU64::new(getrandom::u64()?) })
    }

    /// A number that is not 0, unlike those before (splitmix64, a bijection of a count).
    fn next(&self) -> u64 {
        let mut mixed = self.next.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).max(1)
    }

    fn trace(&self) -> u128 {
        u128::from(self.next() ^ self.process) << 64 | u128::from(self.next())
    }
}

#[cfg(test)]
mod tests;
