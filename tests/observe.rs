//! What operators see of the running gateway: the access log, trace context, metrics.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::world::{
    BCRYPT, MAIN, TOKEN, TOKEN_EXPIRED, TOKEN_REVOKED, TOKEN_UNKNOWN, bearer, client, pair, sha256,
};
use common::{Gateway, Session, Settings, wait_until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

fn logging(rest: &str) -> Gateway {
    Gateway::start(&Settings {
        rest: format!("[log]\naccess = \"access.log\"\n{rest}"),
        ..Settings::default()
    })
}

/// The access log, once it has so many lines.
fn lines(gateway: &Gateway, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(gateway.place.path("access.log")).unwrap_or_default();
    let whole = || Some(read()).filter(|text| text.lines().count() == count && text.ends_with('\n'));
    let text = wait_until(SOON, whole).unwrap_or_else(|| panic!("{count} lines: {}", read()));
    text.lines().map(str::to_owned).collect()
}

fn objects(gateway: &Gateway, count: usize) -> Vec<Value> {
    lines(gateway, count).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_tells_who_asked_what_and_how_it_went() {
    let gateway = logging("");
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let asked = [bearer(TOKEN), vec!["Content-Length: 5".into(), trace.into()]].concat();
    let mut connection = gateway.connect();
    let mut bytes = common::request("POST /api/apps/v1/orders", &asked);
    bytes.extend_from_slice(b"hello");
    assert_eq!(connection.ask(bytes).status, 200);
    assert_eq!(gateway.orders(&pair(MAIN.client_id, "sx_secret_wrong")), 401);
    let told = objects(&gateway, 2);
    let of = |outcome: &str| told.iter().find(|line| line["outcome"] == outcome).unwrap();
    let (forwarded, refused) = (of("forwarded"), of("refused"));
    for (field, value) in [
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into()),
        ("method", "POST".into()),
        ("route", "/api/apps/v1/{resource}/{*rest}".into()),
        ("outcome", "forwarded".into()),
        ("status", 200.into()),
        ("credential", "bearer".into()),
        ("client_id", MAIN.client_id.into()),
        ("store_id", 22.into()),
        ("caller", "127.0.0.1".into()),
        ("bytes_in", 5.into()),
        ("code", Value::Null),
        ("reason", Value::Null),
    ] {
        assert_eq!(forwarded[field], value, "{field}: {forwarded}");
    }
    let number = |field: &str| forwarded[field].as_u64().unwrap();
    assert!(number("total_us") >= number("upstream_us") && number("bytes_out") > 0, "{forwarded}");
    assert_eq!(forwarded["request_id"].as_str().unwrap().len(), 32);
    assert_eq!((&refused["code"], &refused["status"]), (&"invalid_client".into(), &401.into()));
    assert!(refused["reason"].is_string() && refused["upstream_us"].is_null(), "{refused}");
    assert_eq!(refused["client_id"], MAIN.client_id);
}

#[test]
fn logfmt_says_the_same_and_is_changed_while_running() {
    let gateway = logging("format = \"logfmt\"\n");
    assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    assert_eq!(gateway.ask("POST /api/apps/v1/customers", &client(&MAIN, "22")).status, 403);
    let mut told = lines(&gateway, 2);
    told.sort_by_key(|line| line.contains("outcome=refused"));
    for (line, parts) in [
        (
            &told[0],
            vec![
                " outcome=forwarded status=200 ",
                " route=/api/apps/v1/{resource}/{*rest} ",
                " caller=127.0.0.1 ",
            ],
        ),
        (
            &told[1],
            vec![" code=insufficient_scope ", " reason=\"a scope is missing; required: write:customers\" "],
        ),
    ] {
        assert!(line.starts_with("time=1") || line.starts_with("time=2"), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    let configuration = gateway.place.path("gateway.toml");
    let text = std::fs::read_to_string(&configuration).unwrap().replace("\"logfmt\"", "\"json\"");
    std::fs::write(&configuration, text).unwrap();
    gateway.place.ok(&["reload"]);
    assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    let last: Value = serde_json::from_str(&lines(&gateway, 3)[2]).unwrap();
    assert_eq!(last["outcome"], "forwarded");
    let text = std::fs::read_to_string(&configuration).unwrap();
    std::fs::write(&configuration, text.replace("\"json\"", "\"logfmtt\"")).unwrap();
    let checked = gateway.place.run(&["check"]);
    assert!(checked.code == 2 && checked.err.contains("\"json\" or \"logfmt\""), "{checked:?}");
}

#[test]
fn credentials_are_followed_by_a_keyed_fingerprint() {
    let mut gateway = logging("");
    let session = Session::of(&MAIN, 22, 501).token();
    let wrong = "sx_secret_wrong_wrong_wrong_wrong_wrong";
    let rows: Vec<(&str, Vec<String>, u16, Option<&str>)> = vec![
        ("a token", bearer(TOKEN), 200, Some(TOKEN)),
        ("the same", bearer(TOKEN), 200, Some(TOKEN)),
        ("a revoked one", bearer(TOKEN_REVOKED), 401, Some(TOKEN_REVOKED)),
        ("an expired one", bearer(TOKEN_EXPIRED), 401, Some(TOKEN_EXPIRED)),
        ("an unknown one", bearer(TOKEN_UNKNOWN), 401, Some(TOKEN_UNKNOWN)),
        ("no token of ours", bearer("none-of-ours-0815-4711-xyz"), 401, Some("none-of-ours-0815-4711-xyz")),
        ("a session token", bearer(&session), 200, Some(&session)),
        ("a secret", client(&MAIN, "22"), 200, Some(MAIN.secret)),
        ("a bcrypt secret", client(&BCRYPT, "22"), 200, Some(BCRYPT.secret)),
        ("a wrong secret", pair(MAIN.client_id, wrong), 401, Some(wrong)),
        ("of a stranger", pair("sx_app_nobody", wrong), 401, Some(wrong)),
        ("a secret without an id", vec![format!("X-Client-Secret: {wrong}")], 401, Some(wrong)),
        ("no secret", vec![format!("X-Client-Id: {}", MAIN.client_id)], 401, None),
        ("an empty token", bearer(""), 401, None),
        ("another scheme", vec!["Authorization: Basic c2VjcmV0OnNlY3JldA==".into()], 401, None),
        ("nothing", Vec::new(), 401, None),
    ];
    let asked = rows.iter().map(|(name, lines, status, _)| {
        let answer = gateway.ask("GET /api/apps/v1/orders", lines);
        assert_eq!(answer.status, *status, "{name}");
        answer.field("x-request-id").unwrap()
    });
    let ids: Vec<String> = asked.collect();
    // Threads write for themselves: lines are in no order.
    let told = objects(&gateway, rows.len());
    let line_of = |id: &String| told.iter().find(|line| line["request_id"] == **id).unwrap().clone();
    let first: Vec<Value> = ids.iter().map(line_of).collect();
    let mut known = std::collections::HashMap::new();
    for ((name, _, _, secret), line) in rows.iter().zip(&first) {
        let fingerprint = line["fingerprint"].as_str();
        assert_eq!(fingerprint.is_some(), secret.is_some(), "{name}: {line}");
        let (Some(fingerprint), Some(secret)) = (fingerprint, secret) else { continue };
        assert!(
            fingerprint.len() == 12 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{line}"
        );
        assert_eq!(*known.entry(*secret).or_insert(fingerprint), fingerprint, "{name}");
    }
    let different: BTreeSet<_> = known.values().collect();
    assert_eq!(different.len(), known.len(), "{known:?}");
    let (before, token) = (first[0]["fingerprint"].clone(), first[4]["fingerprint"].clone());

    // Who has the credential and the key can look for it.
    for (secret, fingerprint) in &known {
        let told = gateway.place.run_with(&["fingerprint"], &format!("{secret}\n"));
        assert_eq!((told.code, told.out.trim()), (0, *fingerprint), "{told:?}");
    }
    let told = gateway.place.run_with(&["fingerprint", "--json"], TOKEN).json();
    assert_eq!(told["fingerprint"], known[TOKEN]);
    assert_eq!(gateway.place.run_with(&["fingerprint"], "").code, 2);
    let nowhere = common::Place::with(&Settings::default().toml("127.0.0.1:1"));
    let told = nowhere.run_with(&["fingerprint"], TOKEN);
    assert!(told.code == 1 && told.err.contains("log.key"), "{told:?}");
    assert!(!nowhere.path("log.key").exists(), "only a gateway makes it");

    // `why` and `explain` name a token by the same, and by nothing else of it.
    for (id, (name, lines, _, secret)) in ids.iter().zip(&rows).take(5) {
        let secret = secret.unwrap();
        let explain = ["explain", "GET", "/api/apps/v1/orders", "--header", &lines[0]];
        for told in [gateway.place.ok(&["why", id]), gateway.place.ok(&explain)] {
            let expected = format!("the token's fingerprint is {}\n", known[secret]);
            assert!(told.contains(&expected), "{name}: {told}");
            assert!(!told.contains(&sha256(secret)[..8]) && !told.contains(secret), "{name}: {told}");
        }
    }

    // After a restart the same; with another key another one.
    let restart = |gateway: &mut Gateway| {
        gateway.signal("TERM");
        assert_eq!(gateway.end(SOON), Some(0));
        gateway.start_again();
        assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    };
    restart(&mut gateway);
    assert_eq!(objects(&gateway, rows.len() + 1)[rows.len()]["fingerprint"], before);
    let key = gateway.place.path("log.key");
    assert_eq!(std::fs::read(&key).unwrap().len(), 32);
    std::fs::remove_file(&key).unwrap();
    restart(&mut gateway);
    let last = objects(&gateway, rows.len() + 2)[rows.len() + 1]["fingerprint"].clone();
    assert!(last.is_string() && last != before && last != token);

    // No part of a credential, and none of its plain digest.
    let log = std::fs::read_to_string(gateway.place.path("access.log")).unwrap();
    for secret in rows.iter().filter_map(|(_, _, _, secret)| *secret) {
        let bytes = secret.len();
        // What is common to all of a family says nothing.
        for part in [&secret[..bytes.min(18)], &secret[bytes - 8..], &secret[bytes / 2..bytes / 2 + 8]] {
            assert!(!log.contains(part), "{part} of {secret} is in the log");
        }
        let digest = sha256(secret);
        for part in [&digest[..8], &digest[56..]] {
            assert!(!log.contains(part), "{part} of the SHA-256 of {secret} is in the log");
        }
    }
    let running = gateway.said();
    assert!(!running.contains(wrong) && !running.contains(TOKEN));

    // A key that others can read is none.
    std::fs::write(&key, [1; 32]).unwrap();
    let mut mode = std::fs::metadata(&key).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
    std::fs::set_permissions(&key, mode).unwrap();
    gateway.signal("TERM");
    assert_eq!(gateway.end(SOON), Some(0));
    let refused = gateway.place.run(&["run"]);
    assert!(
        refused.code == 1 && refused.err.contains("log.key") && refused.err.contains("chmod 600"),
        "{refused:?}"
    );
}

#[test]
fn trace_context_passes_if_it_is_well_formed() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let parent = |value: &str| format!("traceparent: {value}");
    let (state, more) =
        ("tracestate: rojo=00f067aa0ba902b7".to_owned(), "tracestate: congo=t61rcWkgMzE".to_owned());
    // What is sent, and what of it arrives.
    let rows: Vec<(&str, Vec<String>, Vec<String>)> = vec![
        ("both", vec![parent(&good), state.clone()], vec![parent(&good), state.clone()]),
        ("no state", vec![parent(&good)], vec![parent(&good)]),
        (
            "in any case",
            vec![format!("TraceParent: {good}"), "TRACESTATE: a=1".into()],
            vec![parent(&good), "tracestate: a=1".into()],
        ),
        (
            "a state in two lines",
            vec![parent(&good), state.clone(), more.clone()],
            vec![parent(&good), state.clone(), more],
        ),
        (
            "a later version",
            vec![parent(&format!("cc-{TRACE}-00f067aa0ba902b7-01-x"))],
            vec![parent(&format!("cc-{TRACE}-00f067aa0ba902b7-01-x"))],
        ),
        ("no parent", vec![state.clone()], vec![]),
        ("twice", vec![parent(&good), parent(&good), state.clone()], vec![]),
        (
            "two different ones",
            vec![parent(&good), parent(&good.replace("-01", "-00")), state.clone()],
            vec![],
        ),
        ("version ff", vec![parent(&good.replacen("00-", "ff-", 1)), state.clone()], vec![]),
        ("zeros", vec![parent(&good.replace(TRACE, &"0".repeat(32))), state.clone()], vec![]),
        ("upper case", vec![parent(&good.to_uppercase()), state.clone()], vec![]),
        ("too short", vec![parent(&good[1..]), state.clone()], vec![]),
        ("too long", vec![parent(&format!("{good}0")), state.clone()], vec![]),
        ("nothing", vec![parent(""), state.clone()], vec![]),
        ("a malformed state", vec![parent(&good), "tracestate: no equals".into()], vec![parent(&good)]),
        ("a key twice", vec![parent(&good), "tracestate: a=1,a=2".into()], vec![parent(&good)]),
        (
            "a line of the state malformed",
            vec![parent(&good), state.clone(), "tracestate: =".into()],
            vec![parent(&good)],
        ),
        (
            "nominated, as a field of the whole way",
            vec!["Connection: traceparent".into(), parent(&good), state.clone()],
            vec![parent(&good), state.clone()],
        ),
    ];
    let gateway = logging("");
    let mut asked = Vec::new();
    for path in ["/api/apps/v1/orders", "/public/a", "/native/a"] {
        for (name, sent, arrives) in &rows {
            let lines = [client(&MAIN, "22"), sent.clone()].concat();
            let answer = gateway.ask(&format!("GET {path}"), &lines);
            assert_eq!(answer.status, 200, "{path}: {name}");
            asked.push((answer.field("x-request-id").unwrap(), *name, !arrives.is_empty()));
            let seen = gateway.upstream.one().fields();
            let is_ours = |name: &str| {
                name.eq_ignore_ascii_case("traceparent") || name.eq_ignore_ascii_case("tracestate")
            };
            let seen = seen.iter().filter(|(name, _)| is_ours(name));
            let seen: Vec<String> =
                seen.map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase())).collect();
            let by_name = |lines: &[String]| {
                let mut lines = lines.to_vec();
                lines.sort_by_key(|line| line.starts_with("tracestate"));
                lines
            };
            assert_eq!(by_name(&seen), by_name(arrives), "{path}: {name}");
        }
    }
    let told = objects(&gateway, asked.len());
    for (id, name, is_told) in &asked {
        let line = told.iter().find(|line| line["request_id"] == **id).unwrap();
        assert_eq!(line["trace_id"] == TRACE, *is_told, "{name}: {line}");
    }
    // Of refused requests as well.
    assert_eq!(gateway.orders(&[parent(&good)]), 401);
    let told = objects(&gateway, asked.len() + 1);
    assert_eq!(told.iter().find(|line| line["status"] == 401).unwrap()["trace_id"], TRACE);
}

