//! How a command fails: what is said, and the exit code.

use std::path::Path;
use std::process::ExitCode;

use super::output::Output;
use crate::config::{Config, Problems};
use crate::replica::WriteError;

/// A command's failure.
#[derive(Debug)]
pub(super) enum Failure {
    /// Wrong use: exit code 2.
    Usage(String),
    /// The configuration cannot be used: exit code 2.
    Config(Problems),
    /// It failed while running: exit code 1.
    Failed(String),
}

impl Failure {
    /// A failure while running.
    pub(super) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// A change that was not made: a value that nobody could take is wrong use.
    pub(super) fn write(error: WriteError) -> Self {
        match error {
            WriteError::Malformed { .. } => Self::Usage(error.to_string()),
            error => Self::failed(error),
        }
    }

    /// Says what happened on standard error and gives the exit code.
    pub(super) fn report(self, output: &Output) -> ExitCode {
        match self {
            Self::Usage(text) => {
                output.message(&format!("error: {text}"));
                ExitCode::from(2)
            }
            Self::Config(problems) => {
                output.message(problems.to_string().trim_end());
                ExitCode::from(2)
            }
            Self::Failed(text) => {
                output.message(&format!("error: {text}"));
                ExitCode::from(1)
            }
        }
    }
}

/// Reads the configuration for a command that works by it. Warnings are `check`'s to tell.
pub(super) fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map(|(config, _)| config).map_err(Failure::Config)
}
