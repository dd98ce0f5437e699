//! The JSON Schema of gateway.toml (draft 2020-12), made of what the reader asks for and of the comments
//! in the gateway.toml that is shipped. It tells editors the keys, types, words and bounds; that names
//! and addresses are right, and that things fit together, is `check`'s to say.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::keys::{Form, Key, Keys, is_secret};
use super::report::Report;
use super::{check, document};

const SHIPPED: &str = include_str!("../../gateway.toml");

/// The most rounds of asking the reader for its sections; each finds those one level deeper.
const DEEPEST: usize = 8;

/// The schema.
pub fn schema() -> Value {
    let writer = Writer { keys: known(), comments: comments(SHIPPED) };
    let mut schema = writer.section("", &[]);
    let head = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!("gateway.toml")),
        ("description", json!("The configuration of storegate. `storegate check` finds what no schema can.")),
        (
            "$defs",
            json!({
                "reference": {
                    "description": "A string with the value of an environment variable. A plain `${` is written `$${`.",
                    "type": "string",
                    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}",
                },
                "duration": {
                    "type": "string",
                    "pattern": r"^\s*([0-9]+\s*[A-Za-zµ]+\s*)+$",
                    "examples": ["250ms", "10s", "15m", "24h", "30d"],
                },
            }),
        ),
    ];
    for (name, value) in head {
        schema.insert(name.to_owned(), value);
    }
    Value::Object(schema)
}

/// Every key that the reader ever asks for: it is given empty sections until it asks for no others.
fn known() -> Keys {
    let mut text = String::new();
    for _ in 0..DEEPEST {
        let report = Report::default();
        check(&document::parse(&text, &report), text.len(), Path::new(""), &report);
        let keys = report.keys().clone();
        let next = skeleton(&keys, "");
        if next == text {
            return keys;
        }
        text = next;
    }
    unreachable!("the sections of gateway.toml are not {DEEPEST} levels deep")
}

/// Every section, without keys.
fn skeleton(keys: &Keys, section: &str) -> String {
    let asked = keys.named(section).into_iter().flat_map(|section| &section.keys);
    let parts = asked.filter_map(|key| {
        let name = join(section, key.name);
        let table = |name: &str| format!("{{ {} }}", skeleton(keys, name));
        let value = match &key.form {
            Form::Section => table(&name),
            Form::OneOf(forms) if forms.contains(&Form::Section) => table(&name),
            Form::NamedSections => format!("{{ x = {} }}", table(&format!("{name}.*"))),
            Form::Sections => format!("[{}]", table(&name)),
            _ => return None,
        };
        Some(format!("{} = {value}", key.name))
    });
    let parts: Vec<String> = parts.collect();
    parts.join(if section.is_empty() { "\n" } else { ", " })
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

struct Writer {
    keys: Keys,
    comments: HashMap<String, String>,
}

impl Writer {
    /// `name` is the section's in the notes, `parts` the keys that lead to it.
    fn section(&self, name: &str, parts: &[&str]) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for key in self.keys.named(name).into_iter().flat_map(|section| &section.keys) {
            let parts = [parts, &[key.name]].concat();
            properties.insert(key.name.to_owned(), self.key(&join(name, key.name), &parts, key).into());
            if key.is_required {
                required.push(key.name);
            }
        }
        let section = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        let Value::Object(mut section) = section else { unreachable!("an object was written") };
        if !required.is_empty() {
            section.insert("required".to_owned(), required.into());
        }
        section
    }

    fn key(&self, name: &str, parts: &[&str], key: &Key) -> Map<String, Value> {
        let mut schema = self.form(name, parts, &key.form);
        if let Some(comment) = self.comment(name) {
            schema.insert("description".to_owned(), comment.into());
        }
        if let Some(default) = key.default.as_ref().filter(|_| !key.is_required) {
            schema.insert("default".to_owned(), default.clone());
        }
        if is_secret(parts) {
            schema.insert("writeOnly".to_owned(), true.into());
        }
        schema
    }

    fn form(&self, name: &str, parts: &[&str], form: &Form) -> Map<String, Value> {
        let schema = match form {
            Form::Text => json!({ "type": "string" }),
            Form::Path => json!({ "type": "string", "minLength": 1 }),
            Form::Duration(_) => {
                json!({ "anyOf": [{ "$ref": "#/$defs/duration" }, { "$ref": "#/$defs/reference" }] })
            }
            Form::Word(words) => json!({ "anyOf": [{ "enum": words }, { "$ref": "#/$defs/reference" }] }),
            Form::Words(words) => json!({
                "type": "array",
                "items": { "anyOf": [{ "enum": words }, { "$ref": "#/$defs/reference" }] },
                "minItems": 1,
            }),
            Form::Number(range) => {
                json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
            }
            Form::Flag => json!({ "type": "boolean" }),
            Form::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Form::Section => return self.section(name, parts),
            Form::NamedSections => {
                let section = self.section(&format!("{name}.*"), &[parts, &["*"]].concat());
                json!({ "type": "object", "additionalProperties": section })
            }
            Form::Sections => json!({ "type": "array", "items": self.section(name, parts) }),
            Form::OneOf(forms) => {
                let forms: Vec<_> = forms.iter().map(|form| self.form(name, parts, form)).collect();
                json!({ "anyOf": forms })
            }
        };
        match schema {
            Value::Object(schema) => schema,
            _ => unreachable!("an object was written"),
        }
    }

    /// The comment on a key, or on what it is a part of.
    fn comment(&self, name: &str) -> Option<&str> {
        let own = self.comments.get(name);
        let around = || self.comments.get(name.rsplit_once('.')?.0);
        own.or_else(around).map(String::as_str)
    }
}

/// The comments of a file, by key and section: those on the lines above, or at the end of the line. Keys
/// that follow each other without a comment between them share one.
fn comments(text: &str) -> HashMap<String, String> {
    let mut comments = HashMap::new();
    let (mut section, mut above, mut shared) = (String::new(), Vec::new(), None);
    for line in text.lines() {
        let plain = line.trim_start_matches(['#', ' ']);
        if let Some(header) = plain.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = header.trim_start_matches('[').replace("upstream.api", "upstream.*");
            if !above.is_empty() {
                comments.entry(section.clone()).or_insert_with(|| above.join(" "));
            }
            (above, shared) = (Vec::new(), None);
        } else if let Some((key, value)) = plain.split_once(" = ").filter(|(key, _)| is_key(key)) {
            let mut outside = value.match_indices(" # ").map(|(at, _)| at);
            let at = outside.find(|at| value[..*at].matches('"').count() % 2 == 0);
            if !above.is_empty() {
                shared = Some(above.join(" "));
                above.clear();
            }
            let comment = match at {
                Some(at) => {
                    let end = value[at + 3..].trim().to_owned();
                    Some(shared.take().map_or(end.clone(), |above| format!("{above} {end}")))
                }
                None => shared.clone(),
            };
            if let Some(comment) = comment {
                comments.entry(join(&section, key)).or_insert(comment);
            }
        } else if line.starts_with('#') {
            above.push(plain);
        } else {
            (above, shared) = (Vec::new(), None);
        }
    }
    comments
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
