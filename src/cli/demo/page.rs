//! What the demo prints.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::seed::{STORE, SUSPENDED, Seeded};
use crate::app::Addresses;
use crate::model::Secret;

/// The demo, as it runs.
pub(super) struct Page {
    pub(super) gateway: Addresses,
    pub(super) upstream: SocketAddr,
    pub(super) config: PathBuf,
    pub(super) seeded: Seeded,
}

/// A request that the demo sends and shows.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) what: &'static str,
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, Secret)>,
    pub(super) expected: u16,
}

impl Page {
    fn base(&self) -> String {
        match self.gateway.public.first() {
            Some(address) => format!("http://{address}"),
            None => String::new(),
        }
    }

    pub(super) fn head(&self) -> String {
        format!(
            "{title}\n\n  app servers ──▶ {gateway} ──▶ sample store API at http://{upstream}\n\n\
             One request with each kind of credential, and three that are refused:\n",
            title = bold("storegate demo"),
            gateway = bold(&self.base()),
            upstream = self.upstream,
        )
    }

    fn bearer(&self, token: &Secret) -> (&'static str, Secret) {
        ("Authorization", Secret::new(format!("Bearer {}", token.expose())))
    }

    fn client(&self, store: u64) -> Vec<(&'static str, Secret)> {
        vec![
            ("X-Client-Id", Secret::new(self.seeded.client_id.to_string())),
            ("X-Client-Secret", self.seeded.client_secret.clone()),
            ("X-Store-Id", Secret::new(store.to_string())),
        ]
    }

    /// The requests, in the order in which they are sent.
    pub(super) fn requests(&self) -> Vec<Request> {
        let orders = format!("{}/api/apps/v1/orders", self.base());
        let get =
            |what, headers, expected| Request { what, method: "GET", url: orders.clone(), headers, expected };
        let token = vec![self.bearer(&self.seeded.access_token)];
        vec![
            get("access token", token.clone(), 200),
            get("session token", vec![self.bearer(&self.seeded.session_token)], 200),
            get("client credentials", self.client(STORE), 200),
            Request { what: "a scope that the token lacks", method: "POST", ..get("", token, 403) },
            get("a suspended store", self.client(SUSPENDED), 403),
            get("no credential", Vec::new(), 401),
        ]
    }

    /// One line for a request that was sent.
    pub(super) fn outcome(
        &self,
        request: &Request,
        status: u16,
        body: &Value,
        time: Duration,
        as_expected: bool,
    ) -> String {
        let mark = if as_expected { green("✓") } else { red("✗") };
        let told = match body.get("code").and_then(Value::as_str) {
            Some(code) => format!("refused: {code}"),
            None => {
                let received = |name: &str| body["received"][name].as_str().unwrap_or("-").to_owned();
                format!(
                    "the store API received X-Store-Id: {}, X-Scopes: {}",
                    received("x-store-id"),
                    received("x-scopes")
                )
            }
        };
        format!(
            "  {mark} {what:<29} {method:<4} {status}  {time:>5.1} ms  {told}",
            what = request.what,
            method = request.method,
            time = time.as_secs_f64() * 1000.0,
        )
    }

    /// Lines to paste.
    pub(super) fn try_it(&self) -> String {
        let mut text = format!("\n{}\n", bold("Try it from another terminal"));
        for request in self.requests() {
            let method =
                if request.method == "GET" { String::new() } else { format!(" -X {}", request.method) };
            let refused = if request.expected == 200 { "" } else { " (refused)" };
            text.push_str(&format!("\n  {}\n", dim(&format!("# {}{refused}", request.what))));
            let flags = if request.expected == 200 { "-s" } else { "-si" };
            text.push_str(&format!("  curl {flags}{method} {}", request.url));
            for (name, value) in &request.headers {
                text.push_str(&format!(" \\\n    -H '{name}: {}'", value.expose()));
            }
            text.push('\n');
        }
        let program = std::env::current_exe()
            .map_or_else(|_| "storegate".to_owned(), |path| path.display().to_string());
        let command = format!("{program} --config {}", self.config.display());
        let client_id = &self.seeded.client_id;
        text.push_str(&format!(
            "\n{changes}\n\n  {revoke}\n  {command} token revoke {token}\n\n  {rotate}\n  {command} app rotate-secret {client_id}\n\n\
             {explain}\n\n  {command} explain GET /api/apps/v1/orders \\\n    -H 'X-Client-Id: {client_id}' -H 'X-Client-Secret: wrong'\n\n\
             Health, readiness and metrics: http://{admin}/healthz, /readyz, /metrics",
            changes = bold("Change something and see it enforced at once"),
            revoke = dim("# the access token is refused from the moment this returns"),
            rotate = dim("# so is the old client secret"),
            explain = bold("Ask why"),
            token = self.seeded.access_token.expose(),
            admin = self.gateway.admin,
        ));
        text
    }
}

fn paint(code: &str, text: &str) -> String {
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain { text.to_owned() } else { format!("\u{1b}[{code}m{text}\u{1b}[0m") }
}

fn bold(text: &str) -> String {
    paint("1", text)
}

fn dim(text: &str) -> String {
    paint("2", text)
}

fn green(text: &str) -> String {
    paint("32", text)
}

fn red(text: &str) -> String {
    paint("31", text)
}
