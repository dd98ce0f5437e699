//! Another process takes the place of a running one: no request fails, none is decided wrongly, and what goes
//! wrong changes nothing.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;
#[path = "takeover/strangers.rs"]
mod strangers;

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::gateway::Running;
use common::world::{self, BCRYPT, MAIN, TOKEN, TOKEN_OWN_SCOPES, TOKEN_UNKNOWN, bearer};
use common::{Client, Gateway, Place, RecordingUpstream, Settings, request, wait_until};

/// More than a process needs to end, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

const NONE: [&str; 0] = [];

fn with_grace(period: &str) -> Settings {
    Settings { server: format!("grace_period = \"{period}\""), ..Settings::default() }
}

/// A port that is free once the listener is dropped.
fn address() -> (TcpListener, String) {
    let listener = TcpListener::bind((common::own_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// The sockets by which the gateways of this place hand over.
fn handovers(gateway: &Gateway) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(gateway.place.path(".")).unwrap().flatten();
    let mut found: Vec<_> = entries.map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "handover"));
    found
}

/// Four clients call as long as `work` runs, two of them on kept connections, as HTTP asks for: a connection is
/// left when the answer says `Connection: close`. Returns how many calls went as they should.
fn under_load(gateway: &Mutex<Gateway>, work: impl FnOnce()) -> usize {
    let rows: [(&str, Vec<String>, u16); 7] = [
        ("GET /api/apps/v1/orders", bearer(TOKEN), 200),
        ("GET /api/apps/v1/orders", world::client(&MAIN, "22"), 200),
        ("GET /api/apps/v1/orders", world::client(&BCRYPT, "22"), 200),
        ("GET /api/apps/v1/orders", bearer(TOKEN_UNKNOWN), 401),
        ("POST /api/apps/v1/orders", bearer(TOKEN_OWN_SCOPES), 403),
        ("GET /public/a", vec![], 200),
        ("GET /nowhere", vec![], 404),
    ];
    let address = gateway.lock().unwrap().address;
    let (stop, done, wrong) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for shift in 0..4 {
            let (stop, done, wrong, rows) = (&stop, &done, &wrong, &rows);
            scope.spawn(move || {
                let mut connection = None;
                for number in shift.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let (line, lines, expected) = &rows[number % rows.len()];
                    let mut client = connection.take().unwrap_or_else(|| Client::connect(address));
                    client.send(request(line, lines));
                    match client.answer(false) {
                        Ok(answer) if answer.status == *expected => {
                            done.fetch_add(1, Ordering::Relaxed);
                            let is_last = answer.field("connection").is_some_and(|value| value == "close");
                            connection = Some(client).filter(|_| shift % 2 == 1 && !is_last);
                        }
                        other => wrong.lock().unwrap().push(format!("{line}: {other:?}")),
                    }
                }
            });
        }
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), done.into_inner(), &wrong[..wrong.len().min(5)]);
    done.into_inner()
}

#[test]
fn takeovers_under_load_fail_no_request_and_decide_none_wrongly() {
    let gateway = Mutex::new(Gateway::start(&with_grace("20s")));
    let done = under_load(&gateway, || {
        for round in 0..5 {
            let mut gateway = gateway.lock().unwrap();
            let token = gateway.place.json(&["token", "issue", MAIN.client_id, "22"]);
            let token = token["access_token"].as_str().unwrap().to_owned();
            // Kept by the old process, which has not heard of what comes.
            let mut kept = gateway.connect();
            assert_eq!(kept.ask(request("GET /free/a", &bearer(&token))).status, 200);
            let mut before = gateway.be_taken_over();
            // While both serve, a change is in force in both.
            gateway.place.ok(&["token", "revoke", &token]);
            let answer = kept.ask(request("GET /free/a", &bearer(&token)));
            assert_eq!(
                (answer.status, answer.field("connection").as_deref()),
                (401, Some("close")),
                "{round}"
            );
            assert!(kept.is_closed());
            assert_eq!(gateway.orders(&bearer(&token)), 401, "{round}");
            // Nobody is left with the old one: it does not wait for the end of the grace period.
            let begin = Instant::now();
            assert_eq!(before.end(SOON), Some(0), "{}", before.said());
            assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
            assert!(before.said().contains("took over; no new connections"), "{}", before.said());
            assert_eq!(gateway.admin("/readyz").status, 200);
            assert_eq!(handovers(&gateway).len(), 1, "the old one's is gone");
        }
    });
    println!("{done} requests over five takeovers");
    assert!(done > 300, "{done}");
}

