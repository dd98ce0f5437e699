//! Wrong use is exit code 2, a failure 1; both say one clear thing.

use crate::common::Place;
use crate::common::place::{bare, finish};
use crate::common::world::{MAIN, OTHER, TOKEN, TOKEN_UNKNOWN};
use crate::failed;

#[test]
fn wrong_use() {
    let place = Place::empty();
    place.seed();
    let before = place.replica_bytes();
    let id = MAIN.client_id;
    let long = "s".repeat(257);
    let create = ["app", "create", "--name", "x"];
    let rows: Vec<Vec<&str>> = vec![
        vec!["frobnicate"],
        vec!["--frobnicate"],
        vec!["store"],
        vec!["store", "add"],
        vec!["store", "remove", "22"],
        vec!["store", "add", "abc"],
        vec!["store", "add", "022"],
        vec!["store", "add", "0"],
        vec!["store", "add", "1e3"],
        vec!["store", "add", "9007199254740992"],
        vec!["store", "add", "26", "27"],
        vec!["store", "suspend"],
        vec!["store", "suspend", "-1"],
        vec!["store", "resume", ""],
        vec!["app", "create"],
        [&create[..], &["--scopes", "read\"orders"]].concat(),
        [&create[..], &["--client-id", "a b"]].concat(),
        [&create[..], &["--client-id", ""]].concat(),
        [&create[..], &["--client-id", "é"]].concat(),
        [&create[..], &["--client-secret", ""]].concat(),
        [&create[..], &["--client-secret", "with blanks"]].concat(),
        [&create[..], &["--client-secret", &long]].concat(),
        [&create[..], &["--client-secret", "-"]].concat(),
        [&create[..], &["--allow-ip", "home"]].concat(),
        [&create[..], &["--allow-ip", "10.0.0.0/33"]].concat(),
        vec!["app", "show"],
        vec!["app", "show", "a b"],
        vec!["app", "allow-ip", id, "10.0.0"],
        vec!["app", "rotate-secret"],
        vec!["app", "rotate-secret", id, "--overlap", "soon"],
        vec!["app", "rotate-secret", id, "--overlap", "-5s"],
        vec!["app", "rotate-secret", id, "--overlap", "10"],
        vec!["app", "rotate-secret", id, "--overlap"],
        vec!["app", "rotate-signing-key"],
        vec!["install", id],
        vec!["install", id, "store"],
        vec!["install", id, "25", "--scopes", "a\\b"],
        vec!["uninstall", id],
        vec!["token", "issue", id],
        vec!["token", "issue", id, "22", "--ttl", "tomorrow"],
        vec!["token", "issue", id, "22", "--ttl", "0s"],
        vec!["token", "revoke"],
        vec!["session", "mint", id],
        vec!["session", "mint", id, "22", "--ttl", "11m"],
        vec!["session", "mint", id, "22", "--ttl", "0s"],
        vec!["import"],
        vec!["explain", "GET"],
        vec!["explain", "G ET", "/public/x"],
        vec!["explain", "--header", "no colon", "GET", "/public/x"],
        vec!["explain", "--header", "X Y: z", "GET", "/public/x"],
        vec!["run", "now"],
        vec!["check", "--everything"],
        vec!["demo", "--listen", "nowhere"],
    ];
    for arguments in &rows {
        failed(&format!("{arguments:?}"), &place.run(arguments), 2);
        let json = [&arguments[..], &["--json"]].concat();
        failed(&format!("{json:?}"), &place.run(&json), 2);
    }
    assert_eq!(place.replica_bytes(), before, "wrong use changes nothing");
    let err = failed("a near miss", &place.run(&["app", "rotate-secrets", id]), 2);
    assert!(err.contains("rotate-secret"), "{err}");
}

