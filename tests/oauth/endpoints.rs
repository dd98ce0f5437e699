//! What all endpoints have in common: where they are, how much they read, and what is told of them.

use std::time::Duration;

use serde_json::Value;

use crate::common::world::MAIN;
use crate::common::{Client, Gateway, Settings, wait_until};
use crate::stage::{basic, form, gateway, post, send, token};

const PATH: &str = "/oauth/token";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

fn good() -> String {
    format!(
        "grant_type=client_credentials&store_id=22&client_id={}&client_secret={}",
        MAIN.client_id, MAIN.secret
    )
}

#[test]
fn only_post_and_only_the_exact_path() {
    let gateway = gateway();
    for (line, status) in [
        ("GET /oauth/token", 405),
        ("HEAD /oauth/token", 405),
        ("PUT /oauth/token", 405),
        ("DELETE /api/apps/oauth/token", 405),
        ("OPTIONS /oauth/token", 405),
        ("POST /oauth/token//", 404),
        ("POST /oauth/tokens", 404),
        ("POST /oauth/token/x", 404),
        ("GET /OAuth/Token/", 405),
        ("POST //oauth/token", 404),
        ("POST /oauth/x/../token", 400),
        ("POST /oauth/./token?a=b", 400),
        ("POST /oauth%2ftoken", 400),
    ] {
        let answer = send(&gateway, line, &[], "");
        assert_eq!(answer.status, status, "{line} {}", answer.text());
        assert!(answer.field("x-request-id").is_some(), "{line}");
        if status == 405 {
            assert_eq!(answer.field("x-content-type-options").as_deref(), Some("nosniff"), "{line}");
        }
        if status == 405 {
            assert_eq!(answer.field("allow").as_deref(), Some("POST"), "{line}");
        }
        if !line.starts_with("HEAD") {
            let _: Value = answer.json();
        }
    }
    assert!(gateway.upstream.take().is_empty(), "nothing was forwarded");
    // Spelled as the literal parts of routes may be: no other spelling reaches a route behind an endpoint.
    for path in ["/oauth/%74oken", "/oauth/token/", "/OAuth/Token", "/oauth/token?a=b", "/OAUTH/TOKEN/?a=b"] {
        token(&send(&gateway, &format!("POST {path}"), &[FORM], &good()));
    }
}

#[test]
fn a_wide_route_gets_nothing_of_an_endpoint() {
    let wide = |case: &str| {
        let routes = "[[route]]\npath = \"/oauth/{*rest}\"\nupstream = \"api\"\nauth = \"upstream\"\n\
                      [[token_endpoint]]\npath = \"/oauth/Token\"\nplatform = \"standard\"\n";
        let server = format!("path_case = \"{case}\"");
        Gateway::start(&Settings { routes: routes.into(), server, ..Settings::default() })
    };
    let ours = ["/oauth/Token", "/oauth/Token/", "/oauth/%54oken", "/oauth/introspect/"];
    let other = ["/oauth/token", "/oauth/TOKEN/", "/oauth/Introspect"];
    for (case, theirs) in [("insensitive", &[][..]), ("sensitive", &other[..])] {
        let gateway = wide(case);
        for path in ours.iter().chain(&other) {
            let answer = send(&gateway, &format!("POST {path}"), &[FORM], "a=b");
            let is_theirs = theirs.contains(path);
            assert_eq!(answer.status == 200, is_theirs, "{case} {path} {}", answer.status);
            assert_eq!(gateway.upstream.take().len(), usize::from(is_theirs), "{case} {path}");
        }
    }
}

#[test]
fn bodies_are_bounded() {
    let gateway = gateway();
    for size in [65 * 1024, 8 * 1024 * 1024] {
        let answer = form(&gateway, PATH, &"a".repeat(size));
        assert_eq!((answer.status, answer.code()), (413, "invalid_request".into()), "{size}");
        assert_eq!(answer.json()["errors"][0]["status"], 413, "Elastic Path's clients can read it");
        assert_eq!(answer.field("access-control-allow-origin").as_deref(), Some("*"));
    }
    let mut client = gateway.connect();
    client.send(format!(
        "POST {PATH} HTTP/1.1\r\nHost: a.test\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for _ in 0..70 {
        client.send(format!("400\r\n{}\r\n", "a".repeat(1024)));
    }
    assert_eq!(client.answer(false).unwrap().status, 413);
    // A stated length and no body: the gateway does not wait for ever, and a connection goes on after an answer.
    let mut client = gateway.connect();
    let body = good();
    let head = |extra: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: a.test\r\n{FORM}\r\n{extra}Content-Length: {}\r\n\r\n",
            body.len()
        )
    };
    for _ in 0..3 {
        client.send(head("") + &body);
        token(&client.answer(false).unwrap());
    }
    client.send(head("Expect: 100-continue\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 100"), "the body is asked for");
    client.send(&body);
    token(&client.answer(false).unwrap());
    client.send("GET /api/apps/v1/orders HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer(false).unwrap().status, 401);
}

#[test]
fn a_slow_body_ends() {
    let gateway = gateway();
    let mut client: Client = gateway.connect();
    client.send(format!("POST {PATH} HTTP/1.1\r\nHost: a.test\r\n{FORM}\r\nContent-Length: 10\r\n\r\na"));
    let answer = client.answer(false).unwrap();
    assert_eq!((answer.status, answer.code()), (408, "invalid_request".into()));
    assert!(client.is_closed());
}

