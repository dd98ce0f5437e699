use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use super::*;
use crate::gate::credential::Shown;
use crate::gate::{Kind, Reason};
use crate::proxy::{Ending, Outcome};

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn record<'r>(request_id: &'r HeaderValue, method: &'r Method, reason: Option<&'r Reason>) -> Record<'r> {
    Record {
        outcome: if reason.is_some() { Outcome::Refused } else { Outcome::Forwarded },
        reason,
        ended: reason.map(|_| Ending::RequestBody),
        status: 200,
        route: Some(0),
        kind: Some(Kind::Session),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        caller: Some("2001:db8::1".parse().unwrap()),
        total: Duration::from_micros(1_234_567),
        bytes_out: usize::MAX,
        ..Record::of(request_id, method)
    }
}

fn log(format: Format) -> (AccessLog, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let key = FingerprintKey::open(&file).unwrap();
    let log = AccessLog::start(open(&file, format), key).unwrap();
    (log, file, folder)
}

fn open(file: &std::path::Path, format: Format) -> Opened {
    Opened::open(&Destination::File(file.to_owned()), format).unwrap()
}

#[test]
fn every_line_is_one_json_object() {
    let (log, file, _folder) = log(Format::Json);
    let (id, method) = (HeaderValue::from_static("a.b+c="), Method::from_bytes(b"!#$%&'*+.^_`|~").unwrap());
    let hostile = Reason::Scope("\"read\":\\\n\u{7f}é".into());
    for reason in [None, Some(&hostile)] {
        assert!(log.push(&record(&id, &method, reason), Some(&Written::new("/a/{\"b\"}")), NOW));
    }
    drop(log);
    let written = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{written}");
    for line in &lines {
        assert_eq!(line["route"], "/a/{\"b\"}");
        assert_eq!(line["method"], method.as_str());
        assert_eq!(line["caller"], "2001:db8::1");
        assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(line["total_us"], 1_234_567);
        assert_eq!(line["bytes_out"], u64::MAX);
        assert_eq!(line["credential"], "session");
        assert!(line["time"].as_f64().unwrap() > 1.7e9);
        for absent in ["client_id", "upstream_us", "fingerprint"] {
            assert!(line.get(absent).is_none(), "{absent}");
        }
    }
    assert_eq!(lines[1]["reason"], hostile.to_string());
    assert_eq!((&lines[0]["ended"], &lines[1]["ended"]), (&Value::Null, &Value::from("request_body")));
}

#[test]
fn every_line_is_one_of_logfmt() {
    let (log, file, _folder) = log(Format::Logfmt);
    let (id, method) = (HeaderValue::from_static("a=b"), Method::GET);
    let hostile = Reason::Scope("x\" status=200\ntime=1".into());
    let record = Record { kind: None, trace_id: None, ..record(&id, &method, Some(&hostile)) };
    assert!(log.push(&record, Some(&Written::new("/a b")), NOW));
    drop(log);
    let expected = "time=1800000000.000000 request_id=\"a=b\" method=GET route=\"/a b\" outcome=refused status=200 \
        code=insufficient_scope reason=\"a scope is missing; required: x\\\" status=200\\ntime=1\" \
        ended=request_body caller=2001:db8::1 total_us=1234567 bytes_in=0 bytes_out=18446744073709551615\n";
    assert_eq!(std::fs::read_to_string(file).unwrap(), expected);
}

