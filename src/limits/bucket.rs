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
    fn nanos(self, tokens: u32) -> u64 {
        // Bounded by construction: at most 2^32 tokens at no less than one an hour.
        (f64::from(tokens) * 1e9 / self.per_second.max(1.0 / 3600.0)) as u64
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
        let (now, cost, most) = (nanos(now), rate.nanos(tokens), rate.nanos(rate.burst));
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let after = full_at.max(now).saturating_add(cost);
            let debt = after - now;
            if debt > most {
                return Err(Duration::from_nanos(debt - most));
            }
            match self.full_at.compare_exchange_weak(full_at, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
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
