//! bcrypt is slow by intent: a full queue is an answer, and nobody else waits behind it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::world::{BCRYPT, TOKEN, bearer, client, pair};
use crate::common::{Gateway, Settings};

#[test]
fn secret_checks_are_bounded() {
    let settings = Settings { rest: "[hasher]\nthreads = 1\nqueue = 1".into(), ..Settings::default() };
    let gateway = Gateway::start(&settings);
    let slow = "sx_app_66666666666666666666666666666666";
    let hash = bcrypt::hash("sx_secret_slow", 11).unwrap();
    let record = json!({"type": "app", "client_id": slow, "name": "Slow", "secret_hash": hash});
    assert_eq!(gateway.place.import(&record.to_string()).code, 0);
    let proved = client(&BCRYPT, "22");
    assert_eq!(gateway.orders(&proved), 200);
    let mut saturated = 0;
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..12)
            .map(|n| {
                let gateway = &gateway;
                scope.spawn(move || gateway.ask("GET /free/x", &pair(slow, &format!("sx_secret_{n}"))))
            })
            .collect();
        // Who has proved its secret, or needs no bcrypt, is not held up.
        for lines in [&proved, &bearer(TOKEN)] {
            let begin = Instant::now();
            assert_eq!(gateway.orders(lines), 200);
            assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        }
        for answer in asking {
            let answer = answer.join().unwrap();
            match answer.status {
                503 => {
                    assert_eq!(answer.code(), "service_unavailable");
                    let seconds: u64 = answer.field("retry-after").unwrap().parse().unwrap();
                    assert!(seconds > 0);
                    saturated += 1;
                }
                // A budget for failures may be spent first.
                429 => assert_eq!(answer.code(), "rate_limit_exceeded"),
                _ => assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_client")),
            }
        }
    });
    assert!(saturated > 0);
    gateway.counts(&format!("storegate_hasher_refused_total{{kind=\"secret\"}} {saturated}"));
    gateway.counts("storegate_hasher_queue_length{kind=\"secret\"} 0");
}

#[test]
fn failures_have_a_budget_that_successes_never_touch() {
    let settings = Settings {
        server: "trusted_proxies = [\"127.0.0.0/8\"]".into(),
        rest: "[limits]\naddress_failures = 10\naddress_failures_per_second = 1".into(),
        ..Settings::default()
    };
    let gateway = Gateway::start(&settings);
    let from = |address: &str, lines: Vec<String>| {
        gateway.ask("GET /free/x", &[lines, vec![format!("X-Forwarded-For: {address}")]].concat())
    };
    let failures = [bearer("sx_at_x"), pair(BCRYPT.client_id, "sx_secret_x"), pair("sx_app_nobody", "x")];
    let mut told = 0;
    for attempt in 0..60 {
        let answer = from("192.0.2.7", failures[attempt % failures.len()].clone());
        if answer.status == 429 {
            assert_eq!(answer.code(), "rate_limit_exceeded");
            let seconds: u64 = answer.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
            assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
            told += 1;
        } else {
            assert_eq!(answer.status, 401, "{}", answer.text());
        }
        // Whoever has a good credential is served, from the same address and in between.
        assert_eq!(from("192.0.2.7", bearer(TOKEN)).status, 200, "{attempt}");
    }
    assert!(told > 30, "{told} of 60 failures were answered 429");
    assert_eq!(from("192.0.2.8", bearer("sx_at_x")).status, 401, "another address has its own");
    let seen = gateway.upstream.take();
    assert_eq!(seen.len(), 60);
}
