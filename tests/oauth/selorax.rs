//! The app install flow of SeloraX: code, pair, rotation, and what ends a family.

use serde_json::{Value, json};

use crate::common::{Gateway, Response, now};
use crate::stage::{JSON, Made, app, gateway, post, send, text};

const PATH: &str = "/api/apps/oauth/token";
const BACK: &str = "https://app.example/back";

/// An app that asks for two scopes, and merchant:7 of the stores 22 and 25.
fn flow() -> (Gateway, Made) {
    let gateway = gateway();
    let made = app(&gateway, &["--scopes", "read:orders write:orders", "--redirect-uri", BACK]);
    let merchant =
        ["user", "add", "merchant:7", "--store", "22", "--role", "owner", "--email", "m@example.com"];
    let done = gateway
        .place
        .run_with(&[&merchant[..], &["--name", "M", "--password", "-"]].concat(), "correct horse\n");
    assert_eq!(done.code, 0, "{done:?}");
    gateway.place.ok(&["user", "join", "merchant:7", "--store", "25", "--role", "staff"]);
    (gateway, made)
}

fn mint(gateway: &Gateway, made: &Made, more: &[&str]) -> String {
    let line = ["code", "mint", &made.id, "25", "--merchant", "merchant:7", "--redirect-uri", BACK];
    text(&gateway.place.json(&[&line[..], more].concat())["code"])
}

fn ask(gateway: &Gateway, body: &Value) -> Response {
    post(gateway, PATH, &[&format!("Content-Type: {JSON}")], &body.to_string())
}

fn by_code(made: &Made, code: &str) -> Value {
    json!({"grant_type": "authorization_code", "client_id": made.id, "client_secret": made.secret,
        "code": code, "redirect_uri": BACK})
}

fn by_refresh(made: &Made, token: &str) -> Value {
    json!({"grant_type": "refresh_token", "client_id": made.id, "client_secret": made.secret, "refresh_token": token})
}

/// The pair of an answer that must be 200.
#[track_caller]
fn pair(answer: &Response) -> (String, String) {
    let told = answer.json();
    assert_eq!((answer.status, &told["status"]), (200, &json!(200)), "{told}");
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    (text(&told["data"]["access_token"]), text(&told["data"]["refresh_token"]))
}

fn works(gateway: &Gateway, token: &str) -> bool {
    send(gateway, "GET /api/apps/v1/orders", &[&format!("Authorization: Bearer {token}")], "").status == 200
}