#[test]
fn what_is_under_way_stays_with_the_old_process_until_the_grace_period_ends() {
    let mut gateway = Gateway::start(&with_grace("12s"));
    let mut socket = gateway.websocket("/free/websocket", &bearer(TOKEN));
    let heads = gateway.upstream.heads();
    let mut slow = gateway.connect();
    slow.send(request("GET /public/slow", &NONE));
    gateway.upstream.wait_for_heads(heads + 1);
    // Accepted by the old process, and silent until it has left.
    let mut silent = gateway.connect();
    let mut probe = Client::connect(gateway.admin);
    let probed = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.admin);
    assert_eq!(probe.ask(&probed).status, 200);

    let mut before = gateway.be_taken_over();
    let begin = Instant::now();
    assert!(probe.is_closed(), "who watches goes on with the new process");
    assert_eq!(gateway.admin("/readyz").status, 200);
    assert!(socket.echoes(), "by the old process");
    assert_eq!(silent.ask(request("GET /public/a", &NONE)).status, 200);
    assert!(silent.is_closed());
    gateway.upstream.release();
    assert_eq!(slow.answer(false).unwrap().status, 200);
    assert!(socket.echoes());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    // Its own configuration only: the gateway that commands find is the new one.
    let reloaded = gateway.place.json(&["reload"]);
    assert_eq!(reloaded["gateways"].as_array().unwrap().len(), 1, "{reloaded}");
    // An idle connection is kept as long, too, so that no client meets a closed one by surprise.
    assert_eq!(before.end(2 * SOON), Some(0), "{}", before.said());
    assert!(begin.elapsed() > Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(before.said().contains("1 requests were cut"), "{}", before.said());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
}

#[test]
fn a_process_that_leaves_can_be_hurried() {
    let mut gateway = Gateway::start(&with_grace("5m"));
    let mut idle = gateway.connect();
    assert_eq!(idle.ask(request("GET /public/a", &NONE)).status, 200);
    let mut before = gateway.be_taken_over();
    before.signal("TERM");
    assert_eq!(before.end(SOON), Some(0), "{}", before.said());
    assert!(idle.is_closed());

    let mut socket = gateway.websocket("/free/websocket", &bearer(TOKEN));
    let mut idle = gateway.connect();
    assert_eq!(idle.ask(request("GET /public/a", &NONE)).status, 200);
    let mut before = gateway.be_taken_over();
    before.signal("TERM");
    assert!(idle.is_closed());
    assert!(socket.echoes(), "what is under way has its time");
    before.signal("INT");
    assert_eq!(before.end(SOON), Some(1), "{}", before.said());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
}

