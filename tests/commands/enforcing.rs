//! A change is in force when the command returns: in a running gateway whose records are warm, and in
//! one that starts later.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::common::world::{
    BCRYPT, BOUND, DISABLED, MAIN, OTHER, TOKEN, TOKEN_SUSPENDED, bearer, client, pair,
};
use crate::common::{Gateway, Place, RecordingUpstream, Session, Settings};

/// What a step of a story finds out, and what it must be.
type Step = (&'static str, Vec<String>, (u16, &'static str));

/// A command, its result taken into account, and the decisions after it.
struct Story {
    name: &'static str,
    /// Requests that are decided before, so that every record of theirs is cached.
    before: Vec<Step>,
    command: Vec<&'static str>,
    after: fn(&Value) -> Vec<Step>,
}

fn with_store(mut lines: Vec<String>) -> Vec<String> {
    lines.push("X-Store-Id: 22".into());
    lines
}

fn main_pair() -> Vec<String> {
    client(&MAIN, "22")
}

fn main_session() -> Vec<String> {
    bearer(&Session::of(&MAIN, 22, 501).token())
}

const YES: (u16, &str) = (200, "");
const INVALID_CLIENT: (u16, &str) = (401, "invalid_client");
const INVALID_TOKEN: (u16, &str) = (401, "invalid_token");
const SUSPENDED: (u16, &str) = (403, "store_suspended");
const NOT_INSTALLED: (u16, &str) = (401, "not_installed");

