//! What is counted of some requests.

use smallvec::SmallVec;

use super::sample::Sample;
use crate::gate::Code;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The upstream's answer was passed on.
    Forwarded,
    /// The gateway answered itself.
    Refused(Code),
    /// The client or the upstream broke off.
    Broken,
}

/// Upper ends of the classes of time, in microseconds; the last class has none.
pub(super) const BOUNDS: [u32; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// Classes of time.
pub(super) const CLASSES: usize = BOUNDS.len() + 1;

/// Counts of some requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) broken: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Of the calls, by time.
    pub(super) times: [u64; CLASSES],
    pub(super) refused: SmallVec<[(Code, u64); 2]>,
}

impl Counts {
    pub(super) fn count(&mut self, sample: &Sample) {
        self.calls += 1;
        self.bytes_in = self.bytes_in.saturating_add(sample.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(sample.bytes_out);
        self.times[BOUNDS.partition_point(|bound| *bound < sample.total_us)] += 1;
        match sample.verdict {
            Verdict::Forwarded => {}
            Verdict::Broken => self.broken += 1,
            Verdict::Refused(code) => self.refuse(code, 1),
        }
    }

    fn refuse(&mut self, code: Code, count: u64) {
        match self.refused.iter_mut().find(|(known, _)| known.name() == code.name()) {
            Some((_, known)) => *known += count,
            None => self.refused.push((code, count)),
        }
    }

    /// Of all codes together.
    pub(super) fn all_refused(&self) -> u64 {
        self.refused.iter().map(|(_, count)| count).sum()
    }
}

/// The time within which so large a part of the calls was over, in milliseconds: between the ends of its
/// class as if the calls of a class were spread evenly. `None` without calls.
pub(super) fn quantile(times: &[u64; CLASSES], part: f64) -> Option<f64> {
    let all: u64 = times.iter().sum();
    let wanted = part * all as f64;
    let mut before = 0.0;
    for (class, &count) in times.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = count as f64;
        if before + count >= wanted {
            let from = class.checked_sub(1).map_or(0.0, |class| f64::from(BOUNDS[class]));
            let to = BOUNDS.get(class).map_or(from, |bound| f64::from(*bound));
            let micros = from + (to - from) * ((wanted - before) / count);
            return Some((micros / 10.0).round() / 100.0);
        }
        before += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_their_class() {
        let mut times = [0; CLASSES];
        assert_eq!(quantile(&times, 0.5), None);
        times[0] = 98; // up to 0.1 ms
        times[6] = 2; // 5 to 10 ms
        assert_eq!(quantile(&times, 0.49), Some(0.05));
        assert_eq!(quantile(&times, 0.5), Some(0.05));
        assert_eq!(quantile(&times, 0.98), Some(0.1));
        assert_eq!(quantile(&times, 0.99), Some(7.5));
        assert_eq!(quantile(&times, 1.0), Some(10.0));
        let mut endless = [0; CLASSES];
        endless[CLASSES - 1] = u64::from(u32::MAX);
        assert_eq!(quantile(&endless, 0.5), Some(10_000.0), "no end of the last class is made up");
    }
}
