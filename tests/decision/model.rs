//! The decision once more, read aloud from the contract: strings and loops, no type of the gate, no
//! parser of ours, no care for speed. Where both disagree, one of them misreads the contract.

use std::net::IpAddr;

use crate::request::Request;
use crate::world::{AppSpec, InstallationSpec, Platform};

/// What a session token says, and with which key it was signed.
#[derive(Debug, Clone)]
pub(crate) struct SessionSpec {
    pub(crate) text: String,
    pub(crate) hs256: bool,
    pub(crate) key: String,
    pub(crate) store: u64,
    pub(crate) installation: i64,
    pub(crate) app_id: i64,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

/// The summary that the contract demands.
pub(crate) fn summary(platform: &Platform, sessions: &[SessionSpec], request: &Request) -> String {
    match decide(platform, sessions, request) {
        Ok(summary) => summary,
        Err(refusal) => refusal,
    }
}

type Judged<T> = Result<T, String>;

fn no<T>(refusal: &str) -> Judged<T> {
    Err(refusal.to_owned())
}

fn decide(platform: &Platform, sessions: &[SessionSpec], request: &Request) -> Judged<String> {
    let target = String::from_utf8(request.target.clone()).or_else(|_| no("400 invalid_request"))?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), query.to_owned()),
        None => (target, String::new()),
    };
    let path = normal_form(&path)?;
    let contradiction = lines(request, "host").len() != 1
        || lines(request, "content-length").len() > 1
        || (!lines(request, "content-length").is_empty() && !lines(request, "transfer-encoding").is_empty())
        || lines(request, "connection").iter().any(|line| line.split(',').any(is_owned));
    if contradiction {
        return no("400 invalid_request");
    }
    let Some(route) = route(&path) else { return no("404 not_found") };
    let method = request.method.as_str();
    let reads = method == "GET" || method == "HEAD";
    if route.only_reads && !reads {
        return no("405 method_not_allowed");
    }
    match route.auth {
        "public" => return Ok("anonymous".into()),
        "upstream" => return Ok("upstream".into()),
        _ => {}
    }
    let asks_ahead = ["origin", "access-control-request-method"];
    if method == "OPTIONS"
        && asks_ahead.iter().all(|name| matches!(&lines(request, name)[..], [one] if !one.is_empty()))
    {
        return Ok("anonymous".into());
    }

    let (authorization, id, secret) =
        (lines(request, "authorization"), lines(request, "x-client-id"), lines(request, "x-client-secret"));
    if authorization.len() > 1 {
        return no("400 invalid_request");
    }
    let value = authorization.first().cloned().unwrap_or_default();
    let (scheme, rest) = value.split_once(' ').unwrap_or((&value, ""));
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    let token = rest.trim();
    if is_bearer && (is_there(&id) || is_there(&secret)) {
        return no("400 invalid_request");
    }
    let (how, app, installation, store, own_scopes) = if is_bearer && !token.is_empty() {
        by_token(platform, sessions, request, &route, token)?
    } else if is_there(&id) && is_there(&secret) {
        by_pair(platform, request, &route, &id, &secret, &query)?
    } else {
        return no("401 missing_token");
    };

    let mut scopes: Vec<&str> = installation.scopes.split_whitespace().collect();
    scopes.retain(|scope| own_scopes.is_none_or(|own| own.split_whitespace().any(|own| own == *scope)));
    scopes.sort_unstable();
    let required = route.scopes(reads);
    if required.split_whitespace().any(|scope| !scopes.contains(&scope)) {
        return no(&format!("403 insufficient_scope ({required})"));
    }
    Ok(format!("{how} {} in store {store} as {} [{}]", app.client_id, installation.id, scopes.join(" ")))
}

type Known<'p> = (&'static str, &'p AppSpec, &'p InstallationSpec, u64, Option<&'p str>);

