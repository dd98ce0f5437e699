//! From the commit of a revocation to its enforcement in a running gateway, by who made it. Prints one
//! table; asserts nothing. `STOREGATE_BENCH_ROUNDS` sets the rounds of each row (default 300).
//!
//! The gateway is this process: an open replica with its watch, as `storegate run` has it. The end of
//! a measurement is the moment in which the keys of the change are dropped.

#![allow(clippy::print_stdout)] // the table is what it is for

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, io, thread};

use storegate::model::{ClientId, ScopeSet, Secret, StoreId};
use storegate::replica::{Actor, Committed, NewApp, Options, Replica, Watch, WriteError, Writer};

type Outcome<T> = Result<T, Box<dyn Error>>;

const CONFIG: &str = "
[replica]
path = \"storegate.db\"
[upstream.api]
servers = [\"http://127.0.0.1:9\"]
[[route]]
path = \"/orders\"
upstream = \"api\"
auth = \"upstream\"
";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().collect();
    if let [_, role, path] = arguments.as_slice()
        && role == "writer"
    {
        return be_the_other_process(Path::new(path));
    }
    let rounds = env::var("STOREGATE_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let stage = Stage::new()?;
    println!("{rounds} revocations each; milliseconds");
    println!("{:<42} {:>8} {:>8} {:>8}", "who revokes, and what is measured", "p50", "p99", "max");
    let (enforced, whole) = stage.in_process(rounds)?;
    report("in process: commit to enforced", enforced);
    report("in process: commit to acknowledged", whole);
    let (enforced, whole) = stage.other_process(rounds)?;
    report("another process: commit to enforced", enforced);
    report("another process: commit to acknowledged", whole);
    let (enforced, whole) = stage.command(rounds)?;
    report("`token revoke`: start to enforced", enforced);
    report("`token revoke`: start to exit", whole);
    report("foreign writer: commit to enforced", stage.foreign(rounds)?);
    Ok(())
}

fn report(what: &str, mut nanoseconds: Vec<u128>) {
    nanoseconds.sort_unstable();
    let at = |share: usize| {
        let index = (nanoseconds.len() * share / 100).min(nanoseconds.len().saturating_sub(1));
        nanoseconds.get(index).map_or(f64::NAN, |&ns| Duration::from_nanos(ns as u64).as_secs_f64() * 1e3)
    };
    println!("{what:<42} {:>8.3} {:>8.3} {:>8.3}", at(50), at(99), at(100));
}

struct Stage {
    folder: PathBuf,
    _temp: tempfile::TempDir,
    replica: Arc<Replica>,
    enforced: Mutex<Receiver<u128>>,
    _watch: Watch,
}

impl Stage {
    fn new() -> Outcome<Self> {
        let temp = tempfile::tempdir()?;
        let folder = temp.path().to_owned();
        fs::write(folder.join("gateway.toml"), CONFIG)?;
        let mut writer = Writer::open(&folder.join("storegate.db"), None)?;
        done(writer.add_store(store()?, None, None, None))?;
        let new = NewApp {
            name: "App".into(),
            scopes: ScopeSet::parse("read:orders")?,
            client_id: Some(app()?),
            client_secret: None,
            organization: None,
            allow: Vec::new(),
            token_auth: None,
            redirect_uris: Vec::new(),
        };
        done(writer.create_app(new))?;
        done(writer.install(&app()?, store()?, None))?;
        let replica = Replica::open(&folder.join("storegate.db"), Options::default())?;
        let (sender, enforced) = channel();
        let sender = Mutex::new(sender);
        replica.on_enforced(move |_, _| {
            let now = now();
            let _ = sender.lock().map(|sender| sender.send(now));
        });
        let watch = replica.watch()?;
        Ok(Self { folder, _temp: temp, replica, enforced: Mutex::new(enforced), _watch: watch })
    }

    fn path(&self) -> PathBuf {
        self.folder.join("storegate.db")
    }

    /// A token that the gateway has in its cache.
    fn token(&self, writer: &mut Writer) -> Outcome<Secret> {
        use storegate::gate::Directory;
        let token = done(writer.issue_token(&app()?, store()?, Duration::from_secs(3600), None))?;
        let digest = storegate::model::TokenDigest::of(token.access_token.expose().as_bytes());
        self.replica.access_token(&digest)?;
        self.forget();
        // Not in step with the poller, whose turn is every 10 ms.
        thread::sleep(Duration::from_micros(u64::from(digest.0[0]) * 80));
        Ok(token.access_token)
    }

    fn forget(&self) {
        if let Ok(enforced) = self.enforced.lock() {
            while enforced.try_recv().is_ok() {}
        }
    }

    /// When the change that was just made was put in force.
    fn enforced(&self) -> Outcome<u128> {
        let enforced = self.enforced.lock().map_err(|_| "poisoned")?;
        Ok(enforced.recv_timeout(Duration::from_secs(10))?)
    }

    fn in_process(&self, rounds: usize) -> Outcome<(Vec<u128>, Vec<u128>)> {
        let mut writer = self.replica.writer(Actor::gateway())?;
        let (mut enforced, mut acknowledged) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let token = self.token(&mut writer)?;
            let committed = writer.revoke_token(&token)?;
            let commit = now();
            committed.acknowledge().1?;
            acknowledged.push(now() - commit);
            enforced.push(self.enforced()?.saturating_sub(commit));
        }
        Ok((enforced, acknowledged))
    }

    fn other_process(&self, rounds: usize) -> Outcome<(Vec<u128>, Vec<u128>)> {
        let mut child = Command::new(env::current_exe()?)
            .arg("writer")
            .arg(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut orders = child.stdin.take().ok_or("no input")?;
        let mut answers = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut writer = Writer::open(&self.path(), None)?;
        let (mut enforced, mut acknowledged) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let token = self.token(&mut writer)?;
            writeln!(orders, "{}", token.expose())?;
            let answer = answers.next().ok_or("the other process ended")??;
            let (commit, end) = answer.split_once(' ').ok_or("no answer")?;
            let (commit, end): (u128, u128) = (commit.parse()?, end.parse()?);
            acknowledged.push(end - commit);
            enforced.push(self.enforced()?.saturating_sub(commit));
        }
        drop(orders);
        child.wait()?;
        Ok((enforced, acknowledged))
    }

    fn command(&self, rounds: usize) -> Outcome<(Vec<u128>, Vec<u128>)> {
        let mut writer = Writer::open(&self.path(), None)?;
        let (mut enforced, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let token = self.token(&mut writer)?;
            let start = now();
            let mut child = Command::new(env!("CARGO_BIN_EXE_storegate"))
                .arg("--config")
                .arg(self.folder.join("gateway.toml"))
                .args(["token", "revoke", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()?;
            child.stdin.take().ok_or("no input")?.write_all(token.expose().as_bytes())?;
            if !child.wait()?.success() {
                return Err("the command failed".into());
            }
            whole.push(now() - start);
            enforced.push(self.enforced()?.saturating_sub(start));
        }
        Ok((enforced, whole))
    }

    /// Somebody who knows nothing of us: the poller has to notice.
    fn foreign(&self, rounds: usize) -> Outcome<Vec<u128>> {
        let mut writer = Writer::open(&self.path(), None)?;
        let stranger = rusqlite::Connection::open(self.path())?;
        let mut enforced = Vec::new();
        for _ in 0..rounds {
            let token = self.token(&mut writer)?;
            let digest = storegate::model::TokenDigest::of(token.expose().as_bytes());
            stranger.execute("UPDATE access_tokens SET revoked_at = 1 WHERE token_hash = ?1", [digest.0])?;
            let commit = now();
            enforced.push(self.enforced()?.saturating_sub(commit));
        }
        Ok(enforced)
    }
}

/// Revokes the tokens of its input, and says when each was committed and when acknowledged.
fn be_the_other_process(path: &Path) -> Outcome<()> {
    let mut writer = Writer::open(path, None)?;
    for line in io::stdin().lines() {
        let committed = writer.revoke_token(&Secret::new(line?))?;
        let commit = now();
        committed.acknowledge().1?;
        println!("{commit} {}", now());
    }
    Ok(())
}

fn done<T>(change: Result<Committed<T>, WriteError>) -> Outcome<T> {
    let (value, enforced) = change?.acknowledge();
    enforced?;
    Ok(value)
}

fn store() -> Outcome<StoreId> {
    StoreId::new(22).ok_or_else(|| "no store id".into())
}

fn app() -> Outcome<ClientId> {
    Ok(ClientId::parse("sx_app_1")?)
}

/// Nanoseconds since 1970: the one clock that both processes read.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
