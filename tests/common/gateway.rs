//! A running gateway.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::client::{Client, Response, ask, request};
use super::place::{Place, Settings, wait, wait_until};
use super::upstream::RecordingUpstream;

/// How long a gateway may take to be ready on a busy machine.
const START: Duration = Duration::from_secs(30);

/// How long its words may take to come.
const HEAR: Duration = Duration::from_secs(20);

/// How long the rest of its words is waited for when it has ended. All of it is spent where another process holds the
/// same streams.
const REST: Duration = Duration::from_secs(5);

/// `storegate run` on a place, in front of a recording upstream; killed when dropped.
pub(crate) struct Gateway {
    pub(crate) place: Place,
    pub(crate) upstream: RecordingUpstream,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    running: Running,
}

/// The process and what it says.
pub(crate) struct Running {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

impl Gateway {
    /// With the records of the tests' world.
    pub(crate) fn start(settings: &Settings) -> Self {
        let upstream = RecordingUpstream::start();
        let place = Place::with(&settings.toml(&upstream.address.to_string()));
        place.seed();
        Self::start_in(place, upstream)
    }

    /// On a place as it is.
    pub(crate) fn start_in(place: Place, upstream: RecordingUpstream) -> Self {
        let mut running = Running::start(place.command(&["run"]));
        let (address, admin) = running.ready();
        Self { place, upstream, address, admin, running }
    }

    /// Starts the program again on the same place, after it ended.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.child.try_wait().unwrap().is_some(), "it still runs");
        self.running = Running::start(self.place.command(&["run"]));
        (self.address, self.admin) = self.running.ready();
    }

    /// Starts another process that takes this one's place; returns the one before.
    pub(crate) fn be_taken_over(&mut self) -> Running {
        let mut next = Running::start(self.place.command(&["run", "--take-over"]));
        let addresses = next.ready();
        assert_eq!(addresses, (self.address, self.admin));
        std::mem::replace(&mut self.running, next)
    }

    /// One request over a connection of its own.
    pub(crate) fn ask(&self, line: &str, lines: &[impl AsRef<str>]) -> Response {
        ask(self.address, request(line, lines))
    }

    /// The status of a GET of orders with these credentials.
    pub(crate) fn orders(&self, lines: &[String]) -> u16 {
        self.ask("GET /api/apps/v1/orders", lines).status
    }

    /// The same with its code.
    pub(crate) fn orders_code(&self, lines: &[String]) -> (u16, String) {
        let response = self.ask("GET /api/apps/v1/orders", lines);
        (response.status, response.code())
    }

    pub(crate) fn admin(&self, path: &str) -> Response {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        ask(self.admin, head)
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A WebSocket that the upstream has accepted.
    pub(crate) fn websocket(&self, path: &str, lines: &[String]) -> Client {
        let handshake = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let lines = [handshake.map(str::to_owned).to_vec(), lines.to_vec()].concat();
        let mut client = self.connect();
        client.send(request(&format!("GET {path}"), &lines));
        assert!(client.head().starts_with("HTTP/1.1 101"));
        client
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    /// Waits for the end of the process: its exit code, -1 for a signal, `None` if it goes on.
    pub(crate) fn end(&mut self, patience: Duration) -> Option<i32> {
        self.running.end(patience)
    }

    /// What it has said so far, on both streams.
    pub(crate) fn said(&self) -> String {
        self.running.said()
    }

    /// Its standard output so far.
    pub(crate) fn out(&self) -> String {
        self.running.out()
    }

    /// Waits until it has said these words: what it writes comes a moment after what it does.
    pub(crate) fn hear(&self, words: &str) {
        self.hear_times(words, 1);
    }

    /// The same for as many times at least.
    pub(crate) fn hear_times(&self, words: &str, times: usize) {
        let heard = || (self.said().matches(words).count() >= times).then_some(());
        assert!(wait_until(HEAR, heard).is_some(), "not {times} times {words:?}: {}", self.said());
    }

    /// Waits until its metrics have this line: some are counted a moment after what a client sees.
    pub(crate) fn counts(&self, line: &str) {
        let scrape = || self.admin("/metrics").text();
        let counted = || scrape().lines().any(|own| own == line).then_some(());
        assert!(wait_until(HEAR, counted).is_some(), "no {line}: {}", scrape());
    }

    /// A line of `/proc/PID/status` in KiB, such as `VmHWM`.
    pub(crate) fn memory(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Running {
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::null(), None)
    }

    /// With this standard input, and where one is given, this standard output.
    pub(crate) fn start_with(mut command: Command, stdin: Stdio, stdout: Option<Stdio>) -> Self {
        command.stdin(stdin).stdout(stdout.unwrap_or_else(Stdio::piped)).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().map(collect).unwrap_or_default();
        let err = collect(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the system sees it, `/proc/PID/status`: `T (stopped)`, for one.
    pub(crate) fn state(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("State:")).unwrap().trim().to_owned()
    }

    /// Its standard output so far.
    pub(crate) fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// What it has said so far, on both streams.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out.lock().unwrap(), self.err.lock().unwrap())
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end of the process: its exit code, -1 for a signal, `None` if it goes on.
    pub(crate) fn end(&mut self, patience: Duration) -> Option<i32> {
        let code = wait(&mut self.child, patience);
        // Until all that it said was read, unless another process holds the same streams.
        let is_read = || (Arc::strong_count(&self.out) + Arc::strong_count(&self.err) == 2).then_some(());
        let _ = wait_until(REST, is_read);
        code
    }

    /// Waits for `ready listen=… admin=…` and reads the addresses.
    pub(crate) fn ready(&mut self) -> (SocketAddr, SocketAddr) {
        let line = wait_until(START, || {
            let line = self.out().lines().find(|line| line.starts_with("ready ")).map(str::to_owned);
            let ended = line.is_none() && self.child.try_wait().unwrap().is_some();
            if ended { Some(String::new()) } else { line }
        });
        let line = line.filter(|line| !line.is_empty());
        let line = line.unwrap_or_else(|| panic!("not ready: {}", self.err.lock().unwrap()));
        let of = |name: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix(name));
            word.unwrap_or_else(|| panic!("no {name} in {line}")).parse().unwrap()
        };
        (of("listen="), of("admin="))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}

/// Sends a signal to a process, by name (`TERM`, `KILL`, …).
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}