#[test]
fn a_code_installs_the_app_and_counts_once() {
    let (gateway, made) = flow();
    let code = mint(&gateway, &made, &["--scopes", "read:orders"]);
    assert!(code.starts_with("sx_ac_") && code.len() == 6 + 64, "{code}");
    let answer = ask(&gateway, &by_code(&made, &code));
    let (access, refresh) = pair(&answer);
    assert!(access.starts_with("sx_at_") && refresh.starts_with("sx_rt_"));
    let data = &answer.json()["data"];
    assert_eq!((&data["store_id"], &data["scopes"]), (&json!(25), &json!(["read:orders"])));
    assert!(data["installation_id"].as_u64().is_some_and(|id| id > 0));
    let ends = humantime::parse_rfc3339(data["expires_at"].as_str().unwrap()).unwrap();
    let ends = ends.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((ends.cast_signed() - now() - 86_400).abs() < 30, "{data}");
    assert!(works(&gateway, &access));
    let seen = gateway.upstream.one();
    assert_eq!(seen.field("x-subject").as_deref(), Some("merchant:7"));
    assert_eq!(seen.field("x-store-id").as_deref(), Some("25"));
    assert_eq!(seen.field("x-scopes").as_deref(), Some("read:orders"));
    let audited = gateway.place.json(&["audit"]).to_string();
    assert!(audited.contains("installation.create") && audited.contains("code.mint"), "{audited}");
    assert!(!audited.contains(&code));

    // An operator who finds one of the tokens somewhere ends both.
    let leaked = ask(&gateway, &by_code(&made, &mint(&gateway, &made, &[])));
    let (leaked_access, leaked_refresh) = pair(&leaked);
    gateway.place.ok(&["token", "revoke", &leaked_refresh]);
    assert!(!works(&gateway, &leaked_access) && works(&gateway, &access));

    // The second use is somebody's who copied it: what the first gave ends.
    let again = ask(&gateway, &by_code(&made, &code));
    assert_eq!((again.status, again.code()), (400, "invalid_grant".into()));
    assert!(!works(&gateway, &access));
    assert_eq!(ask(&gateway, &by_refresh(&made, &refresh)).code(), "invalid_grant");
    let bytes = gateway.place.replica_bytes();
    for secret in [&code, &access, &refresh] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[test]
fn refresh_tokens_rotate_and_reuse_ends_the_family() {
    let (gateway, made) = flow();
    let (first, old) = pair(&ask(&gateway, &by_code(&made, &mint(&gateway, &made, &[]))));
    let (second, newer) = pair(&ask(&gateway, &by_refresh(&made, &old)));
    assert!(works(&gateway, &first) && works(&gateway, &second) && old != newer);
    let (third, newest) = pair(&ask(&gateway, &by_refresh(&made, &newer)));
    let reused = ask(&gateway, &by_refresh(&made, &old));
    assert_eq!((reused.status, reused.code()), (400, "invalid_grant".into()));
    for token in [&first, &second, &third] {
        assert!(!works(&gateway, token), "the family ends at once");
    }
    assert_eq!(ask(&gateway, &by_refresh(&made, &newest)).code(), "invalid_grant");
    let (other, _) = pair(&ask(&gateway, &by_code(&made, &mint(&gateway, &made, &[]))));
    assert!(works(&gateway, &other), "another consent is another family");
}

#[test]
fn what_was_granted_ends_with_what_it_rests_on() {
    let (gateway, made) = flow();
    let fresh = |gateway: &Gateway| pair(&form_or_code(gateway, &made));
    let (access, refresh) = fresh(&gateway);
    gateway.place.ok(&["uninstall", &made.id, "25"]);
    assert!(!works(&gateway, &access));
    gateway.place.ok(&["install", &made.id, "25"]);
    assert!(!works(&gateway, &access), "another installation does not bring it back");
    assert_eq!(ask(&gateway, &by_refresh(&made, &refresh)).code(), "invalid_grant");

    let (access, refresh) = fresh(&gateway);
    gateway.place.ok(&["user", "leave", "merchant:7", "--store", "25"]);
    assert!(works(&gateway, &access), "until the next refresh");
    assert_eq!(ask(&gateway, &by_refresh(&made, &refresh)).code(), "invalid_grant");
    assert!(!works(&gateway, &access));
    gateway.place.ok(&["user", "join", "merchant:7", "--store", "25", "--role", "staff"]);

    let (access, refresh) = fresh(&gateway);
    gateway.place.ok(&["store", "suspend", "25"]);
    let answer = ask(&gateway, &by_refresh(&made, &refresh));
    assert_eq!((answer.status, answer.code()), (403, "store_suspended".into()));
    gateway.place.ok(&["store", "resume", "25"]);
    let (_, refresh) = pair(&ask(&gateway, &by_refresh(&made, &refresh)));
    gateway.place.ok(&["user", "disable", "merchant:7"]);
    assert!(!works(&gateway, &access));
    assert_eq!(ask(&gateway, &by_refresh(&made, &refresh)).code(), "invalid_grant");
}

fn form_or_code(gateway: &Gateway, made: &Made) -> Response {
    ask(gateway, &by_code(made, &mint(gateway, made, &[])))
}

#[test]
fn what_is_refused() {
    let (gateway, made) = flow();
    let other = app(&gateway, &["--scopes", "read:orders", "--redirect-uri", BACK]);
    let code = mint(&gateway, &made, &[]);
    let good = by_code(&made, &code);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let rows = [
        ("another app's code", with("client_id", json!(other.id)), 401, "invalid_client"),
        ("no client", with("client_id", Value::Null), 401, "invalid_client"),
        ("a wrong secret", with("client_secret", json!("x")), 401, "invalid_client"),
        ("an unknown code", with("code", json!("sx_ac_0")), 400, "invalid_grant"),
        ("an access token as a code", with("code", json!("sx_at_0")), 400, "invalid_grant"),
        ("an overlong code", with("code", json!("c".repeat(300))), 400, "invalid_grant"),
        ("no code", with("code", json!("")), 400, "invalid_request"),
        (
            "another redirect URI",
            with("redirect_uri", json!("https://app.example/back/")),
            400,
            "invalid_grant",
        ),
        ("no redirect URI", with("redirect_uri", Value::Null), 400, "invalid_request"),
        ("another grant", with("grant_type", json!("client_credentials")), 400, "unsupported_grant_type"),
    ];
    for (sentence, body, status, code) in rows {
        // The tenth of a minute would be 429.
        let answer = ask(&gateway, &body);
        assert_eq!(
            (answer.status, answer.code(), answer.json()["status"].clone()),
            (status, code.into(), json!(status)),
            "{sentence}"
        );
        assert!(!answer.text().contains(&made.secret), "{sentence}");
    }
    let stolen = json!({"grant_type": "authorization_code", "client_id": other.id, "client_secret": other.secret,
        "code": code, "redirect_uri": BACK});
    assert_eq!(ask(&gateway, &stolen).code(), "invalid_grant", "bound to its app");
    let message = ask(
        &gateway,
        &json!({"grant_type": "refresh_token", "client_id": other.id, "client_secret": "x",
        "refresh_token": "sx_rt_0"}),
    );
    assert_eq!(message.json()["message"], "Invalid client_secret.");
}

#[test]
fn ten_requests_a_minute() {
    let (gateway, made) = flow();
    let statuses: Vec<u16> = (0..12).map(|_| ask(&gateway, &by_code(&made, "sx_ac_0")).status).collect();
    assert_eq!(statuses[..10], [400; 10], "{statuses:?}");
    assert!(statuses[10..].contains(&429), "{statuses:?}");
    let other = app(&gateway, &["--redirect-uri", BACK]);
    assert_eq!(ask(&gateway, &by_code(&other, "sx_ac_0")).status, 400, "each app has its own");
}

#[test]
fn codes_are_minted_for_those_who_may() {
    let (gateway, made) = flow();
    let line = |store: &'static str, merchant: &'static str, uri: &'static str, scopes: &'static str| {
        ["code", "mint", &made.id, store, "--merchant", merchant, "--redirect-uri", uri, "--scopes", scopes]
            .map(str::to_owned)
    };
    for (line, text) in [
        (line("22", "merchant:8", BACK, "read:orders"), "merchant:8 may not act for store 22"),
        (line("23", "merchant:7", BACK, "read:orders"), "merchant:7 may not act for store 23"),
        (line("99", "merchant:7", BACK, "read:orders"), "no store 99"),
        (line("22", "customer:7", BACK, "read:orders"), "customer:7 may not act"),
        (line("22", "merchant:7", "https://evil.example", "read:orders"), "redirect URI"),
        (line("22", "merchant:7", BACK, "write:products"), "the app asks for"),
    ] {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let done = gateway.place.run(&line);
        assert!(done.code != 0 && done.err.contains(text), "{done:?}");
    }
}

#[test]
fn without_a_sign_in_nobody_is_sent_anywhere() {
    let (gateway, made) = flow();
    let query = |client: &str, uri: &str| {
        format!(
            "GET /api/apps/oauth/authorize?client_id={client}&redirect_uri={uri}&scope=read:orders,write:orders&state=x&store_id=25"
        )
    };
    for (sentence, line, status, code) in [
        ("nobody is signed in", query(&made.id, BACK), 401, "missing_token"),
        ("an unknown app", query("sx_app_nobody", BACK), 401, "invalid_client"),
        ("a foreign redirect URI", query(&made.id, "https://evil.example"), 400, "invalid_request"),
        (
            "a prefix of the redirect URI",
            query(&made.id, "https://app.example/back/x"),
            400,
            "invalid_request",
        ),
        ("no state", query(&made.id, BACK).replace("&state=x", ""), 400, "invalid_request"),
        ("no store", query(&made.id, BACK).replace("&store_id=25", ""), 400, "invalid_request"),
        ("twice", query(&made.id, BACK) + "&state=y", 400, "invalid_request"),
        ("POST", query(&made.id, BACK).replace("GET", "POST"), 405, "method_not_allowed"),
    ] {
        let answer = send(&gateway, &line, &[], "");
        assert_eq!((answer.status, answer.code()), (status, code.into()), "{sentence}");
        assert_eq!(answer.field("location"), None, "{sentence}");
    }
}
