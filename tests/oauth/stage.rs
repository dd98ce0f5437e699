//! A gateway with an endpoint and a route of every platform.

use serde_json::Value;

use crate::common::{Gateway, Response, Settings, ask};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";

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

[[token_endpoint]]
path = "/sc/oauth2/token"
platform = "tiki"

[[token_endpoint]]
path = "/api/apps/oauth/token"
platform = "selorax"

[customer_tokens]
path = "/v2/customers/tokens"

[[route]]
path = "/admin/api/{version}/{resource}/{*rest}"
platform = "shopify"
scopes = { read = "read_{resource}", write = "write_{resource}" }

[[route]]
path = "/v2/{resource}/{*rest}"
platform = "elasticpath"
scopes = { read = "read:{resource}", write = "write:{resource}" }

[[route]]
path = "/integration/v2/{resource}/{*rest}"
platform = "tiki"
scopes = { read = "read:{resource}", write = "write:{resource}" }

[[route]]
path = "/v2/reports"
platform = "elasticpath"
methods = ["GET"]
scopes = "none"

[[route]]
path = "/tiki/reports"
platform = "tiki"
methods = ["GET"]
scopes = "none"

[[route]]
path = "/standard/{resource}/{*rest}"
platform = "standard"
scopes = { read = "read:{resource}", write = "write:{resource}" }
"#;

/// The gateway with the records of the tests' world.
pub(crate) fn gateway() -> Gateway {
    gateway_with("")
}

pub(crate) fn gateway_with(rest: &str) -> Gateway {
    let routes = Settings::default().routes + ROUTES;
    Gateway::start(&Settings { routes, rest: rest.into(), ..Settings::default() })
}

/// One POST over a connection of its own. `lines` may hold a Host.
pub(crate) fn post(gateway: &Gateway, path: &str, lines: &[&str], body: &str) -> Response {
    send(gateway, &format!("POST {path}"), lines, body)
}

pub(crate) fn send(gateway: &Gateway, line: &str, lines: &[&str], body: &str) -> Response {
    let mut text = format!("{line} HTTP/1.1\r\n");
    if !lines.iter().any(|line| line.starts_with("Host:")) {
        text.push_str("Host: api.example.test\r\n");
    }
    for line in lines {
        text.push_str(&format!("{line}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    ask(gateway.address, text)
}

pub(crate) fn form(gateway: &Gateway, path: &str, body: &str) -> Response {
    post(gateway, path, &[&format!("Content-Type: {FORM}")], body)
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    let pair = data_encoding::BASE64.encode(format!("{id}:{secret}").as_bytes());
    format!("Authorization: Basic {pair}")
}

/// The token of an answer that must be 200.
#[track_caller]
pub(crate) fn token(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    text(&answer.json()["access_token"])
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The status of a request with these field lines.
pub(crate) fn status(gateway: &Gateway, line: &str, lines: &[&str]) -> u16 {
    gateway.ask(line, lines).status
}

/// An app made by command: its id and secret.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) signing_key: String,
}

pub(crate) fn app(gateway: &Gateway, arguments: &[&str]) -> Made {
    let made = gateway.place.json(&[&["app", "create", "--name", "Client"], arguments].concat());
    Made {
        id: text(&made["client_id"]),
        secret: text(&made["client_secret"]),
        signing_key: text(&made["session_signing_key"]),
    }
}
