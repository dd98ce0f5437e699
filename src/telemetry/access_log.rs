//! The access log: one JSON object a line, one line a request, written by a thread of its own.
//!
//! It names the route, never the path or the query: those may carry what callers should have kept to
//! themselves. No part of a credential is ever in it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_queue::ArrayQueue;
use serde::Serialize;

use crate::gate::Kind;
use crate::proxy::{Outcome, Record};

/// Lines that may wait: at 50,000 requests a second, a third of a second.
const QUEUE: usize = 16_384;

/// How often the queue is emptied. Nobody is woken per request: that would cost more than the line.
const EVERY: Duration = Duration::from_millis(20);

/// Bytes written at once.
const BATCH: usize = 64 * 1024;

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
    queue: ArrayQueue<(Duration, Record)>,
    ended: AtomicBool,
    routes: Box<[Box<str>]>,
}

impl AccessLog {
    /// Starts the log; `routes` are the routes' names by position. `None` when it is off.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or there is no thread to be had.
    pub fn start(destination: &Destination, routes: Box<[Box<str>]>) -> io::Result<Option<Self>> {
        let out: Box<dyn Write + Send> = match destination {
            Destination::Off => return Ok(None),
            Destination::Stdout => Box::new(io::stdout()),
            Destination::File(path) => {
                Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let shared =
            Arc::new(Shared { queue: ArrayQueue::new(QUEUE), ended: AtomicBool::new(false), routes });
        let of_thread = Arc::clone(&shared);
        let writer =
            std::thread::Builder::new().name("access-log".into()).spawn(move || of_thread.write_all(out))?;
        Ok(Some(Self { shared, writer: Some(writer) }))
    }

    /// Queues the line of a request; false when there was no room.
    pub fn push(&self, record: Record) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.shared.queue.push((now, record)).is_ok()
    }
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

impl Shared {
    fn write_all(&self, mut out: Box<dyn Write + Send>) {
        let mut lines = Vec::new();
        let mut failing = false;
        loop {
            let ended = self.ended.load(Ordering::Acquire);
            while lines.len() < BATCH
                && let Some((now, record)) = self.queue.pop()
            {
                if serde_json::to_writer(&mut lines, &self.line(now, &record)).is_ok() {
                    lines.push(b'\n');
                }
            }
            if lines.is_empty() {
                if ended {
                    return;
                }
                std::thread::park_timeout(EVERY);
                continue;
            }
            let written = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            match written {
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!("the access log cannot be written: {error}; lines are lost until it can");
                }
                Err(_) => {}
                Ok(()) => failing = false,
            }
        }
    }

    fn line<'a>(&'a self, now: Duration, record: &'a Record) -> Line<'a> {
        Line {
            time: now.as_secs_f64(),
            request_id: record.request_id.to_str().unwrap_or_default(),
            method: record.method.as_str(),
            route: record.route.and_then(|index| self.routes.get(index)).map(|route| &**route),
            outcome: match record.outcome {
                Outcome::Forwarded => "forwarded",
                Outcome::Refused => "refused",
                Outcome::Broken => "broken",
            },
            status: record.status,
            code: record.reason.as_ref().map(|reason| reason.code().name()),
            reason: record.reason.as_ref().map(ToString::to_string),
            credential: record.kind.map(Kind::name),
            client_id: record.app.as_ref().map(|app| app.client_id.as_str()),
            store_id: record.store.as_ref().map(|store| store.store_id.get()),
            caller: record.caller,
            total_us: record.total.as_micros(),
            upstream_us: record.upstream.map(|time| time.as_micros()),
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    /// Unix seconds.
    time: f64,
    request_id: &'a str,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    outcome: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<std::net::IpAddr>,
    total_us: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_us: Option<u128>,
    bytes_in: usize,
    bytes_out: usize,
}
