//! Who uses the gateway, and how much: calls, refusals, bytes and times of each app in each store, by minute,
//! hour and day, in a file beside the replica.
//!
//! A request leaves one [`Sample`] in a buffer and goes its way (`sample.rs`). One thread counts them together
//! (`book.rs`), picks the apps and stores that the metrics name (`board.rs`) and looks for what leaves the pattern of its
//! credential (`detect.rs`, told by `webhook.rs`); another one adds what was
//! counted to the file (`file.rs`, `writer.rs`). Everything has a bound: samples that wait, pairs of app and
//! store that are counted by themselves, rows of the file. Nothing here decides anything about a request,
//! and no request waits for it: what finds no room is counted as lost.

mod board;
mod book;
mod counts;
mod detect;
mod file;
mod report;
mod sample;
mod webhook;
mod worker;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use board::{Busiest, Shown};
pub use counts::Verdict;
pub use detect::{Alert, Unusual, Watch};
pub use file::FileError;
pub use report::{Filter, MOST_ROWS, Period, Report, Row, StoreName, report};
pub use sample::Sample;
pub use webhook::Webhook;
pub use worker::{Health, Usage};

/// How long counts are kept and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long minutes are known.
    pub minutes: Duration,
    /// How long hours are known.
    pub hours: Duration,
    /// How long days are known.
    pub days: Duration,
    /// Pairs of app and store that each minute, hour and day counts by themselves.
    pub pairs: usize,
    /// Apps, and stores, that the metrics name.
    pub top: usize,
}

/// What is watched, and who is told.
#[derive(Debug, Clone)]
pub struct Alerts {
    /// When something is unusual.
    pub watch: Watch,
    /// Who is told beside the log.
    pub webhook: Option<Webhook>,
}

/// The file of a replica's usage.
pub fn path(replica: &Path) -> PathBuf {
    replica.with_file_name("usage.db")
}

#[cfg(test)]
mod tests;
