//! What the request path does apart from moving bytes.
//!
//! The decision alone: admit, decide and the header plan, per kind of credential and per refusal, on an
//! in-memory directory.

#![allow(clippy::unwrap_used)] // a broken fixture is a bug of this file

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderValue;
use storegate::gate::{
    Access, Decision, Directory, Gate, GateSettings, HeadLimits, InjectNames, Kind, Kinds, PathCase, RawHead,
    Route, RouteTable, ScopeRules, ScopeTemplate, Steps, captures,
};
use storegate::hasher::{Hasher, Verdict};
use storegate::model::{AddressList, InstallationId, ProofKey, StoreId, Timestamp};
use storegate::proxy::{Asked, Outcome, Record, Recorder};
use storegate::telemetry::{
    AccessLog, Destination, FingerprintKey, Format, Metrics, Opened, Recent, RouteName, Telemetry,
};
use storegate::usage::{Alerts, Settings, Usage, Watch};

#[allow(dead_code)] // the tests use more of it
#[path = "../tests/decision/request.rs"]
mod request;
#[allow(dead_code)]
#[path = "../tests/decision/world.rs"]
mod world;

use request::{Request, good_pair, orders, session};
use world::{APP, LEGACY, LEGACY_SECRET, Platform, READER, Records, TOKEN};

fn gate() -> Gate {
    let pattern = "/api/apps/v1/{resource}/{*rest}";
    let names = captures(pattern).unwrap();
    let scope = |text| -> Box<[ScopeTemplate]> { Box::new([ScopeTemplate::parse(text, &names).unwrap()]) };
    let rules = ScopeRules { read: scope("read:{resource}"), write: scope("write:{resource}") };
    let access = Access::Credentials(Kinds::all(), rules);
    let routes = vec![Route {
        pattern: pattern.into(),
        methods: None,
        access,
        platform: Default::default(),
        upstream: 0,
    }];
    Gate::new(GateSettings {
        routes: RouteTable::build(routes, PathCase::Insensitive).unwrap(),
        inject: InjectNames::default(),
        access_token_prefix: "sx_at_".into(),
        trusted_proxies: AddressList::default(),
        limits: HeadLimits { bytes: 16_384, fields: 64 },
        customer_scopes: Default::default(),
        proof_key: ProofKey::random().unwrap(),
    })
}

/// One request as the proxy handles it; whether it is forwarded.
fn decide(gate: &Gate, records: &Records, request: &Request) -> bool {
    let raw = RawHead {
        method: &request.method,
        target: &request.target,
        authority: None,
        headers: &request.headers,
        peer: request.peer,
    };
    let Ok(head) = gate.admit(black_box(&raw)) else { return false };
    match gate.decide(&head, records, Timestamp(request.now), &mut ()) {
        Decision::Forward(_, pass) => {
            black_box((gate.strip(&request.headers, &pass, false), gate.identity(&pass)));
            true
        }
        Decision::Refuse(reason) => {
            black_box(reason);
            false
        }
        Decision::Prove(challenge) => {
            let hasher = Hasher::start(1, 1, gate.settings().proof_key.clone()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let proved = hasher.prove(challenge.app, challenge.secret, Timestamp(request.now));
            assert_eq!(runtime.block_on(proved), Verdict::Proved);
            decide(gate, records, request)
        }
    }
}

fn decisions(criterion: &mut Criterion) {
    let (gate, records) = (gate(), Records::new(&Platform::usual()));
    let rows = [
        ("accept/opaque_token", orders().bearer(TOKEN), true),
        ("accept/opaque_token_own_scopes", orders().bearer(READER), true),
        ("accept/session_token", orders().bearer(&session(22, 501)), true),
        ("accept/client_sha256", good_pair().store("22"), true),
        ("accept/client_bcrypt_proved", orders().client(LEGACY, LEGACY_SECRET).store("22"), true),
        ("refuse/missing", orders(), false),
        ("refuse/unknown_token", orders().bearer("sx_at_unknown"), false),
        ("refuse/wrong_secret", orders().client(APP, "sx_secret_wrong").store("22"), false),
        ("refuse/no_route", orders().to("GET", "/nowhere").bearer(TOKEN), false),
    ];
    for (name, request, forwarded) in rows {
        // What a client and a balancer add to every request.
        let request =
            request.line("user-agent", "curl/8.9").line("accept", "*/*").line("accept-encoding", "gzip");
        assert_eq!(decide(&gate, &records, &request), forwarded, "{name}");
        criterion.bench_function(name, |bencher| bencher.iter(|| decide(&gate, &records, &request)));
    }
}

/// What the record of a forwarded request costs its thread: metrics, the place in memory where there is one, the
/// sample for usage. Nothing of what a bench records is paced, so that samples are dropped when their buffer is full.
fn records(criterion: &mut Criterion) {
    let platform = Records::new(&Platform::usual());
    let (app, store) = (platform.app(APP).unwrap(), platform.store(StoreId::new(22).unwrap()).unwrap());
    let (id, scopes) =
        (HeaderValue::from_static("e2445e9fd847788cc8035a926023d988"), app.as_ref().unwrap().header.clone());
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        ("record/metrics", 0, false),
        ("record/metrics_and_memory", 4096, false),
        ("record/metrics_memory_and_usage", 4096, true),
    ];
    for (name, most, counts) in rows {
        let usage = counts.then(|| Arc::new(usage(folder.path())));
        let off = Opened::open(&Destination::Off, Format::Json).unwrap();
        let key = FingerprintKey::open(&folder.path().join("storegate.db")).unwrap();
        let access_log = AccessLog::start(off, key).unwrap();
        let route = RouteName { pattern: "/api/apps/v1/{resource}/{*rest}".into(), upstream: "api".into() };
        let telemetry = Telemetry::new(
            Arc::new(Metrics::new().unwrap()),
            Arc::new(access_log),
            Arc::new(Recent::new(most)),
            usage,
            std::iter::once((route, false)),
        );
        let record = || Record {
            request_id: &id,
            outcome: Outcome::Forwarded,
            reason: None,
            status: 200,
            method: &http::Method::GET,
            route: Some(0),
            kind: Some(Kind::ClientCredentials),
            shown: None,
            trace_id: None,
            app: app.as_ref(),
            store: store.as_deref(),
            caller: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            total: Duration::from_micros(700),
            upstream: Some(Duration::from_micros(500)),
            bytes_in: 0,
            bytes_out: 1000,
            ended: None,
            remark: None,
            asked: Some(Asked {
                path: "/api/apps/v1/orders/4711",
                host: "api.example.com",
                preflight: None,
                shows_credential: true,
                installation: Some(InstallationId(501)),
                scopes: Some(&scopes),
                token: None,
                steps: Steps::default(),
            }),
        };
        criterion.bench_function(name, |bencher| bencher.iter(|| telemetry.record(black_box(&record()))));
    }
}

/// As a gateway counts by default.
fn usage(folder: &std::path::Path) -> Usage {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let settings = Settings { minutes: days(1), hours: days(30), days: days(400), pairs: 1000, top: 50 };
    let watch = Watch { learning: 86_400, factor: 5.0, calls: 100 };
    Usage::start(folder.join("usage.db"), settings, Alerts { watch, webhook: None }, |_| String::new())
        .unwrap()
}

criterion_group!(benches, decisions, records);
criterion_main!(benches);
