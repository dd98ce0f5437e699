//! Shopify: the shop by its host, one organization, its header, its spellings, its session tokens.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::common::{Gateway, Response, now};
use crate::stage::{FORM, JSON, Made, app, gateway, post, send, text, token};

const PATH: &str = "/admin/oauth/access_token";
const HOST: &str = "Host: nakshi.myshop.test";

/// Store 40 at `nakshi.myshop.test` of org-1, with an app of org-1 installed in it.
fn shop(scopes: &str) -> (Gateway, Made) {
    let gateway = gateway();
    let domain = ["--domain", "nakshi.myshop.test", "--organization", "org-1"];
    gateway.place.ok(&[&["store", "add", "40"][..], &domain].concat());
    let made = app(&gateway, &["--organization", "org-1", "--scopes", scopes]);
    gateway.place.ok(&["install", &made.id, "40"]);
    (gateway, made)
}

fn ask(gateway: &Gateway, host: &str, made: &Made) -> Response {
    let body = format!("grant_type=client_credentials&client_id={}&client_secret={}", made.id, made.secret);
    post(gateway, PATH, &[host, &format!("Content-Type: {FORM}")], &body)
}

fn call(gateway: &Gateway, line: &str, lines: &[&str]) -> Response {
    send(gateway, line, &[&[HOST], lines].concat(), "")
}

#[test]
fn a_token_of_the_shop_at_the_host() {
    let (gateway, made) = shop("write_products read_products,read_customers read:orders");
    let answer = ask(&gateway, HOST, &made);
    let access_token = token(&answer);
    assert!(access_token.starts_with("shpat_") && access_token.len() == 38, "{access_token}");
    let told = answer.json();
    assert_eq!(told["expires_in"], 86399);
    assert_eq!(told["scope"], "read_customers,read_orders,write_products", "reading is implied by writing");
    for host in ["Host: NAKSHI.myshop.test", "Host: nakshi.myshop.test:8080", "Host: nakshi.myshop.test."] {
        token(&ask(&gateway, host, &made));
    }
    let body =
        json!({"client_id": made.id, "client_secret": made.secret, "grant_type": "client_credentials"});
    let json = format!("Content-Type: {JSON}");
    token(&post(&gateway, PATH, &[HOST, &json, "Accept: application/json"], &body.to_string()));

    let own = format!("X-Shopify-Access-Token: {access_token}");
    let bearer = format!("Authorization: Bearer {access_token}");
    for (line, status) in [
        ("GET /admin/api/2026-01/products", 200),
        ("GET /admin/api/2026-01/products.json?limit=1", 200),
        ("GET /admin/api/2026-01/themes.json", 403),
        ("PUT /admin/api/2026-01/products/1", 200),
        ("GET /admin/api/2026-01/customers", 200),
        ("GET /admin/api/2026-01/orders", 200),
        ("POST /admin/api/2026-01/orders", 403),
        ("GET /admin/api/2026-01/themes", 403),
    ] {
        for credential in [&own, &bearer] {
            assert_eq!(call(&gateway, line, &[credential]).status, status, "{line} {credential}");
        }
    }
    let seen = gateway.upstream.take().pop().unwrap();
    assert_eq!(seen.field("x-store-id").as_deref(), Some("40"));
    assert_eq!((seen.field("x-shopify-access-token"), seen.field("authorization")), (None, None));
    let elsewhere = send(&gateway, "GET /api/apps/v1/orders", &[&bearer], "");
    assert_eq!((elsewhere.status, elsewhere.code()), (401, "invalid_token".into()), "another family");
}

