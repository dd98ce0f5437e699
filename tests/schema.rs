//! The JSON Schema of gateway.toml says what the reader does: an independent validator and the reader
//! judge the same documents, key by key.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::PathBuf;

use jsonschema::Validator;
use serde_json::{Value, json};
use storegate::config::{Config, Severity, schema};

fn read(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// What the validator says of a TOML text.
fn judged(validator: &Validator, toml: &str) -> Result<(), String> {
    let document: Value = toml::from_str(toml).map_err(|error| error.to_string())?;
    validator.validate(&document).map_err(|error| format!("{error} at {}", error.instance_path()))
}

#[test]
fn shipped_and_shown_configurations_fit() {
    let validator = validator();
    let readme = read("README.md") + &read("docs/configuration.md");
    let shown = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    for text in shown.chain([read("gateway.toml")]) {
        judged(&validator, &text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    }
    // With every key that is commented out; `tcp` and `path` of a check fit the schema, not each other.
    let whole: Vec<String> = read("gateway.toml")
        .lines()
        .map(|line| {
            let plain = line.strip_prefix("# ").unwrap_or(line);
            let key = plain
                .split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            let goes_on = plain.starts_with("    \"");
            if key || goes_on || plain.starts_with('[') { plain.to_owned() } else { String::new() }
        })
        .collect();
    judged(&validator, &whole.join("\n")).unwrap();
}

#[test]
fn what_is_refused_is_refused_by_both() {
    let base = "[upstream.api]\nservers = ['http://a']\n[[route]]\npath = '/a'\nscopes = 'none'\n";
    let validator = validator();
    assert_eq!(judged(&validator, base), Ok(()));
    let refused = [
        ("server = 5", ""),
        ("sever = {}", ""),
        ("[server]\nlisten = '127.0.0.1:80'", ""),
        ("[server]\nlisten = [80]", ""),
        ("[server]\nthreds = 1", ""),
        ("[server]\nthreads = 1025", ""),
        ("[server]\nthreads = 1.5", ""),
        ("[server]\nheader_timeout = 10", ""),
        ("[server]\nheader_timeout = '10'", ""),
        ("[server]\npath_case = 'Sensitive'", ""),
        ("[server.tls]\ncert = 'c'", ""),
        ("[replica]\npath = ''", ""),
        ("[replica]\nsource = 'remote'", ""),
        ("[upstream.b]\nread_timeout = '1s'", ""),
        ("[upstream]\nb = 5", ""),
        ("[idp]\nisuer = 'http://127.0.0.1'", ""),
        ("[otlp]\nsample = '1%'", ""),
        ("[otlp]\nendpoint = 4318", ""),
        ("[customer_tokens]\npath = 5", ""),
        ("[[token_endpoint]]\nplatform = 'tiky'\npath = '/a'", ""),
        ("", "auth = 'bearer'"),
        ("", "auth = []"),
        ("", "auth = ['cookie']"),
        ("", "auth = true"),
        ("", "rate = { burst = 5 }"),
        ("", "rate = 5"),
        ("", "methods = 'GET'"),
        ("", "platform = 'selorx'"),
        ("", "upstrem = 'api'"),
    ];
    for (before, after) in refused {
        let text = format!("{before}\n{base}{after}\n");
        assert!(judged(&validator, &text).is_err(), "the schema takes\n{text}");
        assert!(Config::parse(&text, "gateway.toml").is_err(), "the reader takes\n{text}");
    }
    for scopes in ["5", "{ read = 5, write = 'none' }", "{ red = 'a', write = 'b' }", "[1]"] {
        let text = base.replace("'none'", scopes);
        assert!(judged(&validator, &text).is_err(), "the schema takes\n{text}");
        assert!(Config::parse(&text, "gateway.toml").is_err(), "the reader takes\n{text}");
    }
}

/// Where a key stands in a document: a name or the first element of a list.
type Path = Vec<String>;

/// Every key of the schema, sections included.
fn keys(schema: &Value, path: &Path, found: &mut Vec<(Path, Value)>) {
    for (name, key) in schema["properties"].as_object().into_iter().flatten() {
        let path = [path, std::slice::from_ref(name)].concat();
        found.push((path.clone(), key.clone()));
        keys(key, &path, found);
        keys(&key["additionalProperties"], &[&path[..], &["api".to_owned()]].concat(), found);
        keys(&key["items"], &[&path[..], &["0".to_owned()]].concat(), found);
    }
}

/// A document that is right but for `value` at `path`.
fn document(path: &[String], value: &Value) -> Value {
    let mut document = json!({
        "upstream": { "api": { "servers": ["https://127.0.0.1:9000"] } },
        "route": [{ "path": "/a", "scopes": "none" }],
    });
    let needed = [
        ("server/tls", json!({ "cert": "c", "key": "k", "client_ca": "a" })),
        ("upstream/api/health", json!({ "tcp": true })),
        ("route/0/rate", json!({ "per_second": 1 })),
        ("token_endpoint/0", json!({ "path": "/t", "platform": "standard" })),
        ("customer_tokens", json!({ "path": "/c" })),
        ("idp", json!({ "issuer": "https://id.example.com" })),
        ("otlp", json!({ "endpoint": "http://127.0.0.1:4318" })),
    ];
    let mut place = &mut document;
    for (depth, name) in path.iter().enumerate() {
        place = match name.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[name],
        };
        let here = path[..=depth].join("/");
        if path.get(depth + 1).is_some_and(|next| next == "0") && place.is_null() {
            *place = json!([null]);
        }
        if let (true, Some((_, needed))) = (place.is_null(), needed.iter().find(|(path, _)| *path == here)) {
            *place = needed.clone();
        }
    }
    *place = value.clone();
    document
}

#[test]
fn every_key_has_the_readers_bounds() {
    let validator = validator();
    let (schema, mut all) = (schema(), Vec::new());
    keys(&schema, &Vec::new(), &mut all);
    assert!(all.len() > 70, "{}", all.len());
    for (path, key) in all {
        let is_text = key["type"] == "string" || !key["anyOf"].is_null();
        let number = |name: &str, more: i64| key[name].as_i64().map(|bound| json!(bound + more));
        let words = key["anyOf"][0]["enum"].as_array().cloned().unwrap_or_default();
        let mut good: Vec<Value> =
            [number("minimum", 0), number("maximum", 0)].into_iter().flatten().collect();
        good.extend(key.get("default").cloned());
        good.extend(words.clone());
        let mut bad = vec![json!(0.5), json!("1979-05-27T00:00:00Z 😀").clone()];
        bad.extend([number("minimum", -1), number("maximum", 1)].into_iter().flatten());
        if is_text {
            bad[1] = json!(7);
        }
        if !words.is_empty() {
            bad.push(json!("no such word"));
        }
        if key["type"] == "object" || key["type"] == "array" {
            bad.push(json!(false));
        }
        for (value, fits) in good.iter().map(|v| (v, true)).chain(bad.iter().map(|v| (v, false))) {
            let document = document(&path, value);
            let what = format!("{} = {value}", path.join("."));
            assert_eq!(validator.is_valid(&document), fits, "the schema on {what}");
            let read = Config::parse(&toml::to_string(&document).unwrap(), "gateway.toml");
            let errors = read.err().map(|problems| problems.diagnostics().to_vec()).unwrap_or_default();
            let named = errors.iter().filter(|d| d.severity == Severity::Error).any(|d| {
                ["out of range", "cannot be", "means nothing", "no such"]
                    .iter()
                    .any(|word| d.message.contains(word))
            });
            let named = named || (!fits && !errors.is_empty());
            assert_eq!(!named, fits, "the reader on {what}: {errors:?}");
        }
    }
}

/// The shipped file shows the defaults, which a test of the reader holds it to.
#[test]
fn defaults_are_those_of_the_shipped_file() {
    let (schema, mut all) = (schema(), Vec::new());
    keys(&schema, &Vec::new(), &mut all);
    let shipped: Value = toml::from_str(&read("gateway.toml")).unwrap();
    let mut compared = 0;
    for (path, key) in all {
        let what = path.join(".");
        let needs_default = ["boolean", "integer"].iter().any(|form| key["type"] == **form);
        // The one is required, the other's default is the platform's.
        let has_none = ["route.0.rate.per_second", "token_endpoint.0.requests_per_minute"].contains(&&*what);
        assert!(key.get("default").is_some() || !needs_default || has_none, "{what}");
        let shown = shipped.pointer(&format!("/{}", path.join("/")));
        let (Some(shown), Some(default)) = (shown, key.get("default")) else { continue };
        let plain = |value: &Value| match value.as_str().map(storegate::model::parse_duration) {
            Some(Ok(duration)) => json!(duration.as_millis()),
            _ => value.clone(),
        };
        assert_eq!(plain(shown), plain(default), "{what}");
        compared += 1;
    }
    assert!(compared > 45, "{compared}");
}

#[test]
fn every_key_is_described() {
    let (schema, mut all) = (schema(), Vec::new());
    keys(&schema, &Vec::new(), &mut all);
    for (path, key) in all {
        let is_section = key["type"] == "object" && path.len() == 1;
        let described = key["description"].as_str().is_some_and(|text| text.len() > 5);
        assert!(described || is_section, "gateway.toml has no comment on {}", path.join("."));
    }
}
