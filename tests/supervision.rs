//! Under a service manager: what it is told, the sockets that it passes, and the upgrade within one service.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::gateway::{Running, signal};
use common::world::{MAIN, TOKEN, bearer};
use common::{Place, RecordingUpstream, Settings, ask, request, wait_until};

/// More than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

const NONE: [&str; 0] = [];

/// A place, its upstream, and a service manager that listens to what it is told.
struct Service {
    place: Place,
    upstream: RecordingUpstream,
    told: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn new(settings: &Settings) -> Self {
        let upstream = RecordingUpstream::start();
        let place = Place::with(&settings.toml(&upstream.address.to_string()));
        place.seed();
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&told);
        std::thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                into.lock().unwrap().push(String::from_utf8(message[..length].to_vec()).unwrap());
            }
        });
        Self { place, upstream, told }
    }

    fn command(&self) -> Command {
        let mut command = self.place.command(&["run"]);
        command.env("NOTIFY_SOCKET", self.place.path("notify"));
        command
    }

    fn start(&self) -> Running {
        Running::start(self.command())
    }

    /// Waits for a message with this line, and gives all up to it; they are not seen again.
    fn hears(&self, line: &str) -> Vec<String> {
        let heard = wait_until(SOON, || {
            let mut told = self.told.lock().unwrap();
            let found = told.iter().position(|message| message.lines().any(|own| own.starts_with(line)))?;
            Some(told.drain(..=found).collect())
        });
        heard.unwrap_or_else(|| panic!("not told {line}: {:?}", self.told.lock().unwrap()))
    }

    fn has_heard(&self, line: &str) -> usize {
        self.told
            .lock()
            .unwrap()
            .iter()
            .filter(|message| message.lines().any(|own| own.starts_with(line)))
            .count()
    }
}

#[test]
fn ready_reloading_and_stopping_are_told() {
    let server = "grace_period = \"20s\"\nreload_on_change = false";
    let service = Service::new(&Settings { server: server.into(), ..Settings::default() });
    let mut running = service.start();
    let (address, admin) = running.ready();
    let heard = service.hears("READY=1");
    assert_eq!(
        heard,
        [format!("READY=1\nSTATUS=serving on {address}, admin on {admin}\n")],
        "and nothing before"
    );

    let good = std::fs::read_to_string(service.place.path("gateway.toml")).unwrap();
    for (toml, code, status) in [
        (good.clone() + "# changed\n", 0, "STATUS=a changed configuration is in force"),
        (
            good.replace("[server]", "[sever]"),
            1,
            "STATUS=a changed configuration was refused (see the log); the one before is in force",
        ),
        (good, 0, "STATUS=a changed configuration is in force"),
    ] {
        service.place.write("gateway.toml", &toml);
        assert_eq!(service.place.run(&["reload"]).code, code);
        let heard = service.hears("READY=1");
        let (reloading, ready) = (&heard[0], &heard[1]);
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        // The clock that sd_notify(3) asks for: the time since the machine was started, in microseconds.
        let up = std::fs::read_to_string("/proc/uptime").unwrap();
        let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
        let since: f64 = since.parse::<f64>().unwrap() / 1e6;
        assert!((up - since).abs() < 60.0, "{up} {since}");
        assert_eq!(*ready, format!("READY=1\n{status}\n"));
        assert_eq!(heard.len(), 2, "{heard:?}");
    }
    running.signal("HUP");
    service.hears("RELOADING=1");
    service.hears("READY=1");

    let mut slow = common::Client::connect(address);
    slow.send(request("GET /public/slow", &NONE));
    service.upstream.wait_for_heads(1);
    running.signal("TERM");
    assert_eq!(service.hears("STOPPING=1"), ["STOPPING=1\nSTATUS=stopping; 1 requests are under way\n"]);
    service.upstream.release();
    assert_eq!(slow.answer(false).unwrap().status, 200);
    assert_eq!(running.end(SOON), Some(0));
    assert_eq!(service.has_heard("WATCHDOG"), 0, "nobody asked for it");
}

#[test]
fn a_gateway_that_cannot_start_is_never_ready() {
    let service =
        Service::new(&Settings { rest: "[log]\naccess = \"missing/a.log\"".into(), ..Settings::default() });
    let mut running = service.start();
    assert_eq!(running.end(SOON), Some(1), "{}", running.said());
    assert_eq!(service.told.lock().unwrap().len(), 0);
}

/// A manager that does not listen is no reason not to serve.
#[test]
fn a_service_manager_that_is_gone_stops_nothing() {
    let service = Service::new(&Settings::default());
    let mut command = service.place.command(&["run"]);
    command.env("NOTIFY_SOCKET", service.place.path("nobody")).env("WATCHDOG_USEC", "300000");
    let mut running = Running::start(command);
    let (address, _) = running.ready();
    assert_eq!(ask(address, request("GET /free/a", &bearer(TOKEN))).status, 200);
    running.signal("TERM");
    assert_eq!(running.end(SOON), Some(0));
}