#[test]
fn credentials_have_fingerprints_and_nothing_else_of_them() {
    let (log, file, _folder) = log(Format::Json);
    let (id, method) = (HeaderValue::from_static("1"), Method::GET);
    let long = "x".repeat(fingerprint::LONGEST + 1);
    let tokens = ["sx_at_one", "sx_at_two", "sx_at_one", "", &long];
    for token in tokens {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        let record = Record { shown: Shown::of(&headers), ..record(&id, &method, None) };
        assert!(!format!("{record:?}").contains("sx_at_"));
        assert!(log.push(&record, None, NOW));
        log.wake(); // some lines alone, some together
    }
    let key = FingerprintKey::open(&file).unwrap();
    drop(log);
    let written = std::fs::read_to_string(file).unwrap();
    assert!(!written.contains("sx_at_") && !written.contains("xxx"), "{written}");
    let expected = tokens.map(|token| match token {
        "" => Value::Null,
        token => key.fingerprint(token.as_bytes()).into(),
    });
    let lines = written.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.map(|line| line["fingerprint"].clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn what_waits_is_bounded_and_wiped() {
    let mut waiting = Waiting::default();
    let room = waiting.shown.capacity();
    waiting.lines.extend_from_slice(&[b'0'; 2 * DIGITS]);
    waiting.shown.extend_from_slice(b"onetwo");
    waiting.marks.extend([(0, 3), (DIGITS, 3)]);
    let (_log, file, _folder) = log(Format::Json);
    let key = FingerprintKey::open(&file).unwrap();
    waiting.fill_in(&key);
    assert_eq!(waiting.lines, [key.of(b"one"), key.of(b"two")].concat());
    assert!(waiting.shown.is_empty() && waiting.marks.is_empty() && waiting.shown.capacity() == room);
}

#[test]
fn it_goes_on_elsewhere() {
    let (log, file, folder) = log(Format::Json);
    let (id, method) = (HeaderValue::from_static("1"), Method::GET);
    let push = || assert!(log.push(&record(&id, &method, None), None, NOW));
    let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap_or_default().lines().count();
    let wait_for = |file: &PathBuf, count: usize| {
        let start = std::time::Instant::now();
        while lines(file) != count {
            assert!(start.elapsed() < Duration::from_secs(10), "{} lines", lines(file));
            std::thread::yield_now();
        }
    };
    push();
    wait_for(&file, 1);
    // Rotated: the same name is another file.
    let rotated = folder.path().join("access.log.1");
    std::fs::rename(&file, &rotated).unwrap();
    log.redirect(open(&file, Format::Json));
    push();
    wait_for(&file, 1);
    log.redirect(Opened::open(&Destination::Off, Format::Json).unwrap());
    push();
    let other = folder.path().join("other.log");
    log.redirect(open(&other, Format::Logfmt));
    push();
    push();
    drop(log);
    assert_eq!((lines(&rotated), lines(&file), lines(&other)), (1, 1, 2));
    let file = |name: &str| Destination::File(folder.path().join(name));
    for (name, can) in [("no/such", false), (".", false), ("other.log", true), ("new.log", true)] {
        assert_eq!(Opened::try_open(&file(name)).is_ok(), can, "{name}");
        assert!(!folder.path().join("new.log").exists());
        assert_eq!(Opened::open(&file(name), Format::Json).is_ok(), can, "{name}");
        let _ = std::fs::remove_file(folder.path().join("new.log"));
    }
}

#[test]
fn a_full_buffer_drops_lines_and_waits_for_nobody() {
    struct Stuck(std::sync::mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv(); // until the sender is gone
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (release, stuck) = std::sync::mpsc::channel();
    let folder = tempfile::tempdir().unwrap();
    let key = FingerprintKey::open(&folder.path().join("storegate.db")).unwrap();
    let to = Opened { out: Some(Box::new(Stuck(stuck))), format: Format::Json };
    let log = AccessLog::start(to, key).unwrap();
    let (id, method) = (HeaderValue::from_static("1"), Method::GET);
    let taken = (0..50_000).filter(|_| log.push(&record(&id, &method, None), None, NOW)).count();
    assert!((1..40_000).contains(&taken), "{taken} lines were taken");
    drop(release);
}

#[test]
fn a_line_allocates_nothing() {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer sx_at_one"));
    let (id, method) = (HeaderValue::from_static("a=b"), Method::GET);
    let caller = Some("192.0.2.1".parse().unwrap());
    let record = || Record { shown: Shown::of(&headers), caller, ..record(&id, &method, None) };
    let route = Written::new("/a b");
    for format in [Format::Json, Format::Logfmt] {
        let mut lines = Vec::with_capacity(4096);
        let counted = allocation_counter::measure(|| {
            assert!(entry::write(format, NOW, &record(), Some(&route), &mut lines).is_some());
        });
        assert_eq!(counted.count_total, 0, "{format:?}");
    }
}
