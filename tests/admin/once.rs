//! Idempotency keys: a call is carried out once, and only its caller hears the answer again.

use std::collections::BTreeSet;

use crate::common::{Gateway, Settings};
use crate::{admin, call, operator_with};

const APP: &str = r#"{"name":"Sync"}"#;

fn apps(gateway: &Gateway) -> usize {
    gateway.place.json(&["app", "list"]).as_array().unwrap().len()
}

#[test]
fn a_repetition_gets_the_first_answer() {
    let mut gateway = Gateway::start(&Settings::default());
    let (admin, before) = (admin(&gateway), apps(&gateway));
    let ask =
        |gateway: &Gateway, key: &str, body: &str| call(gateway, "POST /admin/v1/apps", &[&admin, key], body);
    let first = ask(&gateway, "Idempotency-Key: \"k-1\"", APP);
    assert_eq!((first.status, first.field("idempotency-replayed")), (201, None), "{}", first.text());
    for key in ["Idempotency-Key: \"k-1\"", "idempotency-key: k-1"] {
        let again = ask(&gateway, key, APP);
        assert_eq!((again.status, again.body == first.body), (201, true), "{}", again.text());
        assert_eq!(again.field("idempotency-replayed").as_deref(), Some("true"));
    }
    assert_eq!(apps(&gateway), before + 1);

    // After a restart, too.
    gateway.signal("TERM");
    gateway.end(std::time::Duration::from_secs(20));
    gateway.start_again();
    assert_eq!(ask(&gateway, "Idempotency-Key: k-1", APP).body, first.body);
    assert_eq!(apps(&gateway), before + 1);

    // Another body or path is another call.
    for (line, body) in [
        ("POST /admin/v1/apps", r#"{"name":"Sync "}"#),
        ("POST /admin/v1/stores", r#"{"store_id":77}"#),
        ("POST /admin/v1/operators", r#"{"name":"x","permissions":["apps__view_apps"]}"#),
    ] {
        let answer = call(&gateway, line, &[&admin, "Idempotency-Key: k-1"], body);
        assert_eq!((answer.status, answer.code().as_str()), (422, "idempotency_key_reused"), "{line}");
    }
    assert_eq!(ask(&gateway, "Idempotency-Key: k-2", APP).status, 201);
    assert_eq!(apps(&gateway), before + 2);

    // A refused call may be repeated when its cause is gone.
    let install = r#"{"client_id":"later","store_id":22}"#;
    let line = "POST /admin/v1/installations";
    assert_eq!(call(&gateway, line, &[&admin, "Idempotency-Key: k-3"], install).status, 404);
    assert_eq!(ask(&gateway, "Idempotency-Key: k-4", r#"{"name":"x","client_id":"later"}"#).status, 201);
    assert_eq!(call(&gateway, line, &[&admin, "Idempotency-Key: k-3"], install).status, 201);

    let bytes = gateway.place.replica_bytes();
    let secret = first.json()["client_secret"].as_str().unwrap().to_owned();
    for clear in [secret.as_str(), "k-1"] {
        assert!(!bytes.windows(clear.len()).any(|part| part == clear.as_bytes()), "{clear} is in the file");
    }
}

#[test]
fn keys_belong_to_their_caller() {
    let gateway = Gateway::start(&Settings::default());
    let before = apps(&gateway);
    let ada = operator_with(&gateway, "ada", &["apps__manage_apps"]);
    let eve = operator_with(&gateway, "eve", &["apps__manage_apps"]);
    let key = "Idempotency-Key: k-1";
    let first = call(&gateway, "POST /admin/v1/apps", &[&ada, key], APP);
    let other = call(&gateway, "POST /admin/v1/apps", &[&eve, key], APP);
    assert_eq!((first.status, other.status), (201, 201));
    assert_ne!(first.body, other.body);
    assert_eq!(apps(&gateway), before + 2);
    // Who may not do it any more does not hear it again either.
    gateway.place.ok(&["operator", "set-permissions", "ada", "--permission", "apps__view_apps"]);
    assert_eq!(call(&gateway, "POST /admin/v1/apps", &[&ada, key], APP).code(), "forbidden");
    gateway.place.ok(&["operator", "remove", "ada"]);
    assert_eq!(call(&gateway, "POST /admin/v1/apps", &[&ada, key], APP).code(), "invalid_token");
}

#[test]
fn many_at_once_make_one() {
    let gateway = Gateway::start(&Settings::default());
    let (admin, before) = (admin(&gateway), apps(&gateway));
    let answers: Vec<(u16, Vec<u8>)> = std::thread::scope(|scope| {
        let ask = || call(&gateway, "POST /admin/v1/apps", &[&admin, "Idempotency-Key: k"], APP);
        let calls: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        calls
            .into_iter()
            .map(|call| call.join().unwrap())
            .map(|answer| (answer.status, answer.body))
            .collect()
    });
    assert_eq!(apps(&gateway), before + 1);
    // One that comes before the first answer is kept hears that it was done.
    let made: BTreeSet<&[u8]> =
        answers.iter().filter(|(status, _)| *status == 201).map(|(_, body)| body.as_slice()).collect();
    assert_eq!(made.len(), 1);
    assert!(answers.iter().all(|(status, _)| [201, 409].contains(status)), "{answers:?}");
}
