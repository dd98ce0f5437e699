//! `storegate check` and `storegate explain`.

use serde_json::{Value, json};

use crate::common::world::{BCRYPT, MAIN, TOKEN, TOKEN_EXPIRED, TOKEN_REVOKED, bearer, client, secrets};
use crate::common::{Gateway, Place, RecordingUpstream, Session, Settings};
use crate::failed;

#[test]
fn a_good_file_is_valid() {
    let place = Place::empty();
    let done = place.run(&["check"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    assert_eq!(place.json(&["check"])["valid"], true);
    assert!(!place.path("storegate.db").exists(), "checking makes nothing");
}

#[test]
fn every_problem_is_told_with_its_place() {
    // (the text, line, what the message names, what it proposes)
    let upstream = "[upstream.api]\nservers = [\"http://127.0.0.1:9000\"]\n";
    let route = "[[route]]\npath = \"/x\"\nupstream = \"api\"\nauth = \"public\"\n";
    let rows: [(String, usize, &str, &str); 14] = [
        (format!("[server]\nlisten = \"127.0.0.1:8080\"\n{upstream}{route}"), 2, "listen", ""),
        (
            format!("[server]\nheader_timout = \"10s\"\n{upstream}{route}"),
            2,
            "header_timout",
            "header_timeout",
        ),
        (format!("[server]\n\nheader_timeout = 10\n{upstream}{route}"), 3, "header_timeout", ""),
        (format!("[server]\ngrace_period = \"soon\"\n{upstream}{route}"), 2, "grace_period", ""),
        (format!("[server]\ntrusted_proxies = [\"10.0.0.0/40\"]\n{upstream}{route}"), 2, "10.0.0.0/40", ""),
        (format!("[servr]\n{upstream}{route}"), 1, "servr", "server"),
        (format!("[replica]\nsource = \"remote\"\n{upstream}{route}"), 2, "source", "local"),
        (format!("[upstream.api]\nconnect_timeout = \"2s\"\n{route}"), 1, "servers", ""),
        (format!("[upstream.api]\nservers = [\"ftp://x\"]\n{route}"), 2, "", "http"),
        (format!("{upstream}{}", route.replace("\"api\"", "\"apj\"")), 5, "apj", "api"),
        (format!("{upstream}{}", route.replace("public", "bearer_token")), 6, "bearer_token", "bearer"),
        (format!("{upstream}{}", route.replace("\"/x\"", "\"x\"")), 4, "", ""),
        (format!("{upstream}{route}{route}"), 8, "/x", ""),
        (format!("{upstream}[[route]\npath = 1\n"), 3, "", ""),
    ];
    for (toml, line, named, proposed) in &rows {
        let place = Place::with(toml);
        let err = failed(toml, &place.run(&["check"]), 2);
        assert!(err.contains(&format!("gateway.toml:{line}:")), "{toml}\n{err}");
        assert!(err.contains(named) && err.contains(proposed), "{toml}\n{err}");
        let done = place.run(&["check", "--json"]);
        assert_eq!(done.code, 2, "{done:?}");
        let report = done.json();
        assert_eq!(report["valid"], false, "{report}");
        let first = &report["diagnostics"][0];
        assert_eq!(first["line"], *line, "{report}");
        assert!(first["column"].as_u64().is_some_and(|column| column > 0), "{report}");
        assert!(first["file"].as_str().is_some_and(|file| file.ends_with("gateway.toml")), "{report}");
        assert!(first["message"].as_str().is_some_and(|message| !message.is_empty()), "{report}");
    }
    // All at once.
    let toml = "[server]\nlisten = 1\nthreds = 2\n[admin]\nlisten = \"x\"\n[upstream.api]\nservers = []\n";
    let report = Place::with(toml).run(&["check", "--json"]).json();
    assert!(report["diagnostics"].as_array().unwrap().len() >= 4, "{report}");
}

#[test]
fn connecting_is_tried_on_demand() {
    let place = Place::empty(); // nobody listens on its upstream's port
    assert_eq!(place.run(&["check"]).code, 0);
    place.seed();
    let done = place.run(&["check", "--connect"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(format!("{}{}", done.out, done.err).contains("127.0.0.1:1"), "{done:?}");
    let upstream = RecordingUpstream::start();
    let place = Place::with(&Settings::default().toml(&upstream.address.to_string()));
    place.seed();
    let done = place.run(&["check", "--connect"]);
    assert_eq!(done.code, 0, "{done:?}");
}

/// What `explain` says is what the gateway does.
#[test]
fn explanations_agree_with_decisions() {
    let gateway = Gateway::start(&Settings::default());
    let session = Session::of(&MAIN, 22, 501).token();
    let rows: Vec<(&str, &str, Vec<String>)> = vec![
        ("GET", "/api/apps/v1/orders", client(&MAIN, "22")),
        ("GET", "/api/apps/v1/orders?store_id=22", client(&MAIN, "")),
        ("GET", "/api/apps/v1/orders", client(&BCRYPT, "22")),
        ("GET", "/api/apps/v1/orders", bearer(TOKEN)),
        ("POST", "/api/apps/v1/orders", bearer(&session)),
        ("GET", "/public/../api/apps/v1/orders", bearer(TOKEN)),
        ("GET", "/public/x", bearer(TOKEN)),
        ("GET", "/native/x", bearer(TOKEN)),
        ("GET", "/api/apps/v1/orders", vec![]),
        ("GET", "/api/apps/v1/orders", client(&MAIN, "23")),
        ("GET", "/api/apps/v1/orders", client(&MAIN, "24")),
        ("GET", "/api/apps/v1/orders", client(&MAIN, "abc")),
        ("GET", "/api/apps/v1/orders", bearer(TOKEN_EXPIRED)),
        ("GET", "/api/apps/v1/orders", bearer(TOKEN_REVOKED)),
        ("GET", "/api/apps/v1/customers", bearer(TOKEN)),
        ("GET", "/api/apps/v1/orders", [bearer(TOKEN), client(&MAIN, "22")].concat()),
        ("DELETE", "/reports", vec![]),
        ("GET", "/unknown", vec![]),
        ("GET", "/api/apps/v1/%2f", bearer(TOKEN)),
        ("GET", "http://api.example.test/public/x", vec!["Host: api.example.test".into()]),
        ("GET", "/public/x", vec!["Connection: X-Store-Id".into()]),
    ];
    for (method, url, lines) in &rows {
        let live = lines.iter().filter(|line| !line.starts_with("Host")).cloned().collect::<Vec<_>>();
        let response = gateway.ask(&format!("{method} {url}"), &live);
        let mut arguments = vec!["explain"];
        for line in lines {
            arguments.extend(["--header", line]);
        }
        arguments.extend([*method, *url]);
        let explained = gateway.place.json(&arguments);
        let what = format!("{method} {url} {lines:?}: {explained}");
        assert_eq!(explained["status"], response.status, "{what}");
        assert_eq!(explained["code"].as_str().unwrap_or_default(), response.code(), "{what}");
        let text = gateway.place.ok(&arguments);
        for said in [text.clone(), explained.to_string()] {
            assert!(secrets().iter().all(|secret| !said.contains(secret)), "{what}");
            assert!(!said.contains(&session), "{what}");
        }
        let seen = gateway.upstream.take();
        assert_eq!(response.status == 200, seen.len() == 1, "{what}");
        if let Some(exchange) = seen.first() {
            for header in explained["injected"].as_array().unwrap() {
                let (name, value) = (header["name"].as_str().unwrap(), &header["value"]);
                assert_eq!(exchange.field(name).map(Value::from).as_ref(), Some(value), "{what}");
                assert!(text.to_lowercase().contains(&name.to_lowercase()), "{text}");
            }
            assert_eq!(explained["target"], exchange.target(), "{what}");
        } else {
            assert!(text.contains(&response.code()), "{text}");
        }
    }
    // The reason behind a code that does not tell.
    let explained = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        gateway.place.ok(&["explain", "--header", &header, "GET", "/api/apps/v1/orders"])
    };
    assert!(explained(TOKEN_EXPIRED).contains("expired"));
    assert!(explained(TOKEN_REVOKED).contains("revoked"));
    assert_eq!(gateway.place.json(&["explain", "GET", "/unknown"])["code"], json!("not_found"));
}
