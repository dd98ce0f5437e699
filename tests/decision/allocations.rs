//! What a decision allocates: nothing of its own, from the head to the headers that the upstream receives.

use std::hint::black_box;

use storegate::gate::{Decision, RawHead};
use storegate::model::Timestamp;

use crate::request::{Request, good_pair, orders, send, session};
use crate::stage::usual;
use crate::world::{LEGACY, LEGACY_SECRET, Platform, READER, Records, TOKEN};

/// Heap allocations of one decision and its header plan, when all is warm.
fn allocations(request: &Request) -> u64 {
    let records = Records::new(&Platform::usual());
    usual().judge(&records, request); // proves a bcrypt secret
    let gate = &usual().gate;
    let raw = RawHead {
        method: &request.method,
        target: &request.target,
        authority: None,
        headers: &request.headers,
        peer: request.peer,
    };
    let decide = || {
        let head = gate.admit(&raw);
        let Ok(head) = head else { return };
        if let Decision::Forward(_, pass) = gate.decide(&head, &records, Timestamp(request.now), &mut ()) {
            black_box((gate.strip(&request.headers, &pass, false), gate.identity(&pass)));
        }
        black_box(head.target.path_and_query());
    };
    decide(); // the first copy of a header value makes it shareable
    allocation_counter::measure(decide).count_total
}

#[test]
fn none_on_the_way_to_the_upstream() {
    let usual_lines = |request: Request| {
        request
            .line("user-agent", "curl/8.9")
            .line("accept", "*/*")
            .line("x-scopes", "forged")
            .line("x-forwarded-for", "192.0.2.7")
            .line("connection", "keep-alive")
    };
    let rows = [
        ("client credentials", good_pair().store("22")),
        ("client credentials, the store in the query", good_pair().query("a=1&store_id=22")),
        ("proved bcrypt client credentials", orders().client(LEGACY, LEGACY_SECRET).store("22")),
        ("an access token", orders().bearer(TOKEN)),
        ("an access token with its own scopes", orders().bearer(READER)),
        ("a session token", orders().bearer(&session(22, 501))),
        ("a public route", send("GET", "/public/x")),
        ("a literal part beside a captured one", orders().bearer(TOKEN).to("GET", "/api/apps/v1/bulk")),
        ("an upstream route", send("POST", "/dashboard/x").bearer(TOKEN)),
        ("a preflight", send("OPTIONS", "/api/apps/v1/orders").preflight()),
    ];
    for (sentence, request) in rows {
        assert_eq!(allocations(&usual_lines(request)), 0, "{sentence}");
    }
}

#[test]
fn few_where_credentials_are_refused() {
    let rows = [
        ("nothing presented", orders()),
        ("an unknown token", orders().bearer("sx_at_unknown")),
        ("an unknown id", orders().client("sx_app_0", "x").store("22")),
        ("a wrong secret", orders().client(crate::world::APP, "wrong-secret").store("22")),
        ("a malformed session token", orders().bearer("a.b.c")),
        ("a malformed store", good_pair().store("abc")),
    ];
    for (sentence, request) in rows {
        assert_eq!(allocations(&request), 0, "{sentence}");
    }
}
