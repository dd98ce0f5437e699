//! Who is refused, and what: the status, the code, and that nothing was changed.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::common::world::{self, MAIN};
use crate::common::{Client, Gateway, Settings, ask};
use crate::{admin, call, operator_with};

/// A call of each kind with the permission that it needs, and another call that needs the same.
const CALLS: [(&str, &str, &str); 21] = [
    ("GET /admin/v1/stores", "", "stores__view_stores"),
    ("GET /admin/v1/stores/22", "", "stores__view_stores"),
    ("POST /admin/v1/stores", r#"{"store_id":77}"#, "stores__manage_stores"),
    ("POST /admin/v1/stores/22/suspend", "", "stores__manage_stores"),
    ("POST /admin/v1/stores/22/resume", "", "stores__manage_stores"),
    ("GET /admin/v1/apps", "", "apps__view_apps"),
    ("GET /admin/v1/apps/ID", "", "apps__view_apps"),
    ("POST /admin/v1/apps", r#"{"name":"x"}"#, "apps__manage_apps"),
    ("POST /admin/v1/apps/ID/disable", "", "apps__manage_apps"),
    ("POST /admin/v1/apps/ID/enable", "", "apps__manage_apps"),
    ("PUT /admin/v1/apps/ID/allow-ip", r#"{"allow_ip":[]}"#, "apps__manage_apps"),
    ("POST /admin/v1/apps/ID/rotate-signing-key", "", "apps__manage_apps"),
    ("GET /admin/v1/installations", "", "apps__view_apps"),
    ("GET /admin/v1/installations/501", "", "apps__view_apps"),
    ("POST /admin/v1/installations", r#"{"client_id":"ID","store_id":22}"#, "apps__install_apps"),
    ("DELETE /admin/v1/installations/503", "", "apps__install_apps"),
    ("POST /admin/v1/tokens", r#"{"client_id":"ID","store_id":22}"#, "tokens__issue_tokens"),
    ("POST /admin/v1/tokens/revoke", r#"{"token_hash":"HASH"}"#, "tokens__revoke_tokens"),
    ("GET /admin/v1/operators", "", "operators__manage_operators"),
    ("GET /admin/v1/usage", "", "apps__view_apps"),
    ("GET /admin/v1/audit", "", "audit__view_audit"),
];

const PERMISSIONS: [&str; 9] = [
    "stores__view_stores",
    "stores__manage_stores",
    "apps__view_apps",
    "apps__manage_apps",
    "apps__install_apps",
    "tokens__issue_tokens",
    "tokens__revoke_tokens",
    "operators__manage_operators",
    "audit__view_audit",
];

fn filled(text: &str) -> String {
    text.replace("ID", MAIN.client_id).replace("HASH", &world::sha256(world::TOKEN_OWN_SCOPES))
}

#[test]
fn each_permission_opens_its_calls_and_no_other() {
    let gateway = Gateway::start(&Settings::default());
    let operators: Vec<(&str, String)> =
        PERMISSIONS.into_iter().map(|name| (name, operator_with(&gateway, name, &[name]))).collect();
    for (line, body, needed) in CALLS {
        let (line, body) = (filled(line), filled(body));
        for (name, token) in &operators {
            let answer = call(&gateway, &line, &[token], &body);
            let manages = *name == needed.replace("__view_", "__manage_");
            if *name == needed || manages {
                let again = answer.status == 409; // made by the one before
                assert!(answer.status < 300 || again, "{name} {line}: {}", answer.text());
            } else {
                assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{name} {line}");
                assert!(answer.text().contains(needed), "{line}: {}", answer.text());
            }
        }
    }
}

#[test]
fn nobody_without_a_token() {
    let gateway = Gateway::start(&Settings::default());
    let main = format!("Authorization: Bearer {}", world::TOKEN);
    let unknown = format!("Authorization: Bearer sx_op_{}", "0".repeat(64));
    let rows: [(&[&str], u16, &str); 9] = [
        (&[], 401, "missing_token"),
        (&["Authorization:"], 401, "missing_token"),
        (&["Authorization: Bearer"], 401, "missing_token"),
        (&["Authorization: Basic YTpi"], 401, "missing_token"),
        (&["X-Admin-Token: x", "Cookie: token=x"], 401, "missing_token"),
        (&["Authorization: Bearer x"], 401, "invalid_token"),
        (&[&unknown], 401, "invalid_token"),
        (&[&main], 401, "invalid_token"),
        (&[&unknown, &unknown], 400, "invalid_request"),
    ];
    let budget = 20; // failed attempts; the rows and calls below stay within it
    for (lines, status, code) in rows {
        let answer = call(&gateway, "GET /admin/v1/stores", lines, "");
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{lines:?}");
        assert_eq!(answer.field("www-authenticate").is_some(), status == 401);
        assert_eq!(answer.json()["request_id"].as_str(), answer.field("x-request-id").as_deref());
    }
    let mut failed = 3;
    for (line, body, _) in CALLS {
        let line = filled(line);
        assert_eq!(call(&gateway, &line, &[], &filled(body)).code(), "missing_token", "{line}");
        // Before anything is said about the body or the thing.
        assert_eq!(call(&gateway, &line, &[], "{").code(), "missing_token", "{line}");
        if failed < budget - 1 {
            failed += 1;
            assert_eq!(call(&gateway, &line, &[&unknown], "{").code(), "invalid_token", "{line}");
        }
    }
    assert_eq!(gateway.orders(&world::client(&MAIN, "22")), 200);
}

#[test]
fn guessing_is_slowed_down_and_harms_only_who_guesses_wrong() {
    let gateway = Gateway::start(&Settings::default());
    let admin = admin(&gateway);
    let guess = |n: usize| {
        let token = format!("Authorization: Bearer sx_op_{n:064x}");
        call(&gateway, "GET /admin/v1/stores", &[&token], "")
    };
    let statuses: Vec<u16> = (0..40).map(|n| guess(n).status).collect();
    assert_eq!(statuses[..20], [401; 20]);
    assert!(statuses[20..].iter().filter(|status| **status == 429).count() >= 15, "{statuses:?}");
    let refused = guess(99);
    assert!((1..=10).contains(&refused.field("retry-after").unwrap().parse::<u32>().unwrap()));
    assert_eq!(refused.code(), "rate_limit_exceeded");
    assert_eq!(
        call(&gateway, "GET /admin/v1/stores", &[&admin], "").status,
        200,
        "who knows the token is not asked to wait"
    );
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains(r#"storegate_admin_calls_total{code="invalid_token"} 2"#), "{metrics}");
    assert!(!gateway.said().contains("sx_op_"), "a guess is in the log");
}

#[test]
fn bodies_queries_and_paths_that_are_refused() {
    let gateway = Gateway::start(&Settings::default());
    let admin = admin(&gateway);
    let before = gateway.place.json(&["audit"]);
    let large = format!(r#"{{"store_id":77,"name":"{}"}}"#, "x".repeat(70_000));
    let deep = "[".repeat(50_000);
    let name = format!(r#"{{"store_id":77,"name":"{}"}}"#, "x".repeat(201));
    let many = format!(r#"{{"allow_ip":[{}"10.0.0.0/8"]}}"#, "\"10.0.0.0/8\",".repeat(256));
    let (id, hash) = (MAIN.client_id, world::sha256(world::TOKEN));
    let path = |text: &str| text.replace("ID", id).replace("HASH", &hash);
    let rows: Vec<(&str, &str, u16, &str)> = vec![
        // Bodies.
        ("POST /admin/v1/stores", "", 400, "invalid_request"),
        ("POST /admin/v1/stores", "{", 400, "invalid_request"),
        ("POST /admin/v1/stores", "null", 400, "invalid_request"),
        ("POST /admin/v1/stores", "[]", 400, "invalid_request"),
        ("POST /admin/v1/stores", "[77]", 400, "invalid_request"),
        ("POST /admin/v1/stores", "{} {}", 400, "invalid_request"),
        ("POST /admin/v1/stores", "\u{feff}{\"store_id\":77}", 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":77,"store_id":78}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":77,"storeId":78}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":"77"}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":0}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":-1}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":77.0}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":1e3}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":9007199254740992}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":99999999999999999999999}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":77,"domain":"a b"}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":77,"name":"a\u0000"}"#, 400, "invalid_request"),
        ("POST /admin/v1/stores", &name, 400, "invalid_request"),
        ("POST /admin/v1/stores", &deep, 400, "invalid_request"),
        ("POST /admin/v1/stores", &large, 413, "invalid_request"),
        ("POST /admin/v1/stores", r#"{"store_id":22}"#, 409, "conflict"),
        ("POST /admin/v1/stores", r#"{"store_id":77,"domain":"STORE-22.example.test"}"#, 409, "conflict"),
        ("POST /admin/v1/stores/22/suspend", r#"{"why":"x"}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps", r#"{"name":""}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps", r#"{"scopes":"read:orders"}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps", r#"{"name":"x","client_id":"a b"}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps", r#"{"name":"x","client_id":"a/../b"}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps", r#"{"name":"x","client_secret":"a b"}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps", r#"{"name":"x","scopes":"\"quoted\""}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps", r#"{"name":"x","allow_ip":["10.0.0.0/33"]}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps", r#"{"name":"x","allow_ip":"10.0.0.0/8"}"#, 400, "invalid_request"),
        ("PUT /admin/v1/apps/ID/allow-ip", "{}", 400, "invalid_request"),
        ("PUT /admin/v1/apps/ID/allow-ip", &many, 400, "invalid_request"),
        ("POST /admin/v1/apps/ID/rotate-secret", r#"{"overlap":"soon"}"#, 400, "invalid_request"),
        ("POST /admin/v1/apps/ID/rotate-secret", r#"{"overlap":3600}"#, 400, "invalid_request"),
        ("POST /admin/v1/installations", r#"{"client_id":"none","store_id":22}"#, 404, "not_found"),
        ("POST /admin/v1/installations", r#"{"client_id":"ID","store_id":99}"#, 404, "not_found"),
        ("POST /admin/v1/tokens", r#"{"client_id":"ID","store_id":23}"#, 409, "conflict"),
        ("POST /admin/v1/tokens", r#"{"client_id":"ID","store_id":22,"ttl":"0s"}"#, 400, "invalid_request"),
        ("POST /admin/v1/tokens", r#"{"client_id":"ID","store_id":22,"ttl":"200y"}"#, 400, "invalid_request"),
        ("POST /admin/v1/tokens/revoke", "{}", 400, "invalid_request"),
        ("POST /admin/v1/tokens/revoke", r#"{"token":"a","token_hash":"HASH"}"#, 400, "invalid_request"),
        ("POST /admin/v1/tokens/revoke", r#"{"token_hash":"00"}"#, 400, "invalid_request"),
        ("POST /admin/v1/operators", r#"{"name":"x","permissions":[]}"#, 400, "invalid_request"),
        ("POST /admin/v1/operators", r#"{"name":"x","permissions":["*"]}"#, 400, "invalid_request"),
        (
            "POST /admin/v1/operators",
            r#"{"name":"x","permissions":["apps__manage_app%73"]}"#,
            400,
            "invalid_request",
        ),
        (
            "POST /admin/v1/operators",
            r#"{"name":"x","permissions":["APPS__MANAGE_APPS"]}"#,
            400,
            "invalid_request",
        ),
        (
            "POST /admin/v1/operators",
            r#"{"name":"admin","permissions":["apps__view_apps"]}"#,
            400,
            "invalid_request",
        ),
        // Queries.
        ("GET /admin/v1/stores?limit=0", "", 400, "invalid_request"),
        ("GET /admin/v1/stores?limit=1001", "", 400, "invalid_request"),
        ("GET /admin/v1/stores?limit=-1", "", 400, "invalid_request"),
        ("GET /admin/v1/stores?limit=x", "", 400, "invalid_request"),
        ("GET /admin/v1/stores?limit=1&limit=2", "", 400, "invalid_request"),
        ("GET /admin/v1/stores?limits=1", "", 400, "invalid_request"),
        ("GET /admin/v1/stores?cursor=", "", 400, "invalid_request"),
        ("GET /admin/v1/stores?cursor=22", "", 400, "invalid_request"),
        ("GET /admin/v1/stores?cursor=YXVkaXQ6NQ", "", 400, "invalid_request"),
        ("GET /admin/v1/installations?store_id=022x", "", 400, "invalid_request"),
        ("GET /admin/v1/installations?store_id=0", "", 400, "invalid_request"),
        ("GET /admin/v1/installations?client_id=a%20b", "", 400, "invalid_request"),
        ("GET /admin/v1/usage?by=week", "", 400, "invalid_request"),
        ("GET /admin/v1/usage?limit=0", "", 400, "invalid_request"),
        ("GET /admin/v1/usage?store_id=0", "", 400, "invalid_request"),
        ("GET /admin/v1/usage?client_id=a%20b", "", 400, "invalid_request"),
        ("GET /admin/v1/usage?app=sx_app_1", "", 400, "invalid_request"),
        ("GET /admin/v1/audit?since=yesterday", "", 400, "invalid_request"),
        // Paths.
        ("GET /admin/v1/stores/0", "", 404, "not_found"),
        ("GET /admin/v1/stores/022", "", 404, "not_found"),
        ("GET /admin/v1/stores/-1", "", 404, "not_found"),
        ("GET /admin/v1/stores/99999999999999999999", "", 404, "not_found"),
        ("GET /admin/v1/stores/99", "", 404, "not_found"),
        ("GET /admin/v1/stores/22/", "", 404, "not_found"),
        ("GET /admin/v1/stores/%32%32", "", 400, "invalid_request"),
        ("GET /admin/v1/apps/none", "", 404, "not_found"),
        ("GET /admin/v1/installations/0", "", 404, "not_found"),
        ("GET /admin/v1/installations/9007199254740992", "", 404, "not_found"),
        ("DELETE /admin/v1/installations/99", "", 404, "not_found"),
        ("GET /admin/v1/tokens/00", "", 404, "not_found"),
        ("DELETE /admin/v1/tokens/xHASH", "", 404, "not_found"),
        ("GET /admin/v1/operators/ada", "", 404, "not_found"),
        ("PUT /admin/v1/operators/9/permissions", r#"{"permissions":["apps__view_apps"]}"#, 404, "not_found"),
        ("DELETE /admin/v1/operators/9", "", 404, "not_found"),
        ("GET /%61dmin/v1/stores", "", 400, "invalid_request"),
        ("GET /admin%2Fv1/stores", "", 400, "invalid_request"),
        ("GET /admin/v1/../v1/stores", "", 400, "invalid_request"),
        ("GET /admin//v1/stores", "", 400, "invalid_request"),
        ("GET //admin/v1/stores", "", 400, "invalid_request"),
        ("GET /admin/v1/stores;x", "", 404, "not_found"),
        ("GET /ADMIN/V1/stores", "", 404, "not_found"),
        ("GET /admin", "", 404, "not_found"),
        ("GET /admin/v2/stores", "", 404, "not_found"),
        ("GET /", "", 404, "not_found"),
        // Methods.
        ("PUT /admin/v1/stores", "", 405, "method_not_allowed"),
        ("DELETE /admin/v1/stores", "", 405, "method_not_allowed"),
        ("PATCH /admin/v1/stores/22", "{}", 405, "method_not_allowed"),
        ("GET /admin/v1/stores/22/suspend", "", 405, "method_not_allowed"),
        ("TRACE /admin/v1/stores", "", 405, "method_not_allowed"),
        ("POST /metrics", "", 405, "method_not_allowed"),
        ("get /admin/v1/stores", "", 405, "method_not_allowed"),
    ];
    for (line, body, status, code) in &rows {
        let answer = call(&gateway, &path(line), &[&admin], &path(body));
        let shown: String = body.chars().take(80).collect();
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (*status, *code),
            "{line} {shown}: {}",
            answer.text()
        );
        let json = answer.json();
        assert_eq!(json["status"], *status);
        assert!(json["message"].as_str().unwrap().len() > 5 && json["request_id"].is_string(), "{line}");
        assert!(answer.body.len() < 1000, "{line}: a long answer");
        assert_eq!(answer.field("allow").is_some(), *status == 405, "{line}");
    }
    assert!(rows.len() > 90);
    assert_eq!(gateway.place.json(&["audit"]), before, "nothing was changed");
    assert_eq!(gateway.orders(&world::client(&MAIN, "22")), 200);
}

#[test]
fn heads_that_are_refused() {
    let gateway = Gateway::start(&Settings::default());
    let admin = admin(&gateway);
    let long = format!("X-Long: {}", "x".repeat(100_000));
    for lines in [vec![long.as_str()], (0..200).map(|_| "X-Many: 1").collect()] {
        let head =
            format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n{}\r\n\r\n", gateway.admin, lines.join("\r\n"));
        assert_eq!(ask(gateway.admin, head).status, 431);
    }
    for key in ["Idempotency-Key:", "Idempotency-Key: a b", "Idempotency-Key: a\r\nIdempotency-Key: b"] {
        let answer = call(&gateway, "POST /admin/v1/stores", &[&admin, key], r#"{"store_id":77}"#);
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{key}");
    }
    let chunked = format!(
        "POST /admin/v1/stores HTTP/1.1\r\nHost: localhost\r\n{admin}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunk = format!("{:x}\r\n{}\r\n", 30_000, " ".repeat(30_000));
    let answer = ask(gateway.admin, format!("{chunked}{chunk}{chunk}{chunk}0\r\n\r\n"));
    assert_eq!(answer.status, 413, "whatever it says of its length");
    assert_eq!(gateway.admin("/healthz").status, 200);
}

/// Who sends nothing, or half a head, loses the connection; others are served meanwhile.
#[test]
fn a_slow_head_is_cut_off() {
    let gateway = Gateway::start(&Settings::default());
    let slow: Vec<Client> = ["", "GET /healthz HTTP/1.1\r\nHost:"]
        .iter()
        .map(|part| {
            let client = Client::connect(gateway.admin);
            client.stream().write_all(part.as_bytes()).unwrap();
            client
        })
        .collect();
    assert_eq!(gateway.admin("/healthz").status, 200);
    let began = Instant::now();
    for client in slow {
        let mut rest = Vec::new();
        let mut stream = client.stream();
        let _ = stream.read_to_end(&mut rest); // closed, or answered 408 and closed
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(19), "{:?}", began.elapsed());
}
