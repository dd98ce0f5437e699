//! One request at the gate: method and target on the first line, the peer on the second, then header
//! lines. Nobody is permitted but by a credential that is in the bytes.

mod platform;

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use storegate::gate::{
    Access, Challenge, Decision, Gate, GateSettings, HeadLimits, InjectNames, Kind, Kinds, Pass, PathCase,
    Permit, RawHead, Reason, Route, RouteTable, ScopeRules, ScopeTemplate, Unavailable, captures,
};
use storegate::model::{AddressList, ProofKey};

use self::platform::{BCRYPT_APP, NOW, Platform, SECRET, SECRETS};
use super::field::fold;

pub fn check(data: &[u8]) {
    let Some(request) = Request::read(data) else { return };
    let raw = request.raw();
    let head = match GATE.admit(&raw) {
        Ok(head) => head,
        Err(reason) => return check_refusal(&reason, data),
    };
    assert!(!nominates(&request.headers), "Connection may not name what is ours");
    let platform = Platform::new();
    let decide = |platform: &Platform| GATE.decide(&head, platform, NOW, &mut ());
    match decide(&platform) {
        Decision::Refuse(reason) => check_refusal(&reason, data),
        Decision::Prove(challenge) => {
            request.check_challenge(&challenge);
            if challenge.secret.expose().as_bytes() == platform::BCRYPT_SECRET {
                let proved = challenge.secret.expose().as_bytes();
                challenge.app.secrets[0].remember_proof(proved, &GATE.settings().proof_key);
            }
            match decide(&platform) {
                Decision::Forward(_, pass) => {
                    assert_eq!(challenge.secret.expose().as_bytes(), platform::BCRYPT_SECRET);
                    request.check_pass(&pass, head.target.path(), head.target.query());
                }
                Decision::Prove(again) => request.check_challenge(&again),
                Decision::Refuse(reason) => check_refusal(&reason, data),
            }
        }
        Decision::Forward(route, pass) => {
            match (&route.access, &pass) {
                (Access::Public, Pass::Anonymous) | (Access::Upstream, Pass::Upstream) => {}
                (Access::Credentials(..), Pass::Anonymous) => assert_eq!(request.method, Method::OPTIONS),
                (Access::Credentials(kinds, _), Pass::Permitted(permit)) => {
                    assert!(kinds.contains(permit.kind()));
                    request.cannot_tell_is_no(&platform);
                    check_tenure(permit, head.caller);
                }
                other => panic!("{other:?}"),
            }
            request.check_pass(&pass, head.target.path(), head.target.query());
        }
    }
    request.without_credentials_nobody_is_permitted(&platform);
}

/// What was just permitted still is; a token's day ends.
fn check_tenure(permit: &Permit, caller: std::net::IpAddr) {
    let (tenure, platform) = (permit.tenure(), Platform::new());
    assert_eq!(tenure.holds(&platform, caller, NOW), Ok(true));
    let is_secret = permit.kind() == Kind::ClientCredentials;
    assert_eq!(tenure.holds(&platform, caller, NOW.plus(4000)), Ok(is_secret));
    assert_eq!(tenure.holds(&Platform::failing_at(0), caller, NOW), Err(Unavailable));
}

/// What is refused is told in well-formed JSON, without a secret.
fn check_refusal(reason: &Reason, data: &[u8]) {
    let body = reason.body("request-1");
    let json: serde_json::Value = serde_json::from_slice(&body).expect("a refusal is JSON");
    assert_eq!(json["status"], reason.code().status().as_u16());
    assert_eq!(json["code"], reason.code().name());
    let _ = (reason.challenge(), reason.retry_after(), reason.allow());
    let told = format!("{}{:?}{reason}{reason:?}", String::from_utf8_lossy(&body), reason.challenge());
    let target_end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    for secret in SECRETS.iter() {
        // Who writes a secret into the path has it in the scope that is missing.
        let in_target =
            String::from_utf8_lossy(&data[..target_end]).to_lowercase().contains(&secret.to_lowercase());
        assert!(in_target || !told.contains(&**secret), "{told}");
    }
}

struct Request {
    method: Method,
    target: Vec<u8>,
    peer: std::net::IpAddr,
    headers: HeaderMap,
}