#[test]
fn what_the_token_endpoint_refuses() {
    let (gateway, made) = shop("read_products");
    gateway.place.ok(&["store", "add", "41", "--domain", "other.myshop.test", "--organization", "org-2"]);
    gateway.place.ok(&["store", "add", "42", "--domain", "plain.myshop.test"]);
    gateway.place.ok(&["store", "add", "43", "--domain", "new.myshop.test", "--organization", "org-1"]);
    gateway.place.ok(&["store", "add", "44", "--domain", "shut.myshop.test", "--organization", "org-1"]);
    for store in ["41", "42", "44"] {
        gateway.place.ok(&["install", &made.id, store]);
    }
    gateway.place.ok(&["store", "suspend", "44"]);
    let nobodys = app(&gateway, &["--scopes", "read_products"]);
    gateway.place.ok(&["install", &nobodys.id, "42"]);
    let rows = [
        ("another organization", "Host: other.myshop.test", &made, 400, "shop_not_permitted"),
        ("a shop of no organization", "Host: plain.myshop.test", &made, 400, "shop_not_permitted"),
        ("neither has one", "Host: plain.myshop.test", &nobodys, 400, "shop_not_permitted"),
        ("no such shop", "Host: nobody.myshop.test", &made, 400, "shop_not_permitted"),
        ("an address", "Host: 127.0.0.1", &made, 400, "shop_not_permitted"),
        ("not installed", "Host: new.myshop.test", &made, 400, "app_not_installed"),
        ("suspended", "Host: shut.myshop.test", &made, 400, "shop_not_permitted"),
    ];
    for (sentence, host, made, status, error) in rows {
        let answer = ask(&gateway, host, made);
        assert_eq!((answer.status, text(&answer.json()["error"])), (status, error.into()), "{sentence}");
    }
    let with = |secret: &str, grant: &str| json!({"client_id": made.id, "client_secret": secret, "grant_type": grant});
    let good = with(&made.secret, "client_credentials");
    let json = "application/json";
    let twice = good.to_string().replace("\"grant_type\"", "\"client_id\":\"x\",\"grant_type\"");
    let rows: [(&str, &str, String, u16, &str); 8] = [
        ("a wrong secret", json, with("x", "client_credentials").to_string(), 401, "invalid_client"),
        ("no secret", json, with("", "client_credentials").to_string(), 401, "invalid_client"),
        ("another grant", json, with(&made.secret, "password").to_string(), 400, "invalid_request"),
        ("no grant", json, with(&made.secret, "").to_string(), 400, "invalid_request"),
        ("a name twice", json, twice, 400, "invalid_request"),
        ("no object", json, "[]".into(), 400, "invalid_request"),
        ("JSON that calls itself a form", FORM, good.to_string(), 400, "invalid_request"),
        ("another content type", "text/plain", good.to_string(), 400, "invalid_request"),
    ];
    for (sentence, media, body, status, error) in rows {
        let answer = post(&gateway, PATH, &[HOST, &format!("Content-Type: {media}")], &body);
        let told = answer.json();
        assert_eq!((answer.status, text(&told["error"])), (status, error.into()), "{sentence}: {told}");
        assert_eq!(answer.field("www-authenticate").is_some(), status == 401, "{sentence}");
        assert!(!answer.text().contains(&made.secret), "{sentence}");
    }
    let wrong_at_foreign = Made { id: made.id.clone(), secret: "x".into(), signing_key: String::new() };
    let answer = ask(&gateway, "Host: other.myshop.test", &wrong_at_foreign);
    assert_eq!(answer.json()["error"], "invalid_client", "nothing is told of shops before the secret");
}

#[test]
fn refusals_on_the_routes_have_that_platforms_shape() {
    let (gateway, made) = shop("read_products");
    let access_token = token(&ask(&gateway, HOST, &made));
    let own = format!("X-Shopify-Access-Token: {access_token}");
    const UNKNOWN: &str = "[API] Invalid API key or access token (unrecognized login or wrong password)";
    let products = "GET /admin/api/2026-01/products";
    for (sentence, lines, status, message) in [
        ("nothing", vec![], 401, UNKNOWN),
        (
            "an unknown token",
            vec!["X-Shopify-Access-Token: shpat_00000000000000000000000000000000"],
            401,
            UNKNOWN,
        ),
        ("another family", vec!["X-Shopify-Access-Token: sx_rt_1"], 401, UNKNOWN),
        ("an empty token", vec!["X-Shopify-Access-Token:"], 401, UNKNOWN),
        (
            "and as bearer token",
            vec![own.as_str(), "Authorization: Bearer shpat_1"],
            400,
            "[API] Send the access token once, as X-Shopify-Access-Token or as Bearer token",
        ),
        ("twice", vec![own.as_str(), own.as_str()], 400, "The header of a token may be sent only once."),
    ] {
        let answer = call(&gateway, products, &lines);
        assert_eq!((answer.status, answer.json()), (status, json!({"errors": message})), "{sentence}");
        let challenge = answer.field("www-authenticate");
        let expected = (status == 401).then_some("Basic Realm=\"Shopify API Authentication\"");
        assert_eq!(challenge.as_deref(), expected, "{sentence}");
        assert_eq!(answer.field("content-type").as_deref(), Some("application/json"));
    }
    let both = call(&gateway, products, &[&own, "Authorization: Bearer shpat_1"]);
    assert_eq!(both.status, 400);
    let missing = call(&gateway, "DELETE /admin/api/2026-01/products/1", &[&own]);
    let message = "[API] This action requires merchant approval for write_products scope.";
    assert_eq!((missing.status, missing.json()), (403, json!({"errors": message})));
    gateway.place.ok(&["uninstall", &made.id, "40"]);
    assert_eq!(call(&gateway, products, &[&own]).status, 401);
    assert!(gateway.upstream.take().is_empty());
}

