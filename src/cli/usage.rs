//! `storegate usage`: who calls how much, and whether a secret that was replaced is still in use.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::change::{client_id, store_id};
use super::failure::{Failure, load};
use super::output::{Output, table};
use super::when::ago;
use crate::model::{ClientId, StoreId, Timestamp, parse_duration};
use crate::replica::{SecretDetail, Writer, real_path};
use crate::usage::{self, Filter, Period, Report, Row};

/// Show who calls how much: each app in each store, the busiest first
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this app; tells the use of its secrets as well
    #[arg(long, value_name = "CLIENT_ID", value_parser = client_id)]
    app: Option<ClientId>,
    /// Only this store
    #[arg(long, value_name = "STORE_ID", value_parser = store_id)]
    store: Option<StoreId>,
    /// Each minute, hour or day by itself, the latest first; all together without it
    #[arg(long, value_enum)]
    by: Option<By>,
    /// Only calls within this time, such as 15m
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    since: Duration,
    /// Show at most so many rows
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    Minute,
    Hour,
    Day,
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<Vec<SecretUse>>,
}

/// The use of one generation of an app's secret.
#[derive(Debug, PartialEq, Serialize)]
struct SecretUse {
    generation: i64,
    created_at: i64,
    last_used_at: Option<i64>,
    /// When a newer one was made; `null` for the newest.
    replaced_at: Option<i64>,
    /// Whether it was used after that; `null` where it was used in the same minute, which is as exactly as
    /// uses are noted.
    used_since_replaced: Option<bool>,
}

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let config = load(config)?;
        let now = Timestamp::now().0;
        let since = now.saturating_sub(i64::try_from(self.since.as_secs()).unwrap_or(i64::MAX)).max(0);
        let secrets = match &self.app {
            None => None,
            Some(app) => {
                let mut writer = Writer::open(&config.replica.path, config.replica.key_file.as_deref())
                    .map_err(Failure::failed)?;
                Some(uses(&writer.app(app).map_err(Failure::write)?.secrets))
            }
        };
        let by = self.by.map(|by| match by {
            By::Minute => Period::Minute,
            By::Hour => Period::Hour,
            By::Day => Period::Day,
        });
        let filter = Filter { by, since, app: self.app, store: self.store, limit: self.limit };
        let file = usage::path(&real_path(&config.replica.path));
        let report = usage::report(&file, &config.usage.settings, &filter, now).map_err(Failure::failed)?;
        if report.rows.is_empty() && !output.json {
            let why = if config.usage.enabled {
                "no calls are known of this time; a gateway writes them down within a few seconds"
            } else {
                "usage.enabled is false: calls are not counted"
            };
            output.message(why);
        }
        if report.truncated {
            output.message("there are more rows; raise --limit or narrow the question");
        }
        output.result(&Told { report, secrets }, text);
        Ok(())
    }
}

/// Each generation beside the one that came after it; `secrets` are newest first.
fn uses(secrets: &[SecretDetail]) -> Vec<SecretUse> {
    let newer = std::iter::once(None).chain(secrets.iter().map(|newer| Some(newer.created_at)));
    let with_newer = secrets.iter().zip(newer);
    let told = with_newer.map(|(secret, replaced_at)| SecretUse {
        generation: secret.generation,
        created_at: secret.created_at,
        last_used_at: secret.last_used_at,
        replaced_at,
        used_since_replaced: match replaced_at.zip(secret.last_used_at) {
            Some((replaced, minute)) if minute >= replaced => Some(true),
            Some((replaced, minute)) if minute + 60 > replaced => None,
            _ => Some(false),
        },
    });
    told.collect()
}

fn text(told: &Told) -> String {
    let mut text = String::new();
    if !told.report.rows.is_empty() {
        let has_time = told.report.rows.iter().any(|row| row.at.is_some());
        let columns = [
            "TIME", "APP", "STORE", "CALLS", "REFUSED", "BROKEN", "IN", "OUT", "P50 MS", "P99 MS", "REFUSALS",
        ];
        let cells: Vec<_> = told.report.rows.iter().map(|row| cells(row, has_time)).collect();
        text.push_str(&table(&columns[usize::from(!has_time)..], &cells));
    }
    for secret in told.secrets.iter().flatten() {
        text.push_str(&sentence(secret));
    }
    text
}

fn cells(row: &Row, has_time: bool) -> Vec<String> {
    let time = |at: i64| {
        let at = Duration::from_secs(u64::try_from(at).unwrap_or(0).min(253_402_300_799));
        humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + at).to_string()
    };
    let millis = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.2}"));
    let refusals: Vec<String> = row.refusals.iter().map(|(code, count)| format!("{code}={count}")).collect();
    let named = |name: Option<String>| match name.as_deref() {
        None => "-".to_owned(),
        Some("*") => "(others)".to_owned(),
        Some(name) => name.to_owned(),
    };
    let mut cells: Vec<String> = has_time.then(|| row.at.map(time).unwrap_or_default()).into_iter().collect();
    cells.extend([
        named(row.client_id.clone()),
        named(row.store_id.map(|store| store.to_string())),
        row.calls.to_string(),
        row.refused.to_string(),
        row.broken.to_string(),
        bytes(row.bytes_in),
        bytes(row.bytes_out),
        millis(row.p50_ms),
        millis(row.p99_ms),
        refusals.join(" "),
    ]);
    cells
}

/// To three digits.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while size >= 1000.0 && units.len() > 0 {
        size /= 1024.0;
        unit = units.next();
    }
    format!("{size:.1} {}", unit.unwrap_or(&"PiB"))
}

fn sentence(secret: &SecretUse) -> String {
    let used = secret.last_used_at.map_or("never used".to_owned(), |at| format!("last used {}", ago(at)));
    let verdict = match (secret.replaced_at, secret.used_since_replaced) {
        (None, _) => String::new(),
        (Some(at), Some(true)) => format!("; replaced {}, AND USED SINCE", ago(at)),
        (Some(at), Some(false)) => format!("; replaced {}, not used since", ago(at)),
        (Some(at), None) => format!("; replaced {}, used in that minute", ago(at)),
    };
    format!("secret {} made {}, {used}{verdict}\n", secret.generation, ago(secret.created_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::SecretKind;

    #[test]
    fn a_replaced_secret_that_is_used_on_stands_out() {
        let secret = |generation, created_at, last_used_at| SecretDetail {
            generation,
            kind: SecretKind::Sha256,
            created_at,
            expires_at: None,
            last_used_at,
        };
        let rows = [
            (None, Some(false)),
            (Some(60), Some(false)),
            (Some(120), Some(false)),
            (Some(180), None), // the minute in which it was replaced
            (Some(240), Some(true)),
        ];
        for (last_used_at, expected) in rows {
            let told = uses(&[secret(2, 200, Some(300)), secret(1, 100, last_used_at)]);
            assert_eq!((told[0].replaced_at, told[0].used_since_replaced), (None, Some(false)));
            assert_eq!((told[1].replaced_at, told[1].used_since_replaced), (Some(200), expected));
            assert_eq!(sentence(&told[1]).contains("AND USED SINCE"), expected == Some(true));
        }
        assert_eq!(uses(&[]), []);
    }

    #[test]
    fn sizes_are_short() {
        for (count, expected) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (u64::MAX, "16384.0 PiB")]
        {
            assert_eq!(bytes(count), expected);
        }
    }
}
