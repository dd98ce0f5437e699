//! What the upstream receives: contract, section 5. Strip, then set; in every spelling, on every kind
//! of pass.

use http::HeaderName;
use storegate::gate::InjectNames;
use storegate::model::AddressList;

use crate::request::{Request, good_pair, orders, send, session};
use crate::stage::{Outcome, Stage, judge};
use crate::world::{APP, Platform, READER, Records, SECRET, TOKEN};

/// Names that speak of identity besides the credentials, as a client may forge them, and of another
/// method than the one that was decided.
const INJECTED: [&str; 7] = [
    "x-scopes",
    "x-installation-id",
    "x-auth-method",
    "x-subject",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];
const CREDENTIALS: [&str; 4] = ["authorization", "x-client-id", "x-client-secret", "x-store-id"];
const FORWARDED: [&str; 14] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-anything",
    "x-original-url",
    "x-rewrite-url",
    "x-real-ip",
    "x-request-id",
    "cf-connecting-ip",
    "fastly-client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
];
const OF_THE_CLIENT: [&str; 8] =
    ["host", "accept", "cookie", "x-store", "x-store-id-2", "x-scope", "content-type", "x-client-idx"];

fn outcome(request: &Request) -> Outcome {
    judge(&Platform::usual(), request)
}

/// Every way to write a name with other separators: all of one kind, and each one alone.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.replace('-', "_"), name.replace('-', ".")];
    for (at, _) in name.match_indices('-') {
        for separator in ["_", "."] {
            all.push(format!("{}{separator}{}", &name[..at], &name[at + 1..]));
        }
    }
    all.retain(|spelling| spelling != name);
    all.sort();
    all.dedup();
    all
}

fn forge(request: Request, names: impl IntoIterator<Item = impl AsRef<str>>) -> Request {
    names.into_iter().fold(request, |request, name| match request.headers.contains_key(name.as_ref()) {
        true => request,
        false => request.line(name.as_ref(), "forged"),
    })
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}

fn stripped(outcome: &Outcome) -> Vec<String> {
    let mut names = outcome.stripped.clone();
    names.sort();
    names
}

