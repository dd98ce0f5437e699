//! When each generation of a secret was last used: noted in memory by requests, recorded in the
//! replica now and then.
//!
//! A record of the cache comes and goes; what was noted on it must not. So the ledger owns the notes,
//! and a record that is loaded gets its own from here.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use rusqlite::params;

use super::reader::Replica;
use super::write::{WriteError, Writer};
use crate::model::{AppId, LastUse, Timestamp};

/// The most notes that are held, about 100 bytes each. Uses of generations beyond are not recorded
/// until others are forgotten.
const MOST: usize = if cfg!(test) { 50 } else { 100_000 };

/// Notes recorded in one transaction: other writers wait a few milliseconds at most.
const BATCH: usize = if cfg!(test) { 10 } else { 1000 };

/// A generation of an app's secret.
type Key = (AppId, i64);

/// The ledger. Its lock is the last one that is taken, and held for an instant.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<Key, Entry, RandomState>>);

#[derive(Debug)]
struct Entry {
    last_use: Arc<LastUse>,
    recorded: Option<Timestamp>,
}

impl Uses {
    /// The note for a generation that is being loaded.
    pub(super) fn of(&self, app: AppId, generation: i64) -> Arc<LastUse> {
        let mut entries = self.0.lock();
        if entries.len() >= MOST && !entries.contains_key(&(app, generation)) {
            return Arc::default();
        }
        let entry = entries
            .entry((app, generation))
            .or_insert_with(|| Entry { last_use: Arc::default(), recorded: None });
        entry.last_use.clone()
    }

    /// What was noted and is not recorded.
    fn unrecorded(&self) -> Vec<(Key, Timestamp)> {
        let entries = self.0.lock();
        let noted = entries.iter().filter(|(_, entry)| entry.last_use.at() != entry.recorded);
        noted.filter_map(|(key, entry)| Some((*key, entry.last_use.at()?))).collect()
    }

    /// Takes down what was recorded.
    fn settle(&self, recorded: &[(Key, Timestamp)]) {
        let mut entries = self.0.lock();
        for (key, at) in recorded {
            if let Some(entry) = entries.get_mut(key) {
                entry.recorded = Some(*at);
            }
        }
    }

    /// Drops the notes on which nobody can write any more, and which are recorded.
    fn forget(&self) {
        // `get_mut` sees what was written by whoever had the note until now; a count alone would not.
        self.0.lock().retain(|_, entry| {
            let over = Arc::get_mut(&mut entry.last_use).is_some_and(|noted| noted.at() == entry.recorded);
            !over
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Replica {
    /// Records in the file which generations of secrets were used since the last call, and when. A
    /// running gateway does that by itself (see [`Replica::watch`]). Gives how many there were.
    ///
    /// # Errors
    ///
    /// The file cannot be changed now; what was noted stays noted.
    pub fn record_uses(&self) -> Result<usize, WriteError> {
        let uses = self.uses().unrecorded();
        if !uses.is_empty() {
            let mut writer = self.keeper()?;
            for batch in uses.chunks(BATCH) {
                writer.record_uses(batch)?;
                self.uses().settle(batch);
            }
        }
        self.uses().forget();
        Ok(uses.len())
    }
}

impl Writer {
    fn record_uses(&mut self, uses: &[(Key, Timestamp)]) -> Result<(), WriteError> {
        let recorded = self.upkeep(|tx, _, _| {
            let mut update = tx.prepare_cached(
                "UPDATE app_secrets SET last_used_at = ?3
                 WHERE app_id = ?1 AND generation = ?2 AND coalesce(last_used_at, 0) < ?3",
            )?;
            for ((app, generation), at) in uses {
                // No row: the generation was rotated out meanwhile, and nobody asks for it any more.
                update.execute(params![app.0, generation, at.0])?;
            }
            Ok(())
        })?;
        drop(recorded); // nothing that a decision reads has changed, so that nobody has to be told
        Ok(())
    }
}
