//! The audit record, as commands and the API fill and show it.

use crate::common::world::MAIN;
use crate::common::{Gateway, Settings};
use crate::{admin, call, done, operator_with};

#[test]
fn it_says_who_and_from_where() {
    let gateway = Gateway::start(&Settings::default());
    let ada = operator_with(&gateway, "ada", &["apps__manage_apps", "audit__view_audit"]);
    let line = format!("POST /admin/v1/apps/{}/rotate-secret", MAIN.client_id);
    let rotated = call(&gateway, &line, &[&ada, "X-Request-Id: deploy-7"], "");
    assert_eq!(rotated.field("x-request-id").as_deref(), Some("deploy-7"));
    done(&gateway, 200, "POST /admin/v1/stores/22/suspend", &admin(&gateway), "");
    gateway.place.ok(&["store", "resume", "22"]);

    let listed = done(&gateway, 200, "GET /admin/v1/audit?limit=3", &ada, "");
    let seen: Vec<_> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
            (text("who"), text("origin"), text("action"), text("subject"), text("request_id"))
        })
        .collect();
    let user =
        String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    assert!(seen[0].0.starts_with(user.trim()), "{seen:?}");
    assert_eq!((seen[0].1.as_str(), seen[0].2.as_str(), seen[0].4.as_str()), ("cli", "store.resume", "-"));
    assert_eq!(
        (seen[1].0.as_str(), seen[1].1.as_str(), seen[1].2.as_str()),
        ("admin", "127.0.0.1", "store.suspend")
    );
    assert_eq!(seen[1].4.len(), 32, "an id was made");
    let subject = format!("app:{}", MAIN.client_id);
    let expected = ("ada", "127.0.0.1", "app.rotate_secret", subject.as_str(), "deploy-7");
    let (who, origin, action, subject, id) = &seen[2];
    assert_eq!((who.as_str(), origin.as_str(), action.as_str(), subject.as_str(), id.as_str()), expected);

    let by_command = gateway.place.json(&["audit", "--limit", "3", "--since", "1h"]);
    assert_eq!(by_command, listed["data"], "the command shows the same");
    let text = gateway.place.ok(&["audit", "--subject", "store:22"]);
    assert!(text.contains("store.resume") && !text.contains("rotate_secret"), "{text}");
    let secret = rotated.json()["client_secret"].as_str().unwrap().to_owned();
    assert!(!by_command.to_string().contains(&secret));
}

#[test]
fn a_refused_call_leaves_no_entry() {
    let gateway = Gateway::start(&Settings::default());
    let eve = operator_with(&gateway, "eve", &["apps__view_apps"]);
    let before = gateway.place.json(&["audit"]);
    for (line, token) in [
        ("POST /admin/v1/stores/22/suspend", eve.as_str()),
        ("POST /admin/v1/stores/99/suspend", &admin(&gateway)),
        ("POST /admin/v1/stores/22/suspend", "X-None: 1"),
    ] {
        assert!(call(&gateway, line, &[token], "").status >= 400);
    }
    assert_eq!(gateway.place.json(&["audit"]), before);
}