#[test]
fn without_a_usable_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["run"][..], &["check"], &["app", "list"], &["store", "add", "22"], &["import", "/dev/null"]]
    {
        let mut command = bare(arguments);
        command.current_dir(folder.path());
        let err = failed(&format!("{arguments:?} without a file"), &finish(command, ""), 2);
        assert!(err.contains("gateway.toml"), "the default is named: {err}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    let place = Place::with("[server]\nlisten = 8080\n");
    for arguments in [&["run"][..], &["app", "list"], &["explain", "GET", "/x"]] {
        let err = failed(&format!("{arguments:?} with a bad file"), &place.run(arguments), 2);
        assert!(err.contains("gateway.toml") && err.contains(":2:"), "{err}");
    }
    assert!(!place.path("storegate.db").exists());
}

#[test]
fn failures() {
    let place = Place::empty();
    place.seed();
    let (id, nobody) = (MAIN.client_id, "sx_app_99999999999999999999999999999999");
    // The message names what is meant.
    let rows: Vec<(Vec<&str>, &str)> = vec![
        (vec!["store", "add", "22"], "22"),
        (vec!["store", "add", "77", "--domain", "store-22.example.test"], "store-22.example.test"),
        (vec!["store", "suspend", "99"], "99"),
        (vec!["store", "resume", "99"], "99"),
        (vec!["app", "create", "--name", "x", "--client-id", id], id),
        (vec!["app", "show", nobody], nobody),
        (vec!["app", "disable", nobody], nobody),
        (vec!["app", "enable", nobody], nobody),
        (vec!["app", "allow-ip", nobody, "10.0.0.0/8"], nobody),
        (vec!["app", "rotate-secret", nobody], nobody),
        (vec!["app", "rotate-signing-key", nobody], nobody),
        (vec!["install", nobody, "22"], nobody),
        (vec!["install", id, "99"], "99"),
        (vec!["uninstall", id, "25"], "25"),
        (vec!["uninstall", nobody, "22"], nobody),
        (vec!["token", "issue", id, "25"], "25"),
        (vec!["token", "issue", id, "23"], "23"),
        (vec!["token", "issue", id, "99"], "99"),
        (vec!["token", "issue", nobody, "22"], nobody),
        (vec!["token", "revoke", TOKEN_UNKNOWN], "token"),
        (vec!["token", "revoke", "nonsense"], "token"),
        (vec!["session", "mint", id, "25"], "25"),
        (vec!["session", "mint", nobody, "22"], nobody),
        (vec!["import", "/nonexistent/records.ndjson"], "/nonexistent/records.ndjson"),
        (vec!["import", "/"], "/"),
    ];
    for (arguments, named) in &rows {
        let err = failed(&format!("{arguments:?}"), &place.run(arguments), 1);
        assert!(err.contains(named), "{arguments:?}: {err}");
        assert!(err.starts_with("error: "), "{arguments:?}: {err}");
        assert!(!err.contains(TOKEN_UNKNOWN), "{err}");
        failed(&format!("{arguments:?} --json"), &place.run(&[&arguments[..], &["--json"]].concat()), 1);
    }
    let listed = place.json(&["store", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 4, "a failed command changes nothing");
    assert_eq!(place.json(&["app", "list"]).as_array().unwrap().len(), 5);
    // Revoking twice is the same as revoking.
    place.ok(&["token", "revoke", TOKEN]);
    let again = place.run(&["token", "revoke", TOKEN]);
    assert!([0, 1].contains(&again.code), "{again:?}");
    place.ok(&["uninstall", OTHER.client_id, "23"]);
}

/// A replica that is no replica is left as it is.
#[test]
fn a_replica_that_is_none() {
    for (what, bytes) in [
        ("text", b"this is not a database, but somebody's notes".repeat(40)),
        ("another database", another_database()),
    ] {
        let place = Place::empty();
        std::fs::write(place.path("storegate.db"), &bytes).unwrap();
        for arguments in
            [&["store", "list"][..], &["store", "add", "22"], &["run"], &["explain", "GET", "/public/x"]]
        {
            let err = failed(&format!("{what}: {arguments:?}"), &place.run(arguments), 1);
            assert!(err.contains("storegate.db"), "{what}: {err}");
        }
        assert_eq!(std::fs::read(place.path("storegate.db")).unwrap(), bytes, "{what} is untouched");
    }
    let place = Place::empty();
    std::fs::create_dir(place.path("storegate.db")).unwrap();
    failed("a folder", &place.run(&["store", "list"]), 1);
}

fn another_database() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE notes(text TEXT); INSERT INTO notes VALUES('mine')").unwrap();
    database.close().unwrap();
    std::fs::read(path).unwrap()
}
