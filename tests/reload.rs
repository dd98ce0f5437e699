//! A new configuration while requests run: what changes, what stays, and what is refused.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::world::{self, MAIN, TOKEN, TOKEN_OWN_SCOPES, TOKEN_UNKNOWN, bearer};
use common::{Done, Gateway, RecordingUpstream, Settings, ask, request, wait_until};
use serde_json::Value;

/// More than a changed file needs to be noticed, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const NONE: [&str; 0] = [];

fn extra_route(path: &str) -> String {
    format!("\n[[route]]\npath = \"{path}\"\nauth = \"public\"\n")
}

/// Puts these settings into the file of a gateway whose own changes of the file are not taken up.
fn write(gateway: &Gateway, settings: &Settings) {
    gateway.place.write("gateway.toml", &settings.toml(&gateway.upstream.address.to_string()));
}

fn reload(gateway: &Gateway, settings: &Settings) -> Done {
    write(gateway, settings);
    gateway.place.run(&["reload"])
}

fn reload_ok(gateway: &Gateway, settings: &Settings) -> String {
    let done = reload(gateway, settings);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    done.out
}

/// Only when told to.
fn settings() -> Settings {
    Settings { server: "reload_on_change = false".into(), ..Settings::default() }
}

fn with_routes(more: &str) -> Settings {
    let settings = settings();
    Settings { routes: format!("{}{more}", settings.routes), ..settings }
}

