//! The configuration at its boundary: texts in, places and messages out.

use std::fmt::Write as _;

mod hostile;
mod mistakes;
mod references;
mod shown;

use super::*;
use crate::gate::{Access, Found, PathCase, ScopeRules, ScopeTemplate};
use crate::limits::Rate;
use crate::proxy::{Balance, Probe};

const SHIPPED: &str = include_str!("../../../gateway.toml");

/// A correct rest for texts that are about something else.
const REST: &str = "
[upstream.api]
servers = ['http://127.0.0.1:9000']
[[route]]
path = '/a/{x}/{*rest}'
scopes = 'none'
";

fn problems(text: &str) -> Vec<Diagnostic> {
    match Config::parse(text, "gateway.toml") {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems.diagnostics().to_vec(),
    }
}

/// `line:column message | expected | help`, one a line.
fn summary(text: &str) -> String {
    problems(text).iter().fold(String::new(), |mut all, d| {
        let blank = String::new();
        let (expected, help) = (d.expected.as_ref().unwrap_or(&blank), d.help.as_ref().unwrap_or(&blank));
        _ = writeln!(all, "{}:{} {} | {expected} | {help}", d.line, d.column, d.message);
        all
    })
}

/// The text has one problem only: at this place, with these words in message, expectation or help.
fn assert_one(text: &str, line: usize, column: usize, message: &str, hint: &str) {
    let found = problems(text);
    let [one] = &found[..] else { panic!("not one problem:\n{text}\n{}", summary(text)) };
    assert_eq!((one.line, one.column), (line, column), "{text}\n{}", summary(text));
    assert!(one.message.contains(message), "{message:?} is not in the message: {}", summary(text));
    let hints = format!("{:?} {:?}", one.expected, one.help).replace('\\', "");
    assert!(hints.contains(hint), "{hint:?} is not in {hints}\n{text}");
    assert_eq!(one.severity, Severity::Error, "{text}");
}

#[test]
fn the_shipped_file_is_accepted_and_shows_the_defaults() {
    let (config, warnings) = Config::parse(SHIPPED, "gateway.toml").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, []);
    let (minimal, warnings) = Config::parse(REST, "gateway.toml").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, []);
    assert_eq!(format!("{:?}", config.server), format!("{:?}", minimal.server));
    assert_eq!(config.admin, minimal.admin);
    assert_eq!(config.replica, minimal.replica);
    assert_eq!(config.credentials, minimal.credentials);
    assert_eq!(config.hasher, minimal.hasher);
    assert_eq!(config.upstreams, minimal.upstreams);
    assert_eq!(config.inject, minimal.inject);
    assert_eq!((&config.limits, &config.rates), (&minimal.limits, &minimal.rates));
    assert_eq!(config.upstream("api"), Some(0));
    assert_eq!(config.upstream("app"), None);
    assert!(config.server.threads >= 1 && config.hasher.threads >= 1);
    assert_eq!(config.server.path_case, PathCase::Insensitive);
}

#[test]
fn the_shipped_file_names_every_key() {
    let text =
        format!("{SHIPPED}\n{REST}").replace("[upstream.api]\nservers = ['", "[upstream.b]\nservers = ['");
    let report = Report::default();
    check(&document::parse(&text, &report), text.len(), Path::new(""), &report);
    let keys = report.keys();
    let keys =
        keys.sections().iter().flat_map(|section| section.keys.iter().map(|key| (&section.name, key.name)));
    let known: Vec<(String, &str)> = keys.map(|(section, key)| (section.clone(), key)).collect();
    assert!(known.len() > 35, "{known:?}");
    // Which keys the file shows below which header, commented out or not.
    let mut shown = std::collections::BTreeSet::new();
    let mut section = String::new();
    for line in SHIPPED.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = header.trim_start_matches('[').replace("upstream.api", "upstream.*");
            let (parent, name) = section.rsplit_once('.').unwrap_or(("", &section));
            shown.insert((parent.to_owned(), name.to_owned()));
        } else if let Some((key, _)) = line.split_once(" =") {
            shown.insert((section.clone(), key.to_owned()));
        }
    }
    shown.insert((String::new(), "upstream".into()));
    for key in ["read", "write"] {
        assert!(SHIPPED.contains(&format!("{key} = \"{key}:")));
        shown.insert(("route.scopes".into(), key.into()));
    }
    for key in ["per_second", "burst"] {
        assert!(SHIPPED.contains(&format!(" {key} = ")));
        shown.insert(("route.rate".into(), key.into()));
    }
    for (section, key) in known {
        assert!(
            shown.contains(&(section.clone(), key.into())),
            "gateway.toml does not show [{section}] {key}"
        );
    }
}

#[test]
fn a_route_without_scopes_has_the_platforms_or_a_warning() {
    let route = |path: &str| format!("[upstream.api]\nservers = ['http://a']\n[[route]]\npath = '{path}'");
    let (config, warnings) = Config::parse(&route("/v1/{resource}/{*rest}"), "gateway.toml").unwrap();
    assert_eq!(warnings, []);
    let Access::Credentials(_, rules) = &config.routes.routes()[0].access else { panic!() };
    assert_eq!(*rules.read, [ScopeTemplate::parse("read:{resource}", &["resource"]).unwrap()]);
    assert_eq!(*rules.write, [ScopeTemplate::parse("write:{resource}", &["resource"]).unwrap()]);
    let (config, warnings) = Config::parse(&route("/v1/{x}"), "gateway.toml").unwrap();
    assert!(warnings.iter().any(|d| d.message.contains("demands no scope")), "{warnings:?}");
    let Access::Credentials(_, rules) = &config.routes.routes()[0].access else { panic!() };
    assert_eq!(*rules, ScopeRules::default());
}