fn by_pair<'p>(
    platform: &'p Platform,
    request: &Request,
    route: &Route,
    id: &[String],
    secret: &[String],
    query: &str,
) -> Judged<Known<'p>> {
    if !route.takes("client_credentials") {
        return no("401 credential_not_accepted");
    }
    if id.len() > 1 {
        return no("401 invalid_client (id)");
    }
    if secret.len() > 1 {
        return no("401 invalid_client (secret)");
    }
    let app = platform.apps.iter().find(|app| app.client_id == id[0] && app.enabled);
    let Some(app) = app else { return no("401 invalid_client (id)") };
    address_is_allowed(app, request.peer)?;
    let in_force = |end: Option<i64>| end.is_none_or(|end| request.now < end);
    if !app.secrets.iter().any(|known| known.text == secret[0] && in_force(known.expires_at)) {
        return no("401 invalid_client (secret)");
    }
    let sent = lines(request, "x-store-id");
    let asked: Vec<String> = query
        .split('&')
        .filter_map(|parameter| parameter.strip_prefix("store_id"))
        .filter(|rest| rest.is_empty() || rest.starts_with('='))
        .map(|rest| rest.trim_start_matches('=').replace("%32", "2").replace("%20", " ").replace('+', " "))
        .collect();
    if sent.len() > 1 || asked.len() > 1 {
        return no("400 invalid_store_id");
    }
    let mut named: Vec<&String> = sent.iter().chain(&asked).filter(|text| !text.is_empty()).collect();
    named.dedup();
    let store = match named[..] {
        [] => return no("400 missing_store_id"),
        [one] => store_number(one)?,
        _ => return no("400 invalid_store_id"),
    };
    let installation = platform
        .installations
        .iter()
        .find(|one| one.app_id == app.app_id && one.store == store && one.active);
    let known = platform.stores.iter().find(|known| known.id == store);
    let (Some(installation), Some(known)) = (installation, known) else { return no("401 not_installed") };
    if known.suspended {
        return no("403 store_suspended");
    }
    Ok(("client_credentials", app, installation, store, None))
}

fn by_token<'p>(
    platform: &'p Platform,
    sessions: &[SessionSpec],
    request: &Request,
    route: &Route,
    token: &str,
) -> Judged<Known<'p>> {
    const INVALID: &str = "401 invalid_token";
    let app_of = |client_id: &str| platform.apps.iter().find(|app| app.client_id == client_id);
    let known = if token.starts_with("sx_at_") {
        if token.len() == "sx_at_".len() || token.contains(' ') || token.contains(',') {
            return no(INVALID);
        }
        if !route.takes("bearer") {
            return no("401 credential_not_accepted");
        }
        let Some(token) = platform.tokens.iter().find(|known| known.text == token) else {
            return no(INVALID);
        };
        let app = app_of(&token.client_id).filter(|app| app.enabled && app.app_id == token.app_id);
        if token.revoked || request.now >= token.expires_at {
            return no(INVALID);
        }
        let Some(app) = app else { return no(INVALID) };
        address_is_allowed(app, request.peer)?;
        let installation =
            platform.installations.iter().find(|one| one.app_id == app.app_id && one.store == token.store);
        let Some(installation) = installation else { return no(INVALID) };
        ("oauth", app, installation, token.store, token.scopes.as_deref())
    } else if token.matches('.').count() == 2 {
        if !route.takes("session") {
            return no("401 credential_not_accepted");
        }
        let Some(token) = sessions.iter().find(|known| known.text == token) else { return no(INVALID) };
        let installation = platform.installations.iter().find(|one| one.id == token.installation);
        let Some(installation) = installation else { return no(INVALID) };
        let Some(app) = app_of(&installation.client_id) else { return no(INVALID) };
        let is_good = token.hs256
            && app.signing_key.as_deref() == Some(&token.key)
            && token.exp > request.now
            && token.iat <= request.now + 10
            && token.exp > token.iat
            && token.exp - token.iat <= 600
            && token.store == installation.store
            && token.app_id == app.app_id
            && app.enabled;
        if !is_good {
            return no(INVALID);
        }
        ("session", app, installation, token.store, None)
    } else {
        return no(INVALID);
    };
    let (_, _, installation, store, _) = known;
    let record = platform.stores.iter().find(|known| known.id == store);
    let Some(record) = record.filter(|_| installation.active) else { return no(INVALID) };
    if record.suspended {
        return no("403 store_suspended");
    }
    match &lines(request, "x-store-id")[..] {
        [] => Ok(known),
        [one] if one.is_empty() => Ok(known),
        [one] if store_number(one)? == store => Ok(known),
        [_] => no("403 store_mismatch"),
        _ => no("400 invalid_store_id"),
    }
}