impl Request {
    fn read(data: &[u8]) -> Option<Self> {
        let mut lines = super::lines(data);
        let first = lines.next()?;
        let space = first.iter().position(|&byte| byte == b' ')?;
        let method = Method::from_bytes(&first[..space]).ok()?;
        let target = first[space + 1..].to_vec();
        let peer = String::from_utf8_lossy(lines.next().unwrap_or_default()).parse().ok()?;
        let mut headers = HeaderMap::new();
        for line in lines.take(80) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let Ok(name) = HeaderName::from_bytes(&line[..colon]) else { continue };
            let value = line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]);
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            headers.append(name, value);
        }
        Some(Self { method, target, peer, headers })
    }

    fn raw(&self) -> RawHead<'_> {
        let Self { method, target, peer, headers } = self;
        RawHead { method, target, authority: None, headers, peer: *peer }
    }

    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect()
    }

    /// The one value of a header; `None` when there is none or it stands twice.
    fn one(&self, name: &str) -> Option<&[u8]> {
        let values = self.values(name);
        if let [value] = values[..] { Some(value).filter(|value| !value.is_empty()) } else { None }
    }

    fn check_challenge(&self, challenge: &Challenge) {
        assert_eq!(challenge.app.client_id.as_str(), BCRYPT_APP);
        assert_eq!(self.one("x-client-id"), Some(BCRYPT_APP.as_bytes()));
        assert_eq!(self.one("x-client-secret"), Some(challenge.secret.expose().as_bytes()));
    }

    fn check_pass(&self, pass: &Pass, path: &str, query: Option<&str>) {
        if let Pass::Permitted(permit) = pass {
            self.check_permit(permit, path, query);
        }
        let trusted = GATE.settings().trusted_proxies.contains(self.peer);
        let mut sent = self.headers.clone();
        for name in GATE.strip(&self.headers, pass, trusted) {
            sent.remove(name);
        }
        let left: Vec<Vec<u8>> = sent.keys().map(|name| fold(name.as_str().as_bytes())).collect();
        let has = |name: &str| left.iter().any(|left| left == name.as_bytes());
        let begins = |prefix: &str| left.iter().any(|left| left.starts_with(prefix.as_bytes()));
        let plain = |name: &str| {
            sent.keys()
                .filter(|left| fold(left.as_str().as_bytes()) == name.as_bytes())
                .all(|left| left == name)
        };
        let overrides = ["x-http-method", "x-http-method-override", "x-method-override"];
        for name in ["x-scopes", "x-installation-id", "x-auth-method", "x-subject"].iter().chain(&overrides) {
            assert!(!has(name), "{name} of the client");
        }
        for name in ["x-store-id", "x-client-id", "x-client-secret", "authorization", "x-session-token"] {
            let passes = matches!(pass, Pass::Upstream) && plain(name);
            assert!(passes || !has(name), "{name} of the client");
        }
        if !trusted {
            assert!(
                !["forwarded", "x-real-ip", "x-forwarded", "x-request-id", "true-client-ip"]
                    .iter()
                    .any(|name| has(name))
            );
            assert!(!["x-forwarded-", "x-original-", "x-rewrite-"].iter().any(|prefix| begins(prefix)));
        }
        let identity = GATE.identity(pass);
        assert_eq!(identity.is_empty(), !matches!(pass, Pass::Permitted(_)));
        assert!(identity.iter().all(|(_, value)| value.to_str().is_ok()));
    }

    /// The credential that the permit came from, found in the bytes without the gate's help.
    fn check_permit(&self, permit: &Permit, path: &str, query: Option<&str>) {
        let app = permit.app().client_id.as_str();
        let (bearer, id, secret) =
            (self.one("authorization"), self.one("x-client-id"), self.one("x-client-secret"));
        match permit.kind().name() {
            "client_credentials" => {
                assert_eq!(id, Some(app.as_bytes()));
                let wanted = if app == BCRYPT_APP { platform::BCRYPT_SECRET } else { SECRET.as_bytes() };
                assert_eq!(secret, Some(wanted));
                let in_header = self.one("x-store-id") == Some(b"22");
                assert!(
                    in_header
                        || (self.values("x-store-id").iter().all(|value| value.is_empty())
                            && query.is_some())
                );
            }
            kind => {
                assert_eq!((id, secret), (None, None));
                let value = bearer.expect("a bearer token");
                assert!(value[..6].eq_ignore_ascii_case(b"bearer"));
                let token = super::without_blanks(&value[6..]);
                let is_valid = match kind {
                    "session" => platform::SESSIONS.iter().any(|valid| valid.as_bytes() == token),
                    _ => platform::TOKENS.iter().any(|valid| valid.as_bytes() == token),
                };
                assert!(is_valid, "{kind} {token:?}");
                assert!(self.values("x-store-id").iter().all(|value| value.is_empty() || value == b"22"));
            }
        }
        assert_eq!(permit.store().store_id.get(), 22, "the other stores are out of reach");
        assert_eq!(permit.installation().app_id, permit.app().app_id);
        if app == BCRYPT_APP {
            assert!(
                self.peer.to_string().starts_with("203.0.113.") || self.peer.to_string().starts_with("10.")
            );
        }
        let lower = path.to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("/api/apps/v1/") {
            let verb = if [Method::GET, Method::HEAD].contains(&self.method) { "read" } else { "write" };
            let required = format!("{verb}:{}", rest.split('/').next().unwrap());
            let scopes = permit.scopes().to_str().unwrap();
            assert!(scopes.split(' ').any(|scope| scope == required), "{required} in {scopes}");
        } else {
            assert!(lower.starts_with("/free"), "{path}");
        }
    }

    fn without_credentials_nobody_is_permitted(&self, platform: &Platform) {
        let mut headers = self.headers.clone();
        for name in ["authorization", "x-client-secret"] {
            headers.remove(name);
        }
        let bare = RawHead { headers: &headers, ..self.raw() };
        let Ok(head) = GATE.admit(&bare) else { return };
        let decision = GATE.decide(&head, platform, NOW, &mut ());
        assert!(!matches!(decision, Decision::Forward(_, Pass::Permitted(_)) | Decision::Prove(_)));
    }

    /// When any one look-up fails, the answer is 503.
    fn cannot_tell_is_no(&self, platform: &Platform) {
        let raw = self.raw();
        let head = GATE.admit(&raw).unwrap_or_else(|_| panic!("it was admitted before"));
        for at in 0..platform.asked() {
            let failing = Platform::failing_at(at);
            let decision = GATE.decide(&head, &failing, NOW, &mut ());
            assert!(matches!(decision, Decision::Refuse(Reason::ReplicaUnavailable)), "{decision:?}");
        }
    }
}

