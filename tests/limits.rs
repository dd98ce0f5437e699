//! Rates of valid requests: who is counted with whom, what a caller is told, and what is not counted.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

#[path = "limits/fleet.rs"]
mod fleet;

use std::time::{Duration, Instant};

use common::world::{self, BCRYPT, BOUND, MAIN, OTHER, TOKEN, TOKEN_OWN_SCOPES};
use common::{Gateway, Response, Session, Settings, wait_until};

const ORDERS: &str = "GET /api/apps/v1/orders";

/// One per second, so that a test on a busy machine sees few come back, and none within `burst` asks.
fn settings(burst: u32) -> Settings {
    Settings {
        rest: format!("[log]\naccess = \"off\"\n\n[limits]\nrequests_per_second = 1\nburst = {burst}"),
        routes: Settings::default().routes + ROUTES,
        ..Settings::default()
    }
}

const ROUTES: &str = r#"
[[route]]
path = "/limited/{*rest}"
scopes = "none"
rate = { per_second = 1, burst = 3 }

[[route]]
path = "/unlimited/{*rest}"
scopes = "none"
rate = { per_second = 0 }

[[route]]
path = "/public-limited/{*rest}"
auth = "public"
rate = { per_second = 1, burst = 3 }

[[route]]
path = "/native-limited/{*rest}"
auth = "upstream"
rate = { per_second = 1, burst = 3 }
"#;

fn main() -> Vec<String> {
    world::client(&MAIN, "22")
}

/// The answers to `count` requests.
fn asks(gateway: &Gateway, count: usize, line: &str, lines: &[String]) -> Vec<Response> {
    (0..count).map(|_| gateway.ask(line, lines)).collect()
}

/// How many of 40 requests are not 429. A busy machine may let a few more through than the burst.
fn passed(gateway: &Gateway, line: &str, lines: &[String]) -> usize {
    asks(gateway, 40, line, lines).iter().filter(|answer| answer.status != 429).count()
}

/// Whether of 10 requests no more pass than have come back, one a second, since the limit was about to be used up.
fn is_used_up(gateway: &Gateway, line: &str, lines: &[String], since: Instant) -> bool {
    let passed = asks(gateway, 10, line, lines).iter().filter(|answer| answer.status != 429).count() as u64;
    passed <= since.elapsed().as_secs() + 1
}

#[track_caller]
fn assert_about(passed: usize, burst: usize) {
    assert!((burst..=burst + 10).contains(&passed), "{passed} of a burst of {burst}");
}

/// `r` and `t` of `RateLimit`, whose form is checked.
#[track_caller]
fn state(answer: &Response, name: &str) -> (u64, u64) {
    let field = answer.field("ratelimit").unwrap();
    let rest = field.strip_prefix(&format!("\"{name}\";r=")).unwrap_or_else(|| panic!("{field}"));
    let (left, time) = rest.split_once(";t=").unwrap();
    (left.parse().unwrap(), time.parse().unwrap())
}

#[test]
fn a_burst_is_exact_and_every_answer_tells() {
    let gateway = Gateway::start(&settings(5));
    let began = Instant::now();
    let answers = asks(&gateway, 12, ORDERS, &main());
    let back = began.elapsed().as_secs() + 1;
    let passed = answers.iter().filter(|answer| answer.status == 200).count() as u64;
    assert!((5..=5 + back).contains(&passed), "{passed} in {back} s");
    assert_eq!(gateway.upstream.heads() as u64, passed, "a refusal is not forwarded");
    for (number, answer) in (1..).zip(&answers) {
        assert_eq!(answer.field("ratelimit-policy").as_deref(), Some("\"default\";q=5;w=5"));
        let (left, time) = state(answer, "default");
        match answer.status {
            200 => {
                assert!(left >= 5u64.saturating_sub(number) && left < 5, "{left} after {number}");
                assert!((1..=5).contains(&time), "{time}");
                assert_eq!(answer.field("retry-after"), None);
            }
            429 => {
                assert_eq!((left, time), (0, 5));
                assert_eq!(answer.field("retry-after").as_deref(), Some("1"));
                assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
                assert_eq!(answer.field("content-type").as_deref(), Some("application/json"));
                let body = answer.json();
                assert_eq!(body["code"], "rate_limit_exceeded");
                assert_eq!(
                    (&body["status"], &body["message"]),
                    (&429.into(), &"Too many requests. Try again later.".into())
                );
            }
            status => panic!("{status}"),
        }
    }
    assert_eq!(answers[0].field("ratelimit").as_deref(), Some("\"default\";r=4;t=1"));
}