fn all_of_main(answers: [(u16, &'static str); 3]) -> Vec<Step> {
    vec![
        ("the pair", main_pair(), answers[0]),
        ("the token", bearer(TOKEN), answers[1]),
        ("the session token", main_session(), answers[2]),
    ]
}

fn stories() -> Vec<Story> {
    let main = || all_of_main([YES; 3]);
    vec![
        Story {
            name: "rotate-secret",
            before: main(),
            command: vec!["app", "rotate-secret", MAIN.client_id],
            after: |made| {
                let new = made["client_secret"].as_str().unwrap();
                let new = with_store(pair(MAIN.client_id, new));
                [all_of_main([INVALID_CLIENT, YES, YES]), vec![("the new pair", new, YES)]].concat()
            },
        },
        Story {
            name: "rotate-secret of a bcrypt secret that was proved",
            before: vec![("the pair", client(&BCRYPT, "22"), YES)],
            command: vec!["app", "rotate-secret", BCRYPT.client_id],
            after: |made| {
                let new = with_store(pair(BCRYPT.client_id, made["client_secret"].as_str().unwrap()));
                vec![("the old pair", client(&BCRYPT, "22"), INVALID_CLIENT), ("the new pair", new, YES)]
            },
        },
        Story {
            name: "rotate-secret with an overlap",
            before: main(),
            command: vec!["app", "rotate-secret", MAIN.client_id, "--overlap", "1h"],
            after: |made| {
                let new = with_store(pair(MAIN.client_id, made["client_secret"].as_str().unwrap()));
                [all_of_main([YES; 3]), vec![("the new pair", new, YES)]].concat()
            },
        },
        Story {
            name: "revoke-old-secrets of one that is alone",
            before: main(),
            command: vec!["app", "revoke-old-secrets", MAIN.client_id],
            after: |_| all_of_main([YES; 3]),
        },
        Story {
            name: "rotate-signing-key",
            before: main(),
            command: vec!["app", "rotate-signing-key", MAIN.client_id],
            after: |made| {
                let key = made["session_signing_key"].as_str().unwrap();
                let new = bearer(&Session::of(&MAIN, 22, 501).key(key).token());
                [all_of_main([YES, YES, INVALID_TOKEN]), vec![("the new key", new, YES)]].concat()
            },
        },
        Story {
            name: "disable",
            before: main(),
            command: vec!["app", "disable", MAIN.client_id],
            after: |_| all_of_main([INVALID_CLIENT, INVALID_TOKEN, INVALID_TOKEN]),
        },
        Story {
            name: "enable",
            before: vec![("the pair", client(&DISABLED, "22"), INVALID_CLIENT)],
            command: vec!["app", "enable", DISABLED.client_id],
            after: |_| vec![("the pair", client(&DISABLED, "22"), YES)],
        },
        Story {
            name: "allow-ip",
            before: main(),
            command: vec!["app", "allow-ip", MAIN.client_id, "192.0.2.0/24"],
            after: |_| all_of_main([(403, "ip_not_allowed"), (403, "ip_not_allowed"), YES]),
        },
        Story {
            name: "allow-ip of where we are",
            before: main(),
            command: vec!["app", "allow-ip", MAIN.client_id, "192.0.2.0/24", "127.0.0.1"],
            after: |_| all_of_main([YES; 3]),
        },
        Story {
            name: "uninstall",
            before: main(),
            command: vec!["uninstall", MAIN.client_id, "22"],
            after: |_| all_of_main([NOT_INSTALLED, INVALID_TOKEN, INVALID_TOKEN]),
        },
        Story {
            name: "install",
            before: vec![("the pair", client(&OTHER, "22"), NOT_INSTALLED)],
            command: vec!["install", OTHER.client_id, "22", "--scopes", "read:orders"],
            after: |_| vec![("the pair", client(&OTHER, "22"), YES)],
        },
        Story {
            name: "install with fewer scopes",
            before: main(),
            command: vec!["install", MAIN.client_id, "22", "--scopes", "read:products"],
            after: |_| all_of_main([(403, "insufficient_scope"); 3]),
        },
        Story {
            name: "suspend",
            before: main(),
            command: vec!["store", "suspend", "22"],
            after: |_| all_of_main([SUSPENDED; 3]),
        },
        Story {
            name: "resume",
            before: vec![("the token", bearer(TOKEN_SUSPENDED), SUSPENDED)],
            command: vec!["store", "resume", "24"],
            after: |_| vec![("the token", bearer(TOKEN_SUSPENDED), YES)],
        },
        Story {
            name: "token revoke",
            before: main(),
            command: vec!["token", "revoke", TOKEN],
            after: |_| all_of_main([YES, INVALID_TOKEN, YES]),
        },
        Story {
            name: "token issue",
            before: vec![],
            command: vec!["token", "issue", BOUND.client_id, "22", "--scopes", "read:orders"],
            after: |made| vec![("the token", bearer(made["access_token"].as_str().unwrap()), YES)],
        },
    ]
}

fn hold(gateway: &Gateway, name: &str, steps: &[Step]) {
    for (what, lines, expected) in steps {
        let (status, code) = gateway.orders_code(lines);
        assert_eq!((status, code.as_str()), *expected, "{name}: {what}");
    }
}

#[test]
fn a_running_gateway_decides_by_the_new_state_when_a_command_returns() {
    for story in stories() {
        let gateway = Gateway::start(&Settings::default());
        for _ in 0..2 {
            hold(&gateway, story.name, &story.before);
        }
        let made = gateway.place.json(&story.command);
        hold(&gateway, story.name, &(story.after)(&made));
    }
}

#[test]
fn a_gateway_that_starts_later_decides_by_it_too() {
    for story in stories() {
        let upstream = RecordingUpstream::start();
        let place = Place::with(&Settings::default().toml(&upstream.address.to_string()));
        place.seed();
        let made = place.json(&story.command);
        let gateway = Gateway::start_in(place, upstream);
        hold(&gateway, story.name, &(story.after)(&made));
    }
}

/// Two gateways on one machine may share a replica; the command waits for both.
#[test]
fn every_gateway_of_the_replica_decides_by_it() {
    let first = Gateway::start(&Settings::default());
    let place = Place::with(&std::fs::read_to_string(first.place.path("gateway.toml")).unwrap().replace(
        "path = \"storegate.db\"",
        &format!("path = {:?}", first.place.path("storegate.db").to_str().unwrap()),
    ));
    let second = Gateway::start_in(place, RecordingUpstream::start());
    for round in 0..3 {
        let made = first.place.json(&["token", "issue", MAIN.client_id, "22"]);
        let token = bearer(made["access_token"].as_str().unwrap());
        assert_eq!((first.orders(&token), second.orders(&token)), (200, 200), "{round}");
        second.place.ok(&["token", "revoke", made["access_token"].as_str().unwrap()]);
        assert_eq!((first.orders(&token), second.orders(&token)), (401, 401), "{round}");
    }
}

/// Nothing that begins after the command has returned is accepted, while others hammer on the record.
#[test]
fn no_acceptance_begins_after_the_command_has_returned() {
    // However many old secrets are presented, none is answered 429.
    let rest = "[limits]\naddress_failures = 0\nclient_failures = 0".into();
    let gateway = Gateway::start(&Settings { rest, ..Settings::default() });
    let secret = Mutex::new(MAIN.secret.to_owned());
    let over = AtomicBool::new(false);
    let requests = AtomicUsize::new(0);
    // When each secret ended, as the command's caller knows it.
    let ended: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                while !over.load(Ordering::SeqCst) {
                    let presented = secret.lock().unwrap().clone();
                    let lines = with_store(pair(MAIN.client_id, &presented));
                    let began = Instant::now();
                    let bytes = crate::common::request("GET /api/apps/v1/orders", &lines);
                    let status = connection.ask(bytes).status;
                    requests.fetch_add(1, Ordering::SeqCst);
                    let stale =
                        ended.lock().unwrap().iter().any(|(old, at)| *old == presented && *at < began);
                    assert!(!(stale && status == 200), "accepted after its end");
                }
            });
        }
        // Also when this thread fails: the others would hammer on without end.
        let _over = SetOnDrop(&over);
        for _ in 0..8 {
            let old = secret.lock().unwrap().clone();
            let made = gateway.place.json(&["app", "rotate-secret", MAIN.client_id]);
            let at = Instant::now();
            ended.lock().unwrap().push((old.clone(), at));
            // The old one is still presented for a while, warm or not.
            let seen = requests.load(Ordering::SeqCst);
            assert_eq!(gateway.orders(&with_store(pair(MAIN.client_id, &old))), 401);
            crate::common::wait_until(std::time::Duration::from_secs(5), || {
                (requests.load(Ordering::SeqCst) > seen + 20).then_some(())
            });
            *secret.lock().unwrap() = made["client_secret"].as_str().unwrap().to_owned();
        }
    });
    println!("{} requests while 8 secrets were rotated", requests.load(Ordering::SeqCst));
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
