//! `gateway.toml`: one text.

use std::collections::BTreeSet;

use storegate::config::{Config, Problems, Severity};
use storegate::gate::Access;

const FILE: &str = "/etc/storegate/gateway.toml";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (config, diagnostics) = match Config::parse(text, FILE) {
        Ok(read) => read,
        Err(problems) => {
            let Problems::Invalid { diagnostics, .. } = &problems else {
                panic!("nothing was read from a file")
            };
            assert!(diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error));
            return check_shown(text, &problems.to_string(), diagnostics);
        }
    };
    assert!(diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning));
    let shown: String = diagnostics.iter().map(ToString::to_string).collect();
    check_shown(text, &shown, &diagnostics);
    // Only what the gateway can run with is a configuration.
    assert!(!config.server.listen.is_empty() && config.server.threads > 0);
    assert!(!config.server.header_timeout.is_zero());
    assert!(config.admin.listen.ip().to_canonical().is_loopback());
    assert!(config.upstreams.iter().all(|upstream| !upstream.servers.is_empty()));
    let answers_itself = !config.token_endpoints.is_empty() || config.idp.is_some();
    assert!(answers_itself || !config.routes.routes().is_empty());
    for route in config.routes.routes() {
        assert!(route.upstream < config.upstreams.len());
        if let Access::Credentials(kinds, _) = &route.access {
            assert!(!kinds.is_empty(), "a route that nobody can use");
        }
    }
    let names = config.inject.all().map(|name| super::field::fold(name.as_str().as_bytes()));
    let count = names.len();
    assert_eq!(BTreeSet::from(names).len(), count, "two injected headers are one to the upstream");
    let trusts_all = config.server.trusted_proxies.iter().any(|network| network.prefix_len() == 0);
    assert!(!trusts_all || text.contains("unsafe_trust") || text.contains('\\'), "a key may be escaped");
    // The same text is the same configuration.
    let (again, _) = Config::parse(text, FILE).expect("it was read before");
    assert_eq!(format!("{config:?}"), format!("{again:?}"));
}

/// Diagnostics point into the text, and nothing in it moves the cursor of a terminal.
fn check_shown(text: &str, shown: &str, diagnostics: &[storegate::config::Diagnostic]) {
    let lines = text.split('\n').count();
    for diagnostic in diagnostics {
        assert!((1..=lines).contains(&diagnostic.line), "line {} of {lines}", diagnostic.line);
        assert!(diagnostic.column > 0 && diagnostic.width > 0);
        assert!(!diagnostic.message.is_empty());
    }
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}