#[test]
fn the_watchdog_hears_of_a_gateway_only_while_it_can_decide() {
    let service = Service::new(&Settings::default());
    let mut command = service.command();
    command.env("WATCHDOG_USEC", "300000");
    let mut running = Running::start(command);
    let (address, admin) = running.ready();
    let serving = format!("STATUS=serving on {address}, admin on {admin}");
    (0..3).for_each(|_| _ = service.hears("WATCHDOG=1"));

    let names = ["storegate.db", "storegate.db-wal", "storegate.db-shm"];
    // Away the file goes first, and back it comes last: it must not be opened without its log.
    let moved = |from: &str, to: &str, names: &[&str]| {
        for name in names {
            let path = |prefix: &str| service.place.path(&format!("{prefix}{name}"));
            let _ = std::fs::rename(path(from), path(to));
        }
    };
    moved("", "away-", &names);
    service.hears("STATUS=cannot decide: ");
    assert_eq!(ask(address, request("GET /free/a", &bearer(TOKEN))).status, 503);
    std::thread::sleep(Duration::from_millis(600)); // six beats, had there been any
    assert_eq!(service.has_heard("WATCHDOG=1"), 0);
    let back: Vec<_> = names.into_iter().rev().collect();
    moved("away-", "", &back);
    service.hears("WATCHDOG=1");
    service.hears(&serving);
    assert_eq!(ask(address, request("GET /free/a", &bearer(TOKEN))).status, 200);

    // A process that is stuck says nothing.
    running.signal("STOP");
    wait_until(SOON, || running.state().starts_with('T').then_some(())).unwrap();
    // What it said before is on its way; this comes behind it.
    let last = UnixDatagram::unbound().unwrap();
    last.send_to(b"LAST=1", service.place.path("notify")).unwrap();
    service.hears("LAST=1");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(service.told.lock().unwrap().len(), 0);
    running.signal("CONT");
    service.hears("WATCHDOG=1");
    running.signal("TERM");
    assert_eq!(running.end(SOON), Some(0));
    assert!(!running.said().contains("no connections are accepted"), "{}", running.said());
}

#[test]
fn a_watchdog_that_is_meant_for_another_process_hears_nothing() {
    let service = Service::new(&Settings::default());
    let mut command = service.command();
    command.env("WATCHDOG_USEC", "30000").env("WATCHDOG_PID", "1");
    let mut running = Running::start(command);
    running.ready();
    service.hears("READY=1");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(service.has_heard("WATCHDOG"), 0);
    running.signal("TERM");
    assert_eq!(running.end(SOON), Some(0));
}

/// SIGUSR2: the service goes on with another process, without a failed request.
#[test]
fn a_service_is_upgraded_by_a_signal() {
    let service = Service::new(&Settings::default());
    let mut command = service.command();
    command.env("WATCHDOG_USEC", "300000").env("LISTEN_FDNAMES", "storegate.socket");
    let mut running = Running::start(command);
    let (address, admin) = running.ready();
    service.hears("READY=1");
    let mut pid = running.pid();
    let first = pid;
    for round in 0..2 {
        // The first leaves a bad configuration alone, and goes on.
        let good = std::fs::read_to_string(service.place.path("gateway.toml")).unwrap();
        service.place.write("gateway.toml", "nonsense");
        signal(pid, "USR2");
        let said =
            || running.said().matches("the process started to take over has ended: exit status: 2").count();
        wait_until(SOON, || (said() == round + 1).then_some(()))
            .unwrap_or_else(|| panic!("{}", running.said()));
        service.place.write("gateway.toml", &good);
        assert_eq!(ask(address, request("GET /free/a", &bearer(TOKEN))).status, 200);

        signal(pid, "USR2");
        let heard = service.hears("MAINPID=");
        let next: u32 = heard.last().unwrap().trim().strip_prefix("MAINPID=").unwrap().parse().unwrap();
        assert_ne!(next, pid);
        let heard = service.hears("READY=1");
        assert_eq!(
            *heard.last().unwrap(),
            format!("READY=1\nSTATUS=serving on {address}, admin on {admin}\n")
        );
        let gone = wait_until(SOON, || (!alive(pid)).then_some(()));
        assert!(gone.is_some(), "the old process leaves: {}", running.said());
        service.hears("WATCHDOG=1"); // nobody but the new one is there to say so
        assert_eq!(ask(address, request("GET /free/a", &bearer(TOKEN))).status, 200);
        let token = service.place.json(&["token", "issue", MAIN.client_id, "22"]);
        let token = token["access_token"].as_str().unwrap();
        service.place.ok(&["token", "revoke", token]);
        assert_eq!(ask(address, request("GET /free/a", &bearer(token))).status, 401);
        pid = next;
    }
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let arguments = String::from_utf8(arguments).unwrap();
    assert_eq!(arguments.matches("--take-over=").count(), 1, "{arguments}");
    assert_ne!(pid, first);
    signal(pid, "TERM");
    wait_until(SOON, || TcpStream::connect(address).is_err().then_some(())).unwrap();
    wait_until(SOON, || (!alive(pid)).then_some(())).unwrap();
}

