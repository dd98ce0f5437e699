//! What signing people in costs those who do something else. A gateway (this build, its own process) answers
//! 200 proxied requests a second; beside them people sign in. One row each: nobody signs in; 50 a second
//! with a session that they have (authorize, token, userinfo: two commits); 50 a second with their
//! password; with passwords as fast as the machine can. Prints one table; asserts nothing.
//!
//! `STOREGATE_BENCH_SECONDS` sets the length of each row (default 10).

#![allow(clippy::print_stdout)] // the table is what it is for

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use storegate::hasher::{hash_client_secret, hash_password};
use storegate::model::{
    ClientId, ClientType, Email, Profile, RedirectUri, ScopeSet, Secret, StoreId, Subject, UserKind,
};
use storegate::replica::{NewApp, NewOauthClient, NewUser, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PROXIED_PER_SECOND: u64 = 200;
const SIGN_INS_PER_SECOND: u64 = 50;
const PEOPLE: u64 = 100;
const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "sx_os_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const AUTHORIZE: &str = "/api/oauth/authorize?client_id=sx_oc_1&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb\
    &response_type=code&scope=openid+email&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
    &code_challenge_method=S256";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Nobody,
    Sessions,
    Passwords,
    AllPasswords,
}

fn main() -> Outcome<()> {
    let seconds = env::var("STOREGATE_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stage = Arc::new(Stage::start().await?);
        println!(
            "{:<44} {:>9} {:>8} {:>8} {:>8}",
            "beside 200 proxied requests a second", "done/s", "p50", "p99", "max"
        );
        let length = Duration::from_secs(seconds);
        for (what, load) in [
            ("nobody signs in", Load::Nobody),
            ("50 sign-ins a second with a session", Load::Sessions),
            ("50 sign-ins a second with a password", Load::Passwords),
            ("sign-ins with a password, all it can", Load::AllPasswords),
        ] {
            stage.row(what, load, length).await?;
        }
        println!("latencies are those of the proxied requests, in milliseconds");
        Ok(())
    })
}

struct Stage {
    address: SocketAddr,
    token: String,
    sessions: Vec<String>,
    _folder: tempfile::TempDir,
    _gateway: Gateway,
}

struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    async fn start() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let upstream = TcpListener::bind("127.0.0.1:0").await?;
        let config = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n\
             [upstream.api]\nservers = [\"http://{}\"]\n[[route]]\npath = \"/orders\"\nscopes = \"none\"\n[idp]\n",
            upstream.local_addr()?
        );
        tokio::spawn(serve(upstream));
        fs::write(folder.path().join("gateway.toml"), config)?;
        let token = seed(&folder)?;
        let mut gateway = Command::new(env!("CARGO_BIN_EXE_storegate"))
            .args(["run", "--config"])
            .arg(folder.path().join("gateway.toml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut ready = String::new();
        BufReader::new(gateway.stdout.take().ok_or("no output")?).read_line(&mut ready)?;
        let address =
            ready.split(' ').find_map(|word| word.strip_prefix("listen=")).ok_or("not ready")?.parse()?;
        let gateway = Gateway(gateway);
        tokio::time::sleep(Duration::from_millis(1500)).await; // the first keys are made
        let mut sessions = Vec::new();
        for person in 1..=8 {
            sessions.push(sign_in(address, person).await?.ok_or("nobody can sign in")?);
        }
        Ok(Self { address, token, sessions, _folder: folder, _gateway: gateway })
    }

    async fn row(self: &Arc<Self>, what: &str, load: Load, length: Duration) -> Outcome<()> {
        let (done, end) = (Arc::new(AtomicUsize::new(0)), Instant::now() + length);
        let mut loads = JoinSet::new();
        match load {
            Load::Nobody => {}
            Load::Sessions | Load::Passwords => {
                let (stage, done) = (Arc::clone(self), Arc::clone(&done));
                loads.spawn(async move { stage.steadily(load, done, end).await });
            }
            Load::AllPasswords => {
                for worker in 0..8 {
                    let (stage, done) = (Arc::clone(self), Arc::clone(&done));
                    loads.spawn(async move {
                        let mut person = worker;
                        while Instant::now() < end {
                            person = person % PEOPLE + 1;
                            if let Ok(Some(_)) = sign_in(stage.address, person).await {
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    });
                }
            }
        }
        let latencies = self.proxied(end).await?;
        while loads.join_next().await.is_some() {}
        let rate = done.load(Ordering::Relaxed) as f64 / length.as_secs_f64();
        let at = |share: usize| {
            let index = (latencies.len() * share / 100).min(latencies.len().saturating_sub(1));
            latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
        };
        println!("{what:<44} {rate:>9.1} {:>8.2} {:>8.2} {:>8.2}", at(50), at(99), at(100));
        Ok(())
    }

    /// Sign-ins at a fixed rate, whether those before are done or not.
    async fn steadily(self: Arc<Self>, load: Load, done: Arc<AtomicUsize>, end: Instant) {
        let mut ticks = interval(Duration::from_nanos(1_000_000_000 / SIGN_INS_PER_SECOND));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut all, mut turn) = (JoinSet::new(), 0u64);
        while Instant::now() < end {
            ticks.tick().await;
            turn += 1;
            let (stage, done) = (Arc::clone(&self), Arc::clone(&done));
            all.spawn(async move {
                let one = async {
                    match load {
                        Load::Sessions => stage.with_session(turn).await.is_ok(),
                        _ => matches!(sign_in(stage.address, turn % PEOPLE + 1).await, Ok(Some(_))),
                    }
                };
                if let Ok(true) = timeout(Duration::from_secs(10), one).await {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while all.join_next().await.is_some() {}
    }

    /// The way of somebody who is signed in and granted it before.
    async fn with_session(&self, turn: u64) -> Outcome<()> {
        let mut wire = Wire::open(self.address).await?;
        let session = &self.sessions[usize::try_from(turn).unwrap_or(0) % self.sessions.len()];
        let answer =
            wire.ask(&format!("GET {AUTHORIZE} HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await?;
        let code = answer.split("code=").nth(1).and_then(|rest| rest.split('&').next()).ok_or("no code")?;
        let body = format!(
            "grant_type=authorization_code&code={code}&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb\
             &code_verifier={VERIFIER}&client_id=sx_oc_1&client_secret={SECRET}"
        );
        let answer = wire.ask(&post("/api/oauth/token", "", &body)).await?;
        let token = answer.split("sx_it_").nth(1).and_then(|rest| rest.get(..64)).ok_or("no token")?;
        let ask = format!(
            "GET /api/oauth/userinfo HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sx_it_{token}\r\n\r\n"
        );
        let told = wire.ask(&ask).await?;
        if told.contains("customer:") { Ok(()) } else { Err("no claims".into()) }
    }

    /// Proxied requests at a fixed rate; their latencies, sorted.
    async fn proxied(&self, end: Instant) -> Outcome<Vec<Duration>> {
        let request =
            format!("GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", self.token);
        let mut ticks = interval(Duration::from_nanos(1_000_000_000 / PROXIED_PER_SECOND));
        let mut wire = Wire::open(self.address).await?;
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let due = ticks.tick().await.into_std();
            let answer = wire.ask(&request).await?;
            if !answer.starts_with("HTTP/1.1 200") {
                return Err(format!("a proxied request was refused: {answer}").into());
            }
            // From the time at which it was due: one that waited for another counts whole.
            latencies.push(due.elapsed());
        }
        latencies.sort_unstable();
        Ok(latencies)
    }
}

/// Signs somebody in by password and grants what is asked for; the session's cookie. `None`: refused for now.
async fn sign_in(address: SocketAddr, person: u64) -> Outcome<Option<String>> {
    let mut wire = Wire::open(address).await?;
    let field = |page: &str, name: &str| -> Outcome<String> {
        let mark = format!("name=\"{name}\" value=\"");
        let rest = page.split(&*mark).nth(1).ok_or("no such field")?;
        Ok(rest.split('"').next().unwrap_or_default().to_owned())
    };
    let cookie = |answer: &str| -> Outcome<String> {
        let line = answer
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("set-cookie: storegate_session"));
        let value = line.ok_or("no cookie")?.split(' ').nth(1).unwrap_or_default();
        Ok(value.trim_end_matches(';').to_owned())
    };
    let away = wire.ask(&format!("GET {AUTHORIZE} HTTP/1.1\r\nHost: a\r\n\r\n")).await?;
    let login = location(&away)?;
    let page = wire.ask(&format!("GET {login} HTTP/1.1\r\nHost: a\r\n\r\n")).await?;
    let (csrf, sealed, before) = (field(&page, "csrf")?, field(&page, "request")?, cookie(&page)?);
    let form =
        format!("csrf={csrf}&request={sealed}&email=p{person}%40example.com&password=correct+horse+battery");
    let answer = wire.ask(&post("/api/oauth/login", &before, &form)).await?;
    if !answer.starts_with("HTTP/1.1 303") {
        return Ok(None);
    }
    let session = cookie(&answer)?;
    let next = location(&answer)?;
    if next.starts_with('/') {
        let page = wire.ask(&format!("GET {next} HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await?;
        let (csrf, sealed) = (field(&page, "csrf")?, field(&page, "request")?);
        let form = format!("csrf={csrf}&request={sealed}&decision=allow");
        wire.ask(&post("/api/oauth/authorize/consent", &session, &form)).await?;
    }
    Ok(Some(session))
}

fn location(answer: &str) -> Outcome<String> {
    let line = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("location: "));
    Ok(line.ok_or("no location")?["location: ".len()..].to_owned())
}

fn post(path: &str, cookie: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One connection.
struct Wire(TcpStream);

impl Wire {
    async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    async fn ask(&mut self, request: &str) -> Outcome<String> {
        self.0.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        loop {
            if self.0.read_buf(&mut bytes).await? == 0 {
                return Err("closed".into());
            }
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(text.into_owned());
            }
        }
    }
}

/// The upstream: the same short answer to everything.
async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                if bytes.ends_with(b"\r\n\r\n") {
                    bytes.clear();
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// A store, an app with a token, people and a client; the token.
fn seed(folder: &tempfile::TempDir) -> Outcome<String> {
    let mut writer = Writer::open(&folder.path().join("storegate.db"), None)?;
    let store = StoreId::new(22).ok_or("a store")?;
    let (app, client) = (ClientId::parse("sx_app_1")?, ClientId::parse("sx_oc_1")?);
    let _ = writer.add_store(store, None, None, None)?;
    let _ = writer.create_app(NewApp {
        name: "App".into(),
        scopes: ScopeSet::parse("read:orders")?,
        client_id: Some(app.clone()),
        client_secret: None,
        organization: None,
        allow: Vec::new(),
        token_auth: None,
        redirect_uris: Vec::new(),
    })?;
    let _ = writer.install(&app, store, None)?;
    let (token, _) = writer.issue_token(&app, store, Duration::from_secs(3600), None)?.acknowledge();
    let password = hash_password(&Secret::new(PASSWORD.into()))?;
    for person in 1..=PEOPLE {
        let _ = writer.add_user(&NewUser {
            subject: Subject::new(UserKind::Customer, person).ok_or("a person")?,
            store_id: store,
            role: None,
            profile: Profile {
                name: format!("Person {person}"),
                email: Email::parse(&format!("p{person}@example.com"))?,
                email_verified: true,
                picture: None,
                phone: None,
                phone_verified: false,
                locale: None,
            },
            password: password.clone(),
        })?;
    }
    let _ = writer.add_oauth_client(&NewOauthClient {
        client_id: client,
        name: "Shop".into(),
        secret_hash: Some(hash_client_secret(&Secret::new(SECRET.into()))?),
        redirect_uris: vec![RedirectUri::parse("http://127.0.0.1:9/cb", ClientType::Confidential)?],
        logout_uris: Vec::new(),
        scopes: ScopeSet::parse("openid email")?,
        owner: None,
    })?;
    Ok(token.access_token.expose().to_owned())
}
