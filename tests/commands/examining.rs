//! What `storegate check` finds in what a configuration names: files, scopes, routes.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::common::{Done, Place, Settings};
use crate::failed;

/// The warnings as `line: message | help`.
fn warnings(report: &Value) -> Vec<String> {
    let text = |found: &Value, name: &str| found[name].as_str().unwrap_or_default().to_owned();
    let found = report["diagnostics"].as_array().unwrap();
    assert!(found.iter().all(|found| found["severity"] == "warning"), "{report}");
    assert_eq!((&report["valid"], &report["errors"]), (&true.into(), &0.into()));
    assert_eq!(report["warnings"], found.len());
    found
        .iter()
        .map(|found| format!("{}: {} | {}", found["line"], text(found, "message"), text(found, "help")))
        .collect()
}

fn check(place: &Place) -> Vec<String> {
    warnings(&place.json(&["check"]))
}

const UPSTREAM: &str = "[upstream.api]\nservers = [\"https://127.0.0.1:1\"]\n";
const ROUTE: &str = "[[route]]\npath = \"/a/{resource}\"\nscopes = \"read:orders\"\n";

#[test]
fn scopes_that_nobody_has_are_named() {
    let routes = "\
[[route]]
path = \"/v1/{resource}/{*rest}\"

[[route]]
path = \"/one\"
scopes = { read = \"read:ordres\", write = \"none\" }

[[route]]
path = \"/two/{thing}\"
scopes = [\"read:orders\", \"archive:{thing}\", \"purge:{thing}\"]

[[route]]
path = \"/three\"
auth = \"public\"
";
    let place = Place::with(&format!("{UPSTREAM}{routes}"));
    assert_eq!(check(&place), [""; 0], "nothing is known without a replica");
    assert!(!place.path("storegate.db").exists());
    place.ok(&["store", "list"]); // makes an empty one
    assert_eq!(check(&place), [""; 0], "there are no apps yet");
    place.seed();
    let expected = [
        "8: no app has the scope `read:ordres` | did you mean `read:orders`?",
        "12: no app has the scope `archive:{thing}` or `purge:{thing}` | such requests are refused until an app has it",
    ];
    assert_eq!(check(&place), expected);
    assert!(place.ok(&["check"]).contains("no app has the scope"), "without --json");
    // A replica that cannot be read is `--connect`'s to tell.
    std::fs::write(place.path("storegate.db"), "no database at all, but long enough to be looked at")
        .unwrap();
    assert_eq!(check(&place), [""; 0]);
}

#[test]
fn files_that_others_can_use_are_named() {
    let toml = format!(
        "[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[replica]\nkey_file = \"replica.key\"\n\
         [limits]\nshared = \"file:redis\"\n{UPSTREAM}client_cert = \"c.pem\"\nclient_key = \"k.pem\"\n{ROUTE}"
    );
    let place = Place::with(&toml);
    let names = ["cert.pem", "key.pem", "replica.key", "redis", "c.pem", "k.pem"];
    let mode = |name: &str, mode: u32| {
        std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    place.write("redis", "redis://127.0.0.1:1\n");
    mode("redis", 0o600);
    let missing: Vec<String> =
        check(&place).iter().map(|found| found.split(';').next().unwrap().to_owned()).collect();
    assert_eq!(
        missing,
        [2, 3, 10, 11].map(|line| format!("{line}: there is no such file")),
        "a key file is made"
    );
    for name in names {
        if name != "redis" {
            place.write(name, "x");
        }
        mode(name, if name.ends_with('c') || name.starts_with('c') { 0o644 } else { 0o600 });
    }
    assert_eq!(check(&place), [""; 0], "certificates are public");
    for (name, line) in [("key.pem", 3), ("redis", 7), ("k.pem", 11)] {
        mode(name, 0o640);
        assert_eq!(check(&place), [""; 0], "a group may be meant: {name}");
        mode(name, 0o604);
        let path = place.path(name);
        let found = check(&place);
        let start = format!("{line}: every user of this machine can use this file");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{name}: {found:?}");
        assert!(found[0].ends_with(&format!("run: chmod 600 {}", path.display())), "{found:?}");
        mode(name, 0o600);
    }
    // With this one the gateway does not start, so that it is an error.
    mode("replica.key", 0o640);
    let done: Done = place.run(&["check"]);
    let err = failed("key_file", &done, 2);
    assert!(err.contains("gateway.toml:5:12") && err.contains("chmod 600"), "{err}");
}

#[test]
fn keys_of_the_admin_listener_and_the_login_page_are_looked_at() {
    let toml = format!(
        "[admin.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[idp]\nissuer = \"https://api.example.test\"\n\
         login = \"https://shop.example.test/login\"\nlogin_key_file = \"login.key\"\n{UPSTREAM}{ROUTE}"
    );
    let place = Place::with(&toml);
    let mode = |name: &str, mode: u32| {
        std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let missing: Vec<String> =
        check(&place).iter().map(|found| found.split(';').next().unwrap().to_owned()).collect();
    assert_eq!(missing, [2, 3, 7].map(|line| format!("{line}: there is no such file")));
    for name in ["cert.pem", "key.pem", "login.key"] {
        place.write(name, &"x".repeat(40));
        mode(name, 0o600);
    }
    mode("cert.pem", 0o644);
    assert_eq!(check(&place), [""; 0]);
    mode("key.pem", 0o644);
    let found = check(&place);
    let start = "3: every user of this machine can use this file, which holds a secret";
    assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
    mode("key.pem", 0o600);
    for others in [0o640, 0o604, 0o620] {
        mode("login.key", others);
        let err = failed("login_key_file", &place.run(&["check"]), 2);
        assert!(err.contains("gateway.toml:7:18") && err.contains("chmod 600"), "{others:o}: {err}");
    }
}

#[test]
fn a_configuration_that_others_can_use_is_named() {
    let alerts = |secret: &str| {
        format!("[usage.alerts]\nwebhook = \"https://hooks.example.test/a\"\nsecret = \"{secret}\"\n")
    };
    let literal = alerts("a secret of both sides");
    let by_file = alerts("file:secret");
    let (open, redis) =
        ("[limits]\nshared = \"redis://127.0.0.1:1\"\n", "[limits]\nshared = \"redis://:pw@127.0.0.1:1\"\n");
    for (head, mode, lines) in [
        ("", 0o644, &[][..]),
        ("", 0o664, &[]),
        ("", 0o666, &["1: every user of this machine can change"]),
        ("", 0o602, &["1: every user of this machine can change"]),
        (&literal, 0o640, &[]),
        (&literal, 0o644, &["3: every user of this machine can read"]),
        (&by_file, 0o644, &[]),
        (open, 0o644, &[]),
        (redis, 0o600, &[]),
        (redis, 0o604, &["2: every user of this machine can read"]),
    ] {
        let place = Place::with(&format!("{head}{UPSTREAM}{ROUTE}"));
        place.write("secret", "a secret of both sides\n");
        for (name, mode) in [("secret", 0o600), ("gateway.toml", mode)] {
            std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let found = check(&place);
        assert_eq!(found.len(), lines.len(), "{head} {mode:o}: {found:?}");
        assert!(
            found.iter().zip(lines).all(|(found, start)| found.starts_with(start)),
            "{head} {mode:o}: {found:?}"
        );
        assert!(
            !found.iter().any(|found| found.contains("both sides") || found.contains(":pw@")),
            "{found:?}"
        );
    }
}

#[test]
fn a_folder_where_others_may_put_files_is_named() {
    let place = Place::with(&format!("[replica]\npath = \"data/storegate.db\"\n{UPSTREAM}{ROUTE}"));
    let folder = place.path("data");
    std::fs::create_dir(&folder).unwrap();
    for (mode, is_named) in
        [(0o700, false), (0o755, false), (0o775, false), (0o777, true), (0o1777, true), (0o702, true)]
    {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        let found = check(&place);
        assert_eq!(found.len(), usize::from(is_named), "{mode:o}: {found:?}");
        let start = "2: every user of this machine can put files beside the replica";
        assert!(
            found.iter().all(|found| found.starts_with(start) && found.contains("chmod o-w")),
            "{found:?}"
        );
    }
}

#[test]
fn routes_that_no_request_takes_are_named() {
    let routes = ["/shop", "/shop/{*rest}", "/shop/{page}/{*rest}", "/{*rest}"];
    let routes: Vec<String> =
        routes.iter().map(|path| format!("[[route]]\npath = \"{path}\"\nauth = \"public\"\n")).collect();
    let found = check(&Place::with(&format!("{UPSTREAM}{}", routes.concat())));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("7: no request takes this route: `/shop` and `/shop/{page}/{*rest}` take"),
        "{found:?}"
    );
}

#[test]
fn networks_that_are_too_wide_are_named() {
    let rows = [
        ("10.0.0.0/8", false),
        ("fc00::/7", false),
        ("2001:db8::/20", false),
        ("8.0.0.0/7", true),
        ("128.0.0.0/1", true),
        ("2000::/3", true),
    ];
    for (network, wide) in rows {
        let settings =
            Settings { server: format!("trusted_proxies = [\"{network}\"]"), ..Settings::default() };
        let found = check(&Place::with(&settings.toml("127.0.0.1:1")));
        assert_eq!(found.len(), usize::from(wide), "{network}: {found:?}");
        assert!(found.iter().all(|found| found.contains("more addresses than proxies have")), "{found:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_in_json_too() {
    let place = Place::empty();
    std::fs::remove_file(place.path("gateway.toml")).unwrap();
    let done = place.run(&["check", "--json"]);
    assert_eq!(done.code, 2);
    let report = done.json();
    assert_eq!((&report["valid"], &report["errors"]), (&false.into(), &0.into()));
    assert!(report["problem"].as_str().unwrap().contains("there is no file"), "{report}");
    assert!(report["file"].as_str().unwrap().ends_with("gateway.toml"), "{report}");
}
