//! The busiest of many: those whose names the metrics carry, and everybody else together.
//!
//! Who is busy is told by the counters of Misra and Gries ("Finding repeated elements", 1982): `k` counters find
//! everyone who makes more than one in `k + 1` of the calls, however many callers there are. What the metrics show
//! is counted by itself from the moment a name is on the board, so that the numbers are exact and never
//! fall; a name that leaves takes its series along, and one that comes anew begins at 0.

use std::collections::HashMap;
use std::hash::Hash;

use super::counts::Verdict;

/// Counters of calls for each place on the board.
const COUNTERS: usize = 4;

/// A name leaves the board when so many times its places are ahead of it.
const PATIENCE: usize = 2;

/// Calls by outcome: forwarded, refused, broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// The upstream's answer was passed on.
    pub forwarded: u64,
    /// The gateway answered itself.
    pub refused: u64,
    /// The client or the upstream broke off.
    pub broken: u64,
}

/// What the metrics show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busiest {
    /// Apps by client id.
    pub apps: Vec<(String, Shown)>,
    /// All other apps, and calls without one.
    pub other_apps: Shown,
    /// Stores by id.
    pub stores: Vec<(String, Shown)>,
    /// All other stores, and calls without one.
    pub other_stores: Shown,
}

/// A board with its places.
#[derive(Debug)]
pub(super) struct Board<K> {
    places: usize,
    weights: HashMap<K, u64, foldhash::quality::RandomState>,
    shown: HashMap<K, Shown, foldhash::quality::RandomState>,
    others: Shown,
}

impl Shown {
    /// Adds what another one counted.
    pub fn add(&mut self, other: Self) {
        self.forwarded += other.forwarded;
        self.refused += other.refused;
        self.broken += other.broken;
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Forwarded => self.forwarded += 1,
            Verdict::Refused(_) => self.refused += 1,
            Verdict::Broken => self.broken += 1,
        }
    }
}

impl<K: Hash + Eq + Clone + Ord> Board<K> {
    pub(super) fn new(places: usize) -> Self {
        Self { places, weights: HashMap::default(), shown: HashMap::default(), others: Shown::default() }
    }

    pub(super) fn count(&mut self, key: Option<&K>, verdict: Verdict) {
        let Some(key) = key.filter(|_| self.places > 0) else {
            self.others.count(verdict);
            return;
        };
        self.weigh(key);
        if let Some(shown) = self.shown.get_mut(key) {
            shown.count(verdict);
        } else if self.shown.len() < self.places {
            self.shown.entry(key.clone()).or_default().count(verdict);
        } else {
            self.others.count(verdict);
        }
    }

    fn weigh(&mut self, key: &K) {
        if let Some(weight) = self.weights.get_mut(key) {
            *weight += 1;
        } else if self.weights.len() < self.places * COUNTERS {
            self.weights.insert(key.clone(), 1);
        } else {
            self.weights.retain(|_, weight| {
                *weight -= 1;
                *weight > 0
            });
        }
    }

    /// Gives places to the busiest, where others have become less busy. Now and then.
    pub(super) fn seat(&mut self) {
        let mut by_weight: Vec<(u64, K)> =
            self.weights.iter().map(|(key, weight)| (*weight, key.clone())).collect();
        by_weight.sort_unstable_by(|a, b| b.cmp(a));
        if by_weight.len() > self.places {
            let ahead = &by_weight[..by_weight.len().min(self.places * PATIENCE)];
            self.shown.retain(|key, _| ahead.iter().any(|(_, ahead)| ahead == key));
        }
        for (_, key) in by_weight.into_iter().take(self.places) {
            if self.shown.len() < self.places {
                self.shown.entry(key).or_default();
            }
        }
    }

    /// Lets what was long ago weigh less. Every few minutes.
    pub(super) fn age(&mut self) {
        self.weights.retain(|_, weight| {
            *weight /= 2;
            *weight > 0
        });
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = (&K, Shown)> {
        self.shown.iter().map(|(key, shown)| (key, *shown))
    }

    pub(super) fn others(&self) -> Shown {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(board: &mut Board<u64>, key: u64, count: usize) {
        (0..count).for_each(|_| board.count(Some(&key), Verdict::Forwarded));
    }

    fn names(board: &Board<u64>) -> Vec<u64> {
        let mut names: Vec<u64> = board.shown().map(|(key, _)| *key).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_busiest_get_places_among_ten_thousand_others() {
        let mut board = Board::new(5);
        for round in 0..20 {
            for key in 0..10_000 {
                calls(&mut board, key, 1);
            }
            for busy in 90_000..90_003 {
                calls(&mut board, busy, 5_000);
            }
            board.seat();
            assert!(board.weights.len() <= 20 && board.shown.len() <= 5, "round {round}");
        }
        let names = names(&board);
        assert!((90_000..90_003).all(|busy| names.contains(&busy)), "{names:?}");
    }

    #[test]
    fn numbers_are_exact_while_a_name_is_on_the_board_and_nothing_is_lost() {
        let mut board = Board::new(2);
        calls(&mut board, 1, 10);
        calls(&mut board, 2, 20);
        calls(&mut board, 3, 30);
        board.count(None, Verdict::Broken);
        assert_eq!(names(&board), [1, 2], "the first ones have places");
        let of = |board: &Board<u64>, key| board.shown().find(|(own, _)| **own == key).unwrap().1.forwarded;
        assert_eq!((of(&board, 1), of(&board, 2)), (10, 20));
        assert_eq!(board.others(), Shown { forwarded: 30, refused: 0, broken: 1 });
        board.seat();
        assert_eq!(names(&board), [1, 2], "who is not far behind keeps its place");
    }

    #[test]
    fn yesterdays_giant_gives_way() {
        let mut board = Board::new(1);
        calls(&mut board, 1, 1_000_000);
        for _ in 0..40 {
            board.age();
            calls(&mut board, 2, 100);
            calls(&mut board, 3, 90);
            board.seat();
        }
        assert_eq!(names(&board), [2]);
    }

    #[test]
    fn without_places_all_are_others() {
        let mut board = Board::new(0);
        calls(&mut board, 1, 3);
        board.seat();
        assert_eq!((names(&board).len(), board.others().forwarded), (0, 3));
    }
}
