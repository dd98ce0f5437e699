//! Elastic Path: full and limited tokens, customers beside them, and 401 only where a new token would help.

use serde_json::{Value, json};

use crate::common::{Gateway, Response, now};
use crate::stage::{JSON, Made, app, form, gateway, gateway_with, post, send, text, token};

const PATH: &str = "/oauth/access_token";
const CUSTOMERS: &str = "/v2/customers/tokens";
const SCOPES: &str =
    "read:products write:products read:orders write:orders read:carts write:carts read:customers";

fn shop() -> (Gateway, Made) {
    furnished(gateway())
}

fn furnished(gateway: Gateway) -> (Gateway, Made) {
    let made = app(&gateway, &["--scopes", SCOPES]);
    gateway.place.ok(&["install", &made.id, "22"]);
    (gateway, made)
}

fn full(gateway: &Gateway, made: &Made) -> Response {
    let body = format!("grant_type=client_credentials&client_id={}&client_secret={}", made.id, made.secret);
    form(gateway, PATH, &body)
}

fn implicit(gateway: &Gateway, made: &Made) -> Response {
    form(gateway, PATH, &format!("grant_type=implicit&client_id={}", made.id))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[test]
fn full_and_limited_tokens() {
    let (gateway, made) = shop();
    let answer = full(&gateway, &made);
    let all = token(&answer);
    let told = answer.json();
    assert_eq!((&told["identifier"], &told["token_type"]), (&json!("client_credentials"), &json!("Bearer")));
    assert_eq!(told["expires_in"], 3600);
    assert!((told["expires"].as_i64().unwrap() - now() - 3600).abs() < 30);
    assert!(all.len() == 40 && all.bytes().all(|b| b.is_ascii_hexdigit()), "{all}");
    let answer = implicit(&gateway, &made);
    let limited = token(&answer);
    assert_eq!(answer.json()["identifier"], "implicit");
    for (line, by_all, by_limited) in [
        ("GET /v2/products", 200, 200),
        ("POST /v2/products", 200, 403),
        ("POST /v2/carts/1/items", 200, 200),
        ("GET /v2/carts/1", 200, 200),
        ("GET /v2/orders", 200, 403),
        ("POST /v2/orders", 200, 403),
        ("GET /v2/customers", 200, 403),
        ("GET /v2/settings", 403, 403),
    ] {
        for (token, status) in [(&all, by_all), (&limited, by_limited)] {
            assert_eq!(send(&gateway, line, &[&bearer(token)], "").status, status, "{line} {token}");
        }
    }
    // The examples of that platform label forms as JSON; its SDK sends either.
    let json = format!("Content-Type: {JSON}");
    token(&post(&gateway, PATH, &[&json], &format!("grant_type=implicit&client_id={}", made.id)));
    let body = json!({"grant_type": "implicit", "client_id": made.id}).to_string();
    let answer = post(&gateway, PATH, &[&json, "Origin: https://shop.example"], &body);
    token(&answer);
    assert_eq!(answer.field("access-control-allow-origin").as_deref(), Some("*"), "browsers may read it");
    let preflight = ["Origin: https://shop.example", "Access-Control-Request-Method: POST"];
    assert_eq!(send(&gateway, &format!("OPTIONS {PATH}"), &preflight, "").status, 204);
    gateway.place.ok(&["app", "rotate-secret", &made.id]);
    let status = |token: &str| send(&gateway, "GET /v2/products", &[&bearer(token)], "").status;
    assert_eq!((status(&all), status(&limited)), (401, 200), "no secret was shown for the limited one");
}

#[test]
fn the_operator_chooses_what_limited_tokens_may_do() {
    let routes = crate::common::Settings::default().routes
        + "\n[[token_endpoint]]\npath = \"/t\"\nplatform = \"elasticpath\"\nttl = \"2m\"\n\
           implicit_scopes = [\"read:orders\"]\n[[route]]\npath = \"/v2/{resource}/{*rest}\"\nplatform = \"elasticpath\"\n";
    let gateway = Gateway::start(&crate::common::Settings { routes, ..Default::default() });
    let (gateway, made) = furnished(gateway);
    let answer = form(&gateway, "/t", &format!("grant_type=implicit&client_id={}", made.id));
    let limited = bearer(&token(&answer));
    assert_eq!(answer.json()["expires_in"], 120);
    for (line, status) in [("GET /v2/orders", 200), ("POST /v2/orders", 403), ("GET /v2/products", 403)] {
        assert_eq!(send(&gateway, line, &[&limited], "").status, status, "{line}");
    }
}

#[test]
fn refusals_are_lists_of_objects() {
    let (gateway, made) = shop();
    let bound = app(&gateway, &["--scopes", SCOPES, "--allow-ip", "192.0.2.0/24"]);
    gateway.place.ok(&["install", &bound.id, "22"]);
    let suspended = app(&gateway, &["--scopes", SCOPES]);
    gateway.place.ok(&["install", &suspended.id, "24"]);
    let alone = app(&gateway, &[]);
    let secret = |id: &str, secret: &str| {
        format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")
    };
    let by_id = |id: &str| format!("grant_type=implicit&client_id={id}");
    let rows = [
        ("a wrong secret", secret(&made.id, "x"), 401, "Unauthorized"),
        ("no secret", format!("grant_type=client_credentials&client_id={}", made.id), 401, "Unauthorized"),
        ("an unknown id", by_id("sx_app_nobody"), 401, "Unauthorized"),
        ("no id", "grant_type=implicit".into(), 401, "Unauthorized"),
        ("another grant", by_id(&made.id).replace("implicit", "password"), 400, "Bad Request"),
        ("no grant", format!("client_id={}", made.id), 400, "Bad Request"),
        ("a name twice", by_id(&made.id) + "&grant_type=implicit", 400, "Bad Request"),
        ("an address outside the list", by_id(&bound.id), 403, "Forbidden"),
        ("a suspended store", by_id(&suspended.id), 403, "Forbidden"),
        ("installed nowhere", by_id(&alone.id), 403, "Forbidden"),
    ];
    for (sentence, body, status, title) in rows {
        let answer = form(&gateway, PATH, &body);
        let told = answer.json();
        let error = &told["errors"][0];
        assert_eq!(
            (answer.status, &error["status"], &error["title"]),
            (status, &json!(status), &json!(title)),
            "{sentence}"
        );
        let challenge = answer.field("www-authenticate");
        assert_eq!(challenge.as_deref(), (status == 401).then_some("Bearer"), "{sentence}");
        assert!(error["detail"].is_string() && told["errors"].as_array().unwrap().len() == 1, "{told}");
    }
    for (sentence, line, status, title) in [
        ("no token", "X-A: 1", 401, "Unable to validate access token"),
        (
            "an unknown token",
            "Authorization: Bearer 0123456789012345678901234567890123456789",
            401,
            "Unable to validate access token",
        ),
        ("another length", "Authorization: Bearer 0123", 401, "Unable to validate access token"),
        ("a session token", "Authorization: Bearer a.b.c", 401, "Unable to validate access token"),
    ] {
        let answer = send(&gateway, "GET /v2/products", &[line], "");
        // Shops in browsers fetch another token when they see it.
        assert_eq!(answer.field("access-control-allow-origin").as_deref(), Some("*"), "{sentence}");
        let error = &answer.json()["errors"][0];
        assert_eq!(
            (answer.status, &error["status"], &error["title"]),
            (status, &json!(status), &json!(title)),
            "{sentence}"
        );
    }
    let other = send(&gateway, "POST /v2/reports", &[], "");
    assert_eq!((other.status, &other.json()["errors"][0]["status"]), (405, &json!(405)));
    assert_eq!(other.field("access-control-allow-origin").as_deref(), Some("*"));
    let limited = bearer(&token(&implicit(&gateway, &made)));
    let missing = send(&gateway, "POST /v2/products", &[&limited], "");
    let error = &missing.json()["errors"][0];
    assert_eq!((missing.status, &error["title"]), (403, &json!("Forbidden")), "a new token would not help");
}

fn with_customers() -> (Gateway, Made) {
    let (gateway, made) = shop();
    let add = |who: &str, store: &str, email: &str| {
        let line =
            ["user", "add", who, "--store", store, "--email", email, "--name", "Rahim", "--password", "-"];
        assert_eq!(gateway.place.run_with(&line, "correct horse\n").code, 0);
    };
    add("customer:42", "22", "rahim@example.com");
    add("customer:43", "25", "karim@example.com");
    (gateway, made)
}

fn login(email: &str, password: &str) -> Value {
    json!({"data": {"type": "token", "email": email, "password": password}})
}

fn sign_in(gateway: &Gateway, lines: &[&str], body: &Value) -> Response {
    let json = format!("Content-Type: {JSON}");
    post(gateway, CUSTOMERS, &[&[&*json], lines].concat(), &body.to_string())
}

#[test]
fn customers_act_beside_a_limited_token() {
    let (gateway, made) = with_customers();
    let limited = bearer(&token(&implicit(&gateway, &made)));
    let answer = sign_in(&gateway, &[&limited], &login("Rahim@Example.com", "correct horse"));
    let told = answer.json();
    assert_eq!(answer.status, 200, "{told}");
    let data = &told["data"];
    assert_eq!((&data["type"], &data["customer_id"]), (&json!("token"), &json!("42")));
    assert!((data["expires"].as_i64().unwrap() - now() - 86_400).abs() < 30 && data["id"].is_string());
    let customer = format!("X-Moltin-Customer-Token: {}", text(&data["token"]));
    for (line, alone, beside) in [
        ("GET /v2/orders", 403, 200),
        ("POST /v2/orders", 403, 200),
        ("GET /v2/customers/42", 403, 200),
        ("POST /v2/products", 403, 403),
        ("GET /v2/products", 200, 200),
        ("POST /v2/addresses", 403, 403),
    ] {
        assert_eq!(send(&gateway, line, &[&limited], "").status, alone, "{line}");
        assert_eq!(send(&gateway, line, &[&limited, &customer], "").status, beside, "{line}");
    }
    let seen = gateway.upstream.take().pop().unwrap();
    assert_eq!(seen.field("x-subject").as_deref(), Some("customer:42"));
    assert_eq!(seen.field("x-moltin-customer-token"), None);
    assert!(seen.field("x-scopes").unwrap().contains("write:orders"));
    let forged = ["X-Subject: customer:1", limited.as_str()];
    send(&gateway, "GET /v2/products", &forged, "");
    assert_eq!(gateway.upstream.one().field("x-subject"), None, "the client cannot say who it is");

    let elsewhere = format!("X-Moltin-Customer-Token: {}", "0".repeat(64));
    for (sentence, lines) in [
        ("unknown", vec![limited.as_str(), &elsewhere]),
        ("twice", vec![limited.as_str(), &customer, &customer]),
        ("alone", vec![customer.as_str()]),
    ] {
        let status = send(&gateway, "GET /v2/products", &lines, "").status;
        assert_eq!(status, if sentence == "twice" { 400 } else { 401 }, "{sentence}");
    }
    let other = sign_in(&gateway, &[&limited], &login("rahim@example.com", "correct horse")).json();
    let leaked = text(&other["data"]["token"]).to_owned();
    gateway.place.ok(&["token", "revoke", &leaked]);
    let leaked = format!("X-Moltin-Customer-Token: {leaked}");
    assert_eq!(send(&gateway, "GET /v2/products", &[&limited, &leaked], "").status, 401);
    assert_eq!(send(&gateway, "GET /v2/products", &[&limited, &customer], "").status, 200);
    gateway.place.ok(&["user", "disable", "customer:42"]);
    let ended = send(&gateway, "GET /v2/products", &[&limited, &customer], "");
    assert_eq!(ended.status, 401, "at once");
    assert_eq!(sign_in(&gateway, &[&limited], &login("rahim@example.com", "correct horse")).status, 401);
}

#[test]
fn who_cannot_sign_in_hears_the_same() {
    let (gateway, made) = with_customers();
    let limited = bearer(&token(&implicit(&gateway, &made)));
    let mut told = Vec::new();
    for (sentence, email, password) in [
        ("a wrong password", "rahim@example.com", "correct horsf"),
        ("a longer password", "rahim@example.com", "correct horse battery"),
        ("nobody", "nobody@example.com", "correct horse"),
        ("a customer of another store", "karim@example.com", "correct horse"),
        ("no address at all", "rahim", "correct horse"),
    ] {
        let answer = sign_in(&gateway, &[&limited], &login(email, password));
        assert_eq!(answer.status, 401, "{sentence}");
        told.push(answer.text());
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    let good = login("rahim@example.com", "correct horse");
    let wrong_type = json!({"data": {"type": "oidc", "email": "a@b", "password": "x"}});
    for (sentence, lines, body, status) in [
        ("no app token", vec![], good.clone(), 401),
        (
            "an unknown app token",
            vec!["Authorization: Bearer 0123456789012345678901234567890123456789"],
            good.clone(),
            401,
        ),
        ("Basic", vec!["Authorization: Basic YTpi"], good.clone(), 401),
        ("another type", vec![limited.as_str()], wrong_type, 400),
        ("no data", vec![limited.as_str()], json!({}), 400),
        (
            "a password that is no text",
            vec![limited.as_str()],
            json!({"data": {"type": "token", "email": "a@b", "password": 1}}),
            400,
        ),
    ] {
        let answer = sign_in(&gateway, &lines, &body);
        assert_eq!(
            (answer.status, &answer.json()["errors"][0]["status"]),
            (status, &json!(status)),
            "{sentence}"
        );
    }
    assert_eq!(send(&gateway, &format!("GET {CUSTOMERS}"), &[&limited], "").status, 405);
}

#[test]
fn guessing_is_bounded_for_the_account() {
    let (gateway, made) = furnished(gateway_with("[hasher]\nthreads = 2"));
    let line = [
        "user",
        "add",
        "customer:42",
        "--store",
        "22",
        "--email",
        "r@example.com",
        "--name",
        "R",
        "--password",
        "-",
    ];
    assert_eq!(gateway.place.run_with(&line, "correct horse\n").code, 0);
    let limited = bearer(&token(&implicit(&gateway, &made)));
    // At once: each takes a while, and the account recovers meanwhile, by one in three seconds.
    let began = std::time::Instant::now();
    let statuses: Vec<u16> = std::thread::scope(|threads| {
        let guess = |n: usize| {
            let (gateway, limited) = (&gateway, &limited);
            threads.spawn(move || {
                sign_in(gateway, &[limited], &login("r@example.com", &format!("guess {n}"))).status
            })
        };
        let guesses: Vec<_> = (0..24).map(guess).collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
    });
    // Those that are computed may find a busy machine's queue full.
    let limited = statuses.iter().filter(|status| **status == 429).count();
    let tried = statuses.iter().filter(|status| [401, 503].contains(*status)).count();
    let back = usize::try_from(began.elapsed().as_secs() / 3).unwrap() + 1;
    assert!(limited <= 4 && limited + back >= 4 && tried == 24 - limited, "{back} came back: {statuses:?}");
}
