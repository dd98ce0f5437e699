//! What was counted since the writer came last, by minute, app and store.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::Arc;

use super::counts::Counts;
use super::sample::Sample;
use crate::model::{App, AppId, StoreId};

/// Whose calls a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Of {
    /// Of this app in this store, where there was one.
    Pair(Option<AppId>, Option<StoreId>),
    /// Of all who found no room.
    Others,
}

/// A count that the file has yet to get.
#[derive(Debug)]
pub(super) struct Entry {
    /// Seconds since 1970, a whole minute.
    pub(super) minute: i64,
    pub(super) of: Of,
    pub(super) app: Option<Arc<App>>,
    pub(super) counts: Counts,
}

/// The counts that the file has yet to get.
#[derive(Debug)]
pub(super) struct Book {
    entries: HashMap<(i64, Of), Entry, foldhash::quality::RandomState>,
    /// Entries of single pairs at most.
    most: usize,
    lost: u64,
}

/// While the file cannot be written, so many minutes of others are counted on; then they are lost.
const MOST_OTHERS: usize = 1440;

impl Book {
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::default(), most, lost: 0 }
    }

    pub(super) fn count(&mut self, minute: i64, sample: &Sample) {
        let pair = Of::Pair(sample.app.as_ref().map(|app| app.app_id), sample.store);
        let (has_room, has_any) =
            (self.entries.len() < self.most, self.entries.len() < self.most + MOST_OTHERS);
        if !has_room && !self.entries.contains_key(&(minute, pair)) {
            match self.entries.entry((minute, Of::Others)) {
                Place::Occupied(mut others) => others.get_mut().counts.count(sample),
                Place::Vacant(_) if !has_any => self.lost += 1,
                Place::Vacant(place) => {
                    let others = Entry { minute, of: Of::Others, app: None, counts: Counts::default() };
                    place.insert(others).counts.count(sample);
                }
            }
            return;
        }
        let entry = self.entries.entry((minute, pair)).or_insert_with(|| Entry {
            minute,
            of: pair,
            app: sample.app.clone(),
            counts: Counts::default(),
        });
        entry.counts.count(sample);
    }

    /// Everything, for the file, which reads a period anew whenever another one begins: by time.
    pub(super) fn take(&mut self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries.drain().map(|(_, entry)| entry).collect();
        entries.sort_unstable_by_key(|entry| entry.minute);
        entries
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Calls that could not even be counted among others.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}
