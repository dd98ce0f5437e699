//! `storegate user …`.

use serde_json::json;

use crate::common::Place;

fn add<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["user", "add"], more, &["--name", "Rahim", "--password", "-"]].concat()
}

#[test]
fn people_are_added_listed_and_disabled() {
    let place = Place::empty();
    place.ok(&["store", "add", "22"]);
    place.ok(&["store", "add", "23"]);
    let password = "correct horse battery\n";
    let customer = ["customer:42", "--store", "22", "--email", "Rahim@example.com", "--json"];
    let done = place.run_with(&add(&customer), password);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    assert_eq!(
        done.json(),
        json!({"subject": "customer:42", "store_id": 22, "role": null, "email": "rahim@example.com",
            "name": "Rahim", "status": "active"})
    );
    let merchant = ["merchant:7", "--store", "22", "--role", "owner", "--email", "m@example.com"];
    assert_eq!(place.run_with(&add(&merchant), password).code, 0);
    place.ok(&["user", "join", "merchant:7", "--store", "23", "--role", "staff"]);
    place.ok(&["user", "disable", "customer:42"]);

    let listed = place.json(&["user", "list"]);
    assert_eq!(listed[0]["subject"], "customer:42");
    assert_eq!(listed[0]["status"], "disabled");
    let stores = json!([{"store_id": 22, "role": "owner"}, {"store_id": 23, "role": "staff"}]);
    assert_eq!(listed[1]["stores"], stores);
    place.ok(&["user", "leave", "merchant:7", "--store", "22"]);
    place.ok(&["user", "enable", "customer:42"]);
    let done = place.run_with(&["user", "set-password", "customer:42", "--password", "-"], password);
    assert_eq!(done.code, 0, "{done:?}");
    let text = place.ok(&["user", "list"]);
    assert!(text.contains("merchant:7") && text.contains("23:staff"), "{text}");
    let replica = place.replica_bytes();
    let has = |needle: &[u8]| replica.windows(needle.len()).any(|window| window == needle);
    assert!(!has(b"correct horse"), "the replica holds a password in clear");
}

#[test]
fn wrong_use_is_told() {
    let place = Place::empty();
    place.ok(&["store", "add", "22"]);
    let at = |store| ["--store", store, "--email", "a@example.com"];
    let rows: [(&[&str], &str, i32, &str); 7] = [
        (&["customer:42"], "long enough", 2, "--store"),
        (&[&["customer:042"][..], &at("22")].concat(), "long enough", 2, "customer:42 or merchant:7"),
        (&[&["customer:42"][..], &at("99")].concat(), "long enough", 1, "there is no store 99"),
        (&[&["merchant:7"][..], &at("22")].concat(), "long enough", 2, "merchants need one"),
        (&[&["customer:42"][..], &at("22")].concat(), "short", 2, "8 to 72 bytes"),
        (&[&["customer:42"][..], &at("22")].concat(), &"a".repeat(73), 2, "8 to 72 bytes"),
        (&["customer:42", "--store", "22", "--email", "a"], "long enough", 2, "NAME@DOMAIN"),
    ];
    for (arguments, password, code, text) in rows {
        let done = place.run_with(&add(arguments), password);
        assert_eq!((done.code, done.out.as_str()), (code, ""), "{arguments:?} {done:?}");
        assert!(done.err.contains(text) && !done.err.contains("long enough"), "{arguments:?} {done:?}");
    }
    assert_eq!(place.json(&["user", "list"]), json!([]));
}
