//! Limits that gateways count together, with a real server where one is installed, and with servers
//! that refuse, hang, or talk nonsense.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::common::gateway::signal;
use super::common::own_ip;
use super::common::world::{self, BOUND, MAIN, OTHER};
use super::{
    Gateway, ORDERS, Response, Settings, asks, assert_about, is_used_up, main, passed, settings, wait_until,
};

const PASSWORD: &str = "a3c1f00dfeedbeef";

/// A Redis or Valkey server, ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// `None`, with a message, where none is installed.
    fn start() -> Option<Self> {
        let address = free_address();
        let server = ["valkey-server", "redis-server"].iter().find_map(|name| Self::spawn(name, address));
        if server.is_none() {
            eprintln!("skipped: neither valkey-server nor redis-server is installed");
        }
        server
    }

    fn spawn(name: &str, address: SocketAddr) -> Option<Self> {
        let port = address.port().to_string();
        let ip = address.ip().to_string();
        let options = ["--port", &port, "--bind", &ip, "--save", "", "--requirepass", PASSWORD];
        let mut command = Command::new(name);
        command.args(options).current_dir(std::env::temp_dir()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().ok()?;
        let listens = || std::net::TcpStream::connect(address).ok();
        wait_until(Duration::from_secs(20), listens).expect("it listens");
        Some(Self { child, address })
    }

    fn again(&mut self) {
        self.end();
        *self = ["valkey-server", "redis-server"]
            .iter()
            .find_map(|name| Self::spawn(name, self.address))
            .expect("it started before");
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap()
}

fn shared(burst: u32, address: SocketAddr) -> Settings {
    let mut settings = settings(burst);
    settings.rest.push_str(&format!("\nshared = \"redis://:{PASSWORD}@{address}/3\""));
    settings
}

fn failures(gateway: &Gateway) -> u64 {
    let metrics = gateway.admin("/metrics").text();
    let line = metrics.lines().find(|line| line.starts_with("storegate_shared_limit_failures_total "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// The password must not be said, whatever happens.
fn assert_discreet(gateway: &Gateway) {
    let said = gateway.said();
    assert!(!said.contains(PASSWORD), "{said}");
}

/// Waits until the gateway says this once more than `before` times.
fn wait_to_hear(gateway: &Gateway, words: &str, before: usize) {
    gateway.hear_times(words, before + 1);
}

/// Waits until the gateway counts together with others, as far as it has said.
fn wait_for_connection(gateway: &Gateway) {
    let is_connected = || {
        let said = gateway.said();
        let last = said.rfind("shared limits: ").map(|at| &said[at..]);
        last.is_some_and(|last| last.starts_with("shared limits: connected")).then_some(())
    };
    wait_until(Duration::from_secs(20), is_connected).unwrap_or_else(|| panic!("{}", gateway.said()));
}

/// Repeats a test while the machine is so busy that the server's 50 ms pass unused, after which a gateway decides alone
/// for a second.
fn undisturbed(mut attempt: impl FnMut() -> bool) {
    assert!((0..5).any(|_| attempt()), "the machine is too busy for a deadline of 50 ms");
}

#[test]
fn two_gateways_count_together() {
    let Some(server) = Server::start() else { return };
    let one = Gateway::start(&shared(20, server.address));
    let other = Gateway::start(&shared(20, server.address));
    for gateway in [&one, &other] {
        gateway.place.ok(&["install", OTHER.client_id, "22", "--scopes", world::MAIN_SCOPES]);
    }
    let mut callers = [&MAIN, &OTHER, &BOUND].into_iter();
    undisturbed(|| {
        let caller = world::client(callers.next().expect("one is undisturbed"), "22");
        let alone = "this node decides alone";
        let before = [&one, &other].map(|gateway| {
            wait_for_connection(gateway);
            (failures(gateway), gateway.said().matches(alone).count())
        });
        let answers: Vec<Response> =
            (0..15).flat_map(|_| [&one, &other].map(|gateway| gateway.ask(ORDERS, &caller))).collect();
        let began = Instant::now();
        let at_one = passed(&one, "GET /limited/x", &caller);
        let is_used_up = is_used_up(&other, "GET /limited/x", &caller, began);
        let has_failed = |(gateway, before): (&Gateway, (u64, usize))| {
            let has_failed = failures(gateway) > before.0;
            if has_failed {
                wait_to_hear(gateway, alone, before.1);
            }
            has_failed
        };
        if [(&one, before[0]), (&other, before[1])].map(has_failed).contains(&true) {
            return false;
        }
        assert_about(answers.iter().filter(|answer| answer.status == 200).count(), 20);
        assert_eq!(answers[0].field("ratelimit").unwrap(), "\"default\";r=19;t=1");
        for refused in answers.iter().filter(|answer| answer.status == 429) {
            assert_eq!(refused.field("ratelimit").unwrap(), "\"default\";r=0;t=20");
            assert_eq!(refused.field("retry-after").unwrap(), "1");
        }
        assert_about(at_one, 3);
        assert!(is_used_up, "used up at the first");
        true
    });
    assert_discreet(&one);
    assert_discreet(&other);
}

#[test]
fn a_server_that_goes_and_comes_back() {
    let Some(mut server) = Server::start() else { return };
    let one = Gateway::start(&shared(20, server.address));
    let other = Gateway::start(&shared(20, server.address));
    assert_about(passed(&one, ORDERS, &main()), 20);
    server.end();
    // Each by itself: what the other gateway granted is not known here.
    assert_about(passed(&other, ORDERS, &main()), 20);
    assert!(failures(&other) > 0);
    assert!(passed(&one, ORDERS, &main()) < 20, "what this one granted, it knows without asking");
    assert_eq!(one.ask("GET /free/x", &world::client(&BOUND, "22")).status, 200, "it notices");
    undisturbed(|| {
        server.end();
        let connected = "shared limits: connected";
        let heard = [&one, &other].map(|gateway| gateway.said().matches(connected).count());
        server.again();
        wait_to_hear(&one, connected, heard[0]);
        wait_to_hear(&other, connected, heard[1]);
        let before = failures(&one) + failures(&other);
        let began = Instant::now();
        let at_one = passed(&one, "GET /limited/x", &main());
        let is_used_up = is_used_up(&other, "GET /limited/x", &main(), began);
        if failures(&one) + failures(&other) > before {
            // Both have to notice that the server is away before it comes back.
            server.end();
            std::thread::sleep(Duration::from_secs(4));
            _ = [&one, &other].map(|gateway| gateway.ask("GET /limited/x", &main()));
            return false;
        }
        assert_about(at_one, 3);
        assert!(is_used_up, "together again");
        true
    });
    assert_discreet(&one);
    assert_discreet(&other);
}

#[test]
fn a_server_that_stops_answering_delays_nobody_twice() {
    let Some(server) = Server::start() else { return };
    let gateway = Gateway::start(&shared(5000, server.address));
    assert_eq!(passed(&gateway, ORDERS, &main()), 40);
    undisturbed(|| {
        wait_for_connection(&gateway);
        let before = failures(&gateway);
        signal(server.child.id(), "STOP");
        let began = Instant::now();
        let answers = asks(&gateway, 100, ORDERS, &main());
        let took = began.elapsed();
        signal(server.child.id(), "CONT");
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.field("ratelimit").is_some()));
        // One deadline, and not a hundred of them.
        assert!(took < Duration::from_millis(100 * 50), "{took:?}");
        let failures = failures(&gateway) - before;
        assert!(failures <= 10, "{failures}");
        failures > 0 // or it decided alone when the server was stopped
    });
    gateway.hear("this node decides alone: no answer in time");
}

#[test]
fn a_wrong_password_is_no_reason_not_to_serve() {
    let Some(server) = Server::start() else { return };
    let mut settings = settings(5);
    settings.rest.push_str(&format!("\nshared = \"redis://nobody:x{PASSWORD}@{}\"", server.address));
    let gateway = Gateway::start(&settings);
    assert_about(passed(&gateway, ORDERS, &main()), 5);
    assert!(failures(&gateway) > 0);
    assert_discreet(&gateway);
}

#[test]
fn servers_that_are_none() {
    type Fake = (&'static str, fn(std::net::TcpStream));
    let fakes: [Fake; 3] = [
        ("it hangs", |mut stream| while stream.read(&mut [0; 256]).is_ok_and(|n| n > 0) {}),
        ("it repeats what it was sent", |mut stream| {
            let mut bytes = [0; 1024];
            while let Ok(n @ 1..) = stream.read(&mut bytes) {
                let sent = String::from_utf8_lossy(&bytes[..n]).replace(['\r', '\n'], " ");
                let _ = stream.write_all(format!("-ERR unknown command {sent}\r\n").as_bytes());
            }
        }),
        ("it speaks something else", |mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }),
    ];
    let mut addresses = vec![("nobody listens", free_address())];
    for (sentence, fake) in fakes {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        addresses.push((sentence, listener.local_addr().unwrap()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || fake(stream));
            }
        });
    }
    for (sentence, address) in addresses {
        let gateway = Gateway::start(&shared(5, address));
        let began = Instant::now();
        assert_about(passed(&gateway, ORDERS, &main()), 5);
        assert!(began.elapsed() < Duration::from_secs(10), "{sentence}: {:?}", began.elapsed());
        wait_to_hear(&gateway, "shared limits: cannot connect, this node decides alone", 0);
        assert!(failures(&gateway) > 0, "{sentence}");
        assert_discreet(&gateway);
        assert!(!gateway.said().contains("unknown command"), "{sentence}: {}", gateway.said());
    }
}
