//! What is logged about look-ups that fail: at most one message a second, as there may be thousands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::gate::Unavailable;

/// Look-ups that fail.
pub(super) struct Complaints {
    start: Instant,
    next_ms: AtomicU64,
}

impl Default for Complaints {
    fn default() -> Self {
        Self { start: Instant::now(), next_ms: AtomicU64::new(0) }
    }
}

impl Complaints {
    /// Logs `reason`, unless another one was logged within the second.
    pub(super) fn complain(&self, reason: &str) -> Unavailable {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.next_ms.load(Ordering::Relaxed);
        let mine = now >= next
            && self.next_ms.compare_exchange(next, now + 1000, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            tracing::error!(reason, "a look-up in the replica failed");
        }
        Unavailable
    }
}
