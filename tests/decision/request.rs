//! Requests, built a line at a time.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use storegate::model::SessionKey;

use crate::world::{APP, KEY, NOW, SECRET};

/// A request head as it arrives. Header names are lower-case, as an HTTP parser hands them on.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: Vec<u8>,
    pub(crate) authority: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) peer: IpAddr,
    pub(crate) now: i64,
}

/// A path with the scope rule `read:orders` and `write:orders`.
pub(crate) const ORDERS: &str = "/api/apps/v1/orders";

pub(crate) fn send(method: &str, target: impl AsRef<[u8]>) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("api.test"));
    Request {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        target: target.as_ref().into(),
        authority: None,
        headers,
        peer: IpAddr::from([192, 0, 2, 1]),
        now: NOW,
    }
}

pub(crate) fn get(target: impl AsRef<[u8]>) -> Request {
    send("GET", target)
}

/// GET of [`ORDERS`].
pub(crate) fn orders() -> Request {
    get(ORDERS)
}

/// What a correct app server sends, with the store still to be named.
pub(crate) fn good_pair() -> Request {
    orders().client(APP, SECRET)
}

impl Request {
    /// Adds a field line; a name that is there already is repeated.
    pub(crate) fn line(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.append(name, HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn client(self, id: impl AsRef<[u8]>, secret: impl AsRef<[u8]>) -> Self {
        self.line("x-client-id", id).line("x-client-secret", secret)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.line("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn store(self, id: impl AsRef<[u8]>) -> Self {
        self.line("x-store-id", id)
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.target.extend_from_slice(b"?");
        self.target.extend_from_slice(query.as_bytes());
        self
    }

    /// With another method or path, and everything else as it is.
    pub(crate) fn to(mut self, method: &str, target: impl AsRef<[u8]>) -> Self {
        self.method = Method::from_bytes(method.as_bytes()).unwrap();
        self.target = target.as_ref().into();
        self
    }

    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().unwrap();
        self
    }

    pub(crate) fn at(mut self, now: i64) -> Self {
        self.now = now;
        self
    }

    pub(crate) fn preflight(self) -> Self {
        self.line("origin", "https://shop.test").line("access-control-request-method", "GET")
    }

    /// What must never be seen in an answer or a log: tokens, secrets, whole credential values.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let values = ["authorization", "x-client-secret"].map(|name| self.headers.get_all(name));
        values
            .into_iter()
            .flatten()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split([' ', '.']))
            .filter(|word| word.len() >= 8)
    }
}

/// A compact JWS over any header and payload.
pub(crate) fn jws(header: &str, payload: &str, key: &str) -> String {
    let input = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.as_bytes()),
        BASE64URL_NOPAD.encode(payload.as_bytes())
    );
    let signature = SessionKey::new(key).sign(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

pub(crate) const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A session token of any claims, signed with the key of `APP`.
pub(crate) fn claims(payload: &str) -> String {
    jws(HS256, payload, KEY)
}

/// The claims of a good session token of `APP` in `store`, as `name: value` pairs of JSON.
pub(crate) fn good_claims(store: u64, installation: i64) -> Vec<(&'static str, String)> {
    vec![
        ("sub", store.to_string()),
        ("sid", installation.to_string()),
        ("app_id", "7".into()),
        ("iat", NOW.to_string()),
        ("exp", (NOW + 600).to_string()),
    ]
}

/// Claims as JSON. An empty value leaves the claim out.
pub(crate) fn json(claims: &[(&str, String)]) -> String {
    let members: Vec<String> = claims
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A good session token of `APP` in `store`.
pub(crate) fn session(store: u64, installation: i64) -> String {
    claims(&json(&good_claims(store, installation)))
}
