//! Start, readiness, stop, crash.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::gateway::signal;
use common::world::{MAIN, TOKEN, bearer, client};
use common::{Client, Gateway, Place, RecordingUpstream, Settings, request, wait_until};

/// More than a process needs to end, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn with_grace(period: &str) -> Settings {
    Settings { server: format!("grace_period = \"{period}\""), ..Settings::default() }
}

#[test]
fn ready_is_one_line_with_the_bound_addresses() {
    let gateway = Gateway::start(&Settings::default());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    assert_ne!(gateway.address.port(), 0);
    assert_ne!(gateway.admin.port(), 0);
    assert_ne!(gateway.address, gateway.admin);
    gateway.hear("\"status\":200");
    let out = gateway.out();
    let ready: Vec<_> = out.lines().filter(|line| line.contains("ready")).collect();
    assert_eq!(ready, [format!("ready listen={} admin={}", gateway.address, gateway.admin)]);
    assert!(out.starts_with("ready "), "{out}");
}

#[test]
fn an_empty_replica_is_made_and_refuses_everybody() {
    let upstream = RecordingUpstream::start();
    let place = Place::with(&Settings::default().toml(&upstream.address.to_string()));
    let gateway = Gateway::start_in(place, upstream);
    assert_eq!(gateway.orders_code(&client(&MAIN, "22")), (401, "invalid_client".into()));
    assert_eq!(gateway.orders_code(&bearer(TOKEN)), (401, "invalid_token".into()));
    assert_eq!(gateway.ask("GET /public/a", &[""; 0]).status, 200);
    assert_eq!(gateway.admin("/readyz").status, 200);
}

/// Runs `storegate run` where it cannot start: the exit code and what it says.
fn refuses_to_start(place: &Place, code: i32) -> String {
    let done = place.run(&["run"]);
    assert_eq!((done.code, done.out.as_str()), (code, ""), "{done:?}");
    assert!(!done.err.contains("panicked"), "{}", done.err);
    assert!(!done.err.trim().is_empty());
    done.err
}

#[test]
fn a_port_that_is_taken_is_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for settings in [
        Settings { listen: address.clone(), ..Settings::default() },
        Settings { admin: address.clone(), ..Settings::default() },
    ] {
        let err = refuses_to_start(&Place::with(&settings.toml("127.0.0.1:1")), 1);
        assert!(err.contains(&address), "{err}");
    }
}

#[test]
fn a_bad_configuration_is_wrong_use() {
    let good = Settings::default().toml("127.0.0.1:1");
    for (bad, named) in [
        (good.replace("[server]", "[sever]"), "sever"),
        (good.replace("threads = 2", "threads = \"two\""), "threads"),
        (good.replace("auth = \"public\"", "auth = []"), "auth"),
        (good.replace("upstream = \"api\"", "upstream = \"apis\""), "apis"),
        ("listen".to_owned(), "gateway.toml"),
        (String::new(), "gateway.toml"),
    ] {
        let place = Place::with(&bad);
        let err = refuses_to_start(&place, 2);
        assert!(err.contains(named), "{named}: {err}");
        assert!(!place.path("storegate.db").exists(), "nothing is made");
    }
}

#[test]
fn a_replica_newer_than_the_program_is_left_alone() {
    let place = Place::empty();
    place.seed();
    let path = place.path("storegate.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 9999).unwrap();
    database.close().unwrap();
    let err = refuses_to_start(&place, 1);
    assert!(err.contains("storegate.db") && err.contains("newer"), "{err}");
    let done = place.run(&["store", "suspend", "22"]);
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
    let database = rusqlite::Connection::open(&path).unwrap();
    let status: String =
        database.query_row("SELECT status FROM stores WHERE store_id = 22", [], |row| row.get(0)).unwrap();
    assert_eq!(status, "active");
}

/// A request that the upstream holds back.
fn slow_request(gateway: &Gateway) -> Client {
    let heads = gateway.upstream.heads();
    let mut slow = gateway.connect();
    slow.send(request("GET /public/slow", &[""; 0]));
    gateway.upstream.wait_for_heads(heads + 1);
    slow
}

#[test]
fn sigterm_lets_running_requests_finish() {
    let mut gateway = Gateway::start(&with_grace("1m"));
    let mut idle = gateway.connect();
    assert_eq!(idle.ask(request("GET /public/a", &[""; 0])).status, 200);
    let mut slow = slow_request(&gateway);
    gateway.signal("TERM");
    // New connections are refused from now on, while the old request runs.
    let address = gateway.address;
    assert!(wait_until(SOON, || TcpStream::connect(address).is_err().then_some(())).is_some());
    let readiness = gateway.admin("/readyz");
    assert_eq!(readiness.status, 503, "{}", readiness.text());
    let begin = Instant::now();
    gateway.upstream.release();
    let response = slow.answer(false).unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "{\"received\":0}"));
    assert_eq!(gateway.end(SOON), Some(0));
    assert!(begin.elapsed() < SOON, "it does not wait for the rest of the grace period");
    assert!(idle.is_closed());
    let lines = gateway.out();
    assert_eq!(lines.lines().filter(|line| line.contains("\"status\":200")).count(), 2, "{lines}");
}