#[test]
fn identity_is_of_verified_records_only() {
    let set = |store: &str,
               scopes: &str,
               client: &str,
               installation: &str,
               method: &str|
     -> Vec<(String, String)> {
        [
            ("x-store-id", store),
            ("x-scopes", scopes),
            ("x-client-id", client),
            ("x-installation-id", installation),
            ("x-auth-method", method),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
    };
    let all = "billing read:customers read:orders write:orders";
    let rows = [
        ("a pair", good_pair().store("23"), set("23", "read:orders", APP, "502", "client_credentials")),
        (
            "a pair, the store in the query",
            good_pair().query("store_id=22"),
            set("22", all, APP, "501", "client_credentials"),
        ),
        ("an access token", orders().bearer(TOKEN), set("22", all, APP, "501", "oauth")),
        (
            "an access token with own scopes",
            orders().bearer(READER),
            set("22", "read:orders", APP, "501", "oauth"),
        ),
        (
            "a session token",
            orders().bearer(&session(23, 502)),
            set("23", "read:orders", APP, "502", "session"),
        ),
    ];
    for (sentence, request, expected) in rows {
        let forged = forge(request.clone(), INJECTED);
        assert_eq!(outcome(&request).set, expected, "{sentence}");
        assert_eq!(outcome(&forged).set, expected, "{sentence}, with forged headers");
    }
    for request in [
        send("GET", "/public/x"),
        send("GET", "/dashboard/x").bearer(TOKEN),
        send("OPTIONS", "/api/apps/v1/orders").preflight(),
    ] {
        assert_eq!(outcome(&forge(request, INJECTED)).set, [], "no identity without a permit");
    }
}

#[test]
fn what_is_removed_from_requests_that_we_vouch_for() {
    let mut gone = sorted(&[&CREDENTIALS[..], &INJECTED].concat());
    gone.push("x-session-token".into());
    gone.extend(FORWARDED.map(Into::into));
    gone.sort();
    let everything = |request: Request| {
        forge(forge(forge(request, INJECTED), FORWARDED), OF_THE_CLIENT.iter().chain(&["x-session-token"]))
    };
    let pair = everything(good_pair().store("22").line("authorization", "Basic YTpi"));
    assert_eq!(stripped(&outcome(&pair)), gone, "a pair");
    let without_pair: Vec<_> = gone
        .iter()
        .filter(|name| !["x-client-id", "x-client-secret"].contains(&name.as_str()))
        .cloned()
        .collect();
    for request in [orders().bearer(TOKEN).store("22"), orders().bearer(&session(22, 501)).store("22")] {
        assert_eq!(stripped(&outcome(&everything(request))), without_pair, "a token");
    }
    for request in [send("GET", "/public/x"), send("OPTIONS", "/api/apps/v1/orders").preflight()] {
        let outcome = outcome(&everything(request.client(APP, SECRET).bearer(TOKEN).store("1").store("2")));
        assert_eq!((&*outcome.summary, stripped(&outcome)), ("anonymous", gone.clone()));
    }
    assert_eq!(
        stripped(&outcome(&orders().bearer(TOKEN))),
        ["authorization"],
        "what is not there is not named"
    );
}

#[test]
fn an_upstream_that_authenticates_by_itself_receives_its_credentials() {
    let request = send("POST", "/dashboard/login").client(APP, SECRET).bearer(TOKEN).store("22");
    let request = forge(forge(request, ["x-session-token"]), INJECTED.iter().chain(&OF_THE_CLIENT));
    let outcome = outcome(&request);
    assert_eq!((&*outcome.summary, stripped(&outcome)), ("upstream", sorted(&INJECTED)));
}

#[test]
fn every_spelling_is_removed_on_every_pass() {
    let owned = CREDENTIALS.iter().chain(&INJECTED).chain(&FORWARDED);
    for spelling in owned.flat_map(|name| spellings(name)) {
        for request in [
            good_pair().store("22"),
            orders().bearer(TOKEN),
            orders().bearer(&session(22, 501)),
            send("GET", "/public/x"),
            send("GET", "/dashboard/x"),
            send("OPTIONS", "/api/apps/v1/orders").preflight(),
        ] {
            let outcome = outcome(&request.line(&spelling, "forged"));
            assert!(outcome.stripped.contains(&spelling), "{spelling}: {outcome:?}");
        }
    }
}

#[test]
fn other_spellings_of_a_length_are_removed() {
    for request in [orders().bearer(TOKEN), send("POST", "/public/x"), send("POST", "/dashboard/x")] {
        let request = request.line("content-length", "3");
        let odd = ["content_length", "content.length", "transfer_encoding", "transfer.encoding"];
        let gone = stripped(&outcome(&forge(request.clone(), odd)));
        let plain = stripped(&outcome(&request));
        assert!(odd.iter().all(|name| gone.contains(&(*name).to_owned())), "{gone:?}");
        assert_eq!(gone.len(), plain.len() + odd.len(), "{gone:?}");
    }
}

#[test]
fn what_a_trusted_proxy_says_stays_in_its_plain_spelling() {
    let stage = Stage::new(|settings| {
        let entry = AddressList::parse_entry("10.0.0.0/8").unwrap();
        settings.trusted_proxies = AddressList::new(vec![entry]);
    });
    let records = Records::new(&Platform::usual());
    let request = forge(
        orders().bearer(TOKEN).from("10.0.0.1"),
        FORWARDED.iter().filter(|name| **name != "x-forwarded-for"),
    );
    let request = forge(request.line("x-forwarded-for", "192.0.2.7"), INJECTED);
    let odd = ["x_forwarded_for", "x-forwarded_proto", "x.real.ip", "x_request_id", "x_original_url"];
    let outcome = stage.judge(&records, &forge(request, odd));
    let mut gone = sorted(&[&["authorization"], &INJECTED[..], &odd].concat());
    gone.sort();
    assert_eq!(stripped(&outcome), gone);
}

#[test]
fn injected_names_are_the_operators_choice() {
    let name = HeaderName::from_static;
    let stage = Stage::new(|settings| {
        settings.inject = InjectNames {
            store: name("x-verified-store"),
            scopes: name("x-verified-scopes"),
            client: name("x-verified-client"),
            installation: name("x-verified-installation"),
            method: name("x-verified-method"),
            subject: name("x-verified-subject"),
            ..InjectNames::default()
        };
    });
    let own = [
        "x-verified-store",
        "x-verified-scopes",
        "x-verified-client",
        "x-verified-installation",
        "x-verified-method",
        "x-verified-subject",
    ];
    let records = Records::new(&Platform::usual());
    let judge = |request: &Request| stage.judge(&records, request);

    let outcome = judge(&forge(forge(good_pair().store("23"), own), ["x_verified_store", "x-scopes"]));
    let set: Vec<&str> = outcome.set.iter().map(|(name, _)| &**name).collect();
    assert_eq!(set, own[..5], "{outcome:?}");
    let gone =
        sorted(&[&own[..], &["x-client-id", "x-client-secret", "x-store-id", "x_verified_store"]].concat());
    assert_eq!(stripped(&outcome), gone, "credentials never reach it, whatever the names");

    let outcome =
        judge(&forge(send("GET", "/dashboard/x").client(APP, SECRET).store("22").bearer(TOKEN), own));
    assert_eq!((&*outcome.summary, stripped(&outcome)), ("upstream", sorted(&own)));
    for nominated in own.iter().chain(&CREDENTIALS) {
        let refused = judge(&orders().bearer(TOKEN).line("connection", nominated));
        assert_eq!(refused.summary, "400 invalid_request", "{nominated}");
    }
}
