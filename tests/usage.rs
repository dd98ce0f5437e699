//! Who calls how much: `storegate usage`, the metrics, `storegate top`.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::time::Duration;

use common::world::{self, MAIN, TOKEN, bearer, client};
use common::{Exchange, Gateway, Place, RecordingUpstream, Session, Settings, wait_until};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

const SOON: Duration = Duration::from_secs(20);

/// The rows of `usage` once they hold so many calls.
fn counted(gateway: &Gateway, arguments: &[&str], calls: u64) -> Vec<Value> {
    let arguments = [&["usage"], arguments].concat();
    let ask = || {
        let rows = gateway.place.json(&arguments)["rows"].as_array().unwrap().clone();
        (sum(&rows) >= calls).then_some(rows)
    };
    wait_until(SOON, ask).unwrap_or_else(|| panic!("{calls} calls: {}", gateway.place.ok(&arguments)))
}

fn sum(rows: &[Value]) -> u64 {
    rows.iter().map(|row| row["calls"].as_u64().unwrap()).sum()
}

fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = gateway.admin("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

#[test]
fn calls_are_told_by_app_and_store_and_survive_a_restart() {
    let mut gateway = Gateway::start(&Settings::default());
    for _ in 0..5 {
        assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    }
    for _ in 0..2 {
        assert_eq!(gateway.orders(&world::pair(MAIN.client_id, "sx_secret_wrong")), 401);
    }
    assert_eq!(gateway.ask("GET /nowhere", &[""; 0]).status, 404);
    let rows = counted(&gateway, &[], 8);
    let row = |client_id: &Value, store: &Value| {
        rows.iter().find(|row| row["client_id"] == *client_id && row["store_id"] == *store).unwrap().clone()
    };
    let served = row(&MAIN.client_id.into(), &22.into());
    assert_eq!((&served["calls"], &served["refused"]), (&5.into(), &0.into()), "{served}");
    assert!(
        served["bytes_out"].as_u64().unwrap() > 0 && served["p99_ms"].as_f64().unwrap() > 0.0,
        "{served}"
    );
    let refused = row(&MAIN.client_id.into(), &Value::Null);
    assert_eq!(refused["refusals"], serde_json::json!({"invalid_client": 2}));
    assert_eq!(row(&Value::Null, &Value::Null)["refusals"], serde_json::json!({"not_found": 1}));
    assert_eq!(rows.len(), 3, "{rows:?}");

    let token = std::fs::read_to_string(gateway.place.path("admin.token")).unwrap();
    let head = format!(
        "GET /admin/v1/usage?since=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    let by_api = common::ask(gateway.admin, head).json();
    let by_command = gateway.place.json(&["usage"]);
    assert_eq!(by_api["rows"].as_array().unwrap().len(), 3, "{by_api}");
    for (one, other) in by_api["rows"].as_array().unwrap().iter().zip(by_command["rows"].as_array().unwrap())
    {
        for member in ["client_id", "store_id", "calls", "refusals", "p99_ms"] {
            assert_eq!(one[member], other[member], "{member}");
        }
    }

    let text = gateway.place.ok(&["usage", "--app", MAIN.client_id, "--by", "minute"]);
    assert!(text.starts_with("TIME  ") && text.contains("invalid_client=2"), "{text}");
    assert!(text.contains("secret 1 made "), "{text}");
    let of_store = gateway.place.json(&["usage", "--store", "22"]);
    assert_eq!(sum(of_store["rows"].as_array().unwrap()), 5);
    for bad in
        [["--by", "week"], ["--since", "yesterday"], ["--store", "022"], ["--app", "a b"], ["--limit", "0"]]
    {
        assert_eq!(gateway.place.run(&["usage", bad[0], bad[1]]).code, 2, "{bad:?}");
    }

    // An orderly end writes what waits at once.
    assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    gateway.signal("TERM");
    assert_eq!(gateway.end(SOON), Some(0));
    let rows = gateway.place.json(&["usage"])["rows"].as_array().unwrap().clone();
    assert_eq!(sum(&rows), 9, "without a gateway, too");
    gateway.start_again();
    assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    counted(&gateway, &[], 10);
}

#[test]
fn a_kill_loses_what_was_not_written_and_no_more() {
    let mut gateway = Gateway::start(&Settings::default());
    (0..20).for_each(|_| assert_eq!(gateway.orders(&bearer(TOKEN)), 200));
    counted(&gateway, &[], 20);
    (0..10).for_each(|_| assert_eq!(gateway.orders(&bearer(TOKEN)), 200));
    gateway.signal("KILL");
    gateway.end(SOON);
    let before = sum(gateway.place.json(&["usage"])["rows"].as_array().unwrap());
    assert!((20..=30).contains(&before), "{before}");
    gateway.start_again();
    (0..3).for_each(|_| assert_eq!(gateway.orders(&bearer(TOKEN)), 200));
    assert_eq!(sum(&counted(&gateway, &[], before + 3)), before + 3);
}

#[test]
fn a_file_that_cannot_be_written_stops_nothing_and_loses_nothing() {
    let mut gateway = Gateway::start(&Settings::default());
    gateway.signal("TERM");
    gateway.end(SOON);
    let in_the_way = gateway.place.path("usage.db");
    let _ = std::fs::remove_file(&in_the_way);
    std::fs::create_dir(&in_the_way).unwrap();
    gateway.start_again();
    (0..7).for_each(|_| assert_eq!(gateway.orders(&client(&MAIN, "22")), 200));
    let failed = || (metric(&gateway, "storegate_usage_write_failures_total") > 0.0).then_some(());
    wait_until(SOON, failed).expect("a failure is counted");
    assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    gateway.hear("usage cannot be written");
    let told = gateway.place.run(&["usage"]);
    assert!(told.code == 1 && told.err.contains("usage.db"), "{told:?}");
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(sum(&counted(&gateway, &[], 8)), 8);
    gateway.hear("usage is written again");
    assert_eq!(metric(&gateway, "storegate_usage_lost_total"), 0.0);
}

#[test]
fn the_old_secret_after_a_rotation() {
    let gateway = Gateway::start(&Settings::default());
    gateway.place.json(&["app", "rotate-secret", MAIN.client_id, "--overlap", "1h"]);
    let told = || gateway.place.json(&["usage", "--app", MAIN.client_id])["secrets"].clone();
    assert_eq!((&told()[0]["replaced_at"], &told()[1]["used_since_replaced"]), (&Value::Null, &false.into()));
    assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    // Uses are noted by the minute: within that of the rotation it cannot be told.
    let used = || Some(told()[1].clone()).filter(|secret| secret["used_since_replaced"] != false);
    let secret = wait_until(Duration::from_secs(90), used).expect("it is used on");
    assert!(secret["last_used_at"].is_i64(), "{secret}");
    assert!(!gateway.place.ok(&["usage", "--app", MAIN.client_id]).contains("not used since"));
}

#[test]
fn metrics_and_top_name_the_busiest() {
    let settings = Settings { rest: "[usage]\ntop = 1\n".into(), ..Settings::default() };
    let gateway = Gateway::start(&settings);
    assert_eq!(
        metric(&gateway, r#"storegate_app_requests_total{client_id="other",outcome="forwarded"}"#),
        0.0
    );
    std::thread::scope(|threads| {
        let top = threads.spawn(|| gateway.place.json(&["top", "--once", "--interval", "3s"]));
        let named =
            format!(r#"storegate_app_requests_total{{client_id="{}",outcome="forwarded"}}"#, MAIN.client_id);
        let told = || {
            assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
            assert_eq!(gateway.orders(&[]), 401);
            top.is_finished().then_some(())
        };
        wait_until(SOON, told).expect("a frame");
        let frame = top.join().unwrap()[0].clone();
        let apps = frame["apps"].as_array().unwrap();
        assert!(frame["ready"] == true && apps.iter().any(|app| app["name"] == MAIN.client_id), "{frame}");
        let rate = |value: &Value| value.as_f64().unwrap();
        assert!(rate(&frame["per_second"]["forwarded"]) > 0.0, "{frame}");
        assert_eq!(frame["refused"][0]["name"], "missing_token", "{frame}");
        assert!(
            rate(&frame["gateway_ms"]["p50"]) > 0.0 && rate(&frame["upstream_ms"]["p99"]) > 0.0,
            "{frame}"
        );
        assert!(metric(&gateway, &named) > 0.0);
    });
    let text = gateway.place.ok(&["top", "--once", "--interval", "200ms"]);
    assert!(text.contains("  ready\n") && text.contains("servers    api: 1 up"), "{text}");
    assert_eq!(gateway.place.run(&["top", "--interval", "1ms"]).code, 2);
}

#[test]
fn where_it_is_switched_off_nothing_is_counted() {
    let settings = Settings { rest: "[usage]\nenabled = false\n".into(), ..Settings::default() };
    let mut gateway = Gateway::start(&settings);
    assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    gateway.signal("TERM");
    gateway.end(SOON);
    assert!(!gateway.place.path("usage.db").exists());
    let told = gateway.place.run(&["usage"]);
    assert!(told.code == 0 && told.err.contains("usage.enabled is false"), "{told:?}");
    let top = gateway.place.run(&["top", "--once"]);
    assert!(top.code == 1 && top.err.contains("storegate run"), "{top:?}");
}

const WEBHOOK_SECRET: &str = "a secret of both sides";

/// Whether the signature of this delivery is that of its body.
fn is_signed(delivery: &Exchange) -> bool {
    let signature = delivery.field("x-storegate-signature").unwrap();
    let (at, tag) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(&[at.as_bytes(), b".", &delivery.body].concat());
    (common::now() - at.parse::<i64>().unwrap()).abs() < 60
        && data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()) == tag
}

/// Has everything that is known of credentials known since two days ago.
fn age_patterns(gateway: &Gateway) {
    let file = rusqlite::Connection::open(gateway.place.path("usage.db")).unwrap();
    let text: String =
        file.query_row("SELECT value FROM state WHERE name = 'patterns'", [], |row| row.get(0)).unwrap();
    let mut patterns: Value = serde_json::from_str(&text).unwrap();
    for kind in ["calls", "places"] {
        let known = patterns[kind].as_array_mut().unwrap();
        assert!(!known.is_empty(), "{text}");
        known.iter_mut().for_each(|entry| entry[1]["since"] = (common::now() - 2 * 86_400).into());
    }
    file.execute("UPDATE state SET value = ?1 WHERE name = 'patterns'", [patterns.to_string()]).unwrap();
}

/// What a gateway keeps beside its replica is beside the file, not beside the link that the configuration names.
#[test]
fn commands_find_what_is_beside_a_replica_that_is_a_link() {
    let upstream = RecordingUpstream::start();
    let place = Place::with(&Settings::default().toml(&upstream.address.to_string()));
    place.seed();
    std::fs::create_dir(place.path("data")).unwrap();
    for entry in std::fs::read_dir(place.path("")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("storegate.db") {
            std::fs::rename(entry.path(), place.path("data").join(name)).unwrap();
        }
    }
    std::os::unix::fs::symlink("data/storegate.db", place.path("storegate.db")).unwrap();
    let gateway = Gateway::start_in(place, upstream);
    let answer = gateway.ask("GET /api/apps/v1/orders", &bearer(TOKEN));
    assert_eq!(answer.status, 200);
    counted(&gateway, &[], 1);
    let id = answer.field("x-request-id").unwrap();
    gateway.hear(&id);
    let why = || Some(gateway.place.run(&["why", &id])).filter(|done| done.code == 0);
    wait_until(SOON, why).expect("the gateway is found");
    gateway.place.ok(&["reload"]);
    assert_eq!(gateway.place.run_with(&["fingerprint"], TOKEN).code, 0);
    for name in ["admin.token", "log.key", "usage.db"] {
        assert!(
            gateway.place.path("data").join(name).exists() && !gateway.place.path(name).exists(),
            "{name}"
        );
    }
}

#[test]
fn a_credential_that_leaves_its_pattern_is_told() {
    let hook = RecordingUpstream::start();
    let rest = format!(
        "[usage.alerts]\nspike_factor = 2\nspike_calls = 20\nwebhook = \"http://{}/alerts\"\n\
         secret = \"{WEBHOOK_SECRET}\"\n",
        hook.address
    );
    let server = "trusted_proxies = [\"127.0.0.1\"]".into();
    let mut gateway = Gateway::start(&Settings { rest, server, ..Settings::default() });
    let from =
        |address: &str, lines: Vec<String>| [lines, vec![format!("X-Forwarded-For: {address}")]].concat();
    let alerts = |gateway: &Gateway, what: &str| {
        metric(gateway, &format!("storegate_usage_alerts_total{{type=\"{what}\"}}"))
    };
    // It is learning: nothing is said, wherever calls come from.
    for address in ["192.0.2.1", "192.0.2.9", "203.0.113.1"] {
        assert_eq!(gateway.orders(&from(address, client(&MAIN, "22"))), 200);
    }
    assert_eq!(gateway.orders(&from("192.0.2.1", bearer(TOKEN))), 200);
    counted(&gateway, &[], 4);
    gateway.signal("TERM");
    assert_eq!(gateway.end(SOON), Some(0));
    age_patterns(&gateway);
    gateway.start_again();

    // A known network; strangers, who prove nothing; and sessions, which live in browsers.
    assert_eq!(gateway.orders(&from("192.0.2.77", client(&MAIN, "22"))), 200);
    let wrong = world::pair(MAIN.client_id, "sx_secret_wrong");
    assert_eq!(gateway.orders(&from("198.51.100.1", wrong)), 401);
    let session = bearer(&Session::of(&MAIN, 22, 501).token());
    assert_eq!(gateway.orders(&from("198.51.100.1", session)), 200);
    counted(&gateway, &[], 7);
    assert_eq!(
        (alerts(&gateway, "new_address"), alerts(&gateway, "spike")),
        (0.0, 0.0),
        "{}",
        gateway.said()
    );

    let told = |kind: &str, before: usize| {
        let is_of_kind = |one: &Exchange| one.complete && String::from_utf8_lossy(&one.body).contains(kind);
        let found = || hook.peek().into_iter().filter(is_of_kind).nth(before);
        let delivery = wait_until(SOON, found).unwrap_or_else(|| panic!("{kind}: {}", gateway.said()));
        assert!(is_signed(&delivery), "{delivery:?}");
        assert_eq!(delivery.line(), "POST /alerts HTTP/1.1");
        serde_json::from_slice::<Value>(&delivery.body).unwrap()
    };
    assert_eq!(gateway.orders(&from("198.51.100.1", client(&MAIN, "22"))), 200);
    let alert = told("new_address", 0);
    for (member, value) in [
        ("client_id", MAIN.client_id.into()),
        ("credential", "client_credentials".into()),
        ("network", "198.51.100.0/24".into()),
        ("token", Value::Null),
    ] {
        assert_eq!(alert[member], value, "{member}: {alert}");
    }
    // A token is named as in the access log.
    assert_eq!(gateway.orders(&from("198.51.100.1", bearer(TOKEN))), 200);
    let alert = told("new_address", 1);
    let fingerprint = gateway.place.run_with(&["fingerprint"], TOKEN);
    assert_eq!((&alert["credential"], &alert["store_id"]), (&"bearer".into(), &22.into()), "{alert}");
    assert_eq!(alert["token"], fingerprint.out.trim(), "{alert}");
    let burst = || {
        (0..30).for_each(|_| assert_eq!(gateway.orders(&from("192.0.2.1", client(&MAIN, "22"))), 200));
        (alerts(&gateway, "spike") > 0.0).then_some(())
    };
    wait_until(SOON, burst).expect("a spike");
    let alert = told("spike", 0);
    assert_eq!(alert["client_id"], MAIN.client_id);
    assert!(alert["calls"].as_u64().unwrap() > 20, "{alert}");

    let delivered = "storegate_usage_webhook_total{result=\"delivered\"}";
    wait_until(SOON, || (metric(&gateway, delivered) == 3.0).then_some(())).expect("all are counted");
    assert_eq!((alerts(&gateway, "new_address"), alerts(&gateway, "spike")), (2.0, 1.0), "each is told once");
    let events = [
        ("a credential is used from where it never was", 2),
        ("many more calls than usual with a credential", 1),
    ];
    events.iter().for_each(|(event, count)| gateway.hear_times(event, *count));
    let said = gateway.said();
    for (event, count) in events {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(event)).collect();
        assert!(lines.len() == count && lines[0].contains(MAIN.client_id), "{event}: {said}");
    }
    assert!(said.contains(fingerprint.out.trim()) && !said.contains(TOKEN), "{said}");
    assert!(!said.contains(MAIN.secret) && !said.contains(WEBHOOK_SECRET));
}
