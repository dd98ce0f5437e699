//! The OpenAPI document: what it describes is served, what is served is described, and it is sound.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{Gateway, Place, Settings};
use crate::{admin, call};

fn paths(document: &Value) -> Vec<(String, String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((path.clone(), method.to_uppercase(), operation));
        }
    }
    found
}

#[test]
fn it_describes_what_is_served() {
    let gateway = Gateway::start(&Settings::default());
    let document = call(&gateway, "GET /admin/v1/openapi.json", &[], "").json();
    assert_eq!(gateway.place.json(&["openapi"]), document, "the command prints the same");
    let described = paths(&document);
    assert!(described.len() > 25, "{} routes", described.len());
    let open = ["/healthz", "/readyz", "/metrics", "/admin/v1/openapi.json"];
    for (path, method, operation) in &described {
        let plain = path.replace(['{', '}'], "");
        let answer = call(&gateway, &format!("{method} {plain}"), &[], "");
        if open.contains(&path.as_str()) {
            assert_eq!(answer.status, 200, "{method} {path}");
            assert_eq!(operation["security"], serde_json::json!([{}]), "{path}");
        } else {
            assert_eq!(answer.code(), "missing_token", "{method} {path}: {}", answer.text());
            assert!(operation.get("security").is_none(), "{path}: the document's own holds");
        }
    }
    // The other way round: of every path, each method that is not described is refused, and says so.
    let all: BTreeSet<&str> = described.iter().map(|(path, ..)| path.as_str()).collect();
    for path in all {
        let methods: BTreeSet<&str> = described
            .iter()
            .filter(|(other, ..)| other == path)
            .map(|(_, method, _)| method.as_str())
            .collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            if !methods.contains(method) {
                let answer = call(
                    &gateway,
                    &format!("{method} {}", path.replace(['{', '}'], "")),
                    &[&admin(&gateway)],
                    "",
                );
                assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
            }
        }
    }
    // A route can only be added with its description.
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            let code = std::fs::read_to_string(&path).unwrap();
            assert!(!code.contains(".route("), "{} adds a route without a description", path.display());
        }
    }
}

/// What the specification demands of a document (OpenAPI 3.1.0, section 4).
#[test]
fn it_is_sound() {
    let document = Place::with("").json(&["openapi"]);
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");

    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference} leads nowhere");
    }

    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in paths(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 10), "{id}: what does it do?");
        assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{id}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<&str> =
            parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        let wanted: BTreeSet<&str> =
            path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        assert_eq!(named, wanted, "{id}");
        for parameter in &parameters {
            assert!(parameter["schema"].is_object(), "{id}: {parameter}");
            assert!(parameter["in"] != "path" || parameter["required"] == true, "{id}: {parameter}");
            assert!(parameter["description"].is_string(), "{id}: {parameter}");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{id}");
        assert!(responses.values().all(|response| response["description"].is_string()), "{id}");
        let guarded = operation.get("security").is_none();
        assert_eq!(responses.contains_key("default"), guarded, "{id}: how is it refused?");
        assert!(method != "GET" || operation.get("requestBody").is_none(), "{id}");
        let takes_nothing = ["reload", "rotate_secret", "platform_rotate_secret"].contains(&id);
        if let Some(body) = operation.get("requestBody") {
            assert_eq!(body["required"] == true, !takes_nothing, "{id}: where must there be a body?");
        }
        let makes = responses.contains_key("201") || id.contains("rotate");
        let takes_key = parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
        assert_eq!(makes, takes_key, "{id}: what makes something takes an idempotency key");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.push(reference.clone());
            }
            fields.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
