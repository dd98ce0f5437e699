//! What the commands print, and that it works.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::world::{bearer, pair};
use crate::common::{Gateway, Place, RecordingUpstream, Settings, now, place, wait_until};

/// The fields of an object, sorted.
fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn is_hex(text: &str, prefix: &str, digits: usize) -> bool {
    text.strip_prefix(prefix).is_some_and(|hex| {
        hex.len() == digits && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn in_store(mut lines: Vec<String>, store: &str) -> Vec<String> {
    lines.push(format!("X-Store-Id: {store}"));
    lines
}

/// The commands need no gateway; what they made is there when one starts.
#[test]
fn the_whole_story_without_a_gateway() {
    let upstream = RecordingUpstream::start();
    let place = Place::with(&Settings::default().toml(&upstream.address.to_string()));

    let store = place.json(&["store", "add", "22", "--name", "Nakshi", "--domain", "nakshi.example.test"]);
    assert_eq!((&store["store_id"], &store["name"]), (&json!(22), &json!("Nakshi")));
    assert_eq!((&store["domain"], &store["status"]), (&json!("nakshi.example.test"), &json!("active")));
    place.ok(&["store", "add", "23", "--organization", "org-1"]);
    assert_eq!(place.json(&["store", "suspend", "23"])["status"], "suspended");
    let stores = place.json(&["store", "list"]);
    let listed: Vec<_> =
        stores.as_array().unwrap().iter().map(|s| (s["store_id"].clone(), s["status"].clone())).collect();
    assert_eq!(listed, [(json!(22), json!("active")), (json!(23), json!("suspended"))]);
    assert_eq!(place.json(&["store", "resume", "23"])["status"], "active");

    let made = place.json(&["app", "create", "--name", "Reports", "--scopes", "read:orders write:orders"]);
    assert_eq!(names(&made), ["app_id", "client_id", "client_secret", "session_signing_key"]);
    let (id, secret) = (text(&made["client_id"]), text(&made["client_secret"]));
    assert!(made["app_id"].as_u64().is_some_and(|id| id > 0));
    assert!(is_hex(id, "sx_app_", 32), "{id}");
    assert!(is_hex(secret, "sx_secret_", 64), "{secret}");
    assert!(is_hex(text(&made["session_signing_key"]), "", 64));

    let named = [
        "app",
        "create",
        "--name",
        "Named",
        "--client-id",
        "sx_app_mine",
        "--client-secret",
        "my-own-secret-1",
    ];
    let named = place.json(&[&named[..], &["--allow-ip", "127.0.0.0/8", "--allow-ip", "::1"]].concat());
    assert_eq!(
        (&named["client_id"], &named["client_secret"]),
        (&json!("sx_app_mine"), &json!("my-own-secret-1"))
    );
    let piped = place.run_with(
        &[
            "app",
            "create",
            "--name",
            "Piped",
            "--client-id",
            "sx_app_piped",
            "--client-secret",
            "-",
            "--json",
        ],
        "my-piped-secret\n",
    );
    assert_eq!((piped.code, &piped.json()["client_secret"]), (0, &json!("my-piped-secret")));

    let installed = place.json(&["install", id, "22"]);
    assert!(installed["installation_id"].as_u64().is_some_and(|id| id > 0));
    let again = place.json(&["install", id, "22", "--scopes", "read:orders"]);
    assert_eq!(again["installation_id"], installed["installation_id"], "an installation keeps its number");
    place.ok(&["install", "sx_app_mine", "22", "--scopes", "read:orders"]);
    place.ok(&["install", "sx_app_piped", "22", "--scopes", "read:orders"]);

    let apps = place.json(&["app", "list"]);
    let ids: Vec<_> = apps.as_array().unwrap().iter().map(|app| text(&app["client_id"])).collect();
    assert_eq!(ids, [id, "sx_app_mine", "sx_app_piped"]);
    let shown = place.json(&["app", "show", id]);
    assert_eq!((&shown["client_id"], &shown["name"]), (&json!(id), &json!("Reports")));
    assert_eq!((&shown["scopes"], &shown["status"]), (&json!("read:orders write:orders"), &json!("enabled")));
    assert_eq!(shown["installations"][0]["store_id"], 22);
    assert_eq!(shown["installations"][0]["scopes"], "read:orders");
    let said = format!("{apps} {shown}");
    assert!(!said.contains(secret) && !said.contains("sha256:"), "{said}");
    let mine = place.json(&["app", "show", "sx_app_mine"]);
    assert_eq!(mine["allowed_addresses"].as_array().unwrap().len(), 2);

    let before = now();
    let token = place.json(&["token", "issue", id, "22"]);
    assert!(is_hex(text(&token["access_token"]), "sx_at_", 64), "{token}");
    let ends = token["expires_at"].as_i64().unwrap() - before;
    assert!((86_400..86_500).contains(&ends), "24 h by default: {ends}");
    let short = place.json(&["token", "issue", id, "22", "--ttl", "15m", "--scopes", "read:orders"]);
    assert!((900..1000).contains(&(short["expires_at"].as_i64().unwrap() - before)));
    let session = place.json(&["session", "mint", id, "22"]);

    let gateway = Gateway::start_in(place, upstream);
    for lines in [
        in_store(pair(id, secret), "22"),
        in_store(pair("sx_app_mine", "my-own-secret-1"), "22"),
        in_store(pair("sx_app_piped", "my-piped-secret"), "22"),
        bearer(text(&token["access_token"])),
        bearer(text(&short["access_token"])),
        bearer(text(&session["session_token"])),
    ] {
        assert_eq!(gateway.orders(&lines), 200, "{lines:?}");
    }
}

/// Every command without `--json` also says what happened, on standard output.
#[test]
fn results_for_people() {
    let place = Place::empty();
    place.seed();
    let id = crate::common::world::MAIN.client_id;
    for arguments in [
        &["store", "add", "77"][..],
        &["store", "suspend", "22"],
        &["store", "resume", "22"],
        &["store", "list"],
        &["app", "create", "--name", "x"],
        &["app", "list"],
        &["app", "show", id],
        &["app", "disable", id],
        &["app", "enable", id],
        &["app", "allow-ip", id, "10.0.0.0/8"],
        &["app", "rotate-secret", id],
        &["app", "rotate-secret", id, "--overlap", "1h"],
        &["app", "rotate-signing-key", id],
        &["install", id, "25"],
        &["uninstall", id, "25"],
        &["token", "issue", id, "22"],
        &["session", "mint", id, "22"],
        &["check"],
        &["explain", "GET", "/public/x"],
        &["--version"],
        &["--help"],
        &["app", "--help"],
        &["app", "create", "--help"],
    ] {
        let done = place.run(arguments);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{arguments:?}: {done:?}");
        assert!(!done.out.trim().is_empty(), "{arguments:?}");
    }
}

/// A pipe that closes early is no failure of a listing.
#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::empty();
    place.seed();
    let mut child = place
        .command(&["app", "list"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// The first thing that anybody tries.
#[test]
fn the_demo_checks_itself_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = place::bare(&["demo", "--listen", "127.0.0.1:0", "--exit-after-check"]);
    command.env("TMPDIR", folder.path()).current_dir(folder.path());
    let done = place::finish(command, "");
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{}", done.out);
    for kind in ["access token", "session token", "client credentials"] {
        assert!(done.out.to_lowercase().contains(kind), "{}", done.out);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Serves until interrupted; the printed lines work as they are.
#[test]
fn the_demo_prints_lines_that_work() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = place::bare(&["demo", "--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", folder.path()).current_dir(folder.path());
    let mut demo = crate::common::gateway::Running::start(command);
    let page = wait_until(Duration::from_secs(20), || {
        let said = demo.out();
        said.contains("Serving until").then_some(said)
    });
    let page = page.unwrap_or_else(|| panic!("{}", demo.out()));
    let mut pasted = 0;
    for (comment, line) in lines_to_paste(&page) {
        let is_curl = line.starts_with("curl ");
        let line = if is_curl { format!("{line} -o body.txt -w '%{{http_code}}'") } else { line };
        let done = Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output().unwrap();
        if done.status.code() == Some(127) {
            continue; // this machine has no curl
        }
        assert!(done.status.success(), "{line}: {done:?}");
        if is_curl {
            let status = String::from_utf8_lossy(&done.stdout).into_owned();
            assert_eq!(status != "200", comment.contains("refused"), "{comment} {line}: {status}");
        }
        pasted += 1;
    }
    println!("{pasted} lines pasted");
    let _ = std::fs::remove_file(folder.path().join("body.txt"));
    demo.signal("INT");
    assert_eq!(demo.end(Duration::from_secs(15)), Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The commands of the page with the comment above each; a backslash joins lines.
fn lines_to_paste(page: &str) -> Vec<(String, String)> {
    let program = env!("CARGO_BIN_EXE_storegate");
    let (mut comment, mut found) = (String::new(), Vec::new());
    let page = page.replace("\\\n", " ");
    for line in page.lines().map(str::trim) {
        if line.starts_with('#') {
            line.clone_into(&mut comment);
        } else if line.starts_with("curl ") || line.starts_with(program) {
            found.push((comment.clone(), line.to_owned()));
        }
    }
    found
}