/// Whether a process runs; one that waits to be reaped does not.
fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

/// `storegate run` with these sockets from descriptor 3 on, as a service manager passes them; two at most.
fn activated(place: &Place, sockets: Vec<OwnedFd>) -> Running {
    let script = match sockets.len() {
        1 => "exec 3<&0 0</dev/null",
        _ => "exec 3<&0 4>&1 0</dev/null 1>&2",
    };
    let mut command = Command::new("sh");
    let count = sockets.len();
    command.args(["-c", &format!("{script}; LISTEN_PID=$$ LISTEN_FDS={count} exec \"$@\""), "sh"]);
    command.arg(env!("CARGO_BIN_EXE_storegate")).args(["run", "--config"]).arg(place.path("gateway.toml"));
    let mut sockets = sockets.into_iter();
    let stdin = Stdio::from(sockets.next().unwrap());
    Running::start_with(command, stdin, sockets.next().map(Stdio::from))
}

fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Connections wait in the queue of the socket, whether or not a gateway is there.
#[test]
fn sockets_that_are_passed_are_used() {
    let upstream = RecordingUpstream::start();
    let ((public, listen), (admin_socket, admin)) = (listening(), listening());
    let settings = Settings { listen: listen.clone(), admin: admin.clone(), ..Settings::default() };
    let place = Place::with(&settings.toml(&upstream.address.to_string()));
    place.seed();
    let both =
        || vec![OwnedFd::from(public.try_clone().unwrap()), OwnedFd::from(admin_socket.try_clone().unwrap())];
    for round in 0..2 {
        let mut early = TcpStream::connect(&*listen).unwrap();
        early
            .write_all(&request("GET /free/a", &[bearer(TOKEN), vec!["Connection: close".into()]].concat()))
            .unwrap();
        let mut running = activated(&place, both());
        let mut answer = String::new();
        early.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{round}: {answer}");
        let ready = format!("ready listen={listen} admin={admin}");
        wait_until(SOON, || running.said().contains(&ready).then_some(()))
            .unwrap_or_else(|| panic!("{}", running.said()));
        running.signal("TERM");
        assert_eq!(running.end(SOON), Some(0), "{}", running.said());
        assert!(TcpStream::connect(&*listen).is_ok(), "the service manager still has them");
    }
    // Connections of the loop are left in the queue; the next gateway takes over what listens, and a signal
    // hands it on to its successor, which was not passed any.
    let mut running = activated(&place, both());
    wait_until(SOON, || running.said().contains("ready ").then_some(())).unwrap();
    signal(running.pid(), "USR2");
    assert_eq!(running.end(SOON), Some(0), "{}", running.said());
    assert_eq!(ask(listen.parse().unwrap(), request("GET /free/a", &bearer(TOKEN))).status, 200);
    let sockets = std::fs::read_dir(place.path(".")).unwrap().flatten();
    let names: Vec<String> = sockets.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let successor =
        names.iter().find_map(|name| name.strip_prefix("storegate.db.")?.strip_suffix(".handover"));
    let successor: u32 = successor.unwrap().parse().unwrap();
    let environment = std::fs::read_to_string(format!("/proc/{successor}/environ")).unwrap();
    assert!(!environment.contains("LISTEN_"), "they were not meant for it: {environment}");
    signal(successor, "TERM");
    wait_until(SOON, || (!alive(successor)).then_some(())).unwrap();
}

#[test]
fn sockets_that_nobody_would_serve_are_refused() {
    let place = Place::empty();
    let (other, _) = listening();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = std::fs::File::open(place.path("gateway.toml")).unwrap();
    for (socket, named) in [
        (OwnedFd::from(other), "which neither server.listen nor admin.listen names"),
        (OwnedFd::from(udp), "not a valid tcp socket"),
        (OwnedFd::from(file), "not a socket"),
    ] {
        let mut running = activated(&place, vec![socket]);
        assert_eq!(running.end(SOON), Some(1), "{named}: {}", running.said());
        let said = running.said();
        assert!(said.contains("LISTEN_FDS") && said.contains(named), "{named}: {said}");
        assert!(!said.contains("ready") && !said.contains("panicked"), "{said}");
    }
}
