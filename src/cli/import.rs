//! `storegate import`.

use std::path::{Path, PathBuf};

use super::change::writer;
use super::failure::Failure;
use super::output::Output;

/// Take over stores, apps, installations and tokens; all or nothing
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Newline-delimited JSON records, or - for standard input
    file: PathBuf,
}

impl Arguments {
    pub(super) fn run(self, config: &Path, _output: &Output) -> Result<(), Failure> {
        let _writer = writer(config)?;
        Err(Failure::Failed(format!("{} cannot be imported yet", self.file.display())))
    }
}