fn address_is_allowed(app: &AppSpec, peer: IpAddr) -> Judged<()> {
    // The only list of the generated worlds is 203.0.113.0/24 and an IPv6 network that nobody calls from.
    let inside = peer.to_string().starts_with("203.0.113.");
    if app.addresses.is_empty() || inside { Ok(()) } else { no("403 ip_not_allowed") }
}

fn store_number(text: &str) -> Judged<u64> {
    match text.parse::<u64>() {
        Ok(number) if number > 0 && number < 1 << 53 && number.to_string() == text => Ok(number),
        _ => no("400 invalid_store_id"),
    }
}

/// The field lines of a name, without the blanks around them.
fn lines(request: &Request, name: &str) -> Vec<String> {
    request.headers.get_all(name).iter().map(|value| value.to_str().unwrap().trim().to_owned()).collect()
}

/// There is a value, or more than one line, be they empty.
fn is_there(lines: &[String]) -> bool {
    lines.len() > 1 || lines.iter().any(|line| !line.is_empty())
}

fn is_owned(token: &str) -> bool {
    let name = token.trim().to_lowercase().replace(['_', '.'], "-");
    let owned = "authorization x-client-id x-client-secret x-store-id x-scopes x-installation-id x-auth-method x-subject";
    owned.split(' ').any(|own| own == name)
}

struct Route {
    auth: &'static str,
    only_reads: bool,
    read: String,
    write: String,
}

impl Route {
    fn takes(&self, kind: &str) -> bool {
        self.auth.split(' ').any(|own| own == kind)
    }

    fn scopes(&self, reads: bool) -> &str {
        if reads { &self.read } else { &self.write }
    }
}

/// The usual routes, by hand.
fn route(path: &str) -> Option<Route> {
    const ALL: &str = "bearer session client_credentials";
    let lower = path.to_lowercase();
    let path = lower.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(&lower);
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let route = |auth, read: &str, write: &str| Route {
        auth,
        only_reads: false,
        read: read.into(),
        write: write.into(),
    };
    let is_tail = |tail: &[&str]| tail.is_empty() || !tail.join("/").is_empty();
    Some(match parts[..] {
        ["public", ref tail @ ..] if is_tail(tail) => route("public", "", ""),
        ["dashboard", ref tail @ ..] if is_tail(tail) => route("upstream", "", ""),
        ["api", "apps", "v1", "bulk"] => {
            route(ALL, "read:orders read:customers", "write:orders write:customers")
        }
        ["api", "apps", "v1", "whoami"] => Route { only_reads: true, ..route(ALL, "", "") },
        ["api", "apps", "v1", "embedded"] => route("session", "", ""),
        ["api", "apps", "v1", "servers"] => route("bearer client_credentials", "", ""),
        ["api", "apps", "v1", "tokens"] => route("bearer session", "", ""),
        ["api", "apps", "v1", "billing", ref tail @ ..] if is_tail(tail) => route(ALL, "billing", "billing"),
        ["api", "apps", "v1", resource, ref tail @ ..] if !resource.is_empty() && is_tail(tail) => {
            route(ALL, &format!("read:{resource}"), &format!("write:{resource}"))
        }
        _ => return None,
    })
}

fn normal_form(path: &str) -> Judged<String> {
    if !path.starts_with('/') || path.contains(['\\', '#', ' ']) || !path.is_ascii() {
        return no("400 invalid_request");
    }
    let mut pieces = path.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let hex = piece.get(..2).filter(|hex| hex.chars().all(|digit| digit.is_ascii_hexdigit()));
        let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
            return no("400 invalid_request");
        };
        match char::from(byte) {
            '/' | '\\' | '\0'..='\u{1f}' | '\u{7f}' => return no("400 invalid_request"),
            c if c.is_ascii_alphanumeric() || "-._~".contains(c) => decoded.push(c),
            _ => decoded.push_str(&format!("%{byte:02X}")),
        }
        decoded.push_str(&piece[2..]);
    }
    let mut kept: Vec<&str> = Vec::new();
    let parts: Vec<&str> = decoded.split('/').skip(1).collect();
    for (number, part) in parts.iter().enumerate() {
        if *part == ".." && kept.pop().is_none() {
            return no("400 invalid_request");
        }
        match *part {
            "." | ".." if number + 1 == parts.len() => kept.push(""),
            "." | ".." => {}
            part => kept.push(part),
        }
    }
    Ok(format!("/{}", kept.join("/")))
}
