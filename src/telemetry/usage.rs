//! Metrics of who calls how much. They name so many apps and stores at most as are configured.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::usage::{Shown, Usage};

/// The label of all who are not named.
const OTHER: &str = "other";

/// Metrics of who calls how much.
#[derive(Debug)]
pub struct UsageMetrics {
    apps: Mutex<IntCounterVec>,
    stores: Mutex<IntCounterVec>,
    alerts: IntCounterVec,
    webhook: IntCounterVec,
    lost: IntCounter,
    write_failures: IntCounter,
}

impl UsageMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label, "outcome"])?;
            registry.register(Box::new(counters.clone()))?;
            show(&counters, OTHER, Shown::default());
            Ok(counters)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let by = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let metrics = Self {
            alerts: by(
                "storegate_usage_alerts_total",
                "Times that a credential left its own pattern, by what was unusual.",
                "type",
            )?,
            webhook: by(
                "storegate_usage_webhook_total",
                "Alerts to the webhook, by what became of them.",
                "result",
            )?,
            apps: Mutex::new(counters(
                "storegate_app_requests_total",
                "Requests of the busiest apps, by client id and outcome; the others and those without an app as other.",
                "client_id",
            )?),
            stores: Mutex::new(counters(
                "storegate_store_requests_total",
                "Requests on the busiest stores, by id and outcome; the others and those without a store as other.",
                "store_id",
            )?),
            lost: counter(
                "storegate_usage_lost_total",
                "Requests that usage did not count because its memory was full.",
            )?,
            write_failures: counter(
                "storegate_usage_write_failures_total",
                "Failed attempts to write usage.db; what was counted waits in memory.",
            )?,
        };
        metrics.show_alerts(0, 0, [0; 3]);
        Ok(metrics)
    }

    /// Brings them up to date.
    pub fn show(&self, usage: &Usage) {
        let busiest = usage.busiest();
        show_all(&self.apps, &busiest.apps, busiest.other_apps);
        show_all(&self.stores, &busiest.stores, busiest.other_stores);
        let health = usage.health();
        self.show_alerts(health.spikes, health.new_addresses, health.webhook);
        for (counter, count) in [(&self.lost, health.lost), (&self.write_failures, health.failures)] {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

impl UsageMetrics {
    fn show_alerts(&self, spikes: u64, new_addresses: u64, webhook: [u64; 3]) {
        let [delivered, failed, dropped] = webhook;
        for (counters, name, count) in [
            (&self.alerts, "spike", spikes),
            (&self.alerts, "new_address", new_addresses),
            (&self.webhook, "delivered", delivered),
            (&self.webhook, "failed", failed),
            (&self.webhook, "dropped", dropped),
        ] {
            let counter = counters.with_label_values(&[name]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

fn show_all(counters: &Mutex<IntCounterVec>, named: &[(String, Shown)], others: Shown) {
    // One reader of the metrics at a time: counters are brought up to the count by addition.
    let counters = counters.lock().unwrap_or_else(PoisonError::into_inner);
    let families = counters.collect();
    let labels = families.iter().flat_map(|family| family.get_metric()).map(|metric| metric.get_label());
    let shown = labels.filter_map(|labels| {
        labels.iter().find(|label| label.name() != "outcome").map(|label| label.value().to_owned())
    });
    let mut gone: BTreeSet<String> = shown.collect();
    gone.remove(OTHER);
    let mut others = others;
    for (name, count) in named {
        if name == OTHER {
            others.add(*count); // an app that is called so
            continue;
        }
        show(&counters, name, *count);
        gone.remove(name);
    }
    show(&counters, OTHER, others);
    for name in gone {
        for outcome in ["forwarded", "refused", "broken"] {
            let _ = counters.remove_label_values(&[&*name, outcome]); // fails only where nothing is left to do
        }
    }
}

fn show(counters: &IntCounterVec, name: &str, count: Shown) {
    let by_outcome = [("forwarded", count.forwarded), ("refused", count.refused), ("broken", count.broken)];
    for (outcome, count) in by_outcome {
        let counter = counters.with_label_values(&[name, outcome]);
        if count < counter.get() {
            counter.reset(); // it was gone for a while, and begins anew
        }
        counter.inc_by(count.saturating_sub(counter.get()));
    }
}
