//! The decision alone: admit, decide and the header plan, per kind of credential and per refusal, on an
//! in-memory directory.

#![allow(clippy::unwrap_used)] // a broken fixture is a bug of this file

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use storegate::gate::{
    Access, Decision, Gate, GateSettings, HeadLimits, InjectNames, Kinds, PathCase, RawHead, Route,
    RouteTable, ScopeRules, ScopeTemplate, captures,
};
use storegate::hasher::{Hasher, Verdict};
use storegate::model::{AddressList, ProofKey, Timestamp};

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

criterion_group!(benches, decisions);
criterion_main!(benches);
