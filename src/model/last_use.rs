//! When something was last used, coarsely enough to be noted on every request.

use std::sync::atomic::{AtomicI64, Ordering};

use super::Timestamp;

/// The minute of the last use. Shared: the record that a request sees may be dropped and read again,
/// what was noted stays.
#[derive(Debug, Default)]
pub struct LastUse(AtomicI64);

impl LastUse {
    /// Notes a use, to the minute, so that a busy secret does not bounce a cache line between cores.
    /// A clock that is set back, or a request that was long on its way, changes nothing.
    pub fn note(&self, now: Timestamp) {
        let minute = now.0 - now.0.rem_euclid(60);
        if self.0.load(Ordering::Relaxed) < minute {
            self.0.store(minute, Ordering::Relaxed);
        }
    }

    /// The last noted use; `None`: none was noted yet.
    pub fn at(&self) -> Option<Timestamp> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&at| at > 0).map(Timestamp)
    }
}
