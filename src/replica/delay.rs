//! How long changes took to be in force, for the metric.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is called with a delay, and with how many journal entries it applies to.
pub(super) type OnEnforced = Box<dyn Fn(Duration, usize) + Send + Sync>;

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Entries of one commit share their time; they are reported together.
#[derive(Default)]
pub(super) struct Batches(Vec<(i64, usize)>);

impl Batches {
    pub(super) fn add(&mut self, at_ms: i64) {
        match self.0.last_mut() {
            Some((at, count)) if *at == at_ms => *count += 1,
            _ => self.0.push((at_ms, 1)),
        }
    }

    pub(super) fn report(self, hook: &OnEnforced) {
        let now = now_ms();
        for (at_ms, count) in self.0 {
            let delay = u64::try_from(now.saturating_sub(at_ms)).unwrap_or(0);
            hook(Duration::from_millis(delay), count);
        }
    }
}
