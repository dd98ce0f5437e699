//! Connections follow their credential: a WebSocket or a stream that is under way when its credential
//! ends is ended, too.
//!
//! Every HTTP/1 connection and every HTTP/2 stream has a leash. A request that may live long puts it into
//! the book with what its permit rests on; a thread asks twice a second whether that still holds, and
//! cuts the leash where it does not: a WebSocket hears close code 1008 (RFC 6455 section 7.4.1), a stream
//! is reset, and Pingora ends the upstream's side. Ordinary requests never come into the book.
//!
//! The leash also tells those who watch the client's side what a request waits for.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::ending::Ending;
use crate::gate::{Directory, Tenure};
use crate::model::Timestamp;

/// How often the book is gone through; a credential that ends is noticed within it.
const EVERY: Duration = Duration::from_millis(500);

/// By which a connection or stream can be ended from outside its task.
#[derive(Debug)]
pub(super) struct Leash {
    /// 0, or one more than the position of the [`Ending`].
    ended: AtomicU8,
    awaited: AtomicU8,
    /// Microseconds from `born`; 0: no limit.
    answer_by: AtomicU64,
    /// For how long the client has not taken what was there for it, in microseconds.
    not_taken: AtomicU64,
    born: Instant,
    reader: Mutex<Option<Waker>>,
}

/// What is awaited of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Nothing: the answer is awaited of the upstream, or the next request of the client.
    Nothing,
    /// The body of its request.
    Body,
    /// The same, once it has been told to send it: `Expect: 100-continue` (RFC 9110 section 10.1.1).
    BodyOnceAsked,
    /// What a WebSocket brings, from either side.
    WebSocket,
}

impl Default for Leash {
    fn default() -> Self {
        Self {
            ended: AtomicU8::new(0),
            awaited: AtomicU8::new(0),
            answer_by: AtomicU64::new(0),
            not_taken: AtomicU64::new(0),
            born: Instant::now(),
            reader: Mutex::new(None),
        }
    }
}

impl Leash {
    /// Says what is awaited of the client from now on.
    pub(super) fn awaits(&self, awaited: Awaited) {
        self.awaited.store(awaited as u8, Ordering::Relaxed);
    }

    pub(super) fn awaited(&self) -> Awaited {
        match self.awaited.load(Ordering::Relaxed) {
            1 => Awaited::Body,
            2 => Awaited::BodyOnceAsked,
            3 => Awaited::WebSocket,
            _ => Awaited::Nothing,
        }
    }

    /// Until when the head of the upstream's answer must be there, if there is a limit now.
    pub(super) fn answer_by(&self) -> Option<Instant> {
        match self.answer_by.load(Ordering::Relaxed) {
            0 => None,
            micros => self.born.checked_add(Duration::from_micros(micros)),
        }
    }

    pub(super) fn limit_answer(&self, by: Option<std::time::Instant>) {
        let micros = by.map_or(0, |by| {
            let after = by.saturating_duration_since(self.born.into_std()).as_micros();
            u64::try_from(after).unwrap_or(u64::MAX).max(1)
        });
        self.answer_by.store(micros, Ordering::Relaxed);
    }

    /// The client let the gateway wait for so long to take something.
    pub(super) fn add_not_taken(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.not_taken.fetch_add(micros, Ordering::Relaxed);
    }

    /// For how long the client has not taken what was there for it.
    pub(super) fn not_taken(&self) -> Duration {
        Duration::from_micros(self.not_taken.load(Ordering::Relaxed))
    }

    /// The request is over; the connection may see another.
    pub(super) fn rest(&self) {
        self.awaits(Awaited::Nothing);
        self.limit_answer(None);
    }

    /// Why it was ended, if it was.
    pub(super) fn ended(&self) -> Option<Ending> {
        match self.ended.load(Ordering::Acquire) {
            0 => None,
            position => Ending::ALL.get(usize::from(position) - 1).copied(),
        }
    }

    /// Ends it; the first reason counts. Says whether this was the first.
    pub(super) fn end(&self, ending: Ending) -> bool {
        let first = self.ended.compare_exchange(0, ending as u8 + 1, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok()
            && let Some(reader) = self.reader.lock().take()
        {
            reader.wake();
        }
        first.is_ok()
    }

    /// Has this task woken when it is ended.
    pub(super) fn wake_at_end(&self, waker: &Waker) {
        let mut reader = self.reader.lock();
        if !reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
        drop(reader);
        // Ended after the caller looked, and before the waker was there.
        if self.ended().is_some() {
            waker.wake_by_ref();
        }
    }
}

/// The requests that may live long.
#[derive(Debug, Default)]
pub struct LeashBook {
    entries: Mutex<HashMap<u64, Entry>>,
    next: AtomicU64,
    cut: AtomicU64,
}

#[derive(Debug, Clone)]
struct Entry {
    leash: Arc<Leash>,
    tenure: Tenure,
    caller: IpAddr,
}

/// A request's entry in the book, for as long as it is under way.
#[derive(Debug)]
pub(super) struct OnLeash {
    book: Arc<LeashBook>,
    number: u64,
}

impl Drop for OnLeash {
    fn drop(&mut self) {
        self.book.entries.lock().remove(&self.number);
    }
}

impl LeashBook {
    /// An empty book, gone through by a thread of its own until it is dropped.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn start(directory: impl Directory + Send + 'static) -> io::Result<Arc<Self>> {
        let book = Arc::new(Self::default());
        let of_thread = Arc::downgrade(&book);
        std::thread::Builder::new().name("leashes".into()).spawn(move || patrol(&of_thread, &directory))?;
        Ok(book)
    }

    /// Connections that were ended with their credential.
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    pub(super) fn enter(self: &Arc<Self>, leash: Arc<Leash>, tenure: Tenure, caller: IpAddr) -> OnLeash {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.entries.lock().insert(number, Entry { leash, tenure, caller });
        OnLeash { book: Arc::clone(self), number }
    }

    fn go_through(&self, directory: &impl Directory) {
        // Copied, so that no request waits while records are looked up.
        let entries: Vec<Entry> = self.entries.lock().values().cloned().collect();
        let now = Timestamp::now();
        for entry in entries.iter().filter(|entry| entry.leash.ended().is_none()) {
            // What cannot be known now is asked again: it is no reason to end what was permitted.
            if entry.tenure.holds(directory, entry.caller, now) == Ok(false)
                && entry.leash.end(Ending::Credential)
            {
                self.cut.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn patrol(book: &Weak<LeashBook>, directory: &impl Directory) {
    loop {
        std::thread::sleep(EVERY);
        let Some(book) = book.upgrade() else { return };
        book.go_through(directory);
    }
}
