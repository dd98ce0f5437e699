//! What a request leaves behind, and where it leaves it: in a buffer of its thread, which is emptied by
//! another one.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::counts::Verdict;
use crate::gate::Kind;
use crate::model::{App, StoreId, TokenDigest};

/// Buffers; each request thread has one, and shares it when there are more threads.
const BUFFERS: usize = 16;

/// Samples that may wait in a buffer: a core's work of half a second, some 2 MB.
const ROOM: usize = 16 * 1024;

/// What is kept of one request.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The app that was found.
    pub app: Option<Arc<App>>,
    /// The store that the request acted on.
    pub store: Option<StoreId>,
    /// How it ended.
    pub verdict: Verdict,
    /// The kind of credential presented.
    pub kind: Option<Kind>,
    /// Whether the credential was proved: what strangers claim says nothing of its use.
    pub proved: bool,
    /// Of the access token that was presented.
    pub token: Option<TokenDigest>,
    /// The caller's address.
    pub caller: Option<IpAddr>,
    /// From the complete head to the end of the answer, in microseconds.
    pub total_us: u32,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
}

/// The samples that nobody has counted yet.
#[derive(Debug, Default)]
pub(super) struct Samples {
    buffers: [Buffer; BUFFERS],
    dropped: AtomicU64,
}

/// Alone on its cache lines: each belongs to another core.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Buffer(Mutex<Vec<Sample>>);

impl Samples {
    /// Leaves a sample; what finds no room is counted.
    pub(super) fn push(&self, sample: Sample) {
        let mut waiting = self.buffers[own_buffer()].waiting();
        if waiting.len() < ROOM {
            waiting.push(sample);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives each buffer's samples to `count`. `room` is what the emptied buffers are exchanged for, so that
    /// neither side allocates.
    pub(super) fn take(&self, room: &mut Vec<Sample>, mut count: impl FnMut(&Sample)) {
        for buffer in &self.buffers {
            std::mem::swap(&mut *buffer.waiting(), room);
            room.drain(..).for_each(|sample| count(&sample));
        }
    }

    /// How many found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Buffer {
    fn waiting(&self) -> MutexGuard<'_, Vec<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let samples = Samples::default();
        let sample = Sample {
            app: None,
            store: None,
            verdict: Verdict::Forwarded,
            kind: None,
            proved: false,
            token: None,
            caller: None,
            total_us: 1,
            bytes_in: 0,
            bytes_out: 0,
        };
        (0..ROOM + 3).for_each(|_| samples.push(sample.clone()));
        let (mut room, mut count) = (Vec::new(), 0);
        samples.take(&mut room, |_| count += 1);
        assert_eq!((count, samples.dropped()), (ROOM, 3));
        samples.push(sample);
        samples.take(&mut room, |_| count += 1);
        assert_eq!((count, samples.dropped()), (ROOM + 1, 3));
    }
}
