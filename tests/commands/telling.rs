//! `storegate config` and `storegate errors`.

use serde_json::{Value, json};

use crate::common::place::{bare, finish};
use crate::common::{Place, Settings};
use crate::failed;

fn storegate(arguments: &[&str]) -> crate::common::Done {
    finish(bare(arguments), "")
}

#[test]
fn settings_in_force_are_shown() {
    let settings = Settings { rest: "[limits]\nshared = \"file:redis\"\n".into(), ..Settings::default() };
    let place = Place::with(&settings.toml("${UPSTREAM}"));
    place.write("redis", "redis://u:hunter2@127.0.0.1:1\n");
    // Without the variable nothing is shown.
    let err = failed("UPSTREAM", &place.run(&["config", "show"]), 2);
    assert!(err.contains("`UPSTREAM` is not set") && err.contains("gateway.toml:13:"), "{err}");
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("UPSTREAM", "127.0.0.1:9");
        finish(command, "")
    };
    assert_eq!(run(&["check"]).code, 0);
    let text = run(&["config", "show"]);
    assert_eq!((text.code, text.err.as_str()), (0, ""));
    let shown = run(&["config", "show", "--json"]).json();
    let setting = |key: &str| {
        let all = shown["settings"].as_array().unwrap();
        all.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("{key}: {shown}")).clone()
    };
    let servers = setting("upstream.api.servers");
    assert_eq!(servers["value"], json!(["http://127.0.0.1:9"]));
    assert_eq!(servers["origin"]["variables"], json!(["UPSTREAM"]));
    assert_eq!((&servers["origin"]["from"], &servers["origin"]["line"]), (&json!("file"), &json!(13)));
    let shared = setting("limits.shared");
    assert_eq!((&shared["value"], &shared["is_secret"]), (&Value::Null, &json!(true)));
    assert_eq!(setting("server.grace_period")["origin"], json!({"from": "default"}));
    assert!(text.out.contains("limits.shared") && text.out.contains("(secret)"), "{}", text.out);
    assert!(!text.out.contains("hunter2") && !shown.to_string().contains("hunter2"));
}

#[test]
fn the_schema_is_printed_without_a_configuration() {
    for arguments in [&["config", "schema"][..], &["config", "schema", "--json"]] {
        let done = storegate(arguments);
        assert_eq!((done.code, done.err.as_str()), (0, ""));
        assert_eq!(done.json()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}

#[test]
fn errors_are_explained() {
    let one = storegate(&["errors", "insufficient_scope"]);
    assert_eq!((one.code, one.err.as_str()), (0, ""));
    for part in ["403 insufficient_scope", "Insufficient scope. Required: …", "Cause: ", "Operator: "] {
        assert!(one.out.contains(part), "{}", one.out);
    }
    let count = |word: &str| {
        let arguments: Vec<&str> =
            ["errors", "--json"].into_iter().chain((!word.is_empty()).then_some(word)).collect();
        storegate(&arguments).json()["errors"].as_array().unwrap().len()
    };
    assert_eq!(count("bad_gateway"), 1);
    assert_eq!(count("Invalid_Request"), 6, "400, 431, the identity provider's, and the admin API's");
    assert!(count("401") >= 5);
    assert!(count("") > 20);
    let all = storegate(&["errors"]);
    assert!(all.out.contains("gateway_timeout") && all.out.contains("The admin API"), "{}", all.out);
    let page = storegate(&["errors", "--markdown"]);
    assert!(page.out.starts_with("# Errors\n"), "{}", page.out);
    for (arguments, hint) in [
        (&["errors", "insuficient_scope"][..], "did you mean `insufficient_scope`?"),
        (&["errors", "418"], "lists them all"),
        (&["errors", ""], "lists them all"),
        (&["errors", "404", "--markdown"], "--markdown"),
    ] {
        let err = failed(hint, &storegate(arguments), 2);
        assert!(err.contains(hint), "{err}");
    }
}
