//! The access log: one JSON object a line, one line a request.
//!
//! The line is put together where the request ends, in a buffer that a thread of its own takes away and
//! writes: to hand the record over would cost more than to write it down. No line waits for the
//! destination; what finds its buffer full is dropped and counted.
//!
//! It names the route, never the path or the query: those may carry what callers should have kept to
//! themselves. No part of a credential is ever in it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::line::Line;
use crate::proxy::{Outcome, Record};

/// Buffers; each request thread has one, and shares it when there are more threads.
const BUFFERS: usize = 16;

/// Bytes that may wait in a buffer: some 3,000 lines, or a core's work of a tenth of a second.
const ROOM: usize = 1024 * 1024;

/// How often the buffers are emptied. Nobody is woken per request: that would cost more than the line.
const EVERY: Duration = Duration::from_millis(20);

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// The access log of a running gateway. Dropping it writes what waits.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    buffers: [Buffer; BUFFERS],
    ended: AtomicBool,
    /// The routes' names by position, as JSON.
    routes: Box<[String]>,
}

/// Alone on its cache lines: each belongs to another core.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Buffer(Mutex<Vec<u8>>);

impl AccessLog {
    /// Starts the log; `routes` are the routes' names by position. `None` when it is off.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or there is no thread to be had.
    pub fn start(destination: &Destination, routes: &[Box<str>]) -> io::Result<Option<Self>> {
        let out: Box<dyn Write + Send> = match destination {
            Destination::Off => return Ok(None),
            Destination::Stdout => Box::new(io::stdout()),
            Destination::File(path) => {
                Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        Self::write_to(out, routes).map(Some)
    }

    fn write_to(out: Box<dyn Write + Send>, routes: &[Box<str>]) -> io::Result<Self> {
        let routes = routes.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let shared = Arc::new(Shared { buffers: Default::default(), ended: AtomicBool::new(false), routes });
        let of_thread = Arc::clone(&shared);
        let writer =
            std::thread::Builder::new().name("access-log".into()).spawn(move || of_thread.write_all(out))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Adds the line of a request; false when there was no room.
    pub fn push(&self, record: &Record<'_>) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut lines = self.shared.buffers[own_buffer()].lines();
        let has_room = lines.len() < ROOM;
        if has_room {
            self.shared.line(now, record, &mut lines);
        }
        has_room
    }
}

/// The buffer of this thread.
fn own_buffer() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % BUFFERS;
    }
    OWN.with(|own| *own)
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            let _ = writer.join(); // a writer that panicked has nothing left to write
        }
    }
}

impl Buffer {
    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn write_all(&self, mut out: Box<dyn Write + Send>) {
        let mut lines = Vec::new();
        let mut failing = false;
        loop {
            let ended = self.ended.load(Ordering::Acquire);
            for buffer in &self.buffers {
                // The emptied buffer goes back in exchange, so that neither side allocates.
                std::mem::swap(&mut *buffer.lines(), &mut lines);
                if lines.is_empty() {
                    continue;
                }
                let written = out.write_all(&lines).and_then(|()| out.flush());
                lines.clear();
                match written {
                    Err(error) if !failing => {
                        failing = true;
                        tracing::error!(
                            "the access log cannot be written: {error}; lines are lost until it can"
                        );
                    }
                    Err(_) => {}
                    Ok(()) => failing = false,
                }
            }
            if ended {
                return;
            }
            std::thread::park_timeout(EVERY);
        }
    }

