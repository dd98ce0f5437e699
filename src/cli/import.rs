//! `storegate import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::json;

use super::change::{finish, writer};
use super::failure::Failure;
use super::output::Output;

/// Take over stores, apps, installations and tokens; all or nothing
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Newline-delimited JSON records, or - for standard input
    file: PathBuf,
}

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let (lines, size) = self.open()?;
        let mut writer = writer(config)?;
        let bar = bar(size);
        let started = Instant::now();
        let imported = writer.import(lines, |progress| {
            bar.set_position(progress.bytes);
            bar.set_message(match progress.stored {
                0 => format!("{} records", HumanCount(progress.lines)),
                stored => format!("{} tokens stored", HumanCount(stored)),
            });
        });
        bar.finish_and_clear();
        let committed =
            imported.map_err(|error| Failure::Failed(format!("{}: {error}", self.file.display())))?;
        let seconds = started.elapsed().as_secs_f64();
        finish(
            output,
            committed,
            |found| {
                json!({
                    "stores": found.stores, "apps": found.apps, "installations": found.installations,
                    "access_tokens": found.access_tokens, "seconds": seconds,
                })
            },
            |found| {
                let (stores, apps) = (HumanCount(found.stores), HumanCount(found.apps));
                let (installations, tokens) =
                    (HumanCount(found.installations), HumanCount(found.access_tokens));
                format!(
                    "imported {stores} stores, {apps} apps, {installations} installations, {tokens} access tokens in {seconds:.1} s"
                )
            },
        )
    }

    /// The lines, and how many bytes they are where that is known.
    fn open(&self) -> Result<(Box<dyn BufRead>, Option<u64>), Failure> {
        if self.file.as_os_str() == "-" {
            return Ok((Box::new(io::stdin().lock()), None));
        }
        let unreadable = |error| Failure::Failed(format!("{} cannot be read: {error}", self.file.display()));
        let file = File::open(&self.file).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        Ok((Box::new(BufReader::with_capacity(BUFFER, file)), Some(size)))
    }
}

/// A progress bar on standard error; it draws nothing where that is no terminal.
fn bar(size: Option<u64>) -> ProgressBar {
    let (bar, template) = match size {
        Some(size) => (
            ProgressBar::new(size),
            "{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {msg}  {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {bytes_per_sec}  {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
