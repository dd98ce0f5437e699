//! RFC 6749 section 4.4, 7662, 7009 and 8414.

use serde_json::json;

use crate::common::now;
use crate::common::world::{BCRYPT, BOUND, DISABLED, MAIN, OTHER};
use crate::stage::{basic, form, gateway, post, send, status, text, token};

const PATH: &str = "/oauth/token";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

fn grant(more: &str) -> String {
    let (id, secret) = (MAIN.client_id, MAIN.secret);
    format!("grant_type=client_credentials&client_id={id}&client_secret={secret}{more}")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[test]
fn a_token_works_from_the_moment_of_the_answer() {
    let gateway = gateway();
    let before = now();
    let answer = form(&gateway, PATH, &grant("&store_id=22&scope=read%3Aorders"));
    let made = token(&answer);
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(body["scope"], "read:orders");
    assert_eq!(answer.field("content-type").as_deref(), Some("application/json"));
    assert_eq!(answer.field("pragma").as_deref(), Some("no-cache"));
    assert!(made.starts_with("sx_at_") && made.len() == 6 + 64, "{made}");
    for (line, expected) in [
        ("GET /standard/orders", 200),
        ("GET /api/apps/v1/orders", 200),
        ("POST /standard/orders", 403),
        ("GET /standard/products", 403),
    ] {
        assert_eq!(status(&gateway, line, &[&bearer(&made)]), expected, "{line}");
    }
    let seen = gateway.upstream.take().pop().unwrap();
    assert_eq!(seen.field("x-store-id").as_deref(), Some("22"));
    assert_eq!(seen.field("x-auth-method").as_deref(), Some("oauth"));
    assert_eq!(seen.field("authorization"), None);
    // The only installation in a store is meant where none is named; its scopes are granted where none are.
    let answer = form(&gateway, PATH, &grant(""));
    assert_eq!(answer.status, 400, "it is installed in two stores: {}", answer.text());
    let lone =
        format!("grant_type=client_credentials&client_id={}&client_secret={}", OTHER.client_id, OTHER.secret);
    let answer = form(&gateway, PATH, &lone);
    token(&answer);
    assert_eq!(answer.json()["scope"], "read:orders read:products write:orders");
    assert!(now() - before < 60);
    assert!(!gateway.place.replica_bytes().windows(made.len()).any(|window| window == made.as_bytes()));
}

#[test]
fn each_way_of_authentication_alone() {
    let gateway = gateway();
    let body = "grant_type=client_credentials&store_id=22";
    let (id, secret) = (MAIN.client_id, MAIN.secret);
    let escaped = |text: &str| text.replace('_', "%5F");
    for (id, secret) in [(id.to_owned(), secret.to_owned()), (escaped(id), escaped(secret))] {
        let answer = post(&gateway, PATH, &[FORM, &basic(&id, &secret)], body);
        token(&answer);
        let answer = form(&gateway, PATH, &format!("{body}&client_id={id}&client_secret={secret}"));
        token(&answer);
    }
    let both = format!("{body}&client_id={id}");
    token(&post(&gateway, PATH, &[FORM, &basic(id, secret)], &both));
    token(&post(
        &gateway,
        PATH,
        &[FORM, &basic(BCRYPT.client_id, BCRYPT.secret)],
        "grant_type=client_credentials",
    ));
}

/// (sentence, header lines, body, status, error)
type Row = (&'static str, Vec<String>, String, u16, &'static str);

#[test]
fn what_is_refused() {
    let gateway = gateway();
    gateway.place.ok(&["app", "allow-ip", BOUND.client_id, "192.0.2.0/24"]);
    let post_only = crate::stage::app(&gateway, &["--token-auth", "post"]);
    let basic_only = crate::stage::app(&gateway, &["--token-auth", "basic"]);
    let body = "grant_type=client_credentials&store_id=22";
    let of = |id: &str, secret: &str| format!("{body}&client_id={id}&client_secret={secret}");
    let main = || basic(MAIN.client_id, MAIN.secret);
    let form = || vec![FORM.to_owned()];
    let with = |line: String| vec![FORM.to_owned(), line];
    let rows: Vec<Row> = vec![
        ("no body", form(), String::new(), 400, "invalid_request"),
        ("no grant type", with(main()), "store_id=22".into(), 400, "invalid_request"),
        ("an empty grant type", with(main()), "grant_type=&store_id=22".into(), 400, "invalid_request"),
        ("another grant", with(main()), "grant_type=password".into(), 400, "unsupported_grant_type"),
        (
            "implicit is another platform's",
            with(main()),
            "grant_type=implicit".into(),
            400,
            "unsupported_grant_type",
        ),
        ("a parameter twice", with(main()), format!("{body}&store_id=22"), 400, "invalid_request"),
        ("twice, escaped", with(main()), format!("{body}&store%5fid=22"), 400, "invalid_request"),
        ("a bad escape", with(main()), format!("{body}&x=%zz"), 400, "invalid_request"),
        ("bytes that are no text", with(main()), format!("{body}&x=%ff"), 400, "invalid_request"),
        ("no client", form(), body.into(), 401, "invalid_client"),
        (
            "an id and no secret",
            form(),
            format!("{body}&client_id={}", MAIN.client_id),
            401,
            "invalid_client",
        ),
        ("a secret and no id", form(), format!("{body}&client_secret=x"), 401, "invalid_client"),
        ("a wrong secret", form(), of(MAIN.client_id, "sx_secret_wrong"), 401, "invalid_client"),
        ("another app's secret", form(), of(MAIN.client_id, OTHER.secret), 401, "invalid_client"),
        ("the signing key", form(), of(MAIN.client_id, MAIN.signing_key), 401, "invalid_client"),
        ("a secret cut off", form(), of(MAIN.client_id, &MAIN.secret[..70]), 401, "invalid_client"),
        ("a wrong bcrypt secret", form(), of(BCRYPT.client_id, "sx_secret_wrong"), 401, "invalid_client"),
        ("an overlong secret", form(), of(MAIN.client_id, &"s".repeat(257)), 401, "invalid_client"),
        ("an unknown app", form(), of("sx_app_nobody", MAIN.secret), 401, "invalid_client"),
        ("a malformed id", form(), of("sx app", MAIN.secret), 401, "invalid_client"),
        ("a disabled app", form(), of(DISABLED.client_id, DISABLED.secret), 401, "invalid_client"),
        ("an address outside the list", form(), of(BOUND.client_id, BOUND.secret), 403, "access_denied"),
        (
            "Basic and a secret in the body",
            with(main()),
            of(MAIN.client_id, MAIN.secret),
            400,
            "invalid_request",
        ),
        ("Basic and another id", with(main()), format!("{body}&client_id=x"), 400, "invalid_request"),
        ("Basic without a secret", with(basic(MAIN.client_id, "")), body.into(), 401, "invalid_client"),
        (
            "Basic that is no base64",
            with("Authorization: Basic !".into()),
            body.into(),
            401,
            "invalid_client",
        ),
        (
            "Basic without a colon",
            with("Authorization: Basic YQ==".into()),
            body.into(),
            401,
            "invalid_client",
        ),
        ("Authorization twice", vec![FORM.into(), main(), main()], body.into(), 400, "invalid_request"),
        ("a bearer token", with("Authorization: Bearer sx_at_1".into()), body.into(), 401, "invalid_client"),
        (
            "Basic where post is registered",
            with(basic(&post_only.id, &post_only.secret)),
            body.into(),
            401,
            "invalid_client",
        ),
        (
            "post where Basic is registered",
            form(),
            of(&basic_only.id, &basic_only.secret),
            401,
            "invalid_client",
        ),
        ("no content type", vec![main()], body.into(), 400, "invalid_request"),
        (
            "JSON",
            vec!["Content-Type: application/json".into(), main()],
            r#"{"grant_type":"client_credentials"}"#.into(),
            400,
            "invalid_request",
        ),
        ("two content types", vec![FORM.into(), FORM.into(), main()], body.into(), 400, "invalid_request"),
        (
            "a malformed store",
            with(main()),
            "grant_type=client_credentials&store_id=022".into(),
            400,
            "invalid_request",
        ),
        (
            "an unknown store",
            with(main()),
            "grant_type=client_credentials&store_id=99".into(),
            400,
            "unauthorized_client",
        ),
        (
            "another app's store",
            with(main()),
            "grant_type=client_credentials&store_id=25".into(),
            400,
            "unauthorized_client",
        ),
        (
            "uninstalled",
            with(main()),
            "grant_type=client_credentials&store_id=23".into(),
            400,
            "unauthorized_client",
        ),
        (
            "a suspended store",
            with(main()),
            "grant_type=client_credentials&store_id=24".into(),
            403,
            "access_denied",
        ),
        ("a scope that it lacks", with(main()), format!("{body}&scope=write:products"), 400, "invalid_scope"),
        (
            "a scope too many",
            with(main()),
            format!("{body}&scope=read:orders+write:products"),
            400,
            "invalid_scope",
        ),
        ("no scope token", with(main()), format!("{body}&scope=%22"), 400, "invalid_scope"),
        ("installed nowhere", form(), of(&post_only.id, &post_only.secret), 400, "unauthorized_client"),
    ];
    for (sentence, lines, body, status, error) in rows {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = post(&gateway, PATH, &lines, &body);
        let told = answer.json();
        assert_eq!((answer.status, text(&told["error"])), (status, error.to_owned()), "{sentence}: {told}");
        assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"), "{sentence}");
        assert!(told["error_description"].is_string() && told.get("access_token").is_none(), "{sentence}");
        assert_eq!(answer.field("www-authenticate").is_some(), status == 401, "{sentence}");
        for secret in [MAIN.secret, OTHER.secret, MAIN.signing_key] {
            assert!(!answer.text().contains(secret), "{sentence}");
        }
    }
}

#[test]
fn a_rotated_secret_ends_what_was_obtained_with_it() {
    let gateway = gateway();
    let ask = |secret: &str| {
        let body = format!(
            "grant_type=client_credentials&store_id=22&client_id={}&client_secret={secret}",
            MAIN.client_id
        );
        form(&gateway, PATH, &body)
    };
    let works = |token: &str| status(&gateway, "GET /standard/orders", &[&bearer(token)]) == 200;
    let first = token(&ask(MAIN.secret));
    let rotated = gateway.place.json(&["app", "rotate-secret", MAIN.client_id, "--overlap", "1h"]);
    let secret = text(&rotated["client_secret"]);
    let second = token(&ask(&secret));
    let third = token(&ask(MAIN.secret));
    assert!(works(&first) && works(&second) && works(&third), "both secrets count");
    let issued = gateway.place.json(&["token", "issue", MAIN.client_id, "22"]);
    gateway.place.ok(&["app", "rotate-secret", MAIN.client_id]);
    assert!(!works(&first) && !works(&second) && !works(&third));
    assert_eq!(ask(&secret).status, 401);
    assert!(works(&text(&issued["access_token"])), "the operator's token rests on no secret");
}

#[test]
fn introspection_is_for_ones_own_tokens() {
    let gateway = gateway();
    let made = token(&form(&gateway, PATH, &grant("&store_id=22&scope=read:orders")));
    let main = basic(MAIN.client_id, MAIN.secret);
    let introspect = |line: &str, token: &str| {
        post(&gateway, "/oauth/introspect", &[FORM, line], &format!("token={token}"))
    };
    let told = introspect(&main, &made).json();
    assert_eq!((&told["active"], &told["scope"]), (&json!(true), &json!("read:orders")), "{told}");
    assert_eq!((&told["client_id"], &told["store_id"]), (&json!(MAIN.client_id), &json!(22)));
    assert!((told["exp"].as_i64().unwrap() - now() - 3600).abs() < 30, "{told}");
    let other = basic(OTHER.client_id, OTHER.secret);
    let inactive = [
        ("of another app", introspect(&other, &made)),
        ("unknown", introspect(&main, "sx_at_nobody")),
        ("overlong", introspect(&main, &"x".repeat(300))),
        ("expired", introspect(&main, crate::common::world::TOKEN_EXPIRED)),
        ("revoked", introspect(&main, crate::common::world::TOKEN_REVOKED)),
        ("of a suspended store", introspect(&main, crate::common::world::TOKEN_SUSPENDED)),
        ("of an ended installation", introspect(&main, crate::common::world::TOKEN_UNINSTALLED)),
    ];
    for (sentence, answer) in inactive {
        assert_eq!((answer.status, answer.json()), (200, json!({"active": false})), "{sentence}");
    }
    let below = post(&gateway, "/oauth/token/introspect", &[FORM, &main], &format!("token={made}"));
    assert_eq!(below.json()["active"], true, "below the endpoint as well as beside it");
    for (sentence, answer, status, error) in [
        ("no client", introspect("X-A: 1", &made), 401, "invalid_client"),
        ("a wrong secret", introspect(&basic(MAIN.client_id, "x"), &made), 401, "invalid_client"),
        ("by token alone", introspect(&bearer(&made), &made), 401, "invalid_client"),
        ("no token", introspect(&main, ""), 400, "invalid_request"),
        ("GET", send(&gateway, "GET /oauth/introspect", &[&main], ""), 405, "invalid_request"),
    ] {
        assert_eq!((answer.status, text(&answer.json()["error"])), (status, error.into()), "{sentence}");
    }
}

#[test]
fn revocation_ends_ones_own_tokens_at_once() {
    let gateway = gateway();
    let made = token(&form(&gateway, PATH, &grant("&store_id=22")));
    let revoke =
        |line: &str, token: &str| post(&gateway, "/oauth/revoke", &[FORM, line], &format!("token={token}"));
    let works = || status(&gateway, "GET /standard/orders", &[&bearer(&made)]) == 200;
    let other = revoke(&basic(OTHER.client_id, OTHER.secret), &made);
    assert_eq!((other.status, other.json()), (200, json!({})), "whether there is one is not told");
    assert!(works(), "it is not the other app's to end");
    assert_eq!(revoke(&basic(MAIN.client_id, "x"), &made).status, 401);
    assert!(works());
    let main = basic(MAIN.client_id, MAIN.secret);
    assert_eq!(revoke(&main, "sx_at_nobody").status, 200);
    let answer = revoke(&main, &made);
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    assert!(!works());
    assert_eq!(revoke(&main, &made).status, 200, "twice");
    assert_eq!(revoke(&main, "").status, 400);
}

#[test]
fn the_metadata_say_where_everything_is() {
    let gateway = gateway();
    let lines: [&str; 0] = [];
    let answer = gateway.ask("GET /.well-known/oauth-authorization-server", &lines);
    let told = answer.json();
    assert_eq!((answer.status, &told["issuer"]), (200, &json!("http://api.example.test")));
    assert_eq!(told["token_endpoint"], "http://api.example.test/oauth/token");
    assert_eq!(told["introspection_endpoint"], "http://api.example.test/oauth/introspect");
    assert_eq!(told["revocation_endpoint"], "http://api.example.test/oauth/revoke");
    assert_eq!(told["grant_types_supported"], json!(["client_credentials"]));
    assert_eq!(gateway.ask("POST /.well-known/oauth-authorization-server", &lines).status, 405);
    assert_eq!(gateway.ask("HEAD /.well-known/oauth-authorization-server", &lines).status, 200);
}
