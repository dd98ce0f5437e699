//! The documentation keeps up with the program: codes, metrics, the example configuration, and the tests
//! that the threat model names.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use storegate::catalogue::markdown;
use storegate::config::Config;
use storegate::gate::Code;
use storegate::proxy::UpstreamStatus;
use storegate::telemetry::Metrics;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// README.md and everything in docs/, with its name.
fn documents() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// The contents of the fenced blocks that are marked with `language`.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let open = format!("```{language}\n");
    text.split(&*open).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_code_has_its_section() {
    let text = read("docs/errors.md");
    for code in Code::ALL {
        let heading = format!("### {} `{}`", code.status().as_u16(), code.name());
        assert!(text.lines().any(|line| line == heading), "docs/errors.md lacks {heading}");
        assert!(text.contains(&format!("<a id=\"{}\"></a>", code.name())), "no anchor for {}", code.name());
    }
}

#[test]
fn the_page_of_errors_is_the_catalogue() {
    // Made anew by: cargo run -- errors --markdown > docs/errors.md
    assert!(
        read("docs/errors.md") == markdown(),
        "docs/errors.md is not what `storegate errors --markdown` prints"
    );
}

/// The metrics that a text names, without what a histogram adds to its name.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let names = text.split(|c: char| !is_part(c)).filter(|name| name.starts_with("storegate_"));
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned()).collect()
}

/// README.md describes every metric that there is (see below), and these name no other.
#[test]
fn dashboard_and_alerts_name_metrics_that_exist() {
    let described = metrics_in(&read("README.md"));
    for (file, least) in [("docs/alerts.yml", 12), ("docs/grafana-dashboard.json", 20)] {
        let text = read(file);
        let named = metrics_in(&text);
        assert!(named.len() >= least, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&described).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("docs/grafana-dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
}

#[test]
fn every_metric_is_described() {
    let metrics = Metrics::new().unwrap();
    let status = UpstreamStatus {
        name: "api",
        up: 1,
        ejected: 0,
        down: 0,
        ejections: 0,
        connect_failures: 0,
        retries: 0,
        certificate_expires: Some(storegate::model::Timestamp(0)),
    };
    metrics.show_upstreams([status].into_iter());
    let metrics = String::from_utf8(metrics.text().unwrap()).unwrap();
    let names: Vec<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 4, "{metrics}");
    let documents = documents();
    for name in names {
        let described = documents.iter().any(|(_, text)| {
            [format!("`{name}`"), format!("`{name}{{")].iter().any(|way| text.contains(way))
        });
        assert!(described, "{name} stands neither in README.md nor in docs/");
    }
}

#[test]
fn the_example_configuration_is_accepted() {
    // Those of docs/configuration.md need an environment.
    for name in ["README.md", "docs/deploy.md"] {
        let text = read(name);
        let examples = blocks(&text, "toml");
        assert!(!examples.is_empty(), "{name} shows no configuration");
        for example in examples {
            match Config::parse(example, "gateway.toml") {
                Ok((_, warnings)) => assert_eq!(warnings.len(), 0, "{name}: {warnings:?}"),
                Err(problems) => panic!("{name}: {problems}"),
            }
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for (name, text) in documents() {
        let folder = root().join(&name).parent().map(Path::to_owned).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap();
            assert!(folder.join(path).exists(), "{name} links to {target}");
        }
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let text = read("docs/threat-model.md");
    let mut seen = 0;
    for (file, test) in text.split('`').filter_map(|span| span.split_once("::")) {
        let known_folder = file.starts_with("src/") || file.starts_with("tests/");
        if !known_folder || !file.ends_with(".rs") {
            continue;
        }
        seen += 1;
        assert!(read(file).contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
    assert!(seen > 30, "the threat model names {seen} tests");
}
