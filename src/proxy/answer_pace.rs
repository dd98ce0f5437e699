//! How fast an upstream sends an answer. Its silence has a limit by Pingora, and a byte now and then breaks
//! that silence for ever.
//!
//! Only answers of a stated length have a least pace: one without may be a stream of events, which comes
//! when there are any. Time in which the client does not take what is there is not the upstream's.

use std::time::{Duration, Instant};

use super::pace::{LeastPace, Pace, TooSlow};

/// The pace of one answer.
#[derive(Debug)]
pub(super) struct AnswerPace {
    pace: Pace,
    last: Instant,
    not_taken: Duration,
}

impl AnswerPace {
    /// The body begins; `not_taken` is the time for which the client has not taken anything so far.
    pub(super) fn begin(now: Instant, not_taken: Duration) -> Self {
        Self { pace: Pace::default(), last: now, not_taken }
    }

    /// A part of the body came, and it was not the last.
    pub(super) fn came(
        &mut self,
        least: LeastPace,
        bytes: usize,
        now: Instant,
        not_taken: Duration,
    ) -> Result<(), TooSlow> {
        let passed = now.saturating_duration_since(self.last);
        let waited = passed.saturating_sub(not_taken.saturating_sub(self.not_taken));
        (self.last, self.not_taken) = (now, not_taken);
        self.pace.add(least, waited, bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_client_is_not_the_upstreams() {
        let least = LeastPace { window: Duration::from_secs(20), rate: 240 };
        // Each step: seconds that pass, seconds of them in which the client took nothing, bytes.
        type Row = (&'static str, [(u64, u64, usize); 3], bool);
        let rows: [Row; 4] = [
            ("the upstream drips", [(10, 0, 1), (10, 0, 1), (0, 0, 1)], false),
            ("the client is slow", [(100, 99, 1), (100, 98, 1), (100, 99, 1)], true),
            ("both are", [(100, 90, 1), (100, 90, 1), (0, 0, 0)], false),
            ("neither is", [(10, 0, 9600), (10, 0, 9600), (20, 0, 4800)], true),
        ];
        for (what, steps, fine) in rows {
            let (mut now, mut not_taken) = (Instant::now(), Duration::ZERO);
            let mut answer = AnswerPace::begin(now, not_taken);
            let ends = steps.map(|(passed, blocked, bytes)| {
                now += Duration::from_secs(passed);
                not_taken += Duration::from_secs(blocked);
                answer.came(least, bytes, now, not_taken)
            });
            assert_eq!(ends.iter().all(Result::is_ok), fine, "{what}: {ends:?}");
        }
    }
}
