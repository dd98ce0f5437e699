//! One picture of a gateway at work.

use serde::Serialize;

use super::scrape::Scrape;
use crate::cli::output::table;
use crate::model::plain;

/// Rows of each list.
const ROWS: usize = 10;

/// What a gateway did between two looks at its metrics.
#[derive(Debug, Serialize)]
pub(super) struct Frame {
    pub(super) admin: String,
    pub(super) ready: bool,
    /// Why it is not ready.
    pub(super) reasons: Vec<String>,
    per_second: Rates,
    in_flight: f64,
    connections: f64,
    gateway_ms: Times,
    upstream_ms: Times,
    /// From the commit of a change to its enforcement, since the gateway started.
    enforcement_ms: Times,
    upstreams: Vec<Upstream>,
    /// Refusals per second, by code.
    refused: Vec<Named>,
    /// Requests per second of the busiest.
    apps: Vec<Named>,
    stores: Vec<Named>,
    /// What an operator should look at.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Rates {
    forwarded: f64,
    refused: f64,
    broken: f64,
}

#[derive(Debug, Serialize)]
struct Times {
    p50: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Upstream {
    name: String,
    up: f64,
    ejected: f64,
    down: f64,
}

#[derive(Debug, Serialize)]
struct Named {
    name: String,
    per_second: f64,
}

impl Frame {
    pub(super) fn between(admin: String, reasons: Vec<String>, before: &Scrape, now: &Scrape) -> Self {
        let outcomes = now.rates(before, "storegate_requests_total", "outcome");
        let rate = |name: &str| outcomes.iter().find(|(own, _)| own == name).map_or(0.0, |(_, rate)| *rate);
        let named = |name: &str, label: &str| {
            let all = now.rates(before, name, label).into_iter().filter(|(name, _)| !name.is_empty());
            all.take(ROWS).map(|(name, per_second)| Named { name, per_second }).collect()
        };
        let times = |before: &Scrape, name: &str| {
            let millis = |part| now.quantile(before, name, part).map(|seconds| seconds * 1e3);
            Times { p50: millis(0.5), p99: millis(0.99) }
        };
        Self {
            admin,
            ready: reasons.is_empty(),
            reasons,
            per_second: Rates {
                forwarded: rate("forwarded"),
                refused: rate("refused"),
                broken: rate("broken"),
            },
            in_flight: now.sum("storegate_requests_in_flight").unwrap_or(0.0),
            connections: now.sum("storegate_connections").unwrap_or(0.0),
            gateway_ms: times(before, "storegate_gateway_seconds"),
            upstream_ms: times(before, "storegate_upstream_seconds"),
            enforcement_ms: times(
                &Scrape::parse("", std::time::Instant::now()),
                "storegate_enforcement_delay_seconds",
            ),
            upstreams: upstreams(now),
            refused: named("storegate_requests_total", "code"),
            apps: named("storegate_app_requests_total", "client_id"),
            stores: named("storegate_store_requests_total", "store_id"),
            warnings: warnings(before, now),
        }
    }

    /// As lines. Names come from the configuration and the replica; no sign in them moves the cursor.
    pub(super) fn text(&self) -> String {
        let Rates { forwarded, refused, broken } = self.per_second;
        let state = match &*self.reasons {
            [] => "ready".to_owned(),
            reasons => format!("NOT READY: {}", reasons.join("; ")),
        };
        let mut text = format!("storegate {}  {state}\n\n", self.admin);
        text.push_str(&format!(
            "requests   {:>9.1}/s   forwarded {forwarded:.1}  refused {refused:.1}  broken {broken:.1}   in flight {}  connections {}\n",
            forwarded + refused + broken,
            self.in_flight,
            self.connections
        ));
        for (name, times) in [
            ("gateway", &self.gateway_ms),
            ("upstream", &self.upstream_ms),
            ("enforced", &self.enforcement_ms),
        ] {
            text.push_str(&format!(
                "{name:<9}  p50 {:>8}   p99 {:>8}\n",
                millis(times.p50),
                millis(times.p99)
            ));
        }
        for one in &self.upstreams {
            let Upstream { name, up, ejected, down } = one;
            text.push_str(&format!("servers    {name}: {up} up, {ejected} ejected, {down} down\n"));
        }
        for (head, rows) in [("REFUSED", &self.refused), ("APP", &self.apps), ("STORE", &self.stores)] {
            let cells: Vec<_> =
                rows.iter().map(|row| vec![format!("{:.1}", row.per_second), row.name.clone()]).collect();
            if !cells.is_empty() {
                text.push('\n');
                text.push_str(&table(&["PER S", head], &cells));
            }
        }
        for warning in &self.warnings {
            text.push_str(&format!("\n! {warning}"));
        }
        plain(&text).into_owned()
    }
}

fn millis(time: Option<f64>) -> String {
    time.map_or("-".to_owned(), |time| format!("{time:.2} ms"))
}

fn upstreams(now: &Scrape) -> Vec<Upstream> {
    let by_state = |state: &str| now.by_two("storegate_upstream_servers", "upstream", ("state", state));
    let (up, ejected, down) = (by_state("up"), by_state("ejected"), by_state("down"));
    let mut names: Vec<_> = up.keys().collect();
    names.sort_unstable();
    let count =
        |of: &std::collections::HashMap<String, f64>, name: &str| of.get(name).copied().unwrap_or(0.0);
    let one = |name: &String| Upstream {
        name: name.clone(),
        up: count(&up, name),
        ejected: count(&ejected, name),
        down: count(&down, name),
    };
    names.into_iter().map(one).collect()
}

/// Counters that should stand still.
fn warnings(before: &Scrape, now: &Scrape) -> Vec<String> {
    let rows = [
        ("storegate_usage_write_failures_total", "usage cannot be written; see the log"),
        ("storegate_usage_lost_total", "usage loses counts"),
        ("storegate_access_log_dropped_total", "the access log loses lines"),
        ("storegate_shared_limit_failures_total", "the server of shared limits fails"),
        ("storegate_connections_refused_total", "connections are refused for want of a place"),
        ("storegate_usage_alerts_total", "a credential is used in an unusual way; see the log"),
    ];
    let grew = |name: &str| now.sum(name) > before.sum(name);
    let mut warnings: Vec<String> =
        rows.iter().filter(|(name, _)| grew(name)).map(|(_, words)| (*words).to_owned()).collect();
    if now.sum("storegate_config_last_reload_successful") == Some(0.0) {
        warnings.push("the last configuration was refused; another one is in force".to_owned());
    }
    warnings
}
