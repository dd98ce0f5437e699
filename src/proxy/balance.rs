//! Which server a request goes to, and which ones are left out for a while. Pure: the state of a server is
//! a few atomics, and time is an argument, in milliseconds since a moment that the caller chose.
//!
//! A server is left out for two reasons that know nothing of each other. The checks say that it is *down*.
//! Or it is *ejected*, because the requests themselves failed. An ejection ends by trial: when its time is
//! over one request is sent there, and its outcome decides. Where every server is left out, none is.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The most servers of an upstream, addresses of one name counted singly: a set of them is one word.
pub const MOST_SERVERS: usize = 64;

/// The longest ejection, however often a server failed its trial.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// How requests are spread over the servers that are not left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// To the server with the fewest requests under way; in turn among equals.
    LeastConnections,
}

/// When a server is ejected, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row; 0: never.
    pub after: u32,
    /// The length of the first ejection; each trial that fails doubles it, up to five minutes.
    pub length: Duration,
}

/// What is known of one server.
#[derive(Debug, Default)]
pub(super) struct Standing {
    under_way: AtomicU32,
    /// In a row.
    failures: AtomicU32,
    /// In a row: the last ones ended in a trial that failed.
    ejections: AtomicU32,
    /// When the trial is due; 0 while the server is not ejected.
    trial_at: AtomicU64,
    /// By the checks.
    down: AtomicBool,
    /// Results of checks in a row that speak against `down`.
    contrary: AtomicU32,
}

/// A server's part in the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Requests go there.
    Up,
    /// Requests failed there.
    Ejected,
    /// The checks failed.
    Down,
}

/// Why a request went to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It was its turn.
    Regular,
    /// The server is ejected, and this request tries whether it still has to be.
    Trial,
    /// No server that is up was left.
    LastResort,
}

impl Standing {
    pub(super) fn state(&self) -> State {
        if self.down.load(Ordering::Relaxed) {
            State::Down
        } else if self.is_ejected() {
            State::Ejected
        } else {
            State::Up
        }
    }

    /// The same, as far as the requests tell: for a server that is checked in another way from now on.
    pub(super) fn without_checks(&self) -> Self {
        let of = |number: &AtomicU32| AtomicU32::new(number.load(Ordering::Relaxed));
        Self {
            failures: of(&self.failures),
            ejections: of(&self.ejections),
            trial_at: AtomicU64::new(self.trial_at.load(Ordering::Relaxed)),
            ..Self::default()
        }
    }

    /// A request goes there.
    pub(super) fn enter(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// It is no longer under way.
    pub(super) fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// The server answered, whatever it said. True when that ended its ejection.
    pub(super) fn answered(&self, turn: Turn) -> bool {
        // Read before it is written: with all well, no request writes here.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        // A request from before the ejection says nothing of the time after it.
        let readmitted = turn != Turn::Regular && self.trial_at.swap(0, Ordering::Relaxed) != 0;
        if readmitted {
            self.ejections.store(0, Ordering::Relaxed);
        }
        readmitted
    }

    /// Counts a failure; true when that is reason enough to eject the server or to prolong its ejection.
    pub(super) fn failed(&self, turn: Turn, ejection: Ejection) -> bool {
        match turn {
            Turn::Trial => self.is_ejected(),
            Turn::LastResort => false,
            Turn::Regular => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                ejection.after != 0 && failures >= ejection.after && !self.is_ejected()
            }
        }
    }

    /// The result of a check; the new state when that changed it.
    pub(super) fn checked(&self, passed: bool, healthy_after: u32, unhealthy_after: u32) -> Option<State> {
        let down = self.down.load(Ordering::Relaxed);
        if passed != down {
            self.contrary.store(0, Ordering::Relaxed);
            return None;
        }
        let contrary = self.contrary.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if contrary < if down { healthy_after } else { unhealthy_after } {
            return None;
        }
        self.contrary.store(0, Ordering::Relaxed);
        self.down.store(!down, Ordering::Relaxed);
        Some(self.state())
    }

    fn is_ejected(&self) -> bool {
        self.trial_at.load(Ordering::Relaxed) != 0
    }

    /// Takes the trial if it is due. The next one is due after `window`, should this one never end.
    fn take_trial(&self, now: u64, window: Duration) -> bool {
        let due = self.trial_at.load(Ordering::Relaxed);
        due != 0
            && due <= now
            && self
                .trial_at
                .compare_exchange(due, now + millis(window).max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// Chooses among `count` servers. `tried` has a bit for each that had this request already; `turn` goes up
/// by one with every choice. `None` only where there is no server.
pub(super) fn choose<'s>(
    count: usize,
    standing: impl Fn(usize) -> &'s Standing,
    balance: Balance,
    ejection: Ejection,
    tried: u64,
    turn: usize,
    now: u64,
) -> Option<(usize, Turn)> {
    let all = match count.min(MOST_SERVERS) {
        0 => return None,
        MOST_SERVERS => u64::MAX,
        count => (1 << count) - 1,
    };
    let pool = Some(all & !tried).filter(|untried| *untried != 0).unwrap_or(all);
    let mut up = 0;
    for index in members(pool) {
        match standing(index).state() {
            State::Up => up |= 1 << index,
            State::Ejected if standing(index).take_trial(now, ejection.length) => {
                return Some((index, Turn::Trial));
            }
            State::Ejected | State::Down => {}
        }
    }
    let (pool, kind) = if up == 0 { (pool, Turn::LastResort) } else { (up, Turn::Regular) };
    let size = pool.count_ones() as usize;
    let first = members(pool).cycle().skip(turn % size);
    let index = match balance {
        Balance::RoundRobin => first.take(1).next(),
        // The first of equals is taken, and the turn decides who is first.
        Balance::LeastConnections => {
            first.take(size).min_by_key(|index| standing(*index).under_way.load(Ordering::Relaxed))
        }
    };
    index.map(|index| (index, kind))
}

/// Ejects the server at `index` after [`Standing::failed`] said so, unless half of the servers are out
/// already. Returns for how long. Calls must not overlap.
pub(super) fn eject<'s>(
    count: usize,
    standing: impl Fn(usize) -> &'s Standing,
    index: usize,
    ejection: Ejection,
    turn: Turn,
    now: u64,
) -> Option<Duration> {
    let one = standing(index);
    if turn != Turn::Trial {
        let others = (0..count).filter(|other| standing(*other).is_ejected()).count();
        // Another request may have been first.
        if one.is_ejected() || (others + 1) * 2 > count {
            return None;
        }
    }
    let doublings = one.ejections.fetch_add(1, Ordering::Relaxed).min(16);
    let length = ejection.length.saturating_mul(1 << doublings).min(LONGEST);
    one.failures.store(0, Ordering::Relaxed);
    one.trial_at.store(now + millis(length).max(1), Ordering::Relaxed);
    Some(length)
}

/// The positions of the bits that are set.
fn members(mut set: u64) -> impl Iterator<Item = usize> + Clone {
    std::iter::from_fn(move || {
        let index = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(index)
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
