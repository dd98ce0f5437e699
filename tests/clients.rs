//! The platforms' own client libraries and those of the standard, against a running gateway. `make clients`
//! installs them and runs this; where they are not installed each test says so and is skipped.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic, and says what it skips

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use common::{Gateway, Place, RecordingUpstream, Settings};

/// A store API that answers every request with who was calling, as the gateway told it.
fn store_api() -> SocketAddr {
    use axum::http::HeaderMap;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let answer = |headers: HeaderMap| async move {
                let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
                let token = of("authorization").or_else(|| of("x-shopify-access-token"));
                axum::Json(json!({"data": {
                    "store": of("x-store-id"), "subject": of("x-subject"), "method": of("x-auth-method"), "token": token,
                }}))
            };
            let router = axum::Router::new().fallback(answer);
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
        });
    });
    address
}

const ROUTES: &str = r#"
[[token_endpoint]]
path = "/oauth/token"
platform = "standard"

[[token_endpoint]]
path = "/admin/oauth/access_token"
platform = "shopify"

[[token_endpoint]]
path = "/oauth/access_token"
platform = "elasticpath"

[customer_tokens]
path = "/v2/customers/tokens"

[[route]]
path = "/admin/api/{version}/graphql.json"
platform = "shopify"
scopes = "none"

[[route]]
path = "/admin/api/{version}/{resource}/{*rest}"
platform = "shopify"

[[route]]
path = "/v2/{resource}/{*rest}"
platform = "elasticpath"

[[route]]
path = "/standard/{resource}/{*rest}"
platform = "standard"
"#;

fn gateway() -> Gateway {
    let settings = Settings { routes: ROUTES.into(), ..Settings::default() };
    let place = Place::with(&settings.toml(&store_api().to_string()));
    place.seed();
    Gateway::start_in(place, RecordingUpstream::start())
}

/// An app that is installed in a store: its id and secret.
fn app(gateway: &Gateway, store: &str, arguments: &[&str]) -> (String, String) {
    let made = gateway.place.json(&[&["app", "create", "--name", "Client"], arguments].concat());
    let of = |name: &str| made[name].as_str().unwrap().to_owned();
    gateway.place.ok(&["install", &of("client_id"), store]);
    (of("client_id"), of("client_secret"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients")
}

/// What a script prints; `None` where what it needs is not installed.
fn run(program: &Path, needs: &Path, script: &str, environment: &[(&str, &str)]) -> Option<Value> {
    if !needs.exists() || Command::new(program).arg("--version").output().is_err() {
        println!("skipped: {} is not there; `make clients` installs it", needs.display());
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let mut command = Command::new(program);
    command.arg(script).env("NODE_PATH", folder().join("node_modules")).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // The SDK says things of its own before.
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    Some(serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

fn node(package: &str, script: &str, environment: &[(&str, &str)]) -> Option<Value> {
    run(Path::new("node"), &folder().join("node_modules").join(package), script, environment)
}

#[test]
fn elastic_paths_sdk() {
    let gateway = gateway();
    let scopes = "read:products write:products read:orders write:orders read:customers";
    let (id, secret) = app(&gateway, "22", &["--scopes", scopes]);
    let user = [
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
    assert_eq!(gateway.place.run_with(&user, "correct horse\n").code, 0);
    let host = gateway.address.to_string();
    let environment = [
        ("HOST", &*host),
        ("CLIENT_ID", &id),
        ("CLIENT_SECRET", &secret),
        ("EMAIL", "r@example.com"),
        ("PASSWORD", "correct horse"),
    ];
    let Some(seen) = node("@moltin/sdk", "moltin.cjs", &environment) else { return };
    assert_eq!(
        (&seen["products"]["store"], &seen["products"]["token"]),
        (&json!("22"), &Value::Null),
        "{seen}"
    );
    assert_eq!(
        (&seen["identifier"], &seen["fullIdentifier"]),
        (&json!("implicit"), &json!("client_credentials"))
    );
    assert_eq!((&seen["refused"]["status"], &seen["refused"]["title"]), (&json!(403), &json!("Forbidden")));
    assert_eq!(seen["tokensForARefusal"], 0, "a missing right sets off no token requests");
    assert_eq!(seen["customer"], json!({"type": "token", "id": "42"}));
    assert_eq!(seen["wrongPassword"]["title"], "Unauthorized");
    assert_eq!(seen["ordersAlone"]["status"], 403);
    assert_eq!(seen["orders"]["subject"], "customer:42");
    assert_eq!(seen["created"]["method"], "oauth");
}

#[test]
fn shopifys_library() {
    let gateway = gateway();
    gateway.place.ok(&["store", "add", "40", "--domain", "nakshi.myshopify.com", "--organization", "org-1"]);
    gateway.place.ok(&["store", "add", "41", "--domain", "other.myshopify.com", "--organization", "org-2"]);
    let arguments = ["--organization", "org-1", "--scopes", "write_products read_products read_customers"];
    let (id, secret) = app(&gateway, "40", &arguments);
    let host = gateway.address.to_string();
    let environment =
        [("HOST", &*host), ("SHOP", "nakshi.myshopify.com"), ("CLIENT_ID", &id), ("CLIENT_SECRET", &secret)];
    let Some(seen) = node("@shopify/shopify-api", "shopify.cjs", &environment) else { return };
    assert_eq!(
        (&seen["prefix"], &seen["scope"]),
        (&json!("shpat_"), &json!("read_customers,write_products")),
        "{seen}"
    );
    assert_eq!(seen["isActive"], true);
    assert!((seen["seconds"].as_i64().unwrap() - 86_399).abs() < 60, "{seen}");
    for client in ["graphql", "rest"] {
        let told = if client == "rest" { &seen["rest"]["data"] } else { &seen["graphql"] };
        assert_eq!((&told["store"], &told["token"]), (&json!("40"), &Value::Null), "{client}: {seen}");
    }
    assert_eq!(seen["refused"]["code"], 403, "{seen}");
    assert!(seen["refused"]["body"]["errors"].as_str().unwrap().contains("write_orders scope"), "{seen}");
    assert_eq!(
        (&seen["wrongSecret"]["code"], &seen["otherShop"]["code"]),
        (&json!(401), &json!(400)),
        "{seen}"
    );
    assert_eq!(seen["otherShop"]["body"]["error"], "shop_not_permitted");
}

#[test]
fn libraries_of_the_standard() {
    let gateway = gateway();
    let (id, secret) = app(&gateway, "22", &["--scopes", "read:orders write:orders"]);
    let host = gateway.address.to_string();
    let environment = [("HOST", &*host), ("CLIENT_ID", &id), ("CLIENT_SECRET", &secret), ("STORE", "22")];
    let python = folder().join("venv/bin/python");
    let Some(seen) = run(&python, &python, "standard.py", &environment) else { return };
    assert_eq!(seen["issuer"], true, "{seen}");
    for method in ["client_secret_basic", "client_secret_post"] {
        let expected = json!({"type": "Bearer", "scope": "read:orders", "status": 200, "active": true, "client": true, "after": 401});
        assert_eq!(seen[method], expected, "{method}: {seen}");
    }
    assert_eq!((&seen["requests_oauthlib"], &seen["requests_oauthlib_body"]), (&json!(200), &json!(200)));
    assert_eq!(
        (&seen["wrong_secret"], &seen["wrong_scope"]),
        (&json!("invalid_client"), &json!("invalid_scope"))
    );
}
