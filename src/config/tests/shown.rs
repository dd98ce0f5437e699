//! What the operator sees, and what nobody may see.

use super::*;

#[test]
fn diagnostics_read_like_those_of_rustc() {
    let Err(problems) = Config::parse("[server]\n\theader_timout = '10s'\n", "conf/gateway.toml") else {
        panic!("accepted")
    };
    let shown = problems.to_string();
    let expected = "\
error: unknown key `header_timout` in [server]
 --> conf/gateway.toml:2:2
  |
2 |     header_timout =…
  |     ^^^^^^^^^^^^^
  = expected one of `tls`, `listen`, `threads`, ";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.contains("\n  = help: did you mean `header_timeout`?\n"), "{shown}");
    assert!(shown.contains("\n  = help: a file needs at least this:\n          [upstream.api]\n"), "{shown}");
    assert!(shown.ends_with("error: conf/gateway.toml cannot be used: 2 errors"), "{shown}");
    let json = serde_json::to_value(&problems.diagnostics()[0]).unwrap();
    assert_eq!(json["severity"], "error");
    assert_eq!((&json["line"], &json["column"], &json["width"]), (&2.into(), &2.into(), &13.into()));
    assert_eq!(json.as_object().unwrap().len(), 8);
}

#[test]
fn no_diagnostic_repeats_a_secret() {
    let texts = [
        "client_secret = 'hunter2'",
        "[server]\nclient_secret = hunter2",
        "[replica]\npassword = 'hunter2'",
        "[replica]\nconnection = 'hunter2'",
        "[replica]\nconnection.x = 'hunter2'",
        "[upstream.api]\nservers = ['http://user:hunter2@host']",
        "[upstream.api]\nservers = ['http://user:hunter2/@host:x']",
        "[upstream.api]\nservers = 'http://user:hunter2@host'",
        "[limits]\nshared = 'redis://user:hunter2@host:x'",
        "[limits]\nshared = 'rediss://user:hunter2@host'",
        "[limits]\nshared = 'redis://user:hunter2,@host/x'",
        "[limits]\nshared = 'hunter2@host'",
        "[limits]\nshared = ['redis://user:hunter2@host']",
        "[limits]\nshared = redis://:hunter2@host",
        "limits = { shared = 'hunter2@host', burst = 1 }",
        "[limits]\nshared = \"\"\"\nredis:hunter2@host\"\"\"\n",
        "[otlp]\nheader = 'hunter2'",
        "[otlp]\nheader = ['Authorization: hunter2']",
        "[otlp]\nheader = \"\"\"\nAuthorization:\nhunter2\"\"\"\n",
        "[otlp]\nendpoint = 'http://user:hunter2@host'",
        "[upstream]\napi = 'hunter2'",
        "[idp]\nsigning_key = 'hunter2'\nclient_secret = 5\nclient_secret = 'hunter2'",
        "[[route]]\npath = '/a'\ntoken = 'hunter2'",
    ];
    for text in texts {
        let Err(problems) = Config::parse(text, "gateway.toml") else { panic!("accepted: {text}") };
        let json = serde_json::to_string(problems.diagnostics()).unwrap();
        for shown in [problems.to_string(), format!("{problems:?}"), json] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn a_configuration_does_not_print_its_secrets() {
    let text = format!("[limits]\nrequests_per_second = 1\nshared = 'redis://user:hunter2@host'\n{REST}");
    let (config, warnings) = Config::parse(&text, "gateway.toml").unwrap();
    let shown = format!("{config:?} {warnings:?}");
    assert!(shown.contains("SharedUrl(…)") && !shown.contains("hunter2"), "{shown}");
}