#[test]
fn rotation_overlaps_and_revoking_a_secret_ends_its_tokens() {
    let (gateway, made) = shop("read_products");
    let products = "GET /admin/api/2026-01/products";
    let works =
        |token: &str| call(&gateway, products, &[&format!("X-Shopify-Access-Token: {token}")]).status == 200;
    let old = token(&ask(&gateway, HOST, &made));
    let rotated = gateway.place.json(&["app", "rotate-secret", &made.id, "--overlap", "24h"]);
    let new =
        Made { secret: text(&rotated["client_secret"]), id: made.id.clone(), signing_key: String::new() };
    let (by_old, by_new) = (token(&ask(&gateway, HOST, &made)), token(&ask(&gateway, HOST, &new)));
    assert!(works(&old) && works(&by_old) && works(&by_new));
    // The old one leaves before its time; what was obtained with the new one stays.
    gateway.place.ok(&["app", "revoke-old-secrets", &made.id]);
    assert!(!works(&old) && !works(&by_old) && works(&by_new));
    assert_eq!((ask(&gateway, HOST, &made).status, ask(&gateway, HOST, &new).status), (401, 200));
    gateway.place.ok(&["app", "rotate-secret", &made.id]);
    assert!(!works(&by_new));
    assert_eq!(ask(&gateway, HOST, &new).status, 401);
}