#[test]
fn a_flood_of_one_client_is_its_own() {
    let routes = Settings::default().routes
        + "\n[[token_endpoint]]\npath = \"/oauth/token\"\nplatform = \"standard\"\nrequests_per_minute = 5\n";
    let gateway = Gateway::start(&Settings { routes, ..Settings::default() });
    let statuses: Vec<u16> = (0..9).map(|_| form(&gateway, PATH, &good()).status).collect();
    assert_eq!(statuses[..5], [200; 5], "{statuses:?}");
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    let limited = loop {
        let answer = form(&gateway, PATH, &good());
        if answer.status == 429 {
            break answer;
        }
    };
    let wait: u64 = limited.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    let other = crate::common::world::OTHER;
    let line = basic(other.client_id, other.secret);
    token(&post(&gateway, PATH, &[FORM, &line], "grant_type=client_credentials"));
}

#[test]
fn failures_count_against_the_address() {
    let routes = Settings::default().routes
        + "\n[[token_endpoint]]\npath = \"/oauth/token\"\nplatform = \"standard\"\n";
    let rest = "[limits]\naddress_failures = 5\naddress_failures_per_second = 1".to_owned();
    let gateway = Gateway::start(&Settings { routes, rest, ..Settings::default() });
    let wrong = |n: usize| {
        let body = good().replace(MAIN.secret, &format!("sx_secret_{n}"));
        form(&gateway, PATH, &body).status
    };
    let statuses: Vec<u16> = (0..10).map(wrong).collect();
    assert_eq!(statuses[..5], [401; 5], "{statuses:?}");
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    token(&form(&gateway, PATH, &good()));
}

#[test]
fn the_log_and_the_metrics_tell_what_happened() {
    let gateway = gateway();
    token(&form(&gateway, PATH, &good()));
    form(&gateway, PATH, "grant_type=client_credentials");
    form(&gateway, "/sc/oauth2/token", "grant_type=password");
    let lines = wait_until(Duration::from_secs(10), || {
        let lines: Vec<Value> = gateway
            .out()
            .lines()
            .filter(|line| line.contains("\"outcome\":\"local\""))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (lines.len() == 3).then_some(lines)
    });
    let lines = lines.unwrap_or_else(|| panic!("{}", gateway.out()));
    let one = |name: &str, value: Value| {
        let found = lines.iter().find(|line| line.get(name) == Some(&value));
        found.unwrap_or_else(|| panic!("no line has {name} {value}: {lines:?}"))
    };
    let good = one("status", 200.into());
    assert_eq!((&good["endpoint"], &good["action"]), (&"standard".into(), &"client_credentials".into()));
    assert_eq!((&good["client_id"], &good["store_id"]), (&MAIN.client_id.into(), &22.into()));
    assert!(good.get("code").is_none(), "{good}");
    assert_eq!(one("status", 401.into())["code"], "invalid_client");
    assert_eq!(one("endpoint", "tiki".into())["code"], "unsupported_grant_type");
    let metrics = gateway.admin("/metrics").text();
    for line in [
        "storegate_endpoint_requests_total{action=\"client_credentials\",endpoint=\"standard\",outcome=\"ok\"} 1",
        "storegate_endpoint_requests_total{action=\"client_credentials\",endpoint=\"standard\",outcome=\"invalid_client\"} 1",
        "storegate_requests_total{code=\"\",method=\"write\",outcome=\"local\",route=\"none\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!gateway.said().contains(MAIN.secret));
}

#[test]
fn explain_knows_what_is_answered_here() {
    let gateway = gateway();
    for (path, platform) in [
        ("/oauth/token", "standard"),
        ("/oauth/introspect", "standard"),
        ("/v2/customers/tokens", "customer"),
        ("/api/apps/oauth/authorize?client_id=x", "selorax"),
        ("/OAuth/Token/", "standard"),
    ] {
        let told = gateway.place.json(&["explain", "POST", path]);
        assert_eq!(told["decision"], "answer here", "{path}: {told}");
        assert!(told["steps"][0].as_str().unwrap().contains(platform), "{path}: {told}");
    }
    assert_eq!(gateway.place.json(&["explain", "POST", "/oauth/tokens"])["code"], "not_found");
}

/// A changed configuration is taken over whole: endpoints, routes, and who asked how often.
#[test]
fn endpoints_come_and_go_with_the_configuration() {
    let gateway = gateway();
    let made = token(&form(&gateway, PATH, &good()));
    let file = gateway.place.path("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("path = \"/oauth/token\"", "path = \"/oauth/other\"")).unwrap();
    gateway.signal("HUP");
    let moved = wait_until(Duration::from_secs(20), || {
        (form(&gateway, "/oauth/other", &good()).status == 200).then_some(())
    });
    moved.unwrap_or_else(|| panic!("{}", gateway.said()));
    assert_eq!(form(&gateway, PATH, &good()).status, 404);
    let line = format!("Authorization: Bearer {made}");
    assert_eq!(send(&gateway, "GET /standard/orders", &[&line], "").status, 200);
}
