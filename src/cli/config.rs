//! `storegate config show` and `storegate config schema`.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use super::output::{Output, line, table};
use crate::config::{Setting, schema, settings};

/// Show the configuration
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print every setting in force and where it comes from; secrets are left out
    Show,
    /// Print the JSON Schema of gateway.toml, for editors and other tools
    Schema,
}

#[derive(Serialize)]
struct Shown {
    file: String,
    settings: Vec<Setting>,
}

impl Command {
    pub(super) fn run(self, path: &Path, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Show => {
                let settings = settings(path).map_err(Failure::Config)?;
                let shown = Shown { file: path.display().to_string(), settings };
                output.result(&shown, |shown| {
                    let rows: Vec<_> = shown.settings.iter().map(row).collect();
                    table(&["setting", "value", "from"], &rows)
                });
            }
            // It is JSON either way.
            Self::Schema => line(&format!("{:#}", schema())),
        }
        Ok(())
    }
}

fn row(setting: &Setting) -> Vec<String> {
    let value = match &setting.value {
        _ if setting.is_secret => "(secret)".to_owned(),
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    };
    vec![setting.key.clone(), value, setting.origin.to_string()]
}
