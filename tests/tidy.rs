//! The house rules that a compiler does not know: imports point down the layers, and each heavy
//! dependency has one door.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from the edge inwards. A module may import from later layers and from its own.
const LAYERS: &[&[&str]] = &[
    &["cli", "app", "main", "lib"],
    &["proxy", "admin", "config", "telemetry", "catalogue"],
    &["oauth", "idp"],
    &["gate", "replica", "usage", "hasher", "limits"],
    &["wire", "cache"],
    &["model"],
];

/// Dependencies and the only modules that may name them.
const DOORS: &[(&str, &[&str])] = &[
    ("rusqlite", &["replica", "usage"]),
    ("pingora", &["proxy", "app"]),
    ("bcrypt", &["hasher"]),
    ("dashmap", &["cache", "limits"]),
    ("axum", &["admin", "app", "cli", "idp", "oauth", "proxy"]),
    ("askama", &["idp"]),
    ("ring", &["idp"]),
    ("toml", &["config"]),
    ("clap", &["cli"]),
    ("prometheus", &["telemetry"]),
    ("redis", &["limits"]),
    ("nix", &["replica"]),
    ("utoipa", &["admin"]),
    ("hyper", &["admin"]),
    ("rustix", &["app", "hasher", "replica"]),
    ("listenfd", &["app"]),
    ("sd_notify", &["app"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("tracing_appender", &["telemetry"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Each source file with the top-level module that it belongs to; tests and comments apart.
fn files() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 50, "the sources were not found");
    found
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap();
            let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            (relative.display().to_string(), module, code.join("\n"))
        })
        .filter(|(name, ..)| !name.contains("tests"))
        .collect()
}

fn layer(module: &str) -> usize {
    let position = LAYERS.iter().position(|layer| layer.contains(&module));
    position.unwrap_or_else(|| panic!("{module} has no layer"))
}

#[test]
fn imports_point_down_the_layers() {
    for (file, module, code) in files() {
        for rest in code.split("crate::").skip(1) {
            let imported: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if imported.is_empty() || imported == module {
                continue;
            }
            let down = layer(&module) <= layer(&imported);
            assert!(down, "{file} ({module}) imports {imported}, which is above it");
        }
    }
}

#[test]
fn each_heavy_dependency_has_one_door() {
    for (file, module, code) in files() {
        for (dependency, doors) in DOORS {
            let named = [" ", "(", "<", "&", "\n"].iter().any(|before| {
                code.contains(&format!("{before}{dependency}::"))
                    || code.contains(&format!("use {dependency};"))
            });
            assert!(!named || doors.contains(&&*module), "{file} names {dependency}; only {doors:?} may");
        }
    }
}

#[test]
fn decisions_take_the_time_as_an_argument() {
    for (file, module, code) in files() {
        if module == "gate" || module == "wire" {
            assert!(!code.contains("Timestamp::now"), "{file} reads the clock");
        }
    }
}