/// The access log goes to standard output, messages to standard error; both may be a pipe that nobody reads any more.
#[test]
fn a_pipe_that_nobody_reads_does_not_keep_it() {
    use std::io::{BufRead, BufReader, pipe};
    use std::process::Stdio;
    for both in [false, true] {
        let upstream = RecordingUpstream::start();
        let place = Place::with(&Settings::default().toml(&upstream.address.to_string()));
        let (reader, writer) = pipe().unwrap();
        let mut command = place.command(&["run"]);
        command.stderr(if both { writer.try_clone().unwrap().into() } else { Stdio::null() });
        let mut child = command.stdout(writer).spawn().unwrap();
        drop(command); // and its end of the pipe
        let mut out = BufReader::new(reader);
        let ready = (&mut out).lines().map_while(Result::ok).find(|line| line.starts_with("ready ")).unwrap();
        let address = ready.split("listen=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let mut client = Client::connect(address);
        // More lines than a pipe holds (64 KiB).
        for _ in 0..600 {
            assert_eq!(client.ask(request("GET /public/a", &[""; 0])).status, 200);
        }
        signal(child.id(), "TERM");
        let status = wait_until(Duration::from_secs(30), || child.try_wait().unwrap());
        let _ = child.kill();
        assert_eq!(status.expect("it ends").code(), Some(0), "both: {both}");
        drop(out);
    }
}

/// An answer of the admin API may hold a secret that nobody can ask for again.
#[test]
fn an_admin_call_under_way_is_answered_at_the_end() {
    let mut gateway = Gateway::start(&with_grace("20s"));
    let token = std::fs::read_to_string(gateway.place.path("admin.token")).unwrap();
    let writer = rusqlite::Connection::open(gateway.place.path("storegate.db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut call = Client::connect(gateway.admin);
    let body = "{\"name\": \"App\", \"scopes\": \"read:orders\"}";
    call.send(format!(
        "POST /admin/v1/apps HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        gateway.admin,
        token.trim(),
        body.len()
    ));
    // Asked for its body, it is under way.
    assert!(call.head().starts_with("HTTP/1.1 100"));
    call.send(body);
    let address = gateway.address;
    gateway.signal("TERM");
    assert!(wait_until(SOON, || TcpStream::connect(address).is_err().then_some(())).is_some());
    writer.execute_batch("COMMIT").unwrap();
    let answer = call.answer(false).unwrap();
    assert!(answer.status == 201 && answer.text().contains("sx_secret_"), "{}", answer.text());
    assert_eq!(gateway.end(SOON), Some(0));
}

#[test]
fn an_idle_gateway_ends_at_once() {
    for name in ["TERM", "INT"] {
        let mut gateway = Gateway::start(&with_grace("1m"));
        let mut idle = gateway.connect();
        assert_eq!(idle.ask(request("GET /public/a", &[""; 0])).status, 200);
        let silent = gateway.connect();
        let mut begun = gateway.connect();
        begun.send("GET /public/a HTTP/1.1\r\nHost:");
        let begin = Instant::now();
        gateway.signal(name);
        assert_eq!(gateway.end(2 * SOON), Some(0), "{name}: {}", gateway.said());
        assert!(begin.elapsed() < SOON, "{name}: {:?}", begin.elapsed());
        drop(silent);
    }
}

#[test]
fn the_grace_period_is_a_limit() {
    let mut gateway = Gateway::start(&with_grace("1s"));
    let mut slow = slow_request(&gateway);
    let begin = Instant::now();
    gateway.signal("TERM");
    let code = gateway.end(SOON);
    let took = begin.elapsed();
    assert_eq!(code, Some(0), "{}", gateway.said());
    // The upstream would answer after 20 s.
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(15), "{took:?}");
    assert!(slow.answer(false).is_err());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for second in ["TERM", "INT"] {
        let mut gateway = Gateway::start(&with_grace("1m"));
        let _slow = slow_request(&gateway);
        gateway.signal("TERM");
        let address = gateway.address;
        assert!(wait_until(SOON, || TcpStream::connect(address).is_err().then_some(())).is_some());
        let begin = Instant::now();
        gateway.signal(second);
        let code = gateway.end(2 * SOON);
        assert!(code.is_some() && begin.elapsed() < SOON, "{second}: {code:?} {:?}", begin.elapsed());
        assert_ne!(code, Some(0), "requests were cut");
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let mut gateway = Gateway::start(&Settings::default());
    for round in 0..3 {
        let issued = gateway.place.json(&["token", "issue", MAIN.client_id, "22"]);
        let kept = gateway.place.json(&["token", "issue", MAIN.client_id, "22"]);
        let (issued, kept) =
            (issued["access_token"].as_str().unwrap(), kept["access_token"].as_str().unwrap());
        assert_eq!(gateway.orders(&bearer(issued)), 200);
        gateway.place.ok(&["token", "revoke", issued]);
        gateway.signal("KILL");
        assert_eq!(gateway.end(SOON), Some(-1));
        // A command works beside what the dead one left.
        gateway.place.ok(&["store", "suspend", "23"]);
        gateway.start_again();
        assert_eq!(gateway.orders(&bearer(issued)), 401, "{round}");
        assert_eq!(gateway.orders(&bearer(kept)), 200, "{round}");
        assert_eq!(gateway.orders(&client(&MAIN, "22")), 200, "{round}");
        gateway.place.ok(&["token", "revoke", kept]);
        assert_eq!(gateway.orders(&bearer(kept)), 401, "{round}");
    }
}

#[test]
fn a_command_that_is_killed_leaves_a_whole_replica() {
    let gateway = Gateway::start(&Settings::default());
    for milliseconds in [0, 2, 5, 10, 20] {
        let file = gateway.place.write("records.ndjson", &common::world::records());
        let mut child = gateway
            .place
            .command(&["import", file.to_str().unwrap()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
        gateway.place.ok(&["store", "resume", "22"]);
    }
}

#[test]
fn health_readiness_and_metrics() {
    let gateway = Gateway::start(&Settings::default());
    assert_eq!(gateway.admin("/healthz").status, 200);
    let ready = gateway.admin("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    assert_eq!(gateway.orders(&bearer("x")), 401);
    let metrics = gateway.admin("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.field("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert!(metrics.text().contains("# TYPE storegate_"), "{}", metrics.text());
    assert_eq!(gateway.admin("/nothing").status, 404);
    assert!(gateway.admin("/admin/v1/apps").status >= 400, "not without a token");
    // What is on one listener is not on the other.
    assert_eq!(gateway.ask("GET /healthz", &[""; 0]).status, 404);
    assert_eq!(gateway.ask("GET /metrics", &[""; 0]).status, 404);
    assert_eq!(gateway.admin("/api/apps/v1/orders").status, 404);
}

/// A gateway that has lost its replica says so, refuses, and serves again when it is back.
#[test]
fn a_replica_that_is_gone_is_503_and_comes_back() {
    let gateway = Gateway::start(&Settings::default());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    let names = ["storegate.db", "storegate.db-wal", "storegate.db-shm"];
    for name in names {
        let _ = std::fs::rename(gateway.place.path(name), gateway.place.path(&format!("away-{name}")));
    }
    let lost =
        wait_until(SOON, || (gateway.admin("/readyz").status == 503).then(|| gateway.admin("/readyz")));
    let lost = lost.expect("the loss of the replica is noticed");
    assert!(lost.text().contains("replica"), "{}", lost.text());
    assert_eq!(gateway.admin("/healthz").status, 200, "the process lives");
    for lines in [bearer(TOKEN), bearer("sx_at_00"), client(&MAIN, "22"), client(&MAIN, "99")] {
        let response = gateway.ask("GET /api/apps/v1/orders", &lines);
        assert_eq!((response.status, response.code().as_str()), (503, "service_unavailable"), "{lines:?}");
        let seconds: u64 = response.field("retry-after").unwrap().parse().unwrap();
        assert!(seconds > 0);
    }
    assert_eq!(gateway.orders(&[]), 401, "what needs no record is decided as ever");
    assert_eq!(gateway.ask("GET /public/a", &[""; 0]).status, 200);
    // The file last: it must not be opened without its log.
    for name in names.into_iter().rev() {
        let _ = std::fs::rename(gateway.place.path(&format!("away-{name}")), gateway.place.path(name));
    }
    let back = wait_until(SOON, || (gateway.admin("/readyz").status == 200).then_some(()));
    assert!(back.is_some(), "{}", gateway.admin("/readyz").text());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
}

/// Many connections that do nothing keep nobody else waiting.
#[test]
fn idle_connections_are_in_nobodys_way() {
    let gateway = Gateway::start(&Settings::default());
    let idle: Vec<_> = (0..300)
        .map(|n| {
            let mut client = gateway.connect();
            if n % 2 == 0 {
                client.send("GET /public/a HTTP/1.1\r\n");
            }
            client
        })
        .collect();
    let begin = Instant::now();
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    // They are ended after 10 s.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    for client in &idle {
        let _ = client.stream().flush();
    }
}
