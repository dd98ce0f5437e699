//! Several servers behind one upstream: how requests are spread, and what becomes of servers that fail.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "upstreams/server.rs"]
mod server;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Client, Gateway, Place, RecordingUpstream, Response, Settings, ask, request, wait_until};
use server::Server;

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway in front of these addresses, with these lines in `[upstream.api]`.
fn gateway(addresses: &[String], lines: &str) -> Gateway {
    let settings = Settings { upstream: lines.into(), ..Settings::default() };
    let place = Place::with(&settings.toml(&addresses.join("\", \"http://")));
    place.seed();
    Gateway::start_in(place, RecordingUpstream::start())
}

fn before(servers: &[&Server], lines: &str) -> Gateway {
    gateway(&servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>(), lines)
}

fn get(gateway: SocketAddr, id: usize) -> Response {
    ask(gateway, request(&format!("GET /public/{id}"), &["Connection: close"]))
}

fn post(gateway: SocketAddr, id: usize) -> Response {
    let head = request(&format!("POST /public/{id}"), &["Connection: close", "Content-Length: 5"]);
    ask(gateway, [head, b"hello".to_vec()].concat())
}

/// A metric of the upstream; `labels` are those before it, with a comma.
fn metric(gateway: &Gateway, name: &str, labels: &str) -> usize {
    let text = gateway.admin("/metrics").text();
    let name = format!("storegate_upstream_{name}{{{labels}upstream=\"api\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&*name));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// How many servers are up, ejected and down.
fn states(gateway: &Gateway) -> [usize; 3] {
    ["up", "ejected", "down"].map(|state| metric(gateway, "servers", &format!("state=\"{state}\",")))
}

fn wait_for_states(gateway: &Gateway, expected: [usize; 3]) {
    let reached = wait_until(PATIENCE, || (states(gateway) == expected).then_some(()));
    assert!(reached.is_some(), "{:?}, not {expected:?}: {}", states(gateway), gateway.said());
}

#[test]
fn requests_are_spread_in_turn() {
    let servers = [(); 3].map(|()| Server::start());
    let gateway = before(&servers.each_ref(), "");
    for id in 0..30 {
        let response = if id % 2 == 0 { get(gateway.address, id) } else { post(gateway.address, id) };
        assert_eq!(response.status, 200);
    }
    assert_eq!(servers.each_ref().map(Server::requests), [10, 10, 10]);
    assert_eq!(states(&gateway), [3, 0, 0]);
    assert_eq!(metric(&gateway, "retries_total", ""), 0);
}

#[test]
fn a_slow_server_gets_less_by_least_connections() {
    let (slow, quick) = (Server::start(), Server::start());
    slow.hold();
    let gateway = before(&[&slow, &quick], "balance = \"least_connections\"");
    let mut waiting = Client::connect(gateway.address);
    waiting.send(request("GET /public/held", &[""; 0]));
    // The first request is the slow server's or the next one is; from then on it has one under way.
    let held = wait_until(PATIENCE, || {
        (slow.shared.waiting.load(Ordering::SeqCst) + quick.requests() > 0).then_some(())
    });
    assert!(held.is_some());
    assert_eq!((slow.requests(), quick.requests()), (1, 0), "the first in the list is the first in turn");
    for id in 0..20 {
        assert_eq!(get(gateway.address, id).status, 200);
    }
    assert_eq!((slow.requests(), quick.requests()), (1, 20));
    slow.release();
    assert_eq!(waiting.answer(false).unwrap().status, 200);
}

#[test]
fn a_dead_server_fails_no_request_and_doubles_none() {
    let (mut dead, alive) = (Server::start(), Server::start());
    let gateway = before(&[&dead, &alive], "");
    for id in 0..8 {
        assert_eq!(get(gateway.address, id).status, 200); // both have kept connections
    }
    dead.stop();
    // A kept connection may be taken before the gateway has heard that it was closed, which costs a GET nothing. Once
    // it has to open one, none is left.
    let noticed = wait_until(PATIENCE, || {
        assert_eq!(get(gateway.address, 9).status, 200);
        (metric(&gateway, "connect_failures_total", "") > 0).then_some(())
    });
    assert!(noticed.is_some(), "{}", gateway.said());
    for id in 100..140 {
        let response = if id % 2 == 0 { get(gateway.address, id) } else { post(gateway.address, id) };
        assert_eq!(response.status, 200, "request {id}: {}", gateway.said());
    }
    let seen = [dead.lines(), alive.lines()].concat();
    for id in 100..140 {
        let times = seen.iter().filter(|line| line.contains(&format!("/public/{id} "))).count();
        assert_eq!(times, 1, "request {id}");
    }
}

#[test]
fn a_server_that_dies_under_load_doubles_no_post() {
    let (mut dying, alive) = (Server::start(), Server::start());
    let gateway = before(&[&dying, &alive], "");
    let address = gateway.address;
    let clients: Vec<_> = (0..4)
        .map(|client| {
            std::thread::spawn(move || {
                (0..100)
                    .map(|number| (client * 1000 + number, post(address, client * 1000 + number).status))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    assert!(wait_until(PATIENCE, || (dying.requests() > 20).then_some(())).is_some());
    dying.stop();
    let statuses: HashMap<usize, u16> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert_eq!(statuses.len(), 400);
    let mut delivered: HashMap<String, usize> = HashMap::new();
    for line in [dying.lines(), alive.lines()].concat() {
        *delivered.entry(line).or_default() += 1;
    }
    for (id, status) in &statuses {
        let times = delivered.get(&format!("POST /public/{id} HTTP/1.1")).copied().unwrap_or(0);
        match status {
            200 => assert_eq!(times, 1, "request {id}"),
            502 => assert!(times <= 1, "request {id}, which was given up, came {times} times"),
            other => panic!("{other}"),
        }
    }
    // Only what was under way on a connection of that server, or just sent on one that was kept, is given up.
    let failed = statuses.values().filter(|status| **status != 200).count();
    assert!(failed <= dying.connections(), "{failed} of 400 failed");
}

#[test]
fn failures_in_a_row_eject_a_server() {
    let (mut dead, alive) = (Server::start(), Server::start());
    dead.stop();
    let gateway = before(&[&dead, &alive], "eject_after = 2\neject_for = \"5m\"");
    for id in 0..20 {
        assert_eq!(get(gateway.address, id).status, 200);
    }
    assert_eq!(states(&gateway), [1, 1, 0]);
    for (name, expected) in [("ejections_total", 1), ("connect_failures_total", 2), ("retries_total", 2)] {
        assert_eq!(metric(&gateway, name, ""), expected, "{name}");
    }
    gateway.hear("ejected for 5m");
}

#[test]
fn silence_ejects_too_and_what_was_sent_is_not_repeated() {
    let (silent, alive) = (Server::start(), Server::start());
    silent.hold();
    let gateway = before(&[&silent, &alive], "read_timeout = \"2s\"\neject_after = 2\neject_for = \"5m\"");
    let statuses: Vec<u16> = (0..12).map(|id| post(gateway.address, id).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 504).count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
    assert_eq!((silent.requests(), alive.requests()), (2, 10));
    assert_eq!(states(&gateway), [1, 1, 0]);
}

#[test]
fn a_server_that_came_back_is_readmitted() {
    let (mut server, alive) = (Server::start(), Server::start());
    server.stop();
    let gateway = before(&[&server, &alive], "eject_after = 1\neject_for = \"100ms\"");
    let ejected = wait_until(PATIENCE, || {
        assert_eq!(get(gateway.address, 0).status, 200);
        (metric(&gateway, "ejections_total", "") >= 2).then_some(())
    });
    assert!(ejected.is_some(), "trials that fail eject again");
    server.start_again();
    let back = wait_until(PATIENCE, || {
        assert_eq!(post(gateway.address, 0).status, 200);
        (states(&gateway) == [2, 0, 0]).then_some(())
    });
    assert!(back.is_some(), "{}", gateway.said());
    let before = server.requests();
    for id in 0..10 {
        assert_eq!(get(gateway.address, id).status, 200);
    }
    assert_eq!(server.requests(), before + 5);
    gateway.hear("readmitted");
}

#[test]
fn a_single_server_is_never_ejected() {
    let mut server = Server::start();
    let gateway = before(&[&server], "eject_after = 1\neject_for = \"5m\"");
    server.stop();
    for id in 0..10 {
        assert_eq!(get(gateway.address, id).status, 502);
    }
    assert_eq!(states(&gateway), [1, 0, 0]);
    server.start_again();
    assert_eq!(get(gateway.address, 0).status, 200);
}

#[test]
fn checks_take_servers_out_and_bring_them_back() {
    let servers = [Server::start(), Server::start()];
    let lines = "[upstream.api.health]\npath = \"/healthz\"\ninterval = \"100ms\"\ntimeout = \"2s\"\n";
    let gateway = before(&servers.each_ref(), lines);
    let [sick, well] = &servers;
    sick.shared.unwell.store(true, Ordering::SeqCst);
    wait_for_states(&gateway, [1, 0, 1]);
    let seen = sick.requests();
    for id in 0..10 {
        assert_eq!(post(gateway.address, id).status, 200);
    }
    assert_eq!((sick.requests(), well.requests()), (seen, 10), "nothing goes to the one that is down");
    // All out is none out.
    well.shared.unwell.store(true, Ordering::SeqCst);
    wait_for_states(&gateway, [0, 0, 2]);
    for id in 0..10 {
        assert_eq!(get(gateway.address, id).status, 200);
    }
    assert_eq!((sick.requests(), well.requests()), (seen + 5, 15));
    for server in &servers {
        server.shared.unwell.store(false, Ordering::SeqCst);
    }
    wait_for_states(&gateway, [2, 0, 0]);
    // A check says where it goes, and brings nobody's identity.
    let check = well.checks().remove(0).to_ascii_lowercase();
    assert!(check.starts_with("get /healthz http/1.1\r\n"), "{check}");
    assert!(check.contains(&format!("\r\nhost: {}\r\n", well.address)), "{check}");
    assert!(!check.contains("x-") && !check.contains("authorization"), "{check}");
}

#[test]
fn checks_by_connection() {
    let (mut server, alive) = (Server::start(), Server::start());
    let lines = "eject_after = 0\n[upstream.api.health]\ntcp = true\ninterval = \"100ms\"\n";
    let gateway = before(&[&server, &alive], lines);
    server.stop();
    wait_for_states(&gateway, [1, 0, 1]);
    assert_eq!(metric(&gateway, "connect_failures_total", ""), 0, "no request had to find out");
    for id in 0..10 {
        assert_eq!(get(gateway.address, id).status, 200);
    }
    assert_eq!(metric(&gateway, "connect_failures_total", ""), 0);
    server.start_again();
    wait_for_states(&gateway, [2, 0, 0]);
}

#[test]
fn all_down_is_502_after_one_try_each() {
    let mut servers = [(); 3].map(|()| Server::start());
    servers.iter_mut().for_each(Server::stop);
    let gateway = before(&servers.each_ref(), "");
    for (id, send) in [get, post].into_iter().enumerate() {
        let response = send(gateway.address, id);
        assert_eq!((response.status, response.code().as_str()), (502, "bad_gateway"));
        assert_eq!(metric(&gateway, "connect_failures_total", ""), 3 * (id + 1));
    }
    // Also when they are ejected.
    for id in 2..20 {
        assert_eq!(get(gateway.address, id).status, 502);
    }
    assert_eq!(states(&gateway), [2, 1, 0], "never more than half");
}

/// A listener whose backlog is full, so that further connections get no answer at all.
fn black_hole() -> (tokio::runtime::Runtime, tokio::net::TcpListener, Vec<std::net::TcpStream>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = {
        let _inside = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.listen(1).unwrap()
    };
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the backlog does not fill");
    }
    (runtime, listener, waiting)
}

#[test]
fn a_connection_that_gets_no_answer_is_504_in_time() {
    let hole = black_hole();
    let address = hole.1.local_addr().unwrap().to_string();
    let gateway = gateway(&[address], "connect_timeout = \"300ms\"");
    for (id, send) in [get, post].into_iter().enumerate() {
        let begin = Instant::now();
        let response = send(gateway.address, id);
        let took = begin.elapsed();
        assert_eq!((response.status, response.code().as_str()), (504, "gateway_timeout"));
        assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(15), "{took:?}");
    }
}

#[test]
fn a_connection_that_gets_no_answer_is_tried_elsewhere() {
    let (hole, alive) = (black_hole(), Server::start());
    let addresses = [hole.1.local_addr().unwrap().to_string(), alive.address.to_string()];
    let gateway = gateway(&addresses, "connect_timeout = \"300ms\"\neject_after = 2\neject_for = \"5m\"");
    for id in 0..10 {
        assert_eq!(post(gateway.address, id).status, 200);
    }
    assert_eq!(alive.requests(), 10);
    assert_eq!(metric(&gateway, "connect_failures_total", ""), 2, "then it is ejected");
}

#[test]
fn a_kept_connection_that_was_closed_costs_no_get_and_repeats_no_post() {
    let server = Server::start();
    let gateway = before(&[&server], "");
    server.shared.closes_when_reused.store(true, Ordering::SeqCst);
    let repeated = wait_until(PATIENCE, || {
        assert_eq!(get(gateway.address, 0).status, 200);
        (metric(&gateway, "retries_total", "") > 0).then_some(())
    });
    assert!(repeated.is_some(), "no connection was ever reused");
    let retries = metric(&gateway, "retries_total", "");
    let mut id = 1;
    let given_up = wait_until(PATIENCE, || {
        id += 1;
        match post(gateway.address, id).status {
            200 => None,
            status => Some(status),
        }
    });
    assert_eq!(given_up, Some(502));
    assert_eq!(metric(&gateway, "retries_total", ""), retries);
    for id in 2..=id {
        let line = format!("POST /public/{id} HTTP/1.1");
        assert_eq!(server.lines().iter().filter(|seen| **seen == line).count(), 1, "{line}");
    }
}

#[test]
fn a_name_is_resolved() {
    let server = Server::start_at(Ipv4Addr::LOCALHOST);
    let gateway = gateway(&[format!("localhost:{}", server.address.port())], "");
    for id in 0..10 {
        assert_eq!(post(gateway.address, id).status, 200); // also where the name is ::1 too
    }
    assert_eq!(server.requests(), 10);
    assert!(states(&gateway)[0] >= 1);
}

#[test]
fn an_unknown_name_is_502() {
    let gateway = gateway(&["no-such-host.invalid:80".into()], "");
    let response = get(gateway.address, 0);
    assert_eq!((response.status, response.code().as_str()), (502, "bad_gateway"));
    assert_eq!(states(&gateway), [0, 0, 0]);
}