#[test]
fn who_waits_as_told_is_heard() {
    let gateway = Gateway::start(&settings(2));
    let refused = wait_until(Duration::from_secs(10), || {
        Some(gateway.ask(ORDERS, &main())).filter(|answer| answer.status == 429)
    });
    let told: u64 = refused.unwrap().field("retry-after").unwrap().parse().unwrap();
    assert_eq!(told, 1);
    std::thread::sleep(Duration::from_secs(told));
    assert_eq!(gateway.orders(&main()), 200);
}

#[test]
fn each_app_in_each_store_has_its_own() {
    let gateway = Gateway::start(&settings(6));
    gateway.place.ok(&["install", OTHER.client_id, "22", "--scopes", world::MAIN_SCOPES]);
    let began = Instant::now();
    assert_about(passed(&gateway, ORDERS, &main()), 6);
    let session = world::bearer(&Session::of(&MAIN, 22, 501).token());
    let used_up = [
        ("another of its credentials", ORDERS, world::bearer(TOKEN)),
        ("a token with fewer scopes", ORDERS, world::bearer(TOKEN_OWN_SCOPES)),
        ("a session", ORDERS, session),
        ("another route", "GET /free/x", main()),
        ("another method", "DELETE /free/x", main()),
        ("OPTIONS that is no preflight", "OPTIONS /free/x", main()),
    ];
    for (sentence, line, lines) in used_up {
        assert!(is_used_up(&gateway, line, &lines, began), "{sentence}");
    }
    assert_about(passed(&gateway, ORDERS, &world::client(&OTHER, "22")), 6);
    assert_about(passed(&gateway, ORDERS, &world::client(&OTHER, "23")), 6);
    assert_about(passed(&gateway, ORDERS, &world::client(&BOUND, "22")), 6);
}

#[test]
fn head_is_counted_and_answered_like_get() {
    let gateway = Gateway::start(&settings(3));
    let line = "HEAD /api/apps/v1/orders";
    let first = gateway.ask(line, &main());
    assert_eq!((first.status, state(&first, "default").0), (200, 2));
    assert_about(passed(&gateway, line, &main()), 2);
    let refused = wait_until(Duration::from_secs(10), || {
        Some(gateway.ask(line, &main())).filter(|answer| answer.status == 429)
    });
    let refused = refused.unwrap();
    assert_eq!(refused.field("ratelimit-policy").as_deref(), Some("\"default\";q=3;w=3"));
    assert!(refused.body.is_empty());
}

#[test]
fn what_is_refused_for_another_reason_costs_nothing() {
    let gateway = Gateway::start(&settings(4));
    let mut wrong = world::pair(MAIN.client_id, "sx_secret_wrong");
    wrong.push("X-Store-Id: 22".into());
    let none: Vec<String> = Vec::new();
    let rows = [
        ("no credential", ORDERS, none.clone(), 401),
        ("a wrong secret", ORDERS, wrong, 401),
        ("a scope that is missing", "GET /api/apps/v1/payouts", main(), 403),
        ("a store without the app", ORDERS, world::client(&MAIN, "25"), 401),
        ("a suspended store", ORDERS, world::client(&MAIN, "24"), 403),
        ("no route", "GET /nowhere", main(), 404),
    ];
    for (sentence, line, lines, status) in rows {
        for answer in asks(&gateway, 10, line, &lines) {
            assert_eq!(answer.status, status, "{sentence}");
            assert_eq!(answer.field("ratelimit"), None, "{sentence}");
        }
    }
    let first = gateway.ask(ORDERS, &main());
    assert_eq!((first.status, first.field("ratelimit").unwrap()), (200, "\"default\";r=3;t=1".into()));
}

