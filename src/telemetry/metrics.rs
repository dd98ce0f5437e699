//! Prometheus metrics, all registered at start, so that counting is an atomic addition.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::hashers::Hashers;
#[cfg(feature = "otlp")]
use super::otlp::OtlpMetrics;
use super::reloads::Reloads;
use super::requests::{OfRoute, Requests};
use super::usage::UsageMetrics;
use crate::gate::{Code, Reason};
use crate::idp::Events;
use crate::model::Timestamp;
use crate::proxy::{Ending, Outcome, Record, UpstreamStatus};
use crate::replica::Cached;

/// The metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(super) requests: Requests,
    /// By endpoint, action and outcome.
    endpoints: IntCounterVec,
    /// By [`Reason::label`].
    refused_by_reason: HashMap<&'static str, IntCounter, foldhash::quality::RandomState>,
    limited_by_route: IntCounterVec,
    gateway_time: Histogram,
    upstream_time: Histogram,
    /// Lines that the access log had no room for.
    pub access_log_dropped: IntCounter,
    /// Requests under way; set when the metrics are read.
    pub in_flight: IntGauge,
    /// What went wrong with the place where nodes count together.
    pub shared_limit_failures: IntCounter,
    /// From the commit of a change to its enforcement.
    pub enforcement_delay: Histogram,
    /// Changed certificate files that could not be used.
    pub tls_reload_failures: IntCounter,
    /// Without a value until TLS is served: an expiry of 0 would raise alarms.
    tls_expiry: IntGaugeVec,
    admin_calls: IntCounterVec,
    connections: IntGauge,
    connections_refused: IntCounter,
    connections_cut: IntCounter,
    slow_peers: IntCounterVec,
    handshake_failures: IntCounter,
    upstreams: Mutex<Upstreams>,
    idp_events: IntCounterVec,
    /// How bcrypt keeps up.
    pub hashers: Hashers,
    replica_age: Gauge,
    replica_cached: IntGaugeVec,
    /// The configuration in force.
    pub reloads: Reloads,
    /// Who calls how much.
    pub usage: UsageMetrics,
    /// What became of spans.
    #[cfg(feature = "otlp")]
    pub otlp: OtlpMetrics,
}

