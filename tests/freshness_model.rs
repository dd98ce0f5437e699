//! The protocol of the cache, tried in every interleaving that memory and scheduler allow (loom).
//!
//! It is a model, one entry of `src/cache.rs` in loom's types, since the concurrent map itself cannot
//! be run under loom; the stress test of the replica hammers the real one. The model has the two rules
//! and nothing else: *a miss reads the truth and fills the entry while it holds the entry's lock*, and
//! *whoever changed the truth drops the entry after the commit and before the acknowledgement*. Each
//! rule is also broken on purpose, and the model has to find out.

#![allow(clippy::unwrap_used)] // a test throughout

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// How a miss goes.
#[derive(Clone, Copy)]
enum Fill {
    /// Lock, read, fill, unlock.
    UnderTheLock,
    /// Read, lock, fill, unlock.
    ReadBeforeTheLock,
}

/// How a change goes.
#[derive(Clone, Copy)]
enum Change {
    CommitDropAcknowledge,
    DropCommitAcknowledge,
    CommitAcknowledgeDrop,
}

struct Node {
    /// The replica's row: its version.
    truth: AtomicUsize,
    /// The cache's entry for it.
    entry: Mutex<Option<usize>>,
    acknowledged: AtomicBool,
}

impl Node {
    fn look_up(&self, fill: Fill) -> usize {
        if let Some(kept) = *self.entry.lock().unwrap() {
            return kept;
        }
        let early = match fill {
            Fill::UnderTheLock => None,
            Fill::ReadBeforeTheLock => Some(self.truth.load(Ordering::SeqCst)),
        };
        let mut entry = self.entry.lock().unwrap();
        if let Some(kept) = *entry {
            return kept; // another miss was faster
        }
        let read = early.unwrap_or_else(|| self.truth.load(Ordering::SeqCst));
        *entry = Some(read);
        read
    }

    fn change(&self, change: Change) {
        let commit = || self.truth.store(1, Ordering::SeqCst);
        let drop_entry = || *self.entry.lock().unwrap() = None;
        let acknowledge = || self.acknowledged.store(true, Ordering::SeqCst);
        match change {
            Change::CommitDropAcknowledge => (commit(), drop_entry(), acknowledge()),
            Change::DropCommitAcknowledge => (drop_entry(), commit(), acknowledge()),
            Change::CommitAcknowledgeDrop => (commit(), acknowledge(), drop_entry()),
        };
    }
}

/// Two readers and a change. A look-up that begins after the acknowledgement must give the new version.
fn explore(fill: Fill, change: Change) {
    // Three switches away from a thread that could go on show every bug below; without a bound the model
    // would run for minutes.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let node = Arc::new(Node {
            truth: AtomicUsize::new(0),
            entry: Mutex::new(None),
            acknowledged: AtomicBool::new(false),
        });
        let reader = |node: Arc<Node>| {
            move || {
                let ended = node.acknowledged.load(Ordering::SeqCst);
                let seen = node.look_up(fill);
                assert!(!ended || seen == 1, "a stale yes");
            }
        };
        let other = thread::spawn(reader(node.clone()));
        let writer = thread::spawn({
            let node = node.clone();
            move || node.change(change)
        });
        reader(node.clone())();
        other.join().unwrap();
        writer.join().unwrap();
        assert_eq!(node.look_up(fill), 1, "a stale yes that stays");
    });
}

#[test]
fn the_right_order_never_gives_a_stale_yes() {
    explore(Fill::UnderTheLock, Change::CommitDropAcknowledge);
}

#[test]
fn every_other_order_is_caught() {
    let wrong = [
        ("the row is read before the lock", Fill::ReadBeforeTheLock, Change::CommitDropAcknowledge),
        ("the drop comes before the commit", Fill::UnderTheLock, Change::DropCommitAcknowledge),
        ("the drop comes after the acknowledgement", Fill::UnderTheLock, Change::CommitAcknowledgeDrop),
    ];
    for (what, fill, change) in wrong {
        let found = catch_unwind(AssertUnwindSafe(|| explore(fill, change))).is_err();
        assert!(found, "not noticed: {what}");
    }
}
