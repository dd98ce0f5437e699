//! `storegate audit`: who changed what, when, and from where.

use std::path::Path;
use std::time::Duration;

use super::change::writer;
use super::failure::Failure;
use super::list;
use super::output::{Output, table};
use crate::model::{Timestamp, parse_duration};
use crate::replica::{AuditEntry, AuditFilter};

/// Show who changed what, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only what was done within this time, such as 24h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Only what was done to this, such as store:22, app:CLIENT_ID, token:SHA256 or operator:NAME
    #[arg(long)]
    subject: Option<String>,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only entries older than the one with this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
}

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let mut writer = writer(config)?;
        let since = self.since.map(|since| {
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            Timestamp::now().plus(-seconds)
        });
        let filter = AuditFilter { since, subject: self.subject };
        let fetch = |page| writer.audit(&filter, page);
        let entries = list::all(self.before, Some(self.limit), fetch, |entry| entry.seq)?;
        output.result(&entries, |entries| {
            let cells: Vec<_> = entries.iter().map(cells).collect();
            table(&["SEQ", "TIME", "WHO", "FROM", "ACTION", "SUBJECT", "DETAIL"], &cells)
        });
        Ok(())
    }
}

fn cells(entry: &AuditEntry) -> Vec<String> {
    let at = Duration::from_secs(u64::try_from(entry.at).unwrap_or(0));
    // What a stranger wrote into the file may be beyond the year 9999, which the format refuses.
    let latest = Duration::from_secs(253_402_300_799);
    let time = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + at.min(latest)).to_string();
    vec![
        entry.seq.to_string(),
        time,
        entry.who.clone(),
        entry.origin.clone(),
        entry.action.clone(),
        entry.subject.clone(),
        detail(entry),
    ]
}

/// `name=value` for each that says something.
fn detail(entry: &AuditEntry) -> String {
    let fields = entry.detail.as_object().into_iter().flatten();
    let said = fields.filter(|(_, value)| !value.is_null() && value.as_str() != Some(""));
    let shown = said.map(|(name, value)| match value.as_str() {
        Some(text) if !text.contains(char::is_whitespace) => format!("{name}={text}"),
        _ => format!("{name}={value}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}
