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
use std::time::Duration;

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

/// A destination, open.
pub struct Opened(Option<Box<dyn Write + Send>>);

struct Shared {
    buffers: [Buffer; BUFFERS],
    /// Off: lines are not even put together.
    is_on: AtomicBool,
    /// What the writer writes to from its next round on.
    next: Mutex<Option<Opened>>,
    ended: AtomicBool,
}

/// Alone on its cache lines: each belongs to another core.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Buffer(Mutex<Vec<u8>>);

impl AccessLog {
    /// Starts the log.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(to: Opened) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            buffers: Default::default(),
            is_on: AtomicBool::new(to.0.is_some()),
            next: Mutex::new(None),
            ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let writer =
            std::thread::Builder::new().name("access-log".into()).spawn(move || of_thread.write_all(to))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Writes to another destination from now on, or to the same file opened anew. What waits may
    /// still go to the one before.
    pub fn redirect(&self, to: Opened) {
        let is_on = to.0.is_some();
        *self.shared.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
        self.shared.is_on.store(is_on, Ordering::Release);
        self.wake();
    }

    /// Adds the line of a request that ended `now`, since 1970; `route` is its route's name as JSON. False when
    /// there was no room.
    pub fn push(&self, record: &Record<'_>, route: Option<&str>, now: Duration) -> bool {
        if !self.shared.is_on.load(Ordering::Relaxed) {
            return true;
        }
        let mut lines = self.shared.buffers[own_buffer()].lines();
        let has_room = lines.len() < ROOM;
        if has_room {
            write_line(now, record, route, &mut lines);
        }
        has_room
    }

    fn wake(&self) {
        if let Some(writer) = &self.writer {
            writer.thread().unpark();
        }
    }
}

impl Opened {
    /// Opens a destination: a file is made where there is none, and appended to.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn open(destination: &Destination) -> io::Result<Self> {
        Ok(Self(match destination {
            Destination::Off => None,
            Destination::Stdout => Some(Box::new(io::stdout())),
            Destination::File(path) => {
                Some(Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?))
            }
        }))
    }
}

impl Opened {
    /// Sees whether a destination can be opened, without making a file, and gives [`Destination::Off`]. Whether
    /// a file can be made in its folder is not known before it is.
    ///
    /// # Errors
    ///
    /// When the file cannot be appended to, or there is no folder for it.
    pub fn try_open(destination: &Destination) -> io::Result<Self> {
        if let Destination::File(path) = destination {
            let opened = std::fs::OpenOptions::new().append(true).open(path);
            opened.or_else(|error| match (error.kind(), path.parent()) {
                (io::ErrorKind::NotFound, Some(folder)) => std::fs::File::open(folder),
                _ => Err(error),
            })?;
        }
        Ok(Self(None))
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Opened" } else { "Off" })
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("is_on", &self.is_on).finish_non_exhaustive()
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
        self.wake();
        if let Some(writer) = self.writer.take() {
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
    fn write_all(&self, Opened(mut out): Opened) {
        let mut lines = Vec::new();
        let mut failing = false;
        loop {
            let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Opened(next)) = next {
                (out, failing) = (next, false);
            }
            let ended = self.ended.load(Ordering::Acquire);
            for buffer in &self.buffers {
                // The emptied buffer goes back in exchange, so that neither side allocates.
                std::mem::swap(&mut *buffer.lines(), &mut lines);
                if lines.is_empty() {
                    continue;
                }
                let written = match &mut out {
                    Some(out) => out.write_all(&lines).and_then(|()| out.flush()),
                    None => Ok(()), // switched off: these came too late
                };
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
            match out {
                Some(_) => std::thread::park_timeout(EVERY),
                None => std::thread::park(), // woken when it is switched on, and at the end
            }
        }
    }
}

fn write_line(now: Duration, record: &Record<'_>, route: Option<&str>, lines: &mut Vec<u8>) {
    let mut line = Line::begin(lines);
    line.seconds(br#"{"time":"#, now);
    line.plain(br#","request_id":"#, record.request_id.to_str().unwrap_or_default());
    line.plain(br#","method":"#, record.method.as_str());
    if let Some(route) = route {
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
    if let Some(ended) = record.ended {
        line.plain(br#","ended":"#, ended.name());
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

fn micros(time: Duration) -> u64 {
    time.as_secs() * 1_000_000 + u64::from(time.subsec_micros())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};
    use serde_json::Value;

    use super::*;
    use crate::gate::{Kind, Reason};
    use crate::proxy::Ending;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn record<'r>(request_id: &'r HeaderValue, method: &'r Method, reason: Option<&'r Reason>) -> Record<'r> {
        Record {
            request_id,
            outcome: if reason.is_some() { Outcome::Refused } else { Outcome::Forwarded },
            reason,
            ended: reason.map(|_| Ending::RequestBody),
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
            asked: None,
        }
    }

    fn log() -> (AccessLog, PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log");
        let log = AccessLog::start(Opened::open(&Destination::File(file.clone())).unwrap()).unwrap();
        (log, file, folder)
    }

    #[test]
    fn every_line_is_one_json_object() {
        let (log, file, _folder) = log();
        let (id, method) =
            (HeaderValue::from_static("a.b+c="), Method::from_bytes(b"!#$%&'*+.^_`|~").unwrap());
        let hostile = Reason::Scope("\"read\":\\\n\u{7f}é".into());
        for reason in [None, Some(&hostile)] {
            assert!(log.push(&record(&id, &method, reason), Some(r#""/a/{\"b\"}""#), NOW));
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
        assert_eq!((&lines[0]["ended"], &lines[1]["ended"]), (&Value::Null, &Value::from("request_body")));
    }

    #[test]
    fn it_goes_on_elsewhere() {
        let (log, file, folder) = log();
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
        log.redirect(Opened::open(&Destination::File(file.clone())).unwrap());
        push();
        wait_for(&file, 1);
        log.redirect(Opened::open(&Destination::Off).unwrap());
        push();
        let other = folder.path().join("other.log");
        log.redirect(Opened::open(&Destination::File(other.clone())).unwrap());
        push();
        push();
        drop(log);
        assert_eq!((lines(&rotated), lines(&file), lines(&other)), (1, 1, 2));
        let file = |name: &str| Destination::File(folder.path().join(name));
        for (name, can) in [("no/such", false), (".", false), ("other.log", true), ("new.log", true)] {
            assert_eq!(Opened::try_open(&file(name)).is_ok(), can, "{name}");
            assert!(!folder.path().join("new.log").exists());
            assert_eq!(Opened::open(&file(name)).is_ok(), can, "{name}");
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
        let log = AccessLog::start(Opened(Some(Box::new(Stuck(stuck))))).unwrap();
        let (id, method) = (HeaderValue::from_static("1"), Method::GET);
        let taken = (0..50_000).filter(|_| log.push(&record(&id, &method, None), None, NOW)).count();
        assert!((1..40_000).contains(&taken), "{taken} lines were taken");
        drop(release);
    }
}