fn nominates(headers: &HeaderMap) -> bool {
    let names = ["x-store-id", "x-client-id", "x-client-secret", "authorization", "x-scopes", "x-subject"];
    let lines =
        headers.get_all("connection").iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    lines.map(super::without_blanks).any(|token| names.iter().any(|name| fold(&token) == name.as_bytes()))
}

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let kinds = Kinds::all();
    let credentials = |path: &str, read: &[&str], write: &[&str]| {
        let names = captures(path).unwrap();
        let scopes =
            |list: &[&str]| list.iter().map(|text| ScopeTemplate::parse(text, &names).unwrap()).collect();
        Access::Credentials(kinds, ScopeRules { read: scopes(read), write: scopes(write) })
    };
    let route = |path: &str, access| Route {
        pattern: path.into(),
        methods: None,
        access,
        platform: Default::default(),
        upstream: 0,
    };
    let orders = "/api/apps/v1/{resource}/{*rest}";
    let routes = vec![
        route(orders, credentials(orders, &["read:{resource}"], &["write:{resource}"])),
        route("/free/{*rest}", credentials("/free/{*rest}", &[], &[])),
        route("/public/{*rest}", Access::Public),
        route("/native/{*rest}", Access::Upstream),
    ];
    let trusted = AddressList::parse_entry("10.0.0.0/8").unwrap();
    Gate::new(GateSettings {
        routes: RouteTable::build(routes, PathCase::Insensitive).unwrap(),
        inject: InjectNames::default(),
        access_token_prefix: "sx_at_".into(),
        trusted_proxies: AddressList::new(vec![trusted]),
        limits: HeadLimits { bytes: 16_384, fields: 64 },
        customer_scopes: Default::default(),
        proof_key: ProofKey::random().unwrap(),
    })
});
