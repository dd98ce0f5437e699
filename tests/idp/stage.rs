//! A provider with people and clients, a browser that keeps cookies, and a client that exchanges codes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use storegate::hasher::Hasher;
use storegate::idp::{Brand, Color, Idp, Login, Provider, Settings};
use storegate::limits::{FailureBudgets, FailureSettings, Limits, RateLimits, RateSettings};
use storegate::model::{
    ClientId, ClientType, Email, PasswordHash, Platform, Profile, ProofKey, RedirectUri, Requester, ScopeSet,
    StoreId, Subject,
};
use storegate::oauth::{Authority, Endpoint};
use storegate::replica::{NewOauthClient, NewUser, Options, Replica, Writer};
use tower::ServiceExt;

pub(crate) const ISSUER: &str = "http://127.0.0.1:8080";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A confidential client, with every scope.
pub(crate) const SHOP: &str = "sx_oc_shop";
pub(crate) const SHOP_SECRET: &str = "sx_os_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const CALLBACK: &str = "https://shop.example/callback";
pub(crate) const GOODBYE: &str = "https://shop.example/goodbye";

/// A public client, with `openid` and `email`.
pub(crate) const PHONE: &str = "sx_oc_phone";
pub(crate) const PHONE_CALLBACK: &str = "com.example.phone:/callback";

/// A confidential client that nobody shares anything with.
pub(crate) const OTHER: &str = "sx_oc_other";
pub(crate) const OTHER_CALLBACK: &str = "https://other.example/callback";

/// The example of RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The provider.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) replica: Arc<Replica>,
    pub(crate) idp: Arc<Idp>,
    router: Router,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Where the browser is sent.
    pub(crate) fn location(&self) -> &str {
        assert!(matches!(self.status, 302 | 303), "{self:?}");
        self.header("location")
    }

    /// A parameter of where the browser is sent.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.location(), name)
    }

    /// The value of a hidden field of the page's last form.
    pub(crate) fn field(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let at = self.body.rfind(&mark).unwrap_or_else(|| panic!("no {name} in {}", self.body));
        let rest = &self.body[at + mark.len()..];
        rest[..rest.find('"').unwrap()].to_owned()
    }

    /// The error of an OAuth answer.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }
}

pub(crate) fn parameter(url: &str, name: &str) -> Option<String> {
    let query = url.split_once('?')?.1;
    let found = url::form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name);
    found.map(|(_, value)| value.into_owned())
}

pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// What a test wants to be otherwise.
pub(crate) struct Setup {
    pub(crate) issuer: &'static str,
    pub(crate) login: Option<&'static str>,
    pub(crate) session_idle: Duration,
    pub(crate) session_life: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { issuer: ISSUER, login: None, session_idle: hour, session_life: 24 * hour }
    }
}