fn metric(gateway: &Gateway, name: &str) -> Option<f64> {
    let text = gateway.admin("/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn status(gateway: &Gateway, line: &str) -> u16 {
    gateway.ask(line, &NONE).status
}

/// Every request is decided as ever while the configuration changes many times, and what `reload` has put in
/// force holds from its return on.
#[test]
fn reloads_under_load_fail_no_request_and_decide_none_wrongly() {
    let gateway = Gateway::start(&settings());
    let mut kept = gateway.websocket("/free/websocket", &bearer(TOKEN));
    let (stop, done, wrong) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let rows: [(&str, Vec<String>, u16); 6] = [
        ("GET /api/apps/v1/orders", bearer(TOKEN), 200),
        ("GET /api/apps/v1/orders", world::client(&MAIN, "22"), 200),
        ("GET /api/apps/v1/orders", bearer(TOKEN_UNKNOWN), 401),
        ("POST /api/apps/v1/orders", bearer(TOKEN_OWN_SCOPES), 403),
        ("GET /public/a", vec![], 200),
        ("GET /nowhere", vec![], 404),
    ];
    std::thread::scope(|scope| {
        for shift in 0..4 {
            let (stop, done, wrong, rows, gateway) = (&stop, &done, &wrong, &rows, &gateway);
            scope.spawn(move || {
                // Two keep their connection, two open one for each request.
                let mut connection = gateway.connect();
                for number in shift.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if shift % 2 == 0 {
                        connection = gateway.connect();
                    }
                    let (line, lines, expected) = &rows[number % rows.len()];
                    connection.send(request(line, lines));
                    match connection.answer(false).map(|answer| answer.status) {
                        Ok(status) if status == *expected => _ = done.fetch_add(1, Ordering::Relaxed),
                        other => wrong.lock().unwrap().push(format!("{line}: {other:?}")),
                    }
                }
            });
        }
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..15 {
                let path = format!("/round-{round}");
                reload_ok(&gateway, &with_routes(&extra_route(&path)));
                assert_eq!(status(&gateway, &format!("GET {path}")), 200, "added");
                // Removed, and every other route at another position.
                let first = Settings { routes: extra_route("/first") + &settings().routes, ..settings() };
                reload_ok(&gateway, &first);
                assert_eq!(status(&gateway, &format!("GET {path}")), 404, "removed");
                assert_eq!(status(&gateway, "GET /first"), 200);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        changed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(wrong.into_inner().unwrap(), NONE);
    assert!(done.load(Ordering::Relaxed) > 300, "{done:?}");
    assert!(kept.echoes(), "a WebSocket goes on");
    assert_eq!(metric(&gateway, "storegate_config_reloads_total{result=\"applied\"}"), Some(30.0));
    // The log names routes as they were numbered when each request began.
    gateway.hear("insufficient_scope");
    let misnamed = gateway.out().lines().filter(|line| line.contains("\"route\"")).find_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let (route, code) = (line["route"].as_str()?.to_owned(), line["code"].as_str().unwrap_or(""));
        (code == "insufficient_scope" && !route.starts_with("/api/")).then_some(route)
    });
    assert_eq!(misnamed, None);
}

#[test]
fn a_request_ends_under_the_configuration_it_began_with() {
    let gateway = Gateway::start(&with_routes(&extra_route("/gone/{*rest}")));
    let mut kept = gateway.websocket("/free/websocket", &bearer(TOKEN));
    let mut slow = gateway.connect();
    let heads = gateway.upstream.heads();
    slow.send(request("GET /gone/slow", &NONE));
    gateway.upstream.wait_for_heads(heads + 1);
    // Its route goes, and the very upstream that it waits for.
    let other = RecordingUpstream::start();
    gateway.place.write("gateway.toml", &settings().toml(&other.address.to_string()));
    gateway.place.ok(&["reload"]);
    assert_eq!(status(&gateway, "GET /gone/a"), 404);
    assert_eq!(status(&gateway, "GET /public/a"), 200);
    assert_eq!(other.one().target(), "/public/a");
    gateway.upstream.release();
    assert_eq!(slow.answer(false).unwrap().status, 200);
    assert!(kept.echoes());
    // Its connection goes on, under the new one.
    assert_eq!(slow.ask(request("GET /gone/a", &NONE)).status, 404);
}

#[test]
fn a_bad_configuration_changes_nothing_and_says_so() {
    let gateway = Gateway::start(&settings());
    let good = std::fs::read_to_string(gateway.place.path("gateway.toml")).unwrap();
    let info = |gateway: &Gateway| {
        let text = gateway.admin("/metrics").text();
        text.lines().find(|line| line.starts_with("storegate_config_info{")).unwrap().to_owned()
    };
    let before = info(&gateway);
    assert!(before.contains(&world::sha256(&good)), "{before}");
    let mut unreadable = good.clone();
    unreadable.push_str("\n[upstream.tls]\nservers = [\"https://127.0.0.1:1\"]\nca = \"no-such.pem\"\n");
    let rows = [
        (good.replace("/public/{*rest}", "/public/{"), "/public/{"),
        (good.replace("threads = 2", "threads = 2\nlisten_on = 1"), "listen_on"),
        (good.replace("[[route]]", "[[route]"), "gateway.toml:"),
        (good.replace("upstream = \"api\"", "upstream = \"apis\""), "apis"),
        (format!("{good}\n[log]\naccess = \"no/such/folder/access.log\"\n"), "no/such/folder"),
        (unreadable, "no-such.pem"),
        (String::new(), "gateway.toml"),
    ];
    for (count, (text, named)) in (1..).zip(rows) {
        gateway.place.write("gateway.toml", &text);
        let done = gateway.place.run(&["reload"]);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{named}: {done:?}");
        assert!(
            done.err.contains(named) && done.err.contains("nothing was changed"),
            "{named}: {}",
            done.err
        );
        assert_eq!(status(&gateway, "GET /public/a"), 200, "{named}");
        assert_eq!(info(&gateway), before);
        assert_eq!(metric(&gateway, "storegate_config_last_reload_successful"), Some(0.0));
        let refused = metric(&gateway, "storegate_config_reloads_total{result=\"refused\"}");
        assert_eq!(refused, Some(f64::from(count)));
        gateway.hear_times("the configuration before stays in force", count as usize);
    }
    gateway.place.write("gateway.toml", &good.replace("/public/", "/open/"));
    let done = gateway.place.run(&["reload", "--json"]);
    assert_eq!((done.code, done.json()["gateways"][0]["result"].as_str()), (0, Some("applied")));
    assert_eq!(metric(&gateway, "storegate_config_last_reload_successful"), Some(1.0));
    assert_eq!((status(&gateway, "GET /public/a"), status(&gateway, "GET /open/a")), (404, 200));
    std::fs::remove_file(gateway.place.path("gateway.toml")).unwrap();
    assert_eq!(gateway.place.run(&["reload"]).code, 2, "there is no file");
    gateway.signal("HUP");
    let refused = || metric(&gateway, "storegate_config_last_reload_successful") == Some(0.0);
    wait_until(SOON, || refused().then_some(())).expect("SIGHUP without a file is a failure");
    assert_eq!(status(&gateway, "GET /open/a"), 200);
}

#[test]
fn signal_and_changed_file() {
    let gateway = Gateway::start(&Settings::default());
    let becomes = |path: &str, expected: u16| {
        let line = format!("GET {path}");
        let reached = wait_until(SOON, || (status(&gateway, &line) == expected).then_some(()));
        assert!(reached.is_some(), "{path} does not become {expected}: {}", gateway.said());
    };
    let with = |server: &str, path: &str| {
        let settings = Settings::default();
        Settings { server: server.into(), routes: settings.routes + &extra_route(path), ..settings }
    };
    write(&gateway, &with("", "/change-one"));
    becomes("/change-one", 200);
    // Replaced, as editors do it, and by a link, as orchestrators do it.
    gateway.place.write("next.toml", &with("", "/change-two").toml(&gateway.upstream.address.to_string()));
    std::fs::rename(gateway.place.path("next.toml"), gateway.place.path("gateway.toml")).unwrap();
    becomes("/change-two", 200);
    gateway.place.write("third.toml", &with("", "/change-three").toml(&gateway.upstream.address.to_string()));
    std::os::unix::fs::symlink("third.toml", gateway.place.path("link")).unwrap();
    std::fs::rename(gateway.place.path("link"), gateway.place.path("gateway.toml")).unwrap();
    becomes("/change-three", 200);
    // Each was put in force once, which is counted and said a moment after it decides.
    let applied = || metric(&gateway, "storegate_config_reloads_total{result=\"applied\"}").unwrap();
    gateway.hear_times("the configuration was put in force", 3);
    assert_eq!(applied(), 3.0);
    // Switched off by the file itself; from then on it takes a signal.
    write(&gateway, &with("reload_on_change = false", "/change-four"));
    becomes("/change-four", 200);
    gateway.hear_times("the configuration was put in force", 4);
    assert_eq!(applied(), 4.0);
    write(&gateway, &with("", "/change-five"));
    std::thread::sleep(Duration::from_millis(3500)); // three looks, had there been any
    assert_eq!(status(&gateway, "GET /change-five"), 404);
    gateway.signal("HUP");
    becomes("/change-five", 200);
}

#[test]
fn what_only_a_restart_changes_is_named_and_the_rest_applies() {
    let gateway = Gateway::start(&settings());
    let rest = extra_route("/more")
        + "[hasher]\nthreads = 7\n[credentials]\nclient_id_prefix = \"x_\"\n[limits]\nrequests_per_second = 5\n";
    let changed = Settings {
        listen: "127.0.0.2:0".into(),
        server: "threads = 3\nmax_connections = 100\ntls = { cert = \"c.pem\", key = \"k.pem\" }".into(),
        rest,
        ..settings()
    };
    let text = changed.toml(&gateway.upstream.address.to_string()).replace("threads = 2\n", "");
    gateway
        .place
        .write("gateway.toml", &text.replace("storegate.db\"", "storegate.db\"\ncache_entries = 5000"));
    let document = gateway.place.json(&["reload"]);
    let report = &document["gateways"][0];
    let named = ["server.listen", "server.threads", "server.tls", "replica", "hasher"];
    let named: Vec<Value> = named.into_iter().map(Value::from).collect();
    assert_eq!((&report["result"], &report["needs_restart"]), (&Value::from("applied"), &Value::from(named)));
    assert_eq!(status(&gateway, "GET /more"), 200);
    assert!(gateway.place.ok(&["reload"]).contains("only a restart changes server.listen, server.threads"));
    let back = reload_ok(&gateway, &settings());
    assert!(!back.contains("restart"), "{back}");
}

#[test]
fn a_secret_that_only_a_restart_changes_is_named_too() {
    let with = |secret: &str| Settings {
        rest: format!("[usage.alerts]\nwebhook = \"http://127.0.0.1:1/\"\nsecret = \"{secret}\"\n"),
        ..settings()
    };
    let gateway = Gateway::start(&with("0123456789abcdef"));
    let same = reload_ok(&gateway, &with("0123456789abcdef"));
    assert!(!same.contains("restart"), "{same}");
    let other = reload_ok(&gateway, &with("fedcba9876543210"));
    assert!(other.contains("only a restart changes usage"), "{other}");
    assert!(!format!("{other}{}", gateway.said()).contains("fedcba"), "no secret is told");
}

#[test]
fn limits_proxies_log_and_names_change_at_once() {
    let gateway = Gateway::start(&settings());
    let mut connection = gateway.connect();
    let mut ask = |lines: &[String]| connection.ask(request("GET /api/apps/v1/orders", lines)).status;
    let forwarded = [world::client(&MAIN, "22"), vec!["X-Forwarded-For: 192.0.2.9".into()]].concat();
    assert_eq!(ask(&forwarded), 200);
    assert_eq!(gateway.upstream.one().field("x-forwarded-for").unwrap(), "127.0.0.1");
    gateway.hear("\"status\":200"); // a line that waits may go to where the next configuration wants it
    let changed = Settings {
        server: "reload_on_change = false\ntrusted_proxies = [\"127.0.0.1\"]\nmax_header_fields = 10".into(),
        rest: "[inject]\nstore = \"X-Shop\"\n[log]\nlevel = \"error\"\naccess = \"access.log\"\n\
               [limits]\nrequests_per_second = 1\nburst = 100000\n"
            .into(),
        ..settings()
    };
    reload_ok(&gateway, &changed);
    // On the connection that was open before.
    assert_eq!(ask(&forwarded), 200);
    let seen = gateway.upstream.one();
    assert_eq!(seen.field("x-forwarded-for").unwrap(), "192.0.2.9, 127.0.0.1");
    assert_eq!((seen.field("x-shop").as_deref(), seen.field("x-store-id")), (Some("22"), None));
    let many: Vec<String> = (0..10).map(|n| format!("X-{n}: 1")).collect();
    assert_eq!(gateway.orders(&[forwarded.clone(), many].concat()), 431);
    // A limit that stays the same stays used up; another one is full. One comes back per second.
    (0..100).for_each(|_| assert_eq!(ask(&forwarded), 200));
    let left = |gateway: &Gateway| {
        let state = gateway.ask("GET /api/apps/v1/orders", &forwarded).field("ratelimit").unwrap();
        state.split(['=', ';']).nth(2).unwrap().parse::<u32>().unwrap()
    };
    reload_ok(&gateway, &changed);
    assert!(left(&gateway) < 99_950, "{}", left(&gateway));
    let wider = Settings { rest: changed.rest.replace("100000", "100001"), ..changed.clone() };
    reload_ok(&gateway, &wider);
    assert_eq!(left(&gateway), 100_000);
    let said = gateway.said();
    assert!(!said.contains("INFO") && !said.contains("WARN"), "{said}");
    let lines = || std::fs::read_to_string(gateway.place.path("access.log")).unwrap().lines().count();
    wait_until(SOON, || (lines() == 104).then_some(())).unwrap_or_else(|| panic!("{} lines", lines()));
    assert_eq!(gateway.out().lines().filter(|line| line.starts_with('{')).count(), 1);
    // Rotation: the file is opened anew, and no line is lost on the way.
    let moved = gateway.place.path("access.log.1");
    std::fs::rename(gateway.place.path("access.log"), &moved).unwrap();
    gateway.signal("HUP");
    let mut asked = 104;
    let another = || {
        assert_eq!(ask(&forwarded), 200);
        asked += 1;
        let new = gateway.place.path("access.log");
        new.exists().then(|| std::fs::read_to_string(new).unwrap()).filter(|text| !text.is_empty())
    };
    wait_until(SOON, another).expect("a line in the new file");
    let all = || lines() + std::fs::read_to_string(&moved).unwrap().lines().count();
    wait_until(SOON, || (all() == asked).then_some(()))
        .unwrap_or_else(|| panic!("{} of {asked} lines", all()));
}

#[test]
fn upstreams_come_and_go() {
    let gateway = Gateway::start(&settings());
    let shown = |name: &str| gateway.admin("/metrics").text().contains(&format!("{{upstream=\"{name}\"}}"));
    assert!(shown("api") && !shown("dead"));
    let dead = "[upstream.dead]\nservers = [\"http://127.0.0.1:1\", \"http://127.0.0.2:1\"]\neject_after = 1\n\
                eject_for = \"5m\"\n[[route]]\npath = \"/dead\"\nupstream = \"dead\"\nauth = \"public\"\n";
    let with_dead = |dead: &str| Settings { rest: dead.into(), ..settings() };
    reload_ok(&gateway, &with_dead(dead));
    assert_eq!(status(&gateway, "GET /dead"), 502);
    let ejected = || metric(&gateway, "storegate_upstream_servers{state=\"ejected\",upstream=\"dead\"}");
    let failures =
        || metric(&gateway, "storegate_upstream_connect_failures_total{upstream=\"dead\"}").unwrap();
    assert_eq!(ejected(), Some(1.0));
    let count = failures();
    assert!(count >= 2.0);
    // What is known of a server outlives changes of its upstream.
    reload_ok(&gateway, &with_dead(dead));
    assert_eq!((ejected(), failures()), (Some(1.0), count));
    reload_ok(&gateway, &with_dead(&dead.replace("[[route]]", "read_timeout = \"9s\"\n[[route]]")));
    assert_eq!((ejected(), failures()), (Some(1.0), count));
    reload_ok(&gateway, &settings());
    assert_eq!(status(&gateway, "GET /dead"), 404);
    assert!(shown("api") && !shown("dead"));
    reload_ok(&gateway, &with_dead(dead));
    assert_eq!((ejected(), failures()), (Some(0.0), 0.0), "gone and back, nothing is known");
}

#[test]
fn who_may_and_whom_it_reaches() {
    let gateway = Gateway::start(&settings());
    let owner = std::fs::read_to_string(gateway.place.path("admin.token")).unwrap();
    let owner = format!("Authorization: Bearer {}", owner.trim());
    let added = gateway.place.json(&["operator", "add", "ada", "--permission", "apps__manage_apps"]);
    let ada = format!("Authorization: Bearer {}", added["token"].as_str().unwrap());
    let post = |lines: &[&str], body: &str| {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!(
            "POST /admin/v1/reload HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n",
            gateway.admin,
            body.len()
        );
        let answer = ask(gateway.admin, head + body);
        (answer.status, answer.code())
    };
    let rows: [(&[&str], &str, u16, &str); 7] = [
        (&[], "", 401, "missing_token"),
        (&["Authorization: Bearer sx_admin_0"], "", 401, "invalid_token"),
        (&[&ada], "", 403, "forbidden"),
        (&[&owner], "{", 400, "invalid_request"),
        (&[&owner], "{\"file\":\"x\"}", 400, "invalid_request"),
        (&[&owner], "{\"config\":\"/etc/other.toml\"}", 409, "conflict"),
        (&[&owner], "", 200, ""),
    ];
    for (lines, body, status, code) in rows {
        assert_eq!(post(lines, body), (status, code.to_owned()), "{lines:?} {body}");
    }
    assert_eq!(metric(&gateway, "storegate_config_reloads_total{result=\"applied\"}"), Some(1.0));
    let other = gateway.place.write("other.toml", &settings().toml("127.0.0.1:1"));
    let mut command = common::place::bare(&["reload", "--config"]);
    command.arg(other);
    let done = common::place::finish(command, "");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("no gateway on this machine runs with"), "{}", done.err);
    let nobody = common::Place::empty();
    assert_eq!(nobody.run(&["reload"]).code, 1);
    nobody.seed();
    assert!(nobody.run(&["reload"]).err.contains("no gateway on this machine"));
}
