//! Heads that no two servers read alike are refused: status, JSON body, count and log line are asserted
//! of each, and that the upstream hears nothing of them.

use std::collections::BTreeMap;
use std::net::Shutdown;

use crate::common::world::{TOKEN, bearer};
use crate::common::{Client, Gateway, Response, Settings};
use crate::malformed_heads::catalogue;

/// Sends `bytes` and reads the answer, if one comes before the connection ends.
fn send(gateway: &Gateway, bytes: &[u8]) -> Option<Response> {
    let mut client = Client::connect(gateway.address);
    client.send(bytes);
    client.stream().shutdown(Shutdown::Write).unwrap();
    client.answer(false).ok()
}

/// What is wrong with a refusal.
fn fault(response: &Response, status: u16) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let field = |name: &str| response.field(name);
    let code = if status == 405 { "method_not_allowed" } else { "invalid_request" };
    let is_right = response.status == status
        && (&body["code"], &body["status"]) == (&code.into(), &status.into())
        && body["request_id"].as_str() == field("x-request-id").as_deref()
        && field("content-type").as_deref() == Some("application/json")
        && field("cache-control").as_deref() == Some("no-store")
        && field("allow").is_some() == (status == 405)
        && field("server").is_none();
    (!is_right).then(|| format!("{} {}", String::from_utf8_lossy(&response.head), response.text()))
}

/// Each answered in JSON, counted by its reason, logged once; none heard of by the upstream.
#[test]
fn malformed_heads_over_http1() {
    let rest = "[log]\naccess = \"access.log\"".to_owned();
    let gateway = Gateway::start(&Settings { rest, ..Settings::default() });
    let cases = catalogue();
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    for (what, bytes, status, reason) in &cases {
        match send(&gateway, bytes) {
            None => wrong.push(format!("{what}: no answer")),
            Some(response) => {
                wrong.extend(fault(&response, *status).map(|fault| format!("{what}: {fault}")));
            }
        }
        *counts.entry((*status, *reason)).or_insert(0) += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(gateway.upstream.heads(), 0, "{:?}", gateway.upstream.take());
    assert_eq!(gateway.ask("GET /public/a", &bearer(TOKEN)).status, 200, "it goes on");
    // A line is written when its connection ends.
    let log = gateway.place.path("access.log");
    let lines = crate::common::wait_until(std::time::Duration::from_secs(20), || {
        let text = std::fs::read_to_string(&log).ok()?;
        (text.lines().count() > cases.len() && text.ends_with('\n')).then_some(text)
    });
    let lines = lines.expect("a line for each");
    assert_eq!(lines.matches("\"outcome\":\"refused\"").count(), cases.len());
    let metrics = gateway.admin("/metrics").text();
    for ((status, reason), count) in &counts {
        let code = match status {
            405 => "method_not_allowed",
            431 => "head_too_large",
            _ => "invalid_request",
        };
        let line = format!("storegate_refused_total{{code=\"{code}\",reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}: {}", refusals(&metrics));
    }
    assert!(cases.len() >= 250, "{} cases", cases.len());
    println!("{} malformed heads over HTTP/1, {} reasons", cases.len(), counts.len());
}

/// The counts that are not zero.
fn refusals(metrics: &str) -> String {
    let counted = |line: &&str| line.starts_with("storegate_refused_total") && !line.ends_with(" 0");
    metrics.lines().filter(counted).collect::<Vec<_>>().join("\n")
}

/// What has no end is no head; nobody is answered, and nothing goes on.
#[test]
fn what_is_no_head_is_not_answered() {
    let gateway = Gateway::start(&Settings::default());
    let rows: [&[u8]; 8] = [
        b"",
        b"\r\n",
        b"GET",
        b"GET /public/a HTTP/1.1\r\n",
        b"GET /public/a HTTP/1.1\r\nHost: api.example.test\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"\0\0\0\0\0\0\0\0",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for bytes in rows {
        assert!(send(&gateway, bytes).is_none(), "{bytes:?}");
    }
    assert_eq!(gateway.upstream.heads(), 0);
}

/// Heads that are refused before they were sent whole.
#[test]
fn heads_have_a_limit() {
    let gateway = Gateway::start(&Settings::default());
    let statuses: Vec<_> = [300_000, 2_000_000]
        .iter()
        .map(|length| {
            let mut client = Client::connect(gateway.address);
            let head =
                format!("GET /public/a HTTP/1.1\r\nHost: a.test\r\nX-Long: {}\r\n\r\n", "a".repeat(*length));
            let mut stream = client.stream().try_clone().unwrap();
            // It may be refused before it was sent.
            let sender =
                std::thread::spawn(move || std::io::Write::write_all(&mut stream, head.as_bytes()).is_ok());
            let status = client.answer(false).map_or(0, |response| response.status);
            sender.join().unwrap();
            status
        })
        .collect();
    assert!(statuses.iter().all(|status| [0, 431].contains(status)), "{statuses:?}");
    assert_eq!(gateway.upstream.heads(), 0);
    let fits = format!("X-Fits: {}", "a".repeat(16 * 1024));
    assert_eq!(gateway.ask("GET /public/a", &[fits]).status, 200);
}