#[test]
fn rates_and_their_defaults() {
    let rate = |burst, per_second| Rate { burst, per_second };
    let limits = |text: &str| {
        let (config, warnings) = Config::parse(&format!("[limits]\n{text}\n{REST}"), "gateway.toml").unwrap();
        (config.limits.requests, warnings.len())
    };
    assert_eq!(limits(""), (None, 0));
    assert_eq!(limits("burst = 5"), (None, 1), "a warning");
    assert_eq!(limits("requests_per_second = 7"), (Some(rate(14, 7.0)), 0));
    assert_eq!(limits("requests_per_second = 7\nburst = 5"), (Some(rate(5, 7.0)), 0));

    let own = |text: &str| {
        let text = format!("{REST}methods = ['PUT', 'GET']\n{text}");
        let (config, warnings) = Config::parse(&text, "gateway.toml").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((warnings, config.rates.len()), (vec![], 1));
        config.rates[0].clone()
    };
    let name = "GET,PUT /a/{x}/{*rest}".into();
    assert_eq!(own(""), RouteRate::Everywhere);
    assert_eq!(own("rate = { per_second = 0 }"), RouteRate::Unlimited);
    assert_eq!(own("rate = { per_second = 3, burst = 9 }"), RouteRate::Own { rate: rate(9, 3.0), name });
    let name = "GET,PUT /a/{x}/{*rest}".into();
    assert_eq!(own("[route.rate]\nper_second = 3"), RouteRate::Own { rate: rate(6, 3.0), name });
}

#[test]
fn warnings_do_not_refuse() {
    let text = format!("[server]\nunsafe_trust_any_proxy = true\ntrusted_proxies = ['::/0']\n{REST}");
    let (config, warnings) = Config::parse(&text, "gateway.toml").unwrap();
    assert_eq!(warnings.iter().map(|d| (d.line, d.severity)).collect::<Vec<_>>(), [(2, Severity::Warning)]);
    assert!(config.server.trusted_proxies.contains("2001:db8::1".parse().unwrap()));
}

#[test]
fn a_full_configuration_arrives() {
    let text = "
[server]
listen = ['127.0.0.1:0', '127.0.0.1:0', '[::1]:8443']
threads = 3
path_case = 'sensitive'
tls = { cert = 'tls/c.pem', key = '/etc/k.pem', client_ca = 'tls/a.pem', client_auth = 'optional' }
[replica]
path = 'data/r.db'
[inject]
store = 'X_Shop.Id'
[upstream.b]
servers = ['https://b']
http2 = true
ca = 'ca.pem'
client_cert = '/c.pem'
client_key = 'k.pem'
[upstream.a]
servers = ['http://a', 'http://[::1]:9000']
read_timeout = '1m 30s'
idle_timeout = '5s'
balance = 'least_connections'
eject_after = 0
health = { path = '/up?deep=1', interval = '1m', unhealthy_after = 1 }
[[route]]
path = '/v1/{resource}/{*rest}'
upstream = 'a'
auth = ['session']
scopes = { read = ['read:{resource}', 'api'], write = 'none' }
methods = ['GET', 'PURGE']
[[route]]
path = '/v1/{resource}/{*rest}'
upstream = 'b'
auth = 'public'
methods = ['POST']
";
    let (config, warnings) =
        Config::parse(text, "/etc/storegate/gateway.toml").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, []);
    assert_eq!((config.server.threads, config.server.listen.len()), (3, 3));
    let tls = config.server.tls.clone().unwrap();
    let clients = tls.clients.unwrap();
    assert_eq!((clients.authorities, clients.required), ("/etc/storegate/tls/a.pem".into(), false));
    assert!(config.upstreams[0].http2 && !config.upstreams[1].http2);
    let identity = Some(("/c.pem".into(), "/etc/storegate/k.pem".into()));
    let ca = Some("/etc/storegate/ca.pem".into());
    assert_eq!(config.upstreams[0].tls, UpstreamTls { ca, identity });
    assert_eq!(config.upstreams[1].tls, UpstreamTls::default());
    assert_eq!((tls.cert, tls.key), ("/etc/storegate/tls/c.pem".into(), "/etc/k.pem".into()));
    assert_eq!(config.replica.path, Path::new("/etc/storegate/data/r.db"));
    assert_eq!(config.inject.all().map(|name| name.as_str())[0], "x_shop.id");
    assert_eq!(config.upstream("a"), Some(1));
    assert_eq!(config.upstreams[1].servers[1].to_string(), "http://[::1]:9000");
    assert_eq!(config.upstreams[0].health, None);
    let one = &config.upstreams[1];
    assert_eq!((one.balance, one.ejection.after), (Balance::LeastConnections, 0));
    assert_eq!((one.idle_timeout.as_secs(), one.ejection.length.as_secs()), (5, 10));
    let health = one.health.clone().unwrap();
    assert_eq!(health.probe, Probe::Http("/up?deep=1".into()));
    assert_eq!((health.interval.as_secs(), health.timeout.as_secs()), (60, 1));
    assert_eq!((health.healthy_after, health.unhealthy_after), (2, 1));
    let Found::Route(0, route, _) = config.routes.find(&http::Method::GET, "/v1/orders") else {
        panic!("the first route does not match")
    };
    let Access::Credentials(kinds, rules) = &route.access else { panic!("the first route is open") };
    assert_eq!(kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(), ["session"]);
    assert_eq!((rules.read.len(), rules.write.len(), route.upstream), (2, 0, 1));
}
