//! `storegate errors`: the catalogue on a terminal.

use serde::Serialize;

use super::failure::Failure;
use super::output::{Output, line, table};
use crate::catalogue::{Chapter, Entry, cases, entries, markdown};
use crate::config::did_you_mean;

/// What an error code means, and what to do
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A code such as insufficient_scope, or a status such as 403; all of them without it
    code: Option<String>,
    /// Print the whole page docs/errors.md
    #[arg(long, conflicts_with_all = ["code", "json"])]
    markdown: bool,
}

#[derive(Serialize)]
struct Shown {
    errors: Vec<Error>,
}

#[derive(Serialize)]
struct Error {
    /// The chapter of the page.
    chapter: &'static str,
    #[serde(flatten)]
    entry: &'static Entry,
}

impl Arguments {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        if self.markdown {
            line(&markdown());
            return Ok(());
        }
        let wanted = self.code.as_deref();
        let found: Vec<_> =
            entries().filter(|(_, entry)| wanted.is_none_or(|word| is(entry, word))).collect();
        if let (Some(word), true) = (wanted, found.is_empty()) {
            let near = did_you_mean(word, entries().map(|(_, entry)| entry.code));
            let help = near.unwrap_or_else(|| "`storegate errors` lists them all".to_owned());
            return Err(Failure::Usage(format!("there is no error {word:?}; {help}")));
        }
        let errors = found.iter().map(|(chapter, entry)| Error { chapter: chapter.title, entry });
        output.result(&Shown { errors: errors.collect() }, |_| match wanted {
            Some(_) => found.iter().map(told).collect::<Vec<_>>().join("\n"),
            None => table(&["status", "code", "about"], &found.iter().map(row).collect::<Vec<_>>()),
        });
        Ok(())
    }
}

fn is(entry: &Entry, word: &str) -> bool {
    entry.code.eq_ignore_ascii_case(word) || entry.status.to_string() == word
}

fn told((chapter, entry): &(&Chapter, &'static Entry)) -> String {
    format!("{} {} ({})\n\n{}", entry.status, entry.code, chapter.title, cases(entry))
}

fn row((chapter, entry): &(&Chapter, &'static Entry)) -> Vec<String> {
    vec![entry.status.to_string(), entry.code.to_owned(), chapter.title.to_owned()]
}