    fn line(&self, now: Duration, record: &Record<'_>, lines: &mut Vec<u8>) {
        let mut line = Line::begin(lines);
        line.seconds(br#"{"time":"#, now);
        line.plain(br#","request_id":"#, record.request_id.to_str().unwrap_or_default());
        line.plain(br#","method":"#, record.method.as_str());
        if let Some(route) = record.route.and_then(|index| self.routes.get(index)) {
            line.json(br#","route":"#, route);
        }
        line.plain(
            br#","outcome":"#,
            match record.outcome {
                Outcome::Forwarded => "forwarded",
                Outcome::Refused => "refused",
                Outcome::Broken => "broken",
                Outcome::Local => "local",
            },
        );
        line.number(br#","status":"#, record.status.into());
        if let Some(reason) = record.reason {
            line.plain(br#","code":"#, reason.code().name());
            line.text(br#","reason":"#, &reason.to_string());
        }
        if let Some(remark) = record.remark {
            line.plain(br#","endpoint":"#, remark.family);
            line.plain(br#","action":"#, remark.action);
            if !remark.code.is_empty() {
                line.plain(br#","code":"#, remark.code);
            }
            if let Some(client_id) = &remark.client_id {
                line.plain(br#","client_id":"#, client_id.as_str());
            }
            if let Some(store_id) = remark.store_id {
                line.number(br#","store_id":"#, store_id.get());
            }
        }
        if let Some(kind) = record.kind {
            line.plain(br#","credential":"#, kind.name());
        }
        if let Some(app) = record.app {
            line.plain(br#","client_id":"#, app.client_id.as_str());
        }
        if let Some(store) = record.store {
            line.number(br#","store_id":"#, store.store_id.get());
        }
        if let Some(caller) = record.caller {
            line.address(br#","caller":"#, caller);
        }
        line.number(br#","total_us":"#, micros(record.total));
        if let Some(upstream) = record.upstream {
            line.number(br#","upstream_us":"#, micros(upstream));
        }
        line.number(br#","bytes_in":"#, record.bytes_in as u64);
        line.number(br#","bytes_out":"#, record.bytes_out as u64);
        line.end();
    }
}

fn micros(time: Duration) -> u64 {
    time.as_secs() * 1_000_000 + u64::from(time.subsec_micros())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};
    use serde_json::Value;

    use super::*;
    use crate::gate::{Kind, Reason};

    fn record<'r>(request_id: &'r HeaderValue, method: &'r Method, reason: Option<&'r Reason>) -> Record<'r> {
        Record {
            request_id,
            outcome: if reason.is_some() { Outcome::Refused } else { Outcome::Forwarded },
            reason,
            remark: None,
            status: 200,
            method,
            route: Some(0),
            kind: Some(Kind::Session),
            app: None,
            store: None,
            caller: Some("2001:db8::1".parse().unwrap()),
            total: Duration::from_micros(1_234_567),
            upstream: None,
            bytes_in: 0,
            bytes_out: usize::MAX,
        }
    }

    fn log() -> (AccessLog, PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log");
        let routes = [Box::from("/a/{\"b\"}")];
        let log = AccessLog::start(&Destination::File(file.clone()), &routes).unwrap().unwrap();
        (log, file, folder)
    }

    #[test]
    fn every_line_is_one_json_object() {
        let (log, file, _folder) = log();
        let (id, method) =
            (HeaderValue::from_static("a.b+c="), Method::from_bytes(b"!#$%&'*+.^_`|~").unwrap());
        let hostile = Reason::Scope("\"read\":\\\n\u{7f}é".into());
        for reason in [None, Some(&hostile)] {
            assert!(log.push(&record(&id, &method, reason)));
        }
        drop(log);
        let written = std::fs::read_to_string(file).unwrap();
        let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{written}");
        for line in &lines {
            assert_eq!(line["route"], "/a/{\"b\"}");
            assert_eq!(line["method"], method.as_str());
            assert_eq!(line["caller"], "2001:db8::1");
            assert_eq!(line["total_us"], 1_234_567);
            assert_eq!(line["bytes_out"], u64::MAX);
            assert_eq!(line["credential"], "session");
            assert!(line["time"].as_f64().unwrap() > 1.7e9);
            assert!(line.get("client_id").is_none() && line.get("upstream_us").is_none());
        }
        assert_eq!(lines[1]["reason"], hostile.to_string());
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
        let log = AccessLog::write_to(Box::new(Stuck(stuck)), &[]).unwrap();
        let (id, method) = (HeaderValue::from_static("1"), Method::GET);
        let taken = (0..50_000).filter(|_| log.push(&record(&id, &method, None))).count();
        assert!((1..40_000).contains(&taken), "{taken} lines were taken");
        drop(release);
    }
}