/// Fails at every stage; the running gateway does not even hesitate.
#[test]
fn a_successor_that_fails_changes_nothing() {
    let gateway = Mutex::new(Gateway::start(&Settings::default()));
    under_load(&gateway, || {
        let gateway = gateway.lock().unwrap();
        let good = std::fs::read_to_string(gateway.place.path("gateway.toml")).unwrap();
        let refused = |toml: &str, arguments: &[&str], code: i32, named: &str| {
            let file = gateway.place.write("next.toml", toml);
            let mut command = common::place::bare(arguments);
            command.arg("--config").arg(file);
            let done = common::place::finish(command, "");
            assert_eq!((done.code, done.out.as_str()), (code, ""), "{done:?}");
            assert!(done.err.contains(named) && !done.err.contains("panicked"), "{named}: {}", done.err);
        };
        let take_over = &["run", "--take-over"][..];
        refused("[server", take_over, 2, "next.toml");
        // After it was given the sockets.
        let unwritable = good.clone() + "\n[log]\naccess = \"missing/access.log\"\n";
        refused(&unwritable, take_over, 1, "access log");
        let no_certificate =
            good.replace("threads = 2", "threads = 2\ntls = { cert = \"c.pem\", key = \"k.pem\" }");
        refused(&no_certificate, take_over, 1, "server.tls");
        let (_taken, taken) = address();
        refused(
            &good.replacen("127.0.0.1:0\"]", &format!("127.0.0.1:0\", \"{taken}\"]"), 1),
            take_over,
            1,
            &taken,
        );
        // It is no gateway, or not the one that listens there.
        refused(&good, &["run", "--take-over=1"], 1, "process 1 is no gateway");
        let (free, elsewhere) = address();
        drop(free);
        let moved = good.replace("127.0.0.1:0", &elsewhere).replacen(&elsewhere, "127.0.0.3:0", 1);
        refused(
            &moved,
            &["run", &format!("--take-over={}", gateway.pid())],
            1,
            "is no gateway that listens where",
        );
        refused(&good, &["run", "--take-over=x"], 2, "a process id is a number");
        gateway.hear_times("it ended before it was ready; nothing has changed", 3);
        let said = gateway.said();
        assert_eq!(said.matches("it ended before it was ready; nothing has changed").count(), 3, "{said}");
        assert_eq!(gateway.admin("/readyz").status, 200);
    });
    let mut gateway = gateway.into_inner().unwrap();
    let mut before = gateway.be_taken_over();
    assert_eq!(before.end(SOON), Some(0), "{}", before.said());
}

#[test]
fn nobody_to_take_over_from_is_a_start_as_ever() {
    let upstream = RecordingUpstream::start();
    let place = Place::with(&Settings::default().toml(&upstream.address.to_string()));
    let mut running = Running::start(place.command(&["run", "--take-over"]));
    running.ready();
    running.signal("KILL");
    assert_eq!(running.end(SOON), Some(-1));
    // What the dead one left is no gateway.
    let mut running = Running::start(place.command(&["run", "--take-over"]));
    let (address, _) = running.ready();
    assert_eq!(common::ask(address, request("GET /public/a", &NONE)).status, 200);
    let named = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let names: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().flatten().map(named).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".handover")).count(), 1, "{names:?}");
    running.signal("TERM");
    assert_eq!(running.end(SOON), Some(0));
    let left: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().flatten().map(named).collect();
    assert!(!left.iter().any(|name| name.ends_with(".handover") || name.ends_with(".sock")), "{left:?}");
}

/// Two gateways on one replica: only the one with the same addresses is meant.
#[test]
fn a_gateway_that_listens_elsewhere_is_left_alone() {
    let ports: Vec<_> = (0..4).map(|_| address()).collect();
    let at = |n: usize| Settings {
        listen: ports[n].1.clone(),
        admin: ports[n + 1].1.clone(),
        ..Settings::default()
    };
    let (one, two) = (at(0), at(2));
    drop(ports);
    let mut gateway = Gateway::start(&one);
    let toml = two.toml(&gateway.upstream.address.to_string());
    let other = gateway.place.write("other.toml", &toml);
    let start_other = |arguments: &[&str]| {
        let mut command = common::place::bare(arguments);
        command.arg("--config").arg(&other);
        Running::start(command)
    };
    let mut second = start_other(&["run", "--take-over"]);
    let (address, _) = second.ready();
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200, "it was not its place that was taken");
    let mut third = start_other(&["run", "--take-over"]);
    assert_eq!(third.ready().0, address);
    assert_eq!(second.end(SOON), Some(0));
    let mut before = gateway.be_taken_over();
    assert_eq!(before.end(SOON), Some(0));
    assert_eq!(common::ask(address, request("GET /public/a", &NONE)).status, 200);
    // A listener that is gone from the configuration ends; one that is new is opened.
    let (free, new) = self::address();
    drop(free);
    let moved = toml.replace(&address.to_string(), &new);
    std::fs::write(&other, moved).unwrap();
    let mut fourth = start_other(&["run", "--take-over"]);
    assert_eq!(fourth.ready().0.to_string(), new);
    assert!(TcpStream::connect(address).is_err(), "nobody listens there any more");
    assert_eq!(third.end(SOON), Some(0));
    assert_eq!(common::ask(new.parse().unwrap(), request("GET /public/a", &NONE)).status, 200);
}

