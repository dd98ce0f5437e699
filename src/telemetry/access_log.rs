//! The access log: one line a request, as JSON or logfmt.
//!
//! The line is put together where the request ends, in a buffer that a thread of its own takes away and
//! writes: to hand the record over would cost more than to write it down. No line waits for the
//! destination; what finds its buffer full is dropped and counted.
//!
//! The line names a credential by a keyed fingerprint (`fingerprint.rs`). That is worth a few hash computations,
//! which the same thread makes: until then the credential waits beside the lines, in memory that is wiped.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use zeroize::{Zeroize, Zeroizing};

use super::entry;
use super::fingerprint::{self, DIGITS, FingerprintKey};
use super::line::{Format, Written};
use crate::proxy::Record;

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

/// A destination, open, and how lines are written there.
pub struct Opened {
    out: Option<Box<dyn Write + Send>>,
    format: Format,
}

struct Shared {
    buffers: [Buffer; BUFFERS],
    /// [`OFF`], or the position of the format in [`Format::NAMES`].
    format: AtomicU8,
    key: FingerprintKey,
    /// What the writer writes to from its next round on.
    next: Mutex<Option<Opened>>,
    ended: AtomicBool,
}

/// How long the end of the process waits for the last lines to be written: standard output may be a pipe that nobody
/// reads.
const LAST_LINES: Duration = Duration::from_secs(3);

/// Lines are not even put together.
const OFF: u8 = u8::MAX;

/// Alone on its cache lines: each belongs to another core.
#[derive(Default)]
#[repr(align(128))]
struct Buffer(Mutex<Waiting>);

/// Lines that wait to be written.
struct Waiting {
    lines: Vec<u8>,
    /// The credentials of these lines, one after the other. It never grows, so that no copy is left behind.
    shown: Zeroizing<Vec<u8>>,
    /// Where the fingerprint stands in `lines`, and how long its credential is.
    marks: Vec<(usize, usize)>,
}

impl Default for Waiting {
    fn default() -> Self {
        // The system gives memory as it is first written to.
        Self { lines: Vec::new(), shown: Zeroizing::new(Vec::with_capacity(ROOM)), marks: Vec::new() }
    }
}

impl AccessLog {
    /// Starts the log.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(to: Opened, key: FingerprintKey) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            buffers: Default::default(),
            format: AtomicU8::new(to.number()),
            key,
            next: Mutex::new(None),
            ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let writer =
            std::thread::Builder::new().name("access-log".into()).spawn(move || of_thread.write_all(to))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Writes to another destination from now on, or to the same file opened anew. What waits keeps its
    /// format, and may go to either.
    pub fn redirect(&self, to: Opened) {
        let format = to.number();
        *self.shared.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
        self.shared.format.store(format, Ordering::Release);
        self.wake();
    }

    /// What its lines name credentials by.
    pub fn fingerprints(&self) -> &FingerprintKey {
        &self.shared.key
    }

    /// Adds the line of a request that ended `now`, since 1970, on this route. False when there was no room.
    pub(super) fn push(&self, record: &Record<'_>, route: Option<&Written>, now: Duration) -> bool {
        let format = self.shared.format.load(Ordering::Relaxed);
        let Some((_, format)) = Format::NAMES.get(usize::from(format)) else { return true };
        let mut waiting = self.shared.buffers[own_buffer()].take();
        let Waiting { lines, shown, marks } = &mut *waiting;
        let credential = record.shown.map(|shown| fingerprint::head(shown.expose()));
        let length = credential.map_or(0, <[u8]>::len);
        if lines.len() >= ROOM || shown.len() + length > ROOM {
            return false;
        }
        let place = entry::write(*format, now, record, route, lines);
        if let (Some(at), Some(credential)) = (place, credential) {
            shown.extend_from_slice(credential);
            marks.push((at, length));
        }
        true
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
    pub fn open(destination: &Destination, format: Format) -> io::Result<Self> {
        let out: Option<Box<dyn Write + Send>> = match destination {
            Destination::Off => None,
            Destination::Stdout => Some(Box::new(io::stdout())),
            Destination::File(path) => {
                Some(Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?))
            }
        };
        Ok(Self { out, format })
    }

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
        Ok(Self { out: None, format: Format::default() })
    }

    fn number(&self) -> u8 {
        self.out.as_ref().map_or(OFF, |_| self.format as u8)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.out.is_some() { "Opened" } else { "Off" })
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("format", &self.format).finish_non_exhaustive()
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
        let Some(writer) = self.writer.take() else { return };
        let deadline = Instant::now() + LAST_LINES;
        while !writer.is_finished() {
            if Instant::now() >= deadline {
                tracing::warn!("the last lines of the access log are lost: nobody takes them");
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = writer.join(); // a writer that panicked has nothing left to write
    }
}

impl Buffer {
    fn take(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Puts the fingerprints into the lines, and forgets the credentials.
    fn fill_in(&mut self, key: &FingerprintKey) {
        let mut rest = &self.shown[..];
        for (at, length) in self.marks.drain(..) {
            let (credential, others) = rest.split_at(length);
            self.lines[at..at + DIGITS].copy_from_slice(&key.of(credential));
            rest = others;
        }
        self.shown.as_mut_slice().zeroize(); // what was written to, not the whole room
        self.shown.clear();
    }
}

impl Shared {
    /// The destination that was set meanwhile, if it is one of these.
    fn next(&self, is_one: impl FnOnce(&mut Opened) -> bool) -> Option<Opened> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take_if(is_one)
    }

    fn write_all(&self, Opened { mut out, .. }: Opened) {
        let mut waiting = Waiting::default();
        let mut failing = false;
        loop {
            let ended = self.ended.load(Ordering::Acquire);
            for buffer in &self.buffers {
                // The emptied buffer goes back in exchange, so that neither side allocates.
                std::mem::swap(&mut *buffer.take(), &mut waiting);
                if waiting.lines.is_empty() {
                    continue;
                }
                waiting.fill_in(&self.key);
                // Only now: what was pushed after a change of destination must not go to the one before.
                if let Some(next) = self.next(|next| next.out.is_some()) {
                    (out, failing) = (next.out, false);
                }
                let written = match &mut out {
                    Some(out) => out.write_all(&waiting.lines).and_then(|()| out.flush()),
                    None => Ok(()), // switched off: these came too late
                };
                waiting.lines.clear();
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
            // What had to be written before it is switched off is written.
            if let Some(next) = self.next(|_| true) {
                (out, failing) = (next.out, false);
            }
            match out {
                Some(_) => std::thread::park_timeout(EVERY),
                None => std::thread::park(), // woken when it is switched on, and at the end
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/access_log.rs"]
mod tests;
