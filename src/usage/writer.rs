//! The thread that adds to the file. A batch that cannot be written is tried again until it can; meanwhile the
//! book counts on, within its bounds.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::Settings;
use super::book::Entry;
use super::file::{File, FileError};
use super::worker::Shared;
use crate::model::Timestamp;

/// How long it is waited before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// How often old rows are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) batches: Receiver<Batch>,
}

/// What the file is to get.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// What is known of credentials.
    pub(super) patterns: Option<String>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.patterns.is_none()
    }
}

/// What went wrong so far.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) count: AtomicU64,
    /// Whether the last attempt failed.
    pub(super) failing: std::sync::atomic::AtomicBool,
}

impl Writer {
    /// Until nobody sends any more.
    pub(super) fn run(self) {
        let mut file = None;
        let (mut swept, mut sweeps) = (None, true);
        while let Ok(mut batch) = self.batches.recv() {
            while let Err(error) = self.add(&mut file, &mut batch) {
                self.failed(&error);
                file = None; // it may have been exchanged, or the disk with it
                if self.shared.wait(AGAIN) {
                    return; // at the end there is no second attempt
                }
            }
            self.succeeded();
            if swept.is_none_or(|at: Instant| at.elapsed() > SWEEP_EVERY) {
                let more = file.as_mut().map(|file| file.sweep(Timestamp::now().0, &self.settings));
                if let Some(Err(error)) = &more {
                    self.shared.failures.count.fetch_add(1, Ordering::Relaxed);
                    if sweeps {
                        tracing::error!(
                            "old usage cannot be removed: {error}; it is tried again every minute"
                        );
                    }
                }
                sweeps = !matches!(more, Some(Err(_)));
                if !matches!(more, Some(Ok(true))) {
                    swept = Some(Instant::now()); // else the rest after the next batch
                }
            }
        }
    }

    fn add(&self, file: &mut Option<File>, batch: &mut Batch) -> Result<(), FileError> {
        let open = match file {
            Some(file) => file,
            none => none.insert(File::open(&self.path, self.settings.pairs)?),
        };
        open.add(&batch.entries)?;
        batch.entries.clear(); // what is added is not added again
        batch.patterns.as_ref().map_or(Ok(()), |patterns| open.keep_patterns(patterns))
    }

    fn failed(&self, error: &FileError) {
        let failures = &self.shared.failures;
        failures.count.fetch_add(1, Ordering::Relaxed);
        if !failures.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "usage cannot be written: {error}; requests are served, and counts wait in memory"
            );
        }
    }

    fn succeeded(&self) {
        if self.shared.failures.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("usage is written again");
        }
    }
}
