//! A scrape of /metrics with 10,000 apps at work: it stays as small as it is with a few.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic, and tell a figure

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::world;
use common::{Gateway, RecordingUpstream, Settings, request, wait_until};
use serde_json::json;

const APPS: u64 = 10_000;

/// Many at a time do not make it faster: the recording upstream is one.
const THREADS: u64 = 2;

/// What a scrape may take, in bytes. (Prometheus refuses none below `body_size_limit`, off by default.)
const MOST: usize = 96 * 1024;

fn app(number: u64) -> (String, String) {
    (format!("sx_app_{number:032}"), format!("sx_secret_{number:064}"))
}

/// Store 22 and apps that are installed there.
fn records() -> String {
    let mut records =
        json!({"type": "store", "store_id": 22, "name": "Store", "domain": "a.example.test"}).to_string();
    for number in 0..APPS {
        let (client_id, secret) = app(number);
        let hash = format!("sha256:{}", world::sha256(&secret));
        let app = json!({"type": "app", "client_id": client_id, "name": "App", "secret_hash": hash,
                         "scopes": "read:orders"});
        let installation = json!({"type": "installation", "client_id": client_id, "store_id": 22,
                                  "scopes": "read:orders"});
        records.push_str(&format!("\n{app}\n{installation}"));
    }
    records
}

/// The text of a scrape, and how long it took.
fn scrape(gateway: &Gateway) -> (String, Duration) {
    let begin = Instant::now();
    let answer = gateway.admin("/metrics");
    assert_eq!(answer.status, 200);
    (answer.text(), begin.elapsed())
}

/// The series of each metric, and the sum of their values.
fn series(text: &str) -> BTreeMap<String, (usize, f64)> {
    let mut found: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let entry = found.entry(series.split('{').next().unwrap().to_owned()).or_default();
        *entry = (entry.0 + 1, entry.1 + value.parse::<f64>().unwrap());
    }
    found
}

#[test]
fn it_is_bounded_with_ten_thousand_apps() {
    let upstream = RecordingUpstream::start();
    let rest = "[log]\naccess = \"off\"\n".into();
    let place =
        common::Place::with(&Settings { rest, ..Settings::default() }.toml(&upstream.address.to_string()));
    assert_eq!(place.import(&records()).code, 0);
    let gateway = Gateway::start_in(place, upstream);
    let (before, _) = scrape(&gateway);
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let gateway = &gateway;
            threads.spawn(move || {
                let mut connection = gateway.connect();
                for number in (0..APPS).filter(|number| number % THREADS == thread) {
                    let (client_id, secret) = app(number);
                    let mut lines = world::pair(&client_id, &secret);
                    lines.push("X-Store-Id: 22".into());
                    let answer = connection.ask(request("GET /api/apps/v1/orders", &lines));
                    assert_eq!(answer.status, 200, "{number}");
                }
                // None of these is anybody, and none is named.
                for number in 0..500 {
                    let lines = world::pair(&format!("sx_app_nobody_{number}"), "sx_secret_wrong");
                    let line = format!("GET /api/apps/v1/orders/{number}?q={number}");
                    let answer = connection.ask(request(&line, &lines));
                    assert!(matches!(answer.status, 401 | 429), "{}", answer.status);
                }
            });
        }
    });
    // Names that lose their place take their counts along: those are few calls each.
    let nearly_all = || {
        let (text, _) = scrape(&gateway);
        let found = series(&text);
        let by_app = found["storegate_app_requests_total"].1 > 0.9 * (APPS + 1000) as f64;
        (by_app && found["storegate_requests_total"].1 >= (APPS + 1000) as f64).then_some(text)
    };
    let text = wait_until(Duration::from_secs(60), nearly_all)
        .unwrap_or_else(|| panic!("not all is counted: {:?}", series(&scrape(&gateway).0)));
    let (_, took) = scrape(&gateway);
    let found = series(&text);
    // Printed by `cargo test --test scrape -- --nocapture`.
    println!(
        "{APPS} apps: {} bytes, {} series, {:.1} ms; without any request {} bytes",
        text.len(),
        found.values().map(|(count, _)| count).sum::<usize>(),
        took.as_secs_f64() * 1e3,
        before.len()
    );
    assert!(text.len() < MOST, "{} bytes", text.len());
    assert!(found["storegate_app_requests_total"].0 <= 3 * 51, "the busiest 50, and the others");
    assert!(found["storegate_requests_total"].1 == (APPS + 1000) as f64);
    assert!(found["storegate_requests_total"].0 < 80, "{found:?}");
    assert!(!text.contains("nobody") && !text.contains("q="));
}
