//! Spans as a collector receives them, and the trace context that upstreams do.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::time::{Duration, Instant};

use common::world::{self, MAIN, TOKEN, bearer, client, pair};
use common::{Exchange, Gateway, RecordingUpstream, Settings, wait_until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}")
}

/// A gateway, and the collector that it exports to.
fn exporting(more: &str) -> (Gateway, RecordingUpstream) {
    let collector = RecordingUpstream::start();
    let rest = format!(
        "[log]\naccess = \"access.log\"\n[otlp]\nendpoint = \"http://{}\"\n{more}\n",
        collector.address
    );
    (Gateway::start(&Settings { rest, ..Settings::default() }), collector)
}

/// The spans of a delivery.
fn spans(delivery: &Exchange) -> Vec<Value> {
    assert_eq!(delivery.line(), "POST /v1/traces HTTP/1.1");
    assert_eq!(delivery.field("content-type").as_deref(), Some("application/json"));
    let body: Value = serde_json::from_slice(&delivery.body).unwrap();
    body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
}

/// Waits for so many spans.
fn received(collector: &RecordingUpstream, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let enough = || {
        all.extend(collector.take_whole().iter().flat_map(spans));
        (all.len() >= count).then_some(())
    };
    let found = wait_until(SOON, enough);
    assert!(found.is_some() && all.len() == count, "{count} spans: {all:?}");
    all
}

/// An attribute's value, whatever its type; null where it is not there.
fn attribute(span: &Value, name: &str) -> Value {
    let mut named = span["attributes"].as_array().unwrap().iter().filter(|one| one["key"] == name);
    let value = named.next().map(|one| one["value"].as_object().unwrap().values().next().unwrap().clone());
    assert!(named.next().is_none(), "{name} twice: {span}");
    value.unwrap_or_default()
}

fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = gateway.admin("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

#[test]
fn each_request_has_a_span_with_what_its_line_says() {
    let (gateway, collector) = exporting("service_name = \"edge\"");
    let asked = |line: &str, lines: &[String]| {
        let answer = gateway.ask(line, &[lines, &[traceparent("01")]].concat());
        (answer, received(&collector, 1).remove(0))
    };
    let fingerprint = gateway.place.run_with(&["fingerprint"], TOKEN);
    let route = "/api/apps/v1/{resource}/{*rest}";
    let none = Value::Null;
    let text = |text: &str| Value::from(text);
    // What is asked with which credentials, the span's name, and its attributes.
    type Row = (&'static str, Vec<String>, &'static str, [(&'static str, Value); 10]);
    let rows: Vec<Row> = vec![
        (
            "GET /api/apps/v1/orders/4711?secret=hunter2",
            bearer(TOKEN),
            "GET /api/apps/v1/{resource}/{*rest}",
            [
                ("http.request.method", text("GET")),
                ("http.route", text(route)),
                ("http.response.status_code", text("200")),
                ("storegate.outcome", text("forwarded")),
                ("storegate.code", none.clone()),
                ("storegate.reason", none.clone()),
                ("storegate.client_id", text(MAIN.client_id)),
                ("storegate.store_id", text("22")),
                ("storegate.credential", text("bearer")),
                ("storegate.fingerprint", text(fingerprint.out.trim())),
            ],
        ),
        (
            "POST /api/apps/v1/products",
            client(&MAIN, "22"),
            "POST /api/apps/v1/{resource}/{*rest}",
            [
                ("http.request.method", text("POST")),
                ("http.route", text(route)),
                ("http.response.status_code", text("403")),
                ("storegate.outcome", text("refused")),
                ("storegate.code", text("insufficient_scope")),
                ("storegate.reason", text("scope")),
                ("storegate.client_id", text(MAIN.client_id)),
                ("storegate.store_id", text("22")),
                ("storegate.credential", text("client_credentials")),
                ("storegate.fingerprint", none.clone()),
            ],
        ),
        (
            "GET /api/apps/v1/orders",
            pair(MAIN.client_id, "sx_secret_wrong"),
            "GET /api/apps/v1/{resource}/{*rest}",
            [
                ("http.request.method", text("GET")),
                ("http.route", text(route)),
                ("http.response.status_code", text("401")),
                ("storegate.outcome", text("refused")),
                ("storegate.code", text("invalid_client")),
                ("storegate.reason", text("wrong_secret")),
                ("storegate.client_id", text(MAIN.client_id)),
                ("storegate.store_id", none.clone()),
                ("storegate.credential", text("client_credentials")),
                ("storegate.fingerprint", none.clone()),
            ],
        ),
        (
            "FROBNICATE /nowhere",
            vec![],
            "HTTP",
            [
                ("http.request.method", text("_OTHER")),
                ("http.route", none.clone()),
                ("http.response.status_code", text("404")),
                ("storegate.outcome", text("refused")),
                ("storegate.code", text("not_found")),
                ("storegate.reason", text("no_route")),
                ("storegate.client_id", none.clone()),
                ("storegate.store_id", none.clone()),
                ("storegate.credential", none.clone()),
                ("storegate.fingerprint", none.clone()),
            ],
        ),
    ];
    let mut last = 0;
    for (line, lines, name, expected) in rows {
        let (answer, span) = asked(line, &lines);
        assert_eq!(span["name"], name, "{line}");
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&text(TRACE), &text(PARENT)), "{line}");
        assert_eq!((&span["kind"], &span["status"]["code"]), (&2.into(), &0.into()), "{line}");
        for (name, value) in expected {
            assert_eq!(attribute(&span, name), value, "{line}: {name} of {span}");
        }
        assert_eq!(attribute(&span, "storegate.request_id"), text(&answer.field("x-request-id").unwrap()));
        let nanoseconds = |name: &str| span[name].as_str().unwrap().parse::<u128>().unwrap();
        let (from, to) = (nanoseconds("startTimeUnixNano"), nanoseconds("endTimeUnixNano"));
        let seconds = u128::try_from(common::now()).unwrap();
        assert!(last < to && from < to && (seconds - 60..=seconds + 1).contains(&(to / 1_000_000_000)));
        let part = |name: &str| attribute(&span, name).as_str().map_or(0, |one| one.parse::<u128>().unwrap());
        let parts = part("storegate.gateway_us") + part("storegate.upstream_us");
        assert!(((to - from) / 1000).abs_diff(parts) <= 2, "{line}: {span}");
        assert_eq!(part("storegate.upstream_us") > 0, answer.status == 200, "{line}: {span}");
        last = to;
        let told = span.to_string();
        for secret in world::secrets().into_iter().chain(["hunter2", "4711", "sx_secret_wrong", "FROBNICATE"])
        {
            assert!(!told.contains(secret), "{line}: {told}");
        }
    }
    assert_eq!(metric(&gateway, "storegate_otlp_dropped_total"), 0.0);
    let all = || (metric(&gateway, "storegate_otlp_exported_total") == 4.0).then_some(());
    assert!(wait_until(SOON, all).is_some(), "all are counted");
    // The upstream's failures are errors.
    let (_, span) = asked("GET /public/close", &[]);
    assert_eq!(
        (&span["status"]["code"], attribute(&span, "storegate.code")),
        (&2.into(), text("bad_gateway"))
    );
}

#[test]
fn what_the_upstream_is_told() {
    // The share of those without a trace, what is sent, and whether a span is below it or begins a trace.
    let sampled = vec![traceparent("01"), "tracestate: a=1".to_owned()];
    let later = vec![format!("traceparent: cc-{TRACE}-{PARENT}-ff-more")];
    let unsampled = vec![traceparent("00"), "tracestate: a=1".to_owned()];
    for (share, begins) in [("0%", false), ("100%", true)] {
        let (gateway, collector) = exporting(&format!("sample = \"{share}\""));
        for (lines, below) in [
            (&sampled, Some(true)),
            (&later, Some(true)),
            (&unsampled, None),
            (&vec![], Some(false)),
            (&vec![traceparent("01"), traceparent("01")], Some(false)),
            (&vec![traceparent("01").replace(TRACE, "0")], Some(false)),
        ] {
            let answer = gateway.ask("GET /public/a", lines);
            let seen = gateway.upstream.one();
            let arrived = seen.field("traceparent");
            let is_exported = below == Some(true) || (below == Some(false) && begins);
            if !is_exported {
                let unchanged = (below.is_none()).then(|| format!("00-{TRACE}-{PARENT}-00"));
                assert_eq!(arrived, unchanged, "{share} {lines:?}");
                continue;
            }
            let [span] = &received(&collector, 1)[..] else { panic!() };
            let (trace, id) = (span["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap());
            assert_eq!(arrived, Some(format!("00-{trace}-{id}-01")), "{share} {lines:?}");
            assert!(id != PARENT && id.len() == 16 && trace.len() == 32, "{span}");
            let parent = if below == Some(true) { PARENT.into() } else { Value::Null };
            assert_eq!((trace == TRACE, &span["parentSpanId"]), (below == Some(true), &parent), "{span}");
            // The line in the access log names the same trace.
            let request = answer.field("x-request-id").unwrap();
            let line = || {
                let log = std::fs::read_to_string(gateway.place.path("access.log")).unwrap_or_default();
                log.lines().find(|line| line.contains(&request) && line.ends_with('}')).map(str::to_owned)
            };
            let line = wait_until(SOON, line).expect("a line");
            assert!(line.contains(&format!("\"trace_id\":\"{trace}\"")), "{line}");
            let state = seen.field("tracestate");
            assert_eq!(state, (lines == &sampled).then(|| "a=1".to_owned()), "{lines:?}");
        }
        // What was not exported came to the collector neither then nor later.
        let exported = if begins { 5.0 } else { 2.0 };
        let is_counted = || (metric(&gateway, "storegate_otlp_exported_total") >= exported).then_some(());
        wait_until(SOON, is_counted).expect("all are counted");
        assert_eq!(metric(&gateway, "storegate_otlp_exported_total"), exported);
    }
}

#[test]
fn the_end_sends_what_waits_and_a_header_may_come_from_elsewhere() {
    let (mut gateway, collector) = exporting("header = \"X-Key: ${PATH}\"\nservice_name = \"edge 1\"");
    for _ in 0..700 {
        assert_eq!(gateway.ask("GET /public/a", &[""; 0]).status, 200);
    }
    let shown = gateway.place.ok(&["config", "show"]);
    let path = std::env::var("PATH").unwrap();
    assert!(shown.contains("otlp.header") && !shown.contains(&path), "{shown}");
    gateway.signal("TERM");
    assert_eq!(gateway.end(SOON), Some(0));
    let deliveries = collector.take_whole();
    assert_eq!(deliveries.iter().flat_map(spans).count(), 700, "nothing is left behind");
    for one in &deliveries {
        assert_eq!(one.field("x-key").as_deref(), Some(&*path));
        let body: Value = serde_json::from_slice(&one.body).unwrap();
        let resource = &body["resourceSpans"][0]["resource"]["attributes"];
        assert_eq!(resource[0]["value"]["stringValue"], "edge 1", "{resource}");
    }
}

#[test]
fn a_collector_that_is_away_harms_no_request() {
    let (gateway, collector) = exporting("");
    drop(gateway);
    let away = { std::net::TcpListener::bind((common::own_ip(), 0)).unwrap().local_addr().unwrap() };
    let rest = format!("[otlp]\nendpoint = \"http://{away}\"\n");
    let mut gateway = Gateway::start(&Settings { rest, ..Settings::default() });
    for _ in 0..50 {
        assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    }
    let dropped = || (metric(&gateway, "storegate_otlp_dropped_total") >= 1.0).then_some(());
    assert!(wait_until(SOON, dropped).is_some(), "{}", gateway.said());
    gateway.hear("spans cannot be exported to http://");
    // Another collector is a matter of a restart.
    let file = gateway.place.path("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&away.to_string(), &collector.address.to_string())).unwrap();
    let told = gateway.place.run(&["reload"]);
    assert!(told.code == 0 && format!("{told:?}").contains("otlp"), "{told:?}");
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.end(SOON), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