#[test]
fn metrics_of_routes_bcrypt_and_the_replica() {
    let gateway = logging("");
    let value = |series: &str| {
        let text = gateway.admin("/metrics").text();
        let found =
            text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse::<f64>().ok());
        found.unwrap_or_else(|| panic!("{series} in {text}"))
    };
    for (line, lines, status) in [
        ("GET /api/apps/v1/orders", client(&BCRYPT, "22"), 200),
        ("HEAD /api/apps/v1/orders/7", client(&BCRYPT, "22"), 200),
        ("POST /api/apps/v1/orders", bearer(TOKEN), 200),
        ("DELETE /api/apps/v1/customers/1", bearer(TOKEN), 403),
        ("OPTIONS /public/a", Vec::new(), 200),
        ("GET /nowhere", Vec::new(), 404),
        ("GET /nowhere/else", bearer(TOKEN), 404),
        ("FROBNICATE /public/a", Vec::new(), 200),
    ] {
        assert_eq!(gateway.ask(line, &lines).status, status, "{line}");
    }
    lines(&gateway, 8); // all are recorded
    let route = "/api/apps/v1/{resource}/{*rest}";
    for (method, outcome, code, route, count) in [
        ("read", "forwarded", "", route, 2.0),
        ("write", "forwarded", "", route, 1.0),
        ("write", "refused", "insufficient_scope", route, 1.0),
        ("other", "forwarded", "", "/public/{*rest}", 2.0),
        ("read", "forwarded", "", "/public/{*rest}", 0.0),
        ("read", "refused", "not_found", "none", 2.0),
        ("read", "refused", "invalid_client", "none", 0.0),
    ] {
        let series = format!(
            "storegate_requests_total{{code=\"{code}\",method=\"{method}\",outcome=\"{outcome}\",route=\"{route}\"}}"
        );
        assert_eq!(value(&series), count, "{series}");
    }
    // A bcrypt secret is computed once.
    assert_eq!(value("storegate_hasher_seconds_count{kind=\"secret\"}"), 1.0);
    assert_eq!(value("storegate_hasher_seconds_count{kind=\"password\"}"), 0.0);
    assert_eq!(value("storegate_hasher_queue_length{kind=\"secret\"}"), 0.0);
    assert_eq!(value("storegate_hasher_refused_total{kind=\"secret\"}"), 0.0);

    for (kind, count) in [("app", 2.0), ("store", 1.0), ("access_token", 1.0), ("domain", 0.0)] {
        assert_eq!(value(&format!("storegate_replica_cached_records{{kind=\"{kind}\"}}")), count, "{kind}");
    }

    let age = || value("storegate_replica_age_seconds");
    assert!(wait_until(SOON, || (age() < 0.5).then_some(())).is_some());
    let (file, away) = (gateway.place.path("storegate.db"), gateway.place.path("away.db"));
    std::fs::rename(&file, &away).unwrap();
    assert!(wait_until(SOON, || (age() > 1.0).then_some(())).is_some(), "it ages: {}", age());
    std::fs::rename(&away, &file).unwrap();
    assert!(wait_until(SOON, || (age() < 0.5).then_some(())).is_some(), "it is followed again: {}", age());
}