#[test]
fn routes_have_limits_of_their_own_or_none() {
    let gateway = Gateway::start(&settings(6));
    let first = gateway.ask("GET /limited/x", &main());
    assert_eq!(first.field("ratelimit-policy").as_deref(), Some("\"route\";q=3;w=3"));
    assert_eq!(first.field("ratelimit").as_deref(), Some("\"route\";r=2;t=1"));
    assert_about(passed(&gateway, "GET /limited/x", &main()), 2);
    assert_about(passed(&gateway, "GET /limited/x", &world::client(&BOUND, "22")), 3);
    assert_eq!(passed(&gateway, "GET /unlimited/x", &main()), 40);
    assert_about(passed(&gateway, ORDERS, &main()), 6);
    assert_eq!(gateway.ask("GET /unlimited/x", &main()).field("ratelimit"), None);

    let metrics = gateway.admin("/metrics").text();
    let series: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("storegate_rate_limited_total{")).collect();
    let count = |path: &str| {
        let line = series.iter().find(|line| line.contains(&format!("\"{path}\"")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert!(count("/limited/{*rest}") > Some(30) && count("/api/apps/v1/{resource}/{*rest}") > Some(10));
    assert_eq!(count("/free/{*rest}"), Some(0));
    for path in ["/unlimited/{*rest}", "/public/{*rest}", "/native/{*rest}"] {
        assert_eq!(count(path), None, "{path} is not limited");
    }
}

#[test]
fn without_identity_the_address_is_counted() {
    let mut settings = settings(2);
    settings.server = "trusted_proxies = ['127.0.0.1']".into();
    let gateway = Gateway::start(&settings);
    let from = |address: &str| vec![format!("X-Forwarded-For: {address}")];
    for path in ["/public-limited/x", "/native-limited/x"] {
        let line = format!("GET {path}");
        let first = gateway.ask(&line, &from("192.0.2.1"));
        assert_eq!((first.status, first.field("ratelimit").unwrap()), (200, "\"route\";r=2;t=1".into()));
        assert_about(passed(&gateway, &line, &from("192.0.2.1")), 2);
        assert_about(passed(&gateway, &line, &from("192.0.2.2")), 3);
        let began = Instant::now();
        assert_about(passed(&gateway, &line, &from("2001:db8::1")), 3);
        assert!(is_used_up(&gateway, &line, &from("2001:db8::ffff:2"), began), "one network");
        assert_about(passed(&gateway, &line, &from("2001:db8:0:1::1")), 3);
    }
    assert_eq!(passed(&gateway, "GET /public/x", &from("192.0.2.1")), 40, "no limit of its own");
}

#[test]
fn preflights_are_counted_where_the_route_has_a_limit() {
    let gateway = Gateway::start(&settings(2));
    let preflight =
        ["Origin: https://app.example.test", "Access-Control-Request-Method: GET"].map(String::from);
    assert_eq!(passed(&gateway, "OPTIONS /api/apps/v1/orders", &preflight), 40);
    assert_about(passed(&gateway, "OPTIONS /limited/x", &preflight), 3);
    let first = gateway.ask("GET /limited/x", &main());
    assert_eq!((first.status, state(&first, "route").0), (200, 2), "the app's own limit is untouched");
}

#[test]
fn a_proved_bcrypt_secret_is_counted_once_a_request() {
    let gateway = Gateway::start(&settings(3));
    let first = gateway.ask(ORDERS, &world::client(&BCRYPT, "22"));
    assert_eq!((first.status, state(&first, "default").0), (200, 2));
}

#[test]
fn a_connection_outlives_its_refusals() {
    let gateway = Gateway::start(&settings(2));
    let mut client = gateway.connect();
    let body = "x".repeat(1000);
    let mut lines = main();
    lines.push(format!("Content-Length: {}", body.len()));
    let mut head = common::request("POST /free/x", &lines);
    head.extend_from_slice(body.as_bytes());
    let statuses: Vec<u16> = (0..12).map(|_| client.ask(&head).status).collect();
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn nothing_is_limited_by_default() {
    let gateway = Gateway::start(&Settings::default());
    assert_eq!(passed(&gateway, ORDERS, &main()), 40);
    let answer = gateway.ask(ORDERS, &main());
    assert_eq!((answer.field("ratelimit"), answer.field("ratelimit-policy")), (None, None));
}
