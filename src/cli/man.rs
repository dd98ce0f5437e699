//! `storegate man`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_mangen::Man;
use serde::Serialize;

use super::failure::Failure;
use super::output::Output;

/// Write the man pages
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder to write them to, such as /usr/local/share/man/man1; made where there is none
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Serialize)]
struct Written {
    pages: Vec<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", self.folder.display()));
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut command = super::Arguments::command().disable_help_subcommand(true);
        command.build(); // so that each page has the common options, too
        let mut pages = Vec::new();
        write(&command, &self.folder, &mut pages).map_err(failed)?;
        output.result(&Written { pages }, |written| {
            format!("{} pages are written to {}", written.pages.len(), self.folder.display())
        });
        Ok(())
    }
}

/// The page of a command, and those of the commands below it.
fn write(command: &clap::Command, folder: &Path, pages: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let page = Man::new(command.clone()).manual("storegate").generate_to(folder)?;
    pages.push(page);
    command.get_subcommands().try_for_each(|below| write(below, folder, pages))
}
