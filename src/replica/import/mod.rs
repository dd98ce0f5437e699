//! Taking records over from outside: newline-delimited JSON of any size, in one transaction, all or
//! nothing.
//!
//! Memory is bounded: one line, the numbers of the known stores and apps, and a batch of tokens. Tokens
//! go into the table in the order of their digests, each page being written once (`tokens.rs`); when
//! there are more than a batch, they are sorted in a file beside the replica (`spill.rs`).

mod record;
mod rows;
mod spill;
mod tokens;

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use rusqlite::Transaction;
use serde::Serialize;

use self::record::Record;
use self::rows::Known;
use self::tokens::Tokens;
use super::audit::{Action, Deed};
use super::journal;
use super::seal::Sealer;
use super::write::{Committed, Halt, WriteError, Writer};

/// The longest line, in bytes.
const MAX_LINE: usize = 1 << 20;

/// Page cache of an import, in KiB.
const CACHE_KIB: i64 = 64 * 1024;

/// SQLite's default.
const ORDINARY_CACHE_KIB: i64 = 2000;

/// After how many lines the journal is trimmed, so that it does not grow with the import.
const TRIM_EVERY: u64 = 100_000;

/// How often the progress is reported, in lines.
const REPORT_EVERY: u64 = 4096;

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Lines read.
    pub lines: u64,
    /// Tokens put into the replica, which begins when all lines are read.
    pub stored: u64,
}

/// How many records an import took over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Stores.
    pub stores: u64,
    /// Apps.
    pub apps: u64,
    /// Installations.
    pub installations: u64,
    /// Access tokens.
    pub access_tokens: u64,
}

impl Writer {
    /// Imports the records of `lines`. Records replace what has the same key; fields that are left out
    /// keep what is there, except in access tokens, which are replaced as a whole. `progress` is called
    /// every few thousand lines and at the end.
    ///
    /// # Errors
    ///
    /// [`WriteError::Line`] names the first bad line and what is wrong with it; or the input cannot be
    /// read, or the replica cannot be changed. Nothing is imported then.
    pub fn import(
        &mut self,
        lines: impl BufRead,
        progress: impl FnMut(Progress),
    ) -> Result<Committed<Imported>, WriteError> {
        // One transaction writes each page to the log once, if the cache keeps it until it is full; and
        // the log is written back in one go at the end, not in the middle of the commit. References are
        // looked up in memory here, in better words than SQLite has: it need not do it again.
        let tune = |writer: &Writer, cache: i64, checkpoint: i64, references: bool| {
            writer.conn.pragma_update(None, "cache_size", -cache)?;
            writer.conn.pragma_update(None, "foreign_keys", references)?;
            writer.conn.pragma_update(None, "wal_autocheckpoint", checkpoint)
        };
        tune(self, CACHE_KIB, 0, false).map_err(|error| self.explain(error.into()))?;
        let folder = self.path().parent().map(Path::to_owned).unwrap_or_default();
        let deed = |taken: &Imported| {
            let deed = Deed::new(Action::Import, "replica").with("stores", taken.stores);
            let deed = deed.with("apps", taken.apps).with("installations", taken.installations);
            deed.with("access_tokens", taken.access_tokens)
        };
        let imported = self.change(deed, |tx, sealer, _| read_all(tx, sealer, folder, lines, progress));
        // Best effort, as the outcome is decided: a reader may hinder it, and a later writer does it then.
        let _ = tune(self, ORDINARY_CACHE_KIB, 1000, true);
        if imported.is_ok() {
            let _ = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        imported
    }
}

fn read_all(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    folder: PathBuf,
    mut lines: impl BufRead,
    mut progress: impl FnMut(Progress),
) -> Result<Imported, Halt> {
    let mut known = Known::load(tx)?;
    let mut tokens = Tokens::new(folder);
    let mut imported = Imported::default();
    let mut at = Progress { bytes: 0, lines: 0, stored: 0 };
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let read = read_line(&mut lines, &mut buffer);
        at.lines += 1;
        let read = read.map_err(|source| WriteError::Input { line: at.lines, source })?;
        if read == 0 {
            break;
        }
        at.bytes += read as u64;
        take_line(tx, sealer, &buffer, at.lines, &mut known, &mut tokens, &mut imported)
            .map_err(|halt| name_line(halt, at.lines))?;
        if at.lines.is_multiple_of(REPORT_EVERY) {
            progress(at);
        }
        if at.lines.is_multiple_of(TRIM_EVERY) {
            journal::trim(tx)?;
        }
    }
    at.lines -= 1; // the end is no line
    tokens.finish(tx, |stored| progress(Progress { stored, ..at }))?;
    progress(Progress { stored: imported.access_tokens, ..at });
    Ok(imported)
}

/// One line into `buffer`, at most a byte more than is allowed.
fn read_line(lines: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<usize> {
    lines.by_ref().take(MAX_LINE as u64 + 2).read_until(b'\n', buffer)
}

fn take_line(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    line: &[u8],
    number: u64,
    known: &mut Known,
    tokens: &mut Tokens,
    imported: &mut Imported,
) -> Result<(), Halt> {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.len() > MAX_LINE {
        return Err(bad(format!("it is longer than {MAX_LINE} bytes")));
    }
    if text.trim_ascii().is_empty() {
        return Ok(());
    }
    match record::parse(text).map_err(bad)? {
        Record::Store(store) => {
            known.put_store(tx, &store)?;
            imported.stores += 1;
        }
        Record::App(app) => {
            known.put_app(tx, sealer, &app)?;
            imported.apps += 1;
        }
        Record::Installation(installation) => {
            known.put_installation(tx, &installation)?;
            imported.installations += 1;
        }
        Record::AccessToken(token) => {
            let app = known.app(&token.client_id)?;
            let store = known.store(token.store_id)?;
            tokens.take(&token, app, store, number)?;
            imported.access_tokens += 1;
        }
    }
    Ok(())
}

/// A refusal of the present line; its number is put in by [`name_line`].
fn bad(why: String) -> Halt {
    Halt::Refused(WriteError::Line { line: 0, why })
}

/// Every refusal on the way of a line becomes one of that line; SQLite's failures stay what they are.
fn name_line(halt: Halt, line: u64) -> Halt {
    match halt {
        Halt::Refused(WriteError::Line { why, .. }) => Halt::Refused(WriteError::Line { line, why }),
        Halt::Refused(WriteError::Malformed { what, why }) => {
            Halt::Refused(WriteError::Line { line, why: format!("{what} is malformed: {why}") })
        }
        other => other,
    }
}
