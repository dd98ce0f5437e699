//! `storegate why`, and the recent decisions taken again under a changed configuration.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::time::Duration;

use common::world::{self, BCRYPT, DISABLED, MAIN, TOKEN, TOKEN_OWN_SCOPES, TOKEN_REVOKED, bearer, client};
use common::{Client, Done, Gateway, Response, Settings, ask, wait_until};
use serde_json::Value;

const NONE: [&str; 0] = [];

fn settings() -> Settings {
    Settings { server: "reload_on_change = false".into(), ..Settings::default() }
}

fn id(response: &Response) -> String {
    response.field("x-request-id").unwrap()
}

/// A request is remembered when it has ended, which may be a moment after its answer has come.
fn why(gateway: &Gateway, response: &Response) -> Value {
    let id = id(response);
    let told = || Some(gateway.place.run(&["why", &id, "--json"])).filter(|done| done.code == 0);
    wait_until(Duration::from_secs(20), told).expect("it is kept").json()
}

fn steps(told: &Value) -> Vec<&str> {
    told["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect()
}

/// What it tells of a request is what `explain` tells of the same, and what the caller got.
#[test]
fn it_tells_what_explain_tells() {
    let gateway = Gateway::start(&settings());
    let session = common::Session::of(&MAIN, 22, 501).token();
    let unknown = [bearer("sx_at_0000"), vec!["X-Store-Id: 22".into()]].concat();
    let rows: [(&str, Vec<String>); 15] = [
        ("GET /api/apps/v1/orders", bearer(TOKEN)),
        ("GET /api/apps/v1/orders/7?password=hunter2", client(&MAIN, "22")),
        ("GET /API/apps/v1/./orders", client(&BCRYPT, "22")),
        ("GET /api/apps/v1/orders", bearer(&session)),
        ("POST /api/apps/v1/orders", bearer(TOKEN_OWN_SCOPES)),
        ("GET /api/apps/v1/orders", bearer(TOKEN_REVOKED)),
        ("GET /api/apps/v1/orders", unknown),
        ("GET /api/apps/v1/orders", client(&MAIN, "24")),
        ("GET /api/apps/v1/orders", client(&DISABLED, "22")),
        ("GET /api/apps/v1/orders", world::pair(MAIN.client_id, "sx_secret_wrong")),
        ("GET /api/apps/v1/orders", vec![]),
        ("GET /tokens", client(&MAIN, "22")),
        ("GET /public/a", bearer(TOKEN)),
        ("GET /nowhere", vec![]),
        ("PUT /reports", vec![]),
    ];
    for (line, lines) in rows {
        let lines = [vec!["Host: api.example.test".to_owned()], lines].concat();
        let mut head = format!("{line} HTTP/1.1\r\n");
        lines.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
        let response = ask(gateway.address, head + "\r\n");
        let told = why(&gateway, &response);
        let (method, target) = line.split_once(' ').unwrap();
        let headers = lines.iter().flat_map(|line| ["-H", line]);
        let arguments: Vec<&str> = ["explain", method, target].into_iter().chain(headers).collect();
        let explained = gateway.place.json(&arguments);
        for member in ["status", "code", "message", "reason"] {
            assert_eq!(told[member], explained[member], "{line}: {member} of {told}");
        }
        assert_eq!(told["status"], response.status);
        // Of the scopes that were granted it is not remembered which.
        let same = |told: &Value| -> Vec<String> {
            let kept = steps(told).into_iter().filter(|step| !step.ends_with("granted"));
            kept.map(str::to_owned).collect()
        };
        assert_eq!(same(&told), same(&explained), "{line}");
        let path = target.split('?').next().unwrap().replace("/./", "/");
        assert_eq!(told["target"], path, "{line}");
        assert_eq!((&told["method"], &told["host"]), (&method.into(), &"api.example.test".into()));
        assert_eq!((&told["caller"], &told["request_id"]), (&"127.0.0.1".into(), &id(&response).into()));
        let text = gateway.place.ok(&["why", &id(&response)]);
        for secret in world::secrets().into_iter().chain(["hunter2", "sx_secret_wrong", &session]) {
            assert!(!text.contains(secret) && !told.to_string().contains(secret), "{line}: {text}");
        }
    }
}

#[test]
fn it_tells_of_the_gateway_and_the_upstream() {
    let gateway = Gateway::start(&Settings {
        rest: "[upstream.dead]\nservers = [\"http://127.0.0.1:1\"]\n[[route]]\npath = \"/dead\"\nupstream = \"dead\"\n\
               auth = \"public\"\nrate = { per_second = 1, burst = 1 }\n"
            .into(),
        ..settings()
    });
    let dead = gateway.ask("GET /dead", &NONE);
    let told = why(&gateway, &dead);
    assert_eq!((&told["status"], &told["upstream"]), (&502.into(), &"dead".into()), "{told}");
    let limited = (0..20).map(|_| gateway.ask("GET /dead", &NONE)).find(|response| response.status == 429);
    let told = why(&gateway, &limited.unwrap());
    assert_eq!(
        (&told["code"], &told["reason"]),
        (&"rate_limit_exceeded".into(), &"the rate limit is used up".into())
    );
    // Refused before it was read: nothing else is known.
    let unread = ask(gateway.address, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n");
    let told = why(&gateway, &unread);
    assert_eq!((&told["status"], told.get("target"), steps(&told)), (&400.into(), None, vec![]), "{told}");
    // A status of the upstream's own is the upstream's.
    let early = gateway.ask("POST /public/early", &["Content-Length: 0"]);
    let told = why(&gateway, &early);
    assert_eq!((&told["status"], &told["decision"]), (&413.into(), &"forward without identity".into()));
}

#[test]
fn only_the_last_ones_are_kept_and_only_the_owner_is_told() {
    let kept = |count: usize| Settings { rest: format!("[log]\nrecent_decisions = {count}\n"), ..settings() };
    let gateway = Gateway::start(&kept(3));
    let ask_one = |n: usize| gateway.ask(&format!("GET /public/{n}"), &NONE);
    // Each is remembered before the next is asked: they are forgotten in this order.
    let remembered = |n: usize| {
        let answer = ask_one(n);
        why(&gateway, &answer);
        answer
    };
    let answers: Vec<Response> = (0..5).map(remembered).collect();
    let ids: Vec<String> = answers.iter().map(id).collect();
    for (n, id) in ids.iter().enumerate() {
        let done = gateway.place.run(&["why", id]);
        assert_eq!(done.code, i32::from(n < 2), "{n}: {done:?}");
        assert!(n >= 2 || done.err.contains("log.recent_decisions"), "{}", done.err);
    }
    for (id, code) in [("", 2), ("a b", 2), ("é", 2), ("..", 1), ("a/b", 1), ("x", 1)] {
        assert_eq!(gateway.place.run(&["why", id]).code, code, "{id:?}");
    }
    let owner = std::fs::read_to_string(gateway.place.path("admin.token")).unwrap();
    let owner = format!("Authorization: Bearer {}\r\n", owner.trim());
    for (token, status) in [("", 401), ("Authorization: Bearer sx_admin_0\r\n", 401), (&*owner, 200)] {
        let line = format!("GET /admin/v1/decisions/{} HTTP/1.1", ids[4]);
        let head = format!("{line}\r\nHost: {}\r\n{token}Connection: close\r\n\r\n", gateway.admin);
        assert_eq!(ask(gateway.admin, head).status, status);
    }
    let gateway = Gateway::start(&kept(0));
    let response = gateway.ask("GET /public/a", &NONE);
    assert_eq!(gateway.place.run(&["why", &id(&response)]).code, 1);
    let done = dry_run(&gateway, &kept(0), &[]);
    assert!(done.out.contains("nothing could be taken again"), "{done:?}");
    assert_eq!(common::Place::empty().run(&["why", "x"]).code, 1, "no gateway");
}

fn dry_run(gateway: &Gateway, settings: &Settings, more: &[&str]) -> Done {
    let text = settings.toml(&gateway.upstream.address.to_string());
    let file = gateway.place.write("candidate.toml", &text);
    let arguments = ["reload", "--dry-run", "--candidate", file.to_str().unwrap()];
    gateway.place.run(&[&arguments, more].concat())
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let gateway = Gateway::start(&settings());
    let mut connection: Client = gateway.connect();
    let mut send = |line: &str, lines: &[String]| connection.ask(common::request(line, lines)).status;
    for _ in 0..30 {
        assert_eq!(send("GET /api/apps/v1/orders/7", &bearer(TOKEN)), 200);
        assert_eq!(send("GET /public/a", &[]), 200);
        assert_eq!(send("GET /one", &client(&MAIN, "22")), 200);
    }
    for _ in 0..9 {
        assert_eq!(send("GET /public/a", &bearer(TOKEN)), 200);
    }
    let last = connection.ask(common::request("GET /public/a", &bearer(TOKEN)));
    assert_eq!((last.status, why(&gateway, &last)["status"].clone()), (200, 200.into()));
    let mut send = |line: &str, lines: &[String]| connection.ask(common::request(line, lines)).status;
    // Revoked since: that would be no doing of the configuration.
    gateway.place.ok(&["token", "revoke", TOKEN]);
    let rest =
        |change: &dyn Fn(&str) -> String| Settings { routes: change(&settings().routes), ..settings() };
    let document = |settings: &Settings, more: &[&str]| {
        let done = dry_run(&gateway, settings, &[&["--json"], more].concat());
        (done.code, done.json()["gateways"][0].clone())
    };
    let (code, same) = document(&settings(), &["--max-changed", "0%"]);
    assert_eq!(
        (code, &same["result"], &same["decisions"]["changed"]),
        (0, &"checked".into(), &0.into()),
        "{same}"
    );
    assert_eq!(same["decisions"]["decisions"], 100);

    let closed = rest(&|routes| routes.replacen("auth = \"public\"", "scopes = \"none\"", 1));
    let (code, report) = document(&closed, &["--max-changed", "40%"]);
    let decisions = &report["decisions"];
    assert_eq!((code, &decisions["changed"], &decisions["unknown"]), (0, &30.into(), &10.into()), "{report}");
    let first = &decisions["changes"][0];
    assert_eq!((&first["count"], &first["path"]), (&30.into(), &"/public/a".into()));
    assert_eq!(first["before"], "forwarded to api without identity");
    assert_eq!(first["after"], "401 missing_token");
    gateway.place.ok(&["why", first["request_id"].as_str().unwrap()]);
    assert_eq!(decisions["changes"][1]["after"], "cannot be told");
    // What may change counts, too.
    let (code, report) = document(&closed, &["--max-changed", "39.9"]);
    assert_eq!((code, &report["result"]), (1, &"refused".into()), "{report}");

    let scope = rest(&|routes| routes.replace("scopes = \"read:products\"", "scopes = \"read:secrets\""));
    let done = dry_run(&gateway, &scope, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    for part in
        ["30 would change, 0 may (30.00 %)", "GET /one", "→ 403 insufficient_scope", "can be put in force"]
    {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
    let prefix = Settings { rest: "[credentials]\naccess_token_prefix = \"x_\"\n".into(), ..settings() };
    assert_eq!(document(&prefix, &[]).1["decisions"]["unknown"], 30, "read as no token any more");
    let elsewhere = "[upstream.b]\nservers = [\"http://127.0.0.1:1\"]\n";
    let elsewhere = Settings {
        rest: elsewhere.into(),
        routes: settings().routes.replacen("upstream = \"api\"", "upstream = \"b\"", 1),
        ..settings()
    };
    let moved = document(&elsewhere, &[]).1;
    assert_eq!(moved["decisions"]["changes"][0]["after"], "forwarded to b with identity", "{moved}");
    let bad = dry_run(&gateway, &rest(&|_| "[[route]]\n".into()), &[]);
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.err.contains("it would be refused"), "{}", bad.err);

    // Nothing of all that is in force.
    assert_eq!(send("GET /public/a", &[]), 200);
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("storegate_config_reloads_total{result=\"applied\"} 0"), "{metrics}");
    assert!(metrics.contains("storegate_config_reloads_total{result=\"refused\"} 0"), "{metrics}");

    // The same limit for a reload.
    gateway.place.write("gateway.toml", &closed.toml(&gateway.upstream.address.to_string()));
    let done = gateway.place.run(&["reload", "--max-changed", "0.1%"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.err.contains("at most 0.1 % are allowed") && done.err.contains("nothing was changed"),
        "{done:?}"
    );
    assert_eq!(send("GET /public/a", &[]), 200);
    gateway.place.ok(&["reload", "--max-changed", "50%"]);
    assert_eq!(send("GET /public/a", &[]), 401);
    for wrong in ["-1%", "101%", "x", ""] {
        assert_eq!(gateway.place.run(&["reload", &format!("--max-changed={wrong}")]).code, 2, "{wrong}");
    }
    assert_eq!(gateway.place.run(&["reload", "--candidate", "x.toml"]).code, 2, "it can only be looked at");
    // Opening a FIFO would wait for ever, and every later reload with it.
    let fifo = gateway.place.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for file in [fifo.to_str().unwrap(), "/dev/null", "/tmp"] {
        let done = gateway.place.run(&["reload", "--dry-run", "--candidate", file]);
        assert!(done.code == 1 && done.err.contains("is no regular file"), "{file}: {done:?}");
    }
}
