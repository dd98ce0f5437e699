//! A folder with a configuration and a replica, and the commands run on it.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::world;

/// How long a command may take; far more than any does.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a test wants to be otherwise in the configuration: lines to add to a section.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) listen: String,
    pub(crate) admin: String,
    pub(crate) server: String,
    pub(crate) upstream: String,
    pub(crate) routes: String,
    pub(crate) rest: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            admin: "127.0.0.1:0".into(),
            server: String::new(),
            upstream: String::new(),
            routes: ROUTES.into(),
            rest: String::new(),
        }
    }
}

/// One route of every kind.
const ROUTES: &str = r#"
[[route]]
path = "/api/apps/v1/{resource}/{*rest}"
upstream = "api"
auth = ["bearer", "session", "client_credentials"]
scopes = { read = "read:{resource}", write = "write:{resource}" }

[[route]]
path = "/public/{*rest}"
upstream = "api"
auth = "public"

[[route]]
path = "/native/{*rest}"
upstream = "api"
auth = "upstream"

[[route]]
path = "/free/{*rest}"
upstream = "api"
auth = ["bearer", "session", "client_credentials"]
scopes = "none"

[[route]]
path = "/both"
upstream = "api"
auth = ["bearer", "session", "client_credentials"]
scopes = ["read:orders", "write:orders"]

[[route]]
path = "/one"
upstream = "api"
auth = ["bearer", "session", "client_credentials"]
scopes = "read:products"

[[route]]
path = "/servers/{*rest}"
upstream = "api"
auth = ["client_credentials"]
scopes = "none"

[[route]]
path = "/tokens"
upstream = "api"
auth = ["bearer", "session"]
scopes = "none"

[[route]]
path = "/reports"
upstream = "api"
auth = "public"
methods = ["GET", "POST"]
"#;

impl Settings {
    /// `gateway.toml` with an upstream at `address`.
    pub(crate) fn toml(&self, address: &str) -> String {
        let Self { listen, admin, server, upstream, routes, rest } = self;
        format!(
            "[server]\nlisten = [\"{listen}\"]\nthreads = 2\n{server}\n\n[admin]\nlisten = \"{admin}\"\n\n\
             [replica]\npath = \"storegate.db\"\n\n[upstream.api]\nservers = [\"http://{address}\"]\n\
             {upstream}\n{routes}\n{rest}\n"
        )
    }
}

/// The folder; it goes with the value.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Place {
    /// With a configuration whose upstream nobody calls, and without a replica.
    pub(crate) fn empty() -> Self {
        Self::with(&Settings::default().toml("127.0.0.1:1"))
    }

    /// With this configuration and without a replica.
    pub(crate) fn with(toml: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write("gateway.toml", toml);
        place
    }

    /// Takes the records of [`world`] over.
    pub(crate) fn seed(&self) {
        let done = self.import(&world::records());
        assert_eq!(done.code, 0, "{done:?}");
    }

    pub(crate) fn import(&self, records: &str) -> Done {
        let file = self.write("records.ndjson", records);
        self.run(&["import", file.to_str().unwrap()])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program with these arguments and this place's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.arg("--config").arg(self.path("gateway.toml"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments), "")
    }

    /// Runs a command that reads `input`.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Done {
        finish(self.command(arguments), input)
    }

    /// Runs a command that must work, with `--json`; the document is all that it may print.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let done = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
        done.json()
    }

    /// Runs a command that must work.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
        done.out
    }

    /// The bytes of every file of the replica.
    pub(crate) fn replica_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("storegate.db")
                && entry.file_type().unwrap().is_file()
            {
                bytes.extend(std::fs::read(entry.path()).unwrap_or_default());
            }
        }
        bytes
    }
}

/// The program with these arguments and nothing else.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storegate"));
    command.args(arguments).env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command, input: &str) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let _ = to.write_all(input.as_bytes()); // it may end without reading
    drop(to);
    let out = drain(child.stdout.take().unwrap());
    let err = drain(child.stderr.take().unwrap());
    let code = wait(&mut child, PATIENCE).unwrap_or_else(|| panic!("{command:?} does not end"));
    Done { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The exit code, -1 for a signal; `None` when the process still runs after `patience`, in which case
/// it is ended.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    let status = wait_until(patience, || child.try_wait().unwrap());
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status.map(|status| status.code().unwrap_or(-1))
}

/// A loopback address of the caller's own: on it a port that was free stays free, since whoever else asks for any
/// port asks for one of 127.0.0.1.
pub(crate) fn own_ip() -> Ipv4Addr {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let number = (std::process::id() << 8) | (GIVEN.fetch_add(1, Ordering::Relaxed) & 0xff);
    // 127.64.0.0/10
    Ipv4Addr::from_bits(0x7f40_0000 | (number & 0x3f_ffff))
}

/// Asks every few milliseconds until there is an answer or patience ends.
pub(crate) fn wait_until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match ask() {
            None if start.elapsed() < patience => std::thread::sleep(Duration::from_millis(3)),
            answer => return answer,
        }
    }
}
