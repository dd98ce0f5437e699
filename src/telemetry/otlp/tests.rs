//! Which requests are exported, and what becomes of spans with collectors of every kind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use http::Method;

use super::*;
use crate::proxy::Outcome;
use crate::wire::trace_context;

const SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn exporter(sample: f64, address: SocketAddr) -> Exporter {
    exporter_of(sample, address, 0)
}

/// It finds so many spans when it begins, so that they are one batch.
fn exporter_of(sample: f64, address: SocketAddr, spans: usize) -> Exporter {
    let folder = tempfile::tempdir().unwrap();
    let key = FingerprintKey::open(&folder.path().join("storegate.db")).unwrap();
    let metrics = OtlpMetrics::new(&Registry::new()).unwrap();
    let url = format!("http://{address}/v1/traces");
    let settings = Otlp { url, sample, service_name: "storegate".into(), header: None };
    let (exporter, sender) = Exporter::prepare(&settings, key, metrics).unwrap();
    (0..spans).for_each(|_| leave(&exporter));
    std::thread::spawn(move || sender.run());
    exporter
}

/// Nobody is there, whatever ports other tests are given.
fn nobody() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

/// A collector that answers one request after the other so, and the number of spans in each.
fn collector(answers: &'static [(u16, &str)]) -> (SocketAddr, std::thread::JoinHandle<Vec<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let answer = |(status, body): &(u16, &str)| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).unwrap();
                let value = line.to_ascii_lowercase();
                length =
                    value.strip_prefix("content-length: ").map_or(length, |it| it.trim().parse().unwrap());
            }
            let mut received = vec![0; length];
            reader.read_exact(&mut received).unwrap();
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}", body.len());
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
            String::from_utf8(received).unwrap().matches("\"spanId\"").count()
        };
        answers.iter().map(answer).collect()
    };
    (address, std::thread::spawn(serve))
}

/// Leaves a span.
fn leave(exporter: &Exporter) {
    let span = exporter.begin(trace_context::parent(SAMPLED)).unwrap();
    let request_id = http::HeaderValue::from_static("1");
    let record = Record { outcome: Outcome::Forwarded, status: 200, ..Record::of(&request_id, &Method::GET) };
    exporter.end(&span, &record, None);
}

fn counts(exporter: &Exporter) -> (u64, u64) {
    (exporter.metrics.exported.get(), exporter.metrics.dropped.get())
}

/// Waits until so many spans are exported or dropped.
fn settle(exporter: &Exporter, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while counts(exporter).0 + counts(exporter).1 < count {
        assert!(Instant::now() < deadline, "{:?}", counts(exporter));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_callers_word_counts_and_else_the_share() {
    for (sample, range) in [(0.0, 0..=0), (0.25, 2200..=2800), (0.999, 9900..=9999), (1.0, 10_000..=10_000)] {
        let exporter = exporter(sample, nobody());
        assert!(exporter.begin(trace_context::parent(SAMPLED)).is_some(), "{sample}");
        assert!(exporter.begin(trace_context::parent(UNSAMPLED)).is_none(), "{sample}");
        let begun = (0..10_000).filter(|_| exporter.begin(None).is_some()).count();
        assert!(range.contains(&begun), "{sample}: {begun}");
    }
}

#[test]
fn ids_are_distinct_and_their_parents_are_the_callers() {
    let exporter = exporter(1.0, nobody());
    let below = exporter.begin(trace_context::parent(SAMPLED)).unwrap();
    assert_eq!(below.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(below.parent_id(), Some("00f067aa0ba902b7"));
    let (mut traces, mut spans) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for _ in 0..1000 {
        let span = exporter.begin(None).unwrap();
        assert_eq!((span.parent_id(), span.trace_id().len(), span.span_id().len()), (None, 32, 16));
        traces.insert(span.trace_id().to_owned());
        spans.insert(span.span_id().to_owned());
    }
    assert_eq!((traces.len(), spans.len()), (1000, 1000));
}

#[test]
fn a_collector_that_says_nothing_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let exporter = exporter(1.0, listener.local_addr().unwrap());
    let (more, start) = (1000, Instant::now());
    (0..QUEUE + 512 + more).for_each(|_| leave(&exporter));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let (exported, dropped) = counts(&exporter);
    assert!(exported == 0 && dropped >= more as u64, "{dropped}");
    assert!(exporter.waiting.len() <= QUEUE);
    let start = Instant::now();
    drop(exporter);
    // The attempt that is under way has 5 s.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn what_collectors_answer() {
    // The answers; of three spans, how many are exported and dropped; how many requests come.
    type Row = (&'static str, &'static [(u16, &'static str)], (u64, u64));
    let rows: [Row; 8] = [
        ("it takes them", &[(200, "{}")], (3, 0)),
        ("without a word", &[(202, "")], (3, 0)),
        ("it says no JSON", &[(200, "thanks")], (3, 0)),
        ("it rejects one", &[(200, r#"{"partialSuccess":{"rejectedSpans":"1"}}"#)], (2, 1)),
        ("it rejects more than there were", &[(200, r#"{"partialSuccess":{"rejectedSpans":99}}"#)], (0, 3)),
        ("it is overloaded for a while", &[(503, ""), (429, ""), (200, "{}")], (3, 0)),
        ("it does not want them", &[(400, "")], (0, 3)),
        ("it lives elsewhere", &[(307, "")], (0, 3)),
    ];
    let tried = rows.map(|(name, answers, expected)| {
        std::thread::spawn(move || {
            let (address, received) = collector(answers);
            let exporter = exporter_of(1.0, address, 3);
            settle(&exporter, 3);
            assert_eq!(counts(&exporter), expected, "{name}");
            assert_eq!(received.join().unwrap(), vec![3; answers.len()], "{name}");
        })
    });
    tried.into_iter().for_each(|one| one.join().unwrap());
}

#[test]
fn the_end_sends_what_waits() {
    let (address, received) = collector(&[(200, "{}")]);
    let exporter = exporter_of(1.0, address, 3);
    let metrics = exporter.metrics.clone();
    drop(exporter);
    assert_eq!((metrics.exported.get(), metrics.dropped.get()), (3, 0));
    assert_eq!(received.join().unwrap(), [3]);
    let nobody_there = {
        let exporter = self::exporter(1.0, nobody());
        leave(&exporter);
        exporter.metrics.clone()
    };
    assert_eq!((nobody_there.exported.get(), nobody_there.dropped.get()), (0, 1));
}
