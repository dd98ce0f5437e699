//! A token bucket in one atomic number: the generic cell rate algorithm (ITU-T I.371), which keeps
//! the time at which the bucket would be full again. Exact under any number of threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much a bucket holds and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens in a full bucket; at least 1.
    pub burst: u32,
    /// Tokens that come back per second; above 0.
    pub per_second: f64,
}

impl Rate {
    /// How long a full bucket takes to come back.
    pub fn window(self) -> Duration {
        self.time(self.burst)
    }

    /// The time in which this many tokens come back.
    pub(super) fn time(self, tokens: u32) -> Duration {
        Duration::from_nanos(self.nanos(tokens))
    }

    /// How many tokens a bucket has that is full again after `full_in`.
    pub(super) fn left(self, full_in: Duration) -> u32 {
        let most = self.nanos(self.burst);
        let left = most.saturating_sub(nanos(full_in)) / self.nanos(1).max(1);
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Tokens as time. A whole number of nanoseconds each, so that a full bucket has `burst` tokens
    /// exactly, whatever the rate.
    fn nanos(self, tokens: u32) -> u64 {
        let one = (1e9 / self.per_second.max(1.0 / 3600.0)) as u64;
        one.saturating_mul(u64::from(tokens))
    }
}

/// A bucket; new ones are full.
#[derive(Debug, Default)]
pub struct Bucket {
    /// Nanoseconds since the table's beginning at which it is full again.
    full_at: AtomicU64,
}

impl Bucket {
    /// Takes `tokens` at the time `now` (since the table's beginning).
    ///
    /// # Errors
    ///
    /// The time to wait until there are enough; nothing is taken then.
    pub fn take(&self, rate: Rate, tokens: u32, now: Duration) -> Result<(), Duration> {
        self.draw(rate, tokens, now).map(drop)
    }

    /// Takes `tokens`, and says after which time the bucket will be full again.
    ///
    /// # Errors
    ///
    /// As [`Bucket::take`].
    pub(super) fn draw(&self, rate: Rate, tokens: u32, now: Duration) -> Result<Duration, Duration> {
        let (now, cost, most) = (nanos(now), rate.nanos(tokens), rate.nanos(rate.burst));
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let after = full_at.max(now).saturating_add(cost);
            let debt = after - now;
            if debt > most {
                return Err(Duration::from_nanos(debt - most));
            }
            match self.full_at.compare_exchange_weak(full_at, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(Duration::from_nanos(debt)),
                Err(current) => full_at = current,
            }
        }
    }

    /// Gives back what was taken in vain.
    pub fn refund(&self, rate: Rate, tokens: u32) {
        let cost = rate.nanos(tokens);
        // The closure always gives a value, so that this cannot fail.
        let _ = self
            .full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some(at.saturating_sub(cost)));
    }

    /// Whether nothing is missing.
    pub fn is_full(&self, now: Duration) -> bool {
        self.full_at.load(Ordering::Relaxed) <= nanos(now)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 10, per_second: 2.0 };

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let bucket = Bucket::default();
        for _ in 0..10 {
            assert_eq!(bucket.take(RATE, 1, at(100.0)), Ok(()));
        }
        assert_eq!(bucket.take(RATE, 1, at(100.0)), Err(at(0.5)));
        assert_eq!(bucket.take(RATE, 1, at(100.25)), Err(at(0.25)), "a refusal takes nothing");
        assert_eq!(bucket.take(RATE, 1, at(100.5)), Ok(()));
        assert_eq!(bucket.take(RATE, 1, at(100.5)), Err(at(0.5)));
        assert!(!bucket.is_full(at(105.4)) && bucket.is_full(at(105.5)));
        for _ in 0..10 {
            assert_eq!(bucket.take(RATE, 1, at(1000.0)), Ok(()), "it never holds more than the burst");
        }
        assert!(bucket.take(RATE, 1, at(1000.0)).is_err());
    }

    #[test]
    fn weights_and_refunds() {
        let bucket = Bucket::default();
        assert_eq!(bucket.take(RATE, 6, at(0.0)), Ok(()));
        assert_eq!(bucket.take(RATE, 6, at(0.0)), Err(at(1.0)));
        bucket.refund(RATE, 6);
        assert_eq!(bucket.take(RATE, 10, at(0.0)), Ok(()));
        assert!(bucket.take(RATE, 11, at(1e6)).is_err(), "more than it ever holds");
        bucket.refund(RATE, 1000);
        assert!(bucket.is_full(at(0.0)));
    }

    #[test]
    fn a_burst_is_exact_at_every_rate() {
        for per_second in [1.0, 3.0, 7.0, 999.0, 700_000.0, 1_000_000.0] {
            for burst in [1, 2, 10, 1000, 100_000] {
                let (bucket, rate) = (Bucket::default(), Rate { burst, per_second });
                for taken in 1..=burst {
                    let full_in = bucket.draw(rate, 1, at(7.0));
                    let left = full_in.map(|full_in| rate.left(full_in));
                    assert_eq!(left, Ok(burst - taken), "{rate:?}");
                }
                let wait = bucket.draw(rate, 1, at(7.0)).unwrap_err();
                assert_eq!(wait, rate.time(1), "{rate:?}");
            }
        }
    }

    #[test]
    fn threads_share_it_exactly() {
        let bucket = Bucket::default();
        let rate = Rate { burst: 1000, per_second: 0.001 };
        let taken: usize = std::thread::scope(|threads| {
            let taking: Vec<_> = (0..4)
                .map(|_| {
                    threads.spawn(|| (0..1000).filter(|_| bucket.take(rate, 1, at(5.0)).is_ok()).count())
                })
                .collect();
            taking.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1000);
    }
}