/// What the proxy counts itself; set when the metrics are read.
#[derive(Debug)]
struct Upstreams {
    servers: IntGaugeVec,
    /// Without a value where no certificate is shown.
    expiry: IntGaugeVec,
    ejections: IntCounterVec,
    connect_failures: IntCounterVec,
    retries: IntCounterVec,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    ///
    /// Never in practice: only for two metrics of one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = Requests::new(&registry)?;
        let by_reason = IntCounterVec::new(
            Opts::new(
                "storegate_refused_total",
                "Refused requests, by the code that they carry and by the reason, which only the operator learns.",
            ),
            &["code", "reason"],
        )?;
        registry.register(Box::new(by_reason.clone()))?;
        let histogram = |name: &str, help: &str, buckets: &[f64]| -> prometheus::Result<Histogram> {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let fine = [25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3, 0.1, 0.5, 2.0, 10.0];
        let coarse = [1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let gateway_time = histogram(
            "storegate_gateway_seconds",
            "Time of a request less the upstream's time to its first byte, in seconds.",
            &fine,
        )?;
        let upstream_time = histogram(
            "storegate_upstream_seconds",
            "Time from the request sent upstream to the first byte of its answer, in seconds.",
            &coarse,
        )?;
        let enforcement_delay = histogram(
            "storegate_enforcement_delay_seconds",
            "Time from the commit of a change to its enforcement, in seconds.",
            &[1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 1.0, 5.0],
        )?;
        let access_log_dropped = IntCounter::new(
            "storegate_access_log_dropped_total",
            "Access log lines dropped because their queue was full.",
        )?;
        registry.register(Box::new(access_log_dropped.clone()))?;
        let in_flight = IntGauge::new("storegate_requests_in_flight", "Requests under way.")?;
        registry.register(Box::new(in_flight.clone()))?;
        let tls_reload_failures = IntCounter::new(
            "storegate_tls_reload_failures_total",
            "Changed TLS certificate files that could not be used.",
        )?;
        registry.register(Box::new(tls_reload_failures.clone()))?;
        let tls_expiry = IntGaugeVec::new(
            Opts::new(
                "storegate_tls_certificate_expiry_timestamp_seconds",
                "When the TLS certificate in force expires, in Unix seconds, by listener.",
            ),
            &["listener"],
        )?;
        registry.register(Box::new(tls_expiry.clone()))?;
        let endpoints = IntCounterVec::new(
            Opts::new(
                "storegate_endpoint_requests_total",
                "Requests to the gateway's own endpoints, by endpoint, action and outcome: ok, or the code of the refusal.",
            ),
            &["endpoint", "action", "outcome"],
        )?;
        registry.register(Box::new(endpoints.clone()))?;
        let limited_by_route = IntCounterVec::new(
            Opts::new(
                "storegate_rate_limited_total",
                "Requests past the rate limit of their caller, by the route's path.",
            ),
            &["route"],
        )?;
        registry.register(Box::new(limited_by_route.clone()))?;
        let shared_limit_failures = IntCounter::new(
            "storegate_shared_limit_failures_total",
            "Requests and connections for which the server of shared limits failed.",
        )?;
        registry.register(Box::new(shared_limit_failures.clone()))?;
        let admin_calls = IntCounterVec::new(
            Opts::new(
                "storegate_admin_calls_total",
                "Calls of the admin API, by the code that refusals carry.",
            ),
            &["code"],
        )?;
        registry.register(Box::new(admin_calls.clone()))?;
        // There before the first call, so that an increase can be alarmed on.
        for code in ["", "invalid_token", "forbidden", "rate_limit_exceeded"] {
            admin_calls.with_label_values(&[code]);
        }
        let connections = IntGauge::new("storegate_connections", "Connections of clients that are open.")?;
        registry.register(Box::new(connections.clone()))?;
        let connections_refused = IntCounter::new(
            "storegate_connections_refused_total",
            "Connections closed unanswered because max_connections or max_connections_per_address was reached.",
        )?;
        registry.register(Box::new(connections_refused.clone()))?;
        let connections_cut = IntCounter::new(
            "storegate_connections_cut_total",
            "WebSockets and streams ended because their credential ended.",
        )?;
        registry.register(Box::new(connections_cut.clone()))?;
        let slow_peers = IntCounterVec::new(
            Opts::new(
                "storegate_slow_peers_total",
                "Connections, requests and streams ended because a peer was too slow or silent, by what was waited for.",
            ),
            &["at"],
        )?;
        registry.register(Box::new(slow_peers.clone()))?;
        let handshake_failures = IntCounter::new(
            "storegate_tls_handshake_failures_total",
            "TLS handshakes of clients that came to nothing, other than for slowness.",
        )?;
        registry.register(Box::new(handshake_failures.clone()))?;
        for ending in Ending::ALL.iter().filter(|ending| **ending != Ending::Credential) {
            slow_peers.with_label_values(&[ending.name()]);
        }
        let upstreams = Mutex::new(Upstreams::new(&registry)?);
        let idp_events = IntCounterVec::new(
            Opts::new("storegate_idp_events_total", "What happened at the identity provider, by event."),
            &["event"],
        )?;
        registry.register(Box::new(idp_events.clone()))?;
        let hashers = Hashers::new(&registry)?;
        let replica_age = Gauge::new(
            "storegate_replica_age_seconds",
            "How long ago it was last seen that every change of the replica is in force.",
        )?;
        registry.register(Box::new(replica_age.clone()))?;
        let replica_cached = IntGaugeVec::new(
            Opts::new("storegate_replica_cached_records", "Records of the replica in memory, by kind."),
            &["kind"],
        )?;
        registry.register(Box::new(replica_cached.clone()))?;
        let reloads = Reloads::new(&registry)?;
        let usage = UsageMetrics::new(&registry)?;
        #[cfg(feature = "otlp")]
        let otlp = OtlpMetrics::new(&registry)?;
        Ok(Self {
            requests,
            endpoints,
            refused_by_reason: Reason::LABELS
                .iter()
                .map(|&(code, reason)| (reason, by_reason.with_label_values(&[label(code), reason])))
                .collect(),
            limited_by_route,
            shared_limit_failures,
            registry,
            gateway_time,
            upstream_time,
            access_log_dropped,
            in_flight,
            enforcement_delay,
            tls_reload_failures,
            tls_expiry,
            admin_calls,
            connections,
            connections_refused,
            connections_cut,
            slow_peers,
            handshake_failures,
            upstreams,
            idp_events,
            hashers,
            replica_age,
            replica_cached,
            reloads,
            usage,
            #[cfg(feature = "otlp")]
            otlp,
        })
    }

    /// Counts a call of the admin API; the code is empty where it was carried out.
    pub fn admin_call(&self, code: &'static str) {
        self.admin_calls.with_label_values(&[code]).inc();
    }

    /// The TLS certificate in force at a listener (`public`, `admin`) expires then.
    pub fn tls_expires(&self, listener: &'static str, at: Timestamp) {
        self.tls_expiry.with_label_values(&[listener]).set(at.0);
    }

    /// The counter of requests past the rate limit on the route with this path.
    pub fn limited(&self, path: &str) -> IntCounter {
        self.limited_by_route.with_label_values(&[path])
    }

    /// Forgets the counters of the routes with paths that are not to be kept.
    pub fn keep_routes(&self, is_kept: impl Fn(&str) -> bool) {
        self.requests.keep(&is_kept);
        for family in self.limited_by_route.collect() {
            for metric in family.get_metric() {
                let path = metric.get_label().first().map(|label| label.value());
                if let Some(path) = path.filter(|path| !is_kept(path)) {
                    // Of another thread that forgot it meanwhile, nothing is left to do.
                    let _ = self.limited_by_route.remove_label_values(&[path]);
                }
            }
        }
    }

    /// Takes the counts of connections over.
    pub fn count_connections(&self, open: usize, refused: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
        let refused = u64::try_from(refused).unwrap_or(u64::MAX);
        self.connections_refused.inc_by(refused.saturating_sub(self.connections_refused.get()));
    }

    /// Takes over how old the replica is, and how much of it is in memory.
    pub fn show_replica(&self, age: Duration, cached: Cached) {
        self.replica_age.set(age.as_secs_f64());
        for (kind, count) in cached.by_kind() {
            self.replica_cached.with_label_values(&[kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Takes over what the proxy knows of its upstreams.
    pub fn show_upstreams<'u>(&self, all: impl Iterator<Item = UpstreamStatus<'u>>) {
        // One reader of the metrics at a time: counters are brought up to the count by addition.
        let metrics = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = metrics.names();
        for status in all {
            metrics.show(&status);
            gone.remove(status.name);
        }
        gone.iter().for_each(|name| metrics.forget(name));
    }

    /// Takes over what the identity provider counts itself.
    pub fn show_idp(&self, events: &Events) {
        // One reader of the metrics at a time, as above.
        let _one = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        for (event, count) in events.counts() {
            let counter = self.idp_events.with_label_values(&[event.name()]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// Counts a request that ended, on this route.
    pub(super) fn count(&self, record: &Record<'_>, route: Option<&OfRoute>) {
        self.requests.count(record, route);
        if let (Outcome::Refused, Some(reason)) = (record.outcome, record.reason)
            && let Some(counter) = self.refused_by_reason.get(reason.label())
        {
            counter.inc();
        }
        // There are few of these labels: none comes from outside.
        if let (Outcome::Local, Some(remark)) = (record.outcome, record.remark) {
            let outcome = if remark.code.is_empty() { "ok" } else { remark.code };
            self.endpoints.with_label_values(&[remark.family, remark.action, outcome]).inc();
        }
        let upstream = record.upstream.unwrap_or(Duration::ZERO);
        self.gateway_time.observe(record.total.saturating_sub(upstream).as_secs_f64());
        if record.upstream.is_some() {
            self.upstream_time.observe(upstream.as_secs_f64());
        }
    }

    /// Takes the count of connections that ended with their credential over.
    pub fn count_cut(&self, cut: u64) {
        self.connections_cut.inc_by(cut.saturating_sub(self.connections_cut.get()));
    }

    /// Takes over how often somebody was too slow.
    pub fn count_slow(&self, counts: impl Iterator<Item = (Ending, u64)>) {
        for (ending, count) in counts.filter(|(ending, _)| *ending != Ending::Credential) {
            let counter = self.slow_peers.with_label_values(&[ending.name()]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// Takes the count of failed handshakes over.
    pub fn count_failed_handshakes(&self, failed: u64) {
        self.handshake_failures.inc_by(failed.saturating_sub(self.handshake_failures.get()));
    }

    /// The metrics in Prometheus' text form, version 0.0.4.
    ///
    /// # Errors
    ///
    /// When the encoder refuses a metric.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Upstreams {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let servers = IntGaugeVec::new(
            Opts::new("storegate_upstream_servers", "Servers of an upstream, by state: up, ejected, down."),
            &["upstream", "state"],
        )?;
        registry.register(Box::new(servers.clone()))?;
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), &["upstream"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let expiry = IntGaugeVec::new(
            Opts::new(
                "storegate_upstream_certificate_expiry_timestamp_seconds",
                "When the client certificate that an upstream is shown expires, in Unix seconds.",
            ),
            &["upstream"],
        )?;
        registry.register(Box::new(expiry.clone()))?;
        Ok(Self {
            servers,
            expiry,
            ejections: counter(
                "storegate_upstream_ejections_total",
                "Servers left out because requests failed, once more after each trial that failed.",
            )?,
            connect_failures: counter(
                "storegate_upstream_connect_failures_total",
                "Connections to servers that could not be opened.",
            )?,
            retries: counter(
                "storegate_upstream_retries_total",
                "Attempts of requests beyond the first, mostly on another server.",
            )?,
        })
    }

    fn show(&self, status: &UpstreamStatus<'_>) {
        let name = status.name;
        for (state, count) in [("up", status.up), ("ejected", status.ejected), ("down", status.down)] {
            let gauge = self.servers.with_label_values(&[name, state]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        match status.certificate_expires {
            Some(at) => self.expiry.with_label_values(&[name]).set(at.0),
            None => drop(self.expiry.remove_label_values(&[name])), // there may be none to remove
        }
        let counts = [
            (&self.ejections, status.ejections),
            (&self.connect_failures, status.connect_failures),
            (&self.retries, status.retries),
        ];
        for (counter, count) in counts {
            let counter = counter.with_label_values(&[name]);
            if count < counter.get() {
                counter.reset(); // it was gone for a while, and begins anew
            }
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// The upstreams that are shown.
    fn names(&self) -> BTreeSet<String> {
        let families = self.retries.collect();
        let labels = families.iter().flat_map(|family| family.get_metric()).map(|metric| metric.get_label());
        labels.filter_map(|labels| Some(labels.first()?.value().to_owned())).collect()
    }

    fn forget(&self, name: &str) {
        for state in ["up", "ejected", "down"] {
            let _ = self.servers.remove_label_values(&[name, state]); // fails only where nothing is left to do
        }
        let _ = self.expiry.remove_label_values(&[name]);
        for counter in [&self.ejections, &self.connect_failures, &self.retries] {
            let _ = counter.remove_label_values(&[name]);
        }
    }
}

/// The code as a label. A head that is too large has a label of its own.
pub(super) fn label(code: Code) -> &'static str {
    match code {
        Code::HeadTooLarge => "head_too_large",
        code => code.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_counter() {
        let metrics = Metrics::new().unwrap();
        for (position, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(position, code as usize);
        }
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        assert!(
            text.contains("{code=\"head_too_large\",method=\"read\",outcome=\"refused\",route=\"none\"} 0"),
            "{text}"
        );
        assert!(!text.contains("storegate_rate_limited_total"), "no route is limited: {text}");
        assert!(text.contains("# TYPE storegate_enforcement_delay_seconds histogram"), "{text}");
    }
}
