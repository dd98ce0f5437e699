//! Reading connections, handed out without waiting in the ordinary case.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::file::{self, OpenError};
use super::read;

thread_local! {
    /// Where this thread begins to look: threads spread over the slots and then keep to theirs.
    static START: Cell<usize> = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Cell::new(NEXT.fetch_add(1, Ordering::Relaxed))
    };
}

/// A fixed set of reading connections to one file.
pub(super) struct Pool {
    slots: Box<[Mutex<Connection>]>,
}

impl Pool {
    /// Opens `readers` connections (at least one) and prepares every look-up on each, which also
    /// proves that the tables are what the look-ups expect.
    pub(super) fn open(path: &Path, readers: usize) -> Result<Self, OpenError> {
        let slots = (0..readers.max(1)).map(|_| {
            let conn = file::open_reader(path)?;
            read::prepare_all(&conn).map_err(|error| OpenError::sqlite(path, &error))?;
            Ok(Mutex::new(conn))
        });
        Ok(Self { slots: slots.collect::<Result<_, OpenError>>()? })
    }

    /// A connection for one look-up. Waits only when every connection is in use.
    pub(super) fn take(&self) -> MutexGuard<'_, Connection> {
        let start = START.get() % self.slots.len();
        let (behind, ahead) = self.slots.split_at(start);
        let free = ahead.iter().chain(behind).find_map(Mutex::try_lock);
        free.unwrap_or_else(|| self.slots[start].lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_connection_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storegate.db");
        file::open_writer(&path).unwrap();
        let pool = Pool::open(&path, 3).unwrap();
        let taken = [pool.take(), pool.take(), pool.take()];
        let reads = taken.iter().map(|conn| conn.query_row("SELECT 1", [], |row| row.get::<_, i64>(0)));
        assert!(reads.into_iter().all(|read| read == Ok(1)));
    }
}