pub(crate) const LOGIN_KEY: &str = "k0123456789abcdef0123456789abcdef";

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let replica = Replica::open(&folder.path().join("storegate.db"), Options::default()).unwrap();
        let key_file = folder.path().join("login.key");
        std::fs::write(&key_file, LOGIN_KEY).unwrap();
        std::fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let proof_key = ProofKey::random().unwrap();
        let settings = Settings {
            issuer: setup.issuer.into(),
            base: "/api/oauth".into(),
            login: match setup.login {
                None => Login::Builtin,
                Some(url) => Login::External { url: url.into(), key_file },
            },
            session_idle: setup.session_idle,
            session_life: setup.session_life,
            key_life: Duration::from_secs(90 * 86_400),
            brand: Brand {
                name: "Bazaar".into(),
                logo: None,
                color: Color([0x1f, 0x5e, 0xff]),
                color_dark: Color([0x7a, 0xa2, 0xff]),
                help_url: None,
                privacy_url: Some("https://bazaar.example/privacy".into()),
                terms_url: None,
            },
        };
        let rates = RateSettings { everywhere: None, routes: Vec::new(), shared: None };
        let limits = Limits {
            failures: FailureBudgets::new(FailureSettings { per_address: None, per_client: None }),
            rates: RateLimits::start(rates, None, || {}).await,
        };
        let hasher = Arc::new(Hasher::start(2, 64, proof_key.clone()).unwrap());
        let passwords = Hasher::start(2, 64, proof_key.clone()).unwrap();
        let authority = Arc::new(Authority::new(&replica, &hasher, passwords, proof_key));
        let provider = Provider::new(Arc::clone(&authority));
        let limits = Arc::new(limits);
        provider.rotate_keys_every(Some(settings.key_life));
        let idp = Arc::new(Idp::open(&provider, &limits, settings).unwrap());
        tokio::spawn(provider.look_after());
        let endpoint = Endpoint {
            platform: Platform::Selorax,
            path: "/api/apps/oauth/token".into(),
            life: Duration::from_secs(86_400),
            requests_per_minute: 0,
            implicit_scopes: ScopeSet::default(),
            issuer: None,
        };
        let tokens = storegate::oauth::Settings {
            endpoints: vec![endpoint],
            customer_tokens: None,
            access_token_prefix: "sx_at_".into(),
            merchants: Some(Arc::clone(&idp) as _),
        };
        let (tokens, _) = storegate::oauth::router(&authority, &limits, tokens);
        let router = idp.router().merge(tokens);
        let stage = Self { folder, replica, idp, router };
        stage.seed();
        stage.keys_are_there().await;
        stage
    }

    fn seed(&self) {
        let mut writer = self.writer();
        for (id, name) in [(22, Some("Nakshi Home")), (23, Some("Padma Tea")), (25, None)] {
            let _ = writer.add_store(StoreId::new(id).unwrap(), name, None, None).unwrap();
        }
        for (subject, store, role, email, phone) in [
            ("customer:42", 22, None, "rahim@example.com", Some("+8801712345678")),
            ("customer:43", 23, None, "karim@example.com", None),
            ("customer:45", 25, None, "salma@example.com", None),
            ("merchant:7", 22, Some("owner"), "fatema@example.com", None),
        ] {
            let new = NewUser {
                subject: Subject::parse(subject).unwrap(),
                store_id: StoreId::new(store).unwrap(),
                role: role.map(str::to_owned),
                profile: Profile {
                    name: format!("Person {subject}"),
                    email: Email::parse(email).unwrap(),
                    email_verified: true,
                    picture: None,
                    phone: phone.map(str::to_owned),
                    phone_verified: phone.is_some(),
                    locale: None,
                },
                password: password(PASSWORD),
            };
            let _ = writer.add_user(&new).unwrap();
        }
        let merchant = Subject::parse("merchant:7").unwrap();
        let _ = writer.join_store(merchant, StoreId::new(23).unwrap(), "staff").unwrap();
        let all = "openid profile email phone store";
        for (id, name, secret, uri, scopes) in [
            (SHOP, "Shop <b>&", Some(SHOP_SECRET), CALLBACK, all),
            (PHONE, "Phone", None, PHONE_CALLBACK, "openid email"),
            (OTHER, "Other", Some(SHOP_SECRET), OTHER_CALLBACK, all),
        ] {
            let client_type = if secret.is_some() { ClientType::Confidential } else { ClientType::Public };
            let parse = |uri: &str| RedirectUri::parse(uri, client_type).unwrap();
            let hash = |secret| password(secret);
            let new = NewOauthClient {
                client_id: ClientId::parse(id).unwrap(),
                name: name.into(),
                secret_hash: secret.map(hash),
                redirect_uris: vec![parse(uri)],
                logout_uris: if id == SHOP { vec![parse(GOODBYE)] } else { vec![] },
                scopes: ScopeSet::parse(scopes).unwrap(),
                owner: None,
            };
            let _ = writer.add_oauth_client(&new).unwrap();
        }
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer::open(self.replica.path(), None).unwrap()
    }

    async fn keys_are_there(&self) {
        for _ in 0..2000 {
            let answer = self.get("/api/oauth/jwks", &[]).await;
            let page = self.get("/api/oauth/login", &[]).await;
            if answer.status == 200
                && !answer.json()["keys"].as_array().unwrap().is_empty()
                && page.status < 400
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no keys were made");
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request(Method::GET, path, headers, String::new())).await
    }

    /// POSTs a form.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[("content-type", "application/x-www-form-urlencoded")]].concat();
        self.send(request(Method::POST, path, &headers, form(body))).await
    }

    pub(crate) async fn post_json(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [headers, &[("content-type", "application/json; charset=utf-8")]].concat();
        self.send(request(Method::POST, path, &headers, body.to_string())).await
    }

    /// POSTs a body as it is.
    pub(crate) async fn post_text(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(request(Method::POST, path, headers, body.to_owned())).await
    }

    /// Exchanges a code as the confidential client.
    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        let body = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.post("/api/oauth/token", &[("authorization", &basic(SHOP, SHOP_SECRET))], &body).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        let body = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post("/api/oauth/token", &[("authorization", &basic(SHOP, SHOP_SECRET))], &body).await
    }

    pub(crate) async fn userinfo(&self, token: &str) -> Answer {
        self.get("/api/oauth/userinfo", &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// A pair of tokens of somebody who signs in at the shop.
    pub(crate) async fn tokens(&self, email: &str, scope: &str) -> Value {
        let mut browser = Browser::new(self);
        let code = browser.code(email, scope).await;
        let answer = self.redeem(&code).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

pub(crate) fn password(text: &str) -> PasswordHash {
    PasswordHash::parse(&bcrypt::hash(text, 4).unwrap()).unwrap()
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{id}:{secret}").as_bytes()))
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    let mut address = IpAddr::from([192, 0, 2, 1]);
    for (name, value) in headers {
        match *name {
            "caller" => address = value.parse().unwrap(),
            name => request = request.header(name, *value),
        }
    }
    let request_id = header::HeaderValue::from_static("of-the-test");
    request
        .extension(Requester { address, host: "127.0.0.1:8080".into(), secure: false, request_id })
        .body(Body::from(body))
        .unwrap()
}

/// The shop's request for authorization; what is added comes behind it.
pub(crate) fn authorize(scope: &str, more: &[(&str, &str)]) -> String {
    let own = [
        ("client_id", SHOP),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", scope),
        ("state", "the-state"),
        ("nonce", "the-nonce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    format!("/api/oauth/authorize?{}", form(&[&own, more].concat()))
}

/// A browser: it keeps cookies and follows redirects below the provider.
pub(crate) struct Browser<'s> {
    stage: &'s Stage,
    pub(crate) cookies: BTreeMap<String, String>,
    /// Where it seems to come from.
    pub(crate) address: &'static str,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(stage: &'s Stage) -> Self {
        Self { stage, cookies: BTreeMap::new(), address: "192.0.2.1" }
    }

    /// One request, redirects not followed.
    pub(crate) async fn once(&mut self, method: Method, path: &str, body: &[(&str, &str)]) -> Answer {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = vec![("caller", self.address)];
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let answer = match method {
            Method::GET => self.stage.get(path, &headers).await,
            _ => self.stage.post(path, &headers, body).await,
        };
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let (pair, rest) = line.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Follows redirects until a page comes or a client is reached.
    pub(crate) async fn open(&mut self, path: &str) -> Answer {
        let answer = self.once(Method::GET, path, &[]).await;
        self.follow(answer).await
    }

    pub(crate) async fn submit(&mut self, path: &str, body: &[(&str, &str)]) -> Answer {
        let answer = self.once(Method::POST, path, body).await;
        self.follow(answer).await
    }

    async fn follow(&mut self, mut answer: Answer) -> Answer {
        for _ in 0..10 {
            if !matches!(answer.status, 302 | 303) || !answer.header("location").starts_with("/") {
                return answer;
            }
            let path = answer.header("location").to_owned();
            answer = self.once(Method::GET, &path, &[]).await;
        }
        panic!("redirects without end: {answer:?}");
    }

    /// Fills the sign-in page in.
    pub(crate) async fn sign_in(&mut self, page: &Answer, email: &str, password: &str) -> Answer {
        assert!(page.body.contains("type=\"password\""), "no sign-in page: {page:?}");
        let mut fields =
            vec![("csrf", page.field("csrf")), ("email", email.into()), ("password", password.into())];
        if page.body.contains("name=\"request\"") {
            fields.push(("request", page.field("request")));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.submit("/api/oauth/login", &fields).await
    }

    /// Answers the page that asks.
    pub(crate) async fn decide(&mut self, page: &Answer, decision: &str, more: &[(&str, &str)]) -> Answer {
        assert!(page.body.contains("name=\"decision\""), "nobody is asked: {page:?}");
        let (csrf, sealed) = (page.field("csrf"), page.field("request"));
        let own = [("csrf", csrf.as_str()), ("request", sealed.as_str()), ("decision", decision)];
        self.submit("/api/oauth/authorize/consent", &[&own, more].concat()).await
    }

    /// Signs in and allows what the shop asks for: the code.
    pub(crate) async fn code(&mut self, email: &str, scope: &str) -> String {
        let more: &[(&str, &str)] = if email.starts_with("fatema") { &[("store_id", "22")] } else { &[] };
        let page = self.open(&authorize(scope, more)).await;
        let page = self.sign_in(&page, email, PASSWORD).await;
        let back = match page.status {
            303 => page,
            _ => self.decide(&page, "allow", &[]).await,
        };
        back.parameter("code").unwrap_or_else(|| panic!("no code: {back:?}"))
    }

    /// The same where this browser is signed in and the shop was granted everything.
    pub(crate) async fn code_at_once(&mut self, scope: &str) -> String {
        let back = self.open(&authorize(scope, &[])).await;
        back.parameter("code").unwrap_or_else(|| panic!("no code: {back:?}"))
    }
}

/// The claims of a JWT whose signature a key of the published set verifies.
pub(crate) async fn verified(stage: &Stage, token: &str) -> Value {
    let jwks = stage.get("/api/oauth/jwks", &[]).await.json();
    let parts: Vec<&str> = token.split('.').collect();
    let decoded = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
    let head: Value = serde_json::from_slice(&decoded(parts[0])).unwrap();
    assert_eq!((head["alg"].as_str(), head["typ"].as_str()), (Some("ES256"), Some("JWT")));
    let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == head["kid"]);
    let key = key.unwrap_or_else(|| panic!("the key {} is not published", head["kid"]));
    let coordinate = |name: &str| decoded(key[name].as_str().unwrap());
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
    let input = format!("{}.{}", parts[0], parts[1]);
    public.verify(input.as_bytes(), &decoded(parts[2])).expect("a good signature");
    serde_json::from_slice(&decoded(parts[1])).unwrap()
}

pub(crate) fn at_hash(token: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(token)[..16])
}