/// During an upgrade the new program may have brought the tables up to a newer version already.
#[test]
fn an_older_process_goes_on_over_newer_tables() {
    let endpoint = "\n[[token_endpoint]]\npath = \"/oauth/token\"\nplatform = \"standard\"\n";
    let mut gateway = Gateway::start(&Settings { rest: endpoint.into(), ..with_grace("20s") });
    let issued = |gateway: &Gateway| {
        let (id, secret) = (MAIN.client_id, MAIN.secret);
        let body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&store_id=22");
        let lines =
            ["Content-Type: application/x-www-form-urlencoded", &format!("Content-Length: {}", body.len())];
        let head = request("POST /oauth/token", &lines);
        let answer = common::ask(gateway.address, [head, body.into_bytes()].concat());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    };
    assert_eq!(gateway.orders(&bearer(&issued(&gateway))), 200);
    let mut socket = gateway.websocket("/free/websocket", &bearer(TOKEN));
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    let database = rusqlite::Connection::open(gateway.place.path("storegate.db")).unwrap();
    database
        .execute_batch(
            "BEGIN IMMEDIATE; CREATE TABLE later (x INTEGER PRIMARY KEY) STRICT;
             ALTER TABLE apps ADD COLUMN later TEXT; ALTER TABLE access_tokens ADD COLUMN later INTEGER;
             CREATE TRIGGER later AFTER INSERT ON later BEGIN
                 INSERT INTO changes (kind, key) VALUES ('later', new.x);
             END;
             PRAGMA user_version = 9999; COMMIT; INSERT INTO later VALUES (1);",
        )
        .unwrap();
    for (lines, expected) in [
        (bearer(TOKEN), 200),
        (world::client(&MAIN, "22"), 200),
        (bearer(TOKEN_UNKNOWN), 401),
        (bearer(TOKEN_OWN_SCOPES), 200),
    ] {
        assert_eq!(gateway.orders(&lines), expected, "{lines:?}");
    }
    assert_eq!(gateway.orders(&bearer(&issued(&gateway))), 200);
    assert_eq!(gateway.admin("/readyz").status, 200);
    // What the newer program revokes is refused by the older one.
    database.execute("UPDATE stores SET status = 'suspended' WHERE store_id = 22", []).unwrap();
    let refused = wait_until(SOON, || (gateway.orders(&bearer(TOKEN)) == 403).then_some(()));
    assert!(refused.is_some());
    assert_eq!(socket.exactly(4), [0x88, 0x02, 0x03, 0xF0], "its WebSocket is ended: policy violation");
    // The older program does not start on it, and so takes nobody's place.
    let done = gateway.place.run(&["run", "--take-over"]);
    assert!(done.code == 1 && done.err.contains("newer"), "{done:?}");
    assert_eq!(gateway.orders_code(&bearer(TOKEN)), (403, "store_suspended".into()));
    gateway.signal("TERM");
    assert_eq!(gateway.end(SOON), Some(0));
}
