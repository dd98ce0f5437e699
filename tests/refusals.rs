//! How refusals are written: the contract's JSON, links to the documentation, problem details.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use common::world::{TOKEN, bearer};
use common::{Gateway, Response, Settings, ask};
use serde_json::{Value, json};

const URL: &str = "https://docs.example.test/errors";

fn gateway(errors: &str) -> Gateway {
    Gateway::start(&Settings { rest: format!("[errors]\n{errors}"), ..Settings::default() })
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

fn is_problem(response: &Response) -> bool {
    let content_type = response.field("content-type").unwrap();
    assert_eq!(response.field("cache-control").as_deref(), Some("no-store"));
    assert_eq!(body(response)["request_id"], response.field("x-request-id").unwrap());
    assert_eq!(body(response)["status"], response.status);
    match &*content_type {
        "application/json" => false,
        "application/problem+json" => true,
        other => panic!("{other}"),
    }
}

#[test]
fn callers_choose_by_accept() {
    let gateway = gateway("");
    let rows: [(&[&str], bool); 7] = [
        (&[], false),
        (&["Accept: */*"], false),
        (&["Accept: application/json"], false),
        (&["Accept: application/json, application/problem+json"], false),
        (&["Accept: application/problem+json;q=0"], false),
        (&["Accept: application/problem+json"], true),
        (&["Accept: application/json;q=0.1", "Accept: application/problem+json;q=0.2"], true),
    ];
    for (lines, problem) in rows {
        let response = gateway.ask("GET /api/apps/v1/orders", lines);
        assert_eq!((response.status, is_problem(&response)), (401, problem), "{lines:?}");
        let body = body(&response);
        assert_eq!(body["code"], "missing_token");
        assert_eq!(body.get("doc"), None, "{body}");
        let members: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
        if problem {
            assert_eq!(members, ["code", "detail", "request_id", "status", "title", "type"]);
            assert_eq!((&body["type"], &body["title"]), (&json!("about:blank"), &json!("Unauthorized")));
            assert!(body["detail"].as_str().unwrap().starts_with("Access denied."), "{body}");
        } else {
            assert_eq!(members, ["code", "message", "request_id", "status"]);
        }
    }
    // A head that cannot be trusted says nothing.
    let response = ask(
        gateway.address,
        "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/problem+json\r\nBad Name: x\r\n\r\n",
    );
    assert_eq!((response.status, is_problem(&response)), (400, false));
    let head = gateway.ask("HEAD /api/apps/v1/orders", &["Accept: application/problem+json"]);
    assert_eq!((head.status, head.body.len()), (401, 0));
}

#[test]
fn links_lead_to_the_code() {
    let gateway = gateway(&format!("docs_url = \"{URL}\""));
    let rows = [
        ("GET /unknown", vec![], "not_found"),
        ("GET /api/apps/v1/orders", vec![], "missing_token"),
        ("POST /api/apps/v1/products", bearer(TOKEN), "insufficient_scope"),
        ("GET /api/apps/v1/%2f", vec![], "invalid_request"),
    ];
    for (line, lines, code) in rows {
        let link = json!(format!("{URL}#{code}"));
        let plain = gateway.ask(line, &lines);
        assert!(!is_problem(&plain), "{line}");
        assert_eq!((&body(&plain)["code"], &body(&plain)["doc"]), (&json!(code), &link), "{line}");
        let problem = [lines, vec!["Accept: application/problem+json".to_owned()]].concat();
        let problem = gateway.ask(line, &problem);
        assert!(is_problem(&problem), "{line}");
        assert_eq!((&body(&problem)["type"], body(&problem).get("doc")), (&link, None), "{line}");
        assert_eq!(body(&problem)["required_scope"], body(&plain)["required_scope"]);
    }
    // What the door refuses has it too.
    let response = ask(gateway.address, "GET / HTTP/1.1\r\nHost: a\nBad: x\r\n\r\n");
    assert_eq!((response.status, &body(&response)["doc"]), (400, &json!(format!("{URL}#invalid_request"))));
}

#[test]
fn problem_details_by_configuration() {
    let gateway = gateway("format = \"problem\"");
    for lines in [&[][..], &["Accept: application/json"]] {
        let response = gateway.ask("GET /unknown", lines);
        assert_eq!((response.status, is_problem(&response)), (404, true), "{lines:?}");
    }
    let response = ask(gateway.address, "GET / HTTP/1.1\r\nHost: a\nBad: x\r\n\r\n");
    assert_eq!((response.status, is_problem(&response)), (400, true));
}