fn session(key: &str, change: impl Fn(&mut Value), client_id: &str) -> String {
    let now = now();
    let mut claims = json!({
        "iss": "https://nakshi.myshop.test/admin", "dest": "https://nakshi.myshop.test", "aud": client_id,
        "sub": "42", "exp": now + 60, "nbf": now, "iat": now, "jti": "f8912129-1af6-4cad-9ca3-76b0f7621087",
        "sid": "aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685", "sig": "f07cf3740270",
    });
    change(&mut claims);
    let part = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    let input = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(&claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
}

type Change = Box<dyn Fn(&mut Value)>;

#[test]
fn session_tokens_of_that_platform() {
    let (gateway, made) = shop("read_products");
    let ask = |token: &str| {
        call(&gateway, "GET /admin/api/2026-01/products", &[&format!("Authorization: Bearer {token}")]).status
    };
    let plain = |key: &str| session(key, |_| (), &made.id);
    assert_eq!(ask(&plain(&made.secret)), 200, "signed with the client secret");
    let seen = gateway.upstream.one();
    assert_eq!(seen.field("x-auth-method").as_deref(), Some("session"));
    assert_eq!(seen.field("x-subject").as_deref(), Some("42"));
    assert_eq!(seen.field("x-store-id").as_deref(), Some("40"));
    assert_eq!(ask(&plain(&made.signing_key)), 200, "or with the session signing key");
    // Each is made when it is sent: seconds count.
    let rows: [(&str, u16, Change); 12] = [
        ("3 s past its end", 200, Box::new(|claims| claims["exp"] = json!(now() - 3))),
        ("15 s past its end", 401, Box::new(|claims| claims["exp"] = json!(now() - 15))),
        ("5 s ahead", 200, Box::new(|claims| claims["nbf"] = json!(now() + 5))),
        ("30 s ahead", 401, Box::new(|claims| claims["nbf"] = json!(now() + 30))),
        ("too long a life", 401, Box::new(|claims| claims["exp"] = json!(now() + 3600))),
        ("no end", 401, Box::new(|claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("another shop in dest", 401, Box::new(|claims| claims["dest"] = json!("https://other.test"))),
        (
            "another shop in both",
            401,
            Box::new(|claims| {
                claims["dest"] = json!("https://other.test");
                claims["iss"] = json!("https://other.test/admin");
            }),
        ),
        ("a list of audiences", 401, Box::new(|claims| claims["aud"] = json!([claims["aud"].clone()]))),
        ("an unknown app", 401, Box::new(|claims| claims["aud"] = json!("sx_app_nobody"))),
        ("plain http", 401, Box::new(|claims| claims["dest"] = json!("http://nakshi.myshop.test"))),
        ("a person that is no number", 401, Box::new(|claims| claims["sub"] = json!("merchant:7"))),
    ];
    for (sentence, status, change) in rows {
        let token = session(
            &made.secret,
            |claims| {
                if sentence.contains("past its end") {
                    claims["nbf"] = json!(now() - 60);
                    claims["iat"] = json!(now() - 60);
                }
                change(claims);
            },
            &made.id,
        );
        assert_eq!(ask(&token), status, "{sentence}");
    }
    for key in ["x", &made.id, &made.secret[..73], "sx_secret_"] {
        assert_eq!(ask(&plain(key)), 401, "{key}");
    }
    let elsewhere = format!("Authorization: Bearer {}", plain(&made.signing_key));
    assert_eq!(
        send(&gateway, "GET /api/apps/v1/orders", &[&elsewhere], "").status,
        401,
        "not on other routes"
    );
    gateway.place.ok(&["app", "rotate-secret", &made.id]);
    assert_eq!(ask(&plain(&made.secret)), 401, "the secret is gone");
    assert_eq!(ask(&plain(&made.signing_key)), 200);
    gateway.place.ok(&["store", "suspend", "40"]);
    assert_eq!(ask(&plain(&made.signing_key)), 403);
}

/// The upstream may take the shop from the host, so that a token must not act at the host of another one.
#[test]
fn a_token_of_one_shop_is_not_good_at_another() {
    let (gateway, made) = shop("read_products");
    gateway.place.ok(&["store", "add", "41", "--domain", "other.myshop.test", "--organization", "org-1"]);
    gateway.place.ok(&["install", &made.id, "41"]);
    let opaque = format!("X-Shopify-Access-Token: {}", token(&ask(&gateway, HOST, &made)));
    let signed = format!("Authorization: Bearer {}", session(&made.secret, |_| (), &made.id));
    let at = |host: &str, credential: &str| {
        let answer = send(&gateway, "GET /admin/api/2026-01/products", &[host, credential], "");
        let challenge = answer.field("www-authenticate");
        assert_eq!(challenge.is_some(), answer.status == 401, "{host} {credential}");
        answer.status
    };
    for credential in [&opaque, &signed] {
        for (host, status) in [
            (HOST, 200),
            ("Host: NAKSHI.MyShop.test.:8080", 200),
            ("Host: api.test", 200),
            ("Host: 127.0.0.1:8080", 200),
            ("Host: other.myshop.test", 401),
            ("Host: OTHER.myshop.test", 401),
            ("Host: other.myshop.test.", 401),
            ("Host: other.myshop.test:8080", 401),
        ] {
            assert_eq!(at(host, credential), status, "{host} {credential}");
        }
    }
    assert_eq!(at("Host: api.test", "X-Shopify-Access-Token: shpat_1"), 401);
    // The domain moves: what was good is not, and the other way round.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stores.jsonl");
    let domain = |id: u32, name: &str| json!({"type": "store", "store_id": id, "domain": format!("{name}.myshop.test")});
    let moved = format!("{}\n{}\n", domain(40, "moved"), domain(41, "nakshi"));
    std::fs::write(&file, moved).unwrap();
    gateway.place.ok(&["import", file.to_str().unwrap()]);
    assert_eq!(at(HOST, &opaque), 401);
    assert_eq!(at("Host: moved.myshop.test", &opaque), 200);
}
