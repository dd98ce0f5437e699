//! `storegate oauth-client …` and `storegate key …`.

use serde_json::json;

use crate::common::Place;

const URI: &str = "https://shop.example/callback";

#[test]
fn clients_are_made_listed_and_changed() {
    let place = Place::empty();
    let made = place.json(&["oauth-client", "add", "--name", "Shop", "--redirect-uri", URI]);
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    assert!(id.starts_with("sx_oc_") && secret.starts_with("sx_os_"), "{made}");
    assert_eq!((&made["client_type"], &made["scopes"]), (&json!("confidential"), &json!("openid profile")));
    let public = ["--public", "--scopes", "openid email", "--redirect-uri", "com.example.app:/cb"];
    let phone = place.json(&[&["oauth-client", "add", "--name", "App"][..], &public].concat());
    assert_eq!((&phone["client_type"], &phone["client_secret"]), (&json!("public"), &json!(null)));

    let rotated = place.json(&["oauth-client", "rotate-secret", id]);
    assert_ne!(rotated["client_secret"], made["client_secret"]);
    place.ok(&["oauth-client", "set-scopes", id, "openid email store"]);
    place.ok(&["oauth-client", "disable", id]);
    let listed = place.json(&["oauth-client", "list"]);
    assert_eq!(listed[0]["client_id"], id);
    assert_eq!(
        (&listed[0]["status"], &listed[0]["scopes"]),
        (&json!("disabled"), &json!("email openid store"))
    );
    assert_eq!(listed[0]["redirect_uris"], json!([URI]));
    assert_eq!(listed[1]["client_type"], "public");
    let (one, two, three) = ("https://a.example/1", "https://a.example/2", "https://a.example/3");
    let several = ["--redirect-uri", one, two, "--name", "Several", "--redirect-uri", three];
    place.ok(&[&["oauth-client", "add"][..], &several].concat());
    assert_eq!(place.json(&["oauth-client", "list"])[2]["redirect_uris"], json!([one, two, three]));
    place.ok(&["oauth-client", "enable", id]);
    let text = place.ok(&["oauth-client", "list"]);
    assert!(text.contains(id) && text.contains("enabled") && text.contains(URI), "{text}");
    assert!(!format!("{listed}{text}").contains(&secret[6..]), "a secret is listed");
    let replica = place.replica_bytes();
    assert!(!replica.windows(secret.len()).any(|window| window == secret.as_bytes()), "a secret is stored");
}

#[test]
fn wrong_use_is_told() {
    let place = Place::empty();
    let public = place.json(&["oauth-client", "add", "--name", "A", "--redirect-uri", URI, "--public"]);
    let public = public["client_id"].as_str().unwrap();
    let add = |more: &[&'static str]| [&["oauth-client", "add"], more].concat();
    let rows: [(Vec<&str>, i32, &str); 10] = [
        (add(&["--name", "A"]), 2, "--redirect-uri"),
        (add(&["--redirect-uri", URI]), 2, "--name"),
        (add(&["--name", "", "--redirect-uri", URI]), 2, "at least one character"),
        (
            add(&["--name", "A", "--redirect-uri", "http://shop.example/"]),
            2,
            "http://shop.example/: a redirect URI",
        ),
        (add(&["--name", "A", "--redirect-uri", "com.example.app:/cb"]), 2, "public client"),
        (
            add(&["--name", "A", "--redirect-uri", URI, "--scopes", "read:orders"]),
            2,
            "none of openid, profile",
        ),
        (vec!["oauth-client", "rotate-secret", "sx_oc_nobody"], 1, "there is no client sx_oc_nobody"),
        (vec!["oauth-client", "rotate-secret", public], 1, "is public"),
        (vec!["oauth-client", "disable", "sx_oc_nobody"], 1, "there is no client"),
        (vec!["oauth-client", "set-scopes", public, "admin"], 2, "none of"),
    ];
    for (arguments, code, text) in rows {
        let done = place.run(&arguments);
        assert_eq!((done.code, done.out.as_str()), (code, ""), "{arguments:?} {done:?}");
        assert!(done.err.contains(text), "{arguments:?} {done:?}");
    }
}

#[test]
fn keys_are_rotated_and_revoked() {
    let place = Place::empty();
    assert_eq!(place.json(&["key", "list"]), json!([]));
    let first = place.json(&["key", "rotate"])["kid"].clone();
    let second = place.json(&["key", "rotate"])["kid"].clone();
    let listed = place.json(&["key", "list"]);
    let states = [0, 1].map(|at| (listed[at]["kid"].clone(), listed[at]["state"].clone()));
    assert_eq!(states, [(second, json!("signs")), (first, json!("former"))]);
    let third = place.json(&["key", "rotate", "--revoke-old"])["kid"].clone();
    let listed = place.json(&["key", "list"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["kid"]), (1, &third));
    assert!(place.ok(&["key", "list"]).contains("signs"));
    let audit = place.json(&["audit", "--limit", "1"]).to_string();
    assert!(audit.contains("key.rotate") && audit.contains("revoked_old"), "{audit}");
}
