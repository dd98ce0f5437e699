//! How slowly a peer may go: a least number of bytes in each window of waiting for it.
//!
//! Only the time in which the gateway waits for this peer counts, so that nobody answers for the
//! slowness of the other side. A limit on silence alone is met with a byte now and then; a limit on the
//! whole transfer would end honest large ones. The rule is that of Apache's mod_reqtimeout and of
//! Kestrel's `MinRequestBodyDataRate`.

use std::time::Duration;

use tokio::time::Instant;

/// The least that is asked of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastPace {
    /// The time of waiting that is looked at as a whole; silence for so long is always too slow.
    pub window: Duration,
    /// Bytes per second of waiting, on average over a window; 0: any byte will do.
    pub rate: u64,
}

/// The peer was slower than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooSlow;

impl LeastPace {
    /// What a window must bring, in bytes.
    pub(super) fn least(self) -> u64 {
        let bytes = u128::from(self.rate) * self.window.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }

    /// The time for so many bytes at this pace, one window at least.
    pub(super) fn time_for(self, bytes: usize) -> Duration {
        let seconds = (bytes as u64).checked_div(self.rate).unwrap_or(0);
        self.window.max(Duration::from_secs(seconds))
    }
}

/// One peer's pace in the window that runs.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    moved: u64,
    /// Since when it is waited for, while it is.
    since: Option<Instant>,
}

impl Pace {
    /// The gateway waits for the peer, now and maybe for a while already; says until when.
    pub(super) fn waits(&mut self, least: LeastPace, now: Instant) -> Instant {
        let since = *self.since.get_or_insert(now);
        since + least.window.saturating_sub(self.waited)
    }

    /// So many bytes moved, and the gateway does not wait for the peer now, if it did.
    pub(super) fn moves(&mut self, least: LeastPace, bytes: u64) -> Result<(), TooSlow> {
        // The clock is read only where it ran.
        self.pause();
        self.add(least, Duration::ZERO, bytes)
    }

    /// The gateway does not wait for the peer now; says for how long it did.
    pub(super) fn pause(&mut self) -> Duration {
        let waited = self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.waited += waited;
        waited
    }

    /// The time to wait is over: whether enough has moved, these bytes included.
    pub(super) fn over(&mut self, least: LeastPace, now: Instant, bytes: u64) -> Result<(), TooSlow> {
        let waited = self.since.replace(now).map_or(Duration::ZERO, |since| now.duration_since(since));
        self.add(least, waited, bytes)
    }

    /// Adds time that was waited and what it brought.
    pub(super) fn add(&mut self, least: LeastPace, waited: Duration, bytes: u64) -> Result<(), TooSlow> {
        self.waited += waited;
        self.moved = self.moved.saturating_add(bytes);
        if self.waited < least.window {
            return Ok(());
        }
        let moved = std::mem::take(&mut self.moved);
        self.waited = Duration::ZERO;
        if moved < least.least() { Err(TooSlow) } else { Ok(()) }
    }

    /// Whether nothing has been waited for in this window yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.since.is_none() && self.waited.is_zero()
    }

    /// Whether the gateway waits for the peer now.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: LeastPace = LeastPace { window: Duration::from_secs(20), rate: 240 };

    #[test]
    fn what_each_window_brings_decides() {
        // Seconds waited and bytes that came then, step by step; the step that is too slow.
        type Row = (&'static str, Vec<(u64, u64)>, Option<usize>);
        let rows: [Row; 9] = [
            ("silence", vec![(20, 0)], Some(0)),
            ("silence that is not long enough", vec![(19, 0)], None),
            ("a byte a second", (0..20).map(|_| (1, 1)).collect(), Some(19)),
            ("a little less than enough", vec![(20, 4799)], Some(0)),
            ("just enough, for ever", (0..1000).map(|_| (20, 4800)).collect(), None),
            ("little by little and enough", (0..1000).map(|_| (1, 240)).collect(), None),
            // What came before a window earns nothing in it.
            ("a large beginning, then drops", vec![(1, 10_000_000), (19, 0), (20, 1)], Some(2)),
            // No waiting: the peer was always ahead.
            ("never waited for", (0..1000).map(|_| (0, 1)).collect(), None),
            ("late and large", vec![(19, 0), (19, 1_000_000), (19, 0), (1, 0)], Some(3)),
        ];
        for (what, steps, expected) in rows {
            let mut pace = Pace::default();
            let slow =
                steps.iter().position(|(s, bytes)| pace.add(LEAST, Duration::from_secs(*s), *bytes).is_err());
            assert_eq!(slow, expected, "{what}");
        }
    }

    #[test]
    fn without_a_rate_only_silence_counts() {
        let any = LeastPace { rate: 0, ..LEAST };
        let mut pace = Pace::default();
        for _ in 0..1000 {
            assert_eq!(pace.add(any, Duration::from_secs(19), 1), Ok(()));
        }
        let mut pace = Pace::default();
        assert_eq!(pace.add(any, Duration::from_secs(20), 0), Err(TooSlow));
    }

    #[test]
    fn the_clock_runs_only_while_the_peer_is_waited_for() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert!(pace.is_fresh());
        assert_eq!(pace.waits(LEAST, start), start + 20 * second);
        assert_eq!(pace.waits(LEAST, start + 5 * second), start + 20 * second, "since the beginning");
        assert_eq!(pace.over(LEAST, start + 15 * second, 0), Ok(()));
        assert_eq!(pace.waits(LEAST, start + 15 * second), start + 20 * second);
        assert_eq!(pace.moves(LEAST, 10), Ok(())); // the start is not long ago
        assert!(!pace.is_fresh());
        // A long pause in which nobody waited.
        let later = start + 3600 * second;
        let until = pace.waits(LEAST, later);
        assert!(until > later + 4 * second && until <= later + 5 * second, "{:?}", until - later);
        assert_eq!(pace.over(LEAST, until, 4799 - 10), Err(TooSlow));
    }

    #[test]
    fn time_for_a_piece() {
        assert_eq!(LEAST.time_for(0), Duration::from_secs(20));
        assert_eq!(LEAST.time_for(16_384), Duration::from_secs(68));
        assert_eq!(LeastPace { rate: 0, ..LEAST }.time_for(16_384), Duration::from_secs(20));
    }

    #[test]
    fn extremes_do_not_panic() {
        let most = LeastPace { window: Duration::from_secs(3600), rate: u64::MAX };
        assert_eq!(most.least(), u64::MAX);
        let mut pace = Pace::default();
        assert_eq!(pace.add(most, Duration::from_secs(1), u64::MAX), Ok(()));
        assert_eq!(pace.add(most, Duration::from_secs(3600), u64::MAX), Ok(()));
        assert_eq!(LeastPace { window: Duration::from_millis(1), rate: 0 }.least(), 1);
    }
}
