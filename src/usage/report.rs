//! What the file says.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::Settings;
use super::counts::{CLASSES, quantile};
use super::file::{File, FileError, NO_APP, NO_STORE, OTHER_STORE};
use crate::model::{ClientId, StoreId};

/// The most rows of a report.
pub const MOST_ROWS: u32 = 10_000;

/// A length of time that calls are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// 60 s.
    Minute = 0,
    /// 60 minutes.
    Hour = 1,
    /// 24 hours, from midnight UTC.
    Day = 2,
}

impl Period {
    /// Each, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// In seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// The start of the one that a point in time lies in, Unix seconds.
    pub fn start(self, at: i64) -> i64 {
        at - at.rem_euclid(self.seconds())
    }

    /// How long it is known.
    pub fn kept(self, settings: &Settings) -> Duration {
        match self {
            Self::Minute => settings.minutes,
            Self::Hour => settings.hours,
            Self::Day => settings.days,
        }
    }
}

/// Which counts are asked for.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Each period of this length by itself; all together by default.
    pub by: Option<Period>,
    /// Unix seconds: from the start of the period in which this lies.
    pub since: i64,
    /// Of this app only.
    pub app: Option<ClientId>,
    /// Of this store only.
    pub store: Option<StoreId>,
    /// The most rows that are given.
    pub limit: u32,
}

/// What the file says.
#[derive(Debug, PartialEq, Serialize)]
pub struct Report {
    /// Where it begins, Unix seconds.
    pub since: i64,
    /// The rows: the latest first where they are by period, the most calls first elsewhere.
    pub rows: Vec<Row>,
    /// Whether there are more.
    pub truncated: bool,
}

/// Counts of one app in one store.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The start of the period, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
    /// The app; `*` for all without a row of their own, which is no client id; `null` where none was found.
    pub client_id: Option<String>,
    /// The store; `*` and `null` likewise.
    pub store_id: Option<StoreName>,
    /// Requests.
    pub calls: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Of these, broken off.
    pub broken: u64,
    /// Body bytes received from clients.
    pub bytes_in: u64,
    /// Body bytes sent to clients.
    pub bytes_out: u64,
    /// Half of the calls took no longer, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Of 100 calls 99 took no longer, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The refusals by code.
    pub refusals: BTreeMap<String, u64>,
}

/// A store, or all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StoreName {
    /// The store with this id.
    Id(u64),
    /// `*`.
    Others(char),
}

impl std::fmt::Display for StoreName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Others(sign) => sign.fmt(f),
        }
    }
}

/// Reads the counts in `file`; no rows where there is no file yet.
///
/// # Errors
///
/// The file cannot be read, or is another one.
pub fn report(file: &Path, keep: &Settings, filter: &Filter, now: i64) -> Result<Report, FileError> {
    let period = filter.by.unwrap_or_else(|| finest(keep, filter.since, now));
    let since = period.start(filter.since);
    let Some(conn) = File::read(file)? else {
        return Ok(Report { since, rows: Vec::new(), truncated: false });
    };
    let read = || {
        // Rows and their refusals are of one moment.
        let conn = conn.unchecked_transaction()?;
        let mut rows = rows(&conn, filter, period, since)?;
        let limit = filter.limit.min(MOST_ROWS) as usize;
        let truncated = rows.len() > limit;
        rows.truncate(limit);
        refusals(&conn, filter, period, since, &mut rows)?;
        Ok(Report { since, rows: rows.into_iter().map(|(_, row)| row).collect(), truncated })
    };
    read().map_err(|error: rusqlite::Error| FileError::Sqlite {
        path: file.to_owned(),
        reason: error.to_string(),
    })
}

/// The shortest periods that are known for as long as is asked for.
fn finest(keep: &Settings, since: i64, now: i64) -> Period {
    let age = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
    let fits = |period: &Period| period.kept(keep).as_secs() >= age;
    Period::ALL.into_iter().find(fits).unwrap_or(Period::Day)
}

/// Period, app and store as they stand in the file.
type Key = (i64, String, i64);

fn rows(conn: &Connection, filter: &Filter, period: Period, since: i64) -> rusqlite::Result<Vec<(Key, Row)>> {
    let times: Vec<String> = (0..CLASSES).map(|class| format!("sum(t{class})")).collect();
    let (at, group, order) = match filter.by {
        Some(_) => ("at", "at, client_id, store_id", "at DESC, sum(calls) DESC"),
        None => ("0", "client_id, store_id", "sum(calls) DESC"),
    };
    let (app, store) = filter.columns();
    let mut statement = conn.prepare(&format!(
        "SELECT {at}, client_id, store_id, sum(calls), sum(refused), sum(broken), sum(bytes_in), sum(bytes_out),
             {} FROM usage
         WHERE period = ?1 AND at >= ?2 AND client_id = coalesce(?3, client_id)
             AND store_id = coalesce(?4, store_id)
         GROUP BY {group} ORDER BY {order}, client_id, store_id LIMIT ?5",
        times.join(", ")
    ))?;
    let most = i64::from(filter.limit.min(MOST_ROWS)) + 1;
    let mut found = statement.query(params![period as i64, since, app, store, most])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let key: Key = (row.get(0)?, row.get(1)?, row.get(2)?);
        let count = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
        let mut times = [0; CLASSES];
        for (class, time) in times.iter_mut().enumerate() {
            *time = count(8 + class)?;
        }
        let row = Row {
            at: filter.by.map(|_| key.0),
            client_id: Some(key.1.clone()).filter(|client_id| client_id != NO_APP),
            store_id: match key.2 {
                NO_STORE => None,
                OTHER_STORE => Some(StoreName::Others('*')),
                store_id => u64::try_from(store_id).ok().map(StoreName::Id),
            },
            calls: count(3)?,
            refused: count(4)?,
            broken: count(5)?,
            bytes_in: count(6)?,
            bytes_out: count(7)?,
            p50_ms: quantile(&times, 0.5),
            p99_ms: quantile(&times, 0.99),
            refusals: BTreeMap::new(),
        };
        rows.push((key, row));
    }
    Ok(rows)
}

/// Adds the refusals to their rows.
fn refusals(
    conn: &Connection,
    filter: &Filter,
    period: Period,
    since: i64,
    rows: &mut [(Key, Row)],
) -> rusqlite::Result<()> {
    let at = if filter.by.is_some() { "at" } else { "0" };
    // Only of what the rows are of: the latest periods, or few apps.
    let from = rows.iter().filter_map(|(_, row)| row.at).min().unwrap_or(since);
    let (app, store) = filter.columns();
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {at}, client_id, store_id, code, sum(count) FROM refusals
         WHERE period = ?1 AND at >= ?2 AND client_id = coalesce(?3, client_id)
             AND store_id = coalesce(?4, store_id)
         GROUP BY 1, client_id, store_id, code"
    ))?;
    let mut by_key: HashMap<&Key, &mut Row> = rows.iter_mut().map(|(key, row)| (&*key, row)).collect();
    let mut found = statement.query(params![period as i64, from, app, store])?;
    while let Some(row) = found.next()? {
        let key: Key = (row.get(0)?, row.get(1)?, row.get(2)?);
        if let Some(of) = by_key.get_mut(&key) {
            let count = u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0);
            of.refusals.insert(row.get(3)?, count);
        }
    }
    Ok(())
}

impl Filter {
    /// What `client_id` and `store_id` have to be.
    fn columns(&self) -> (Option<&str>, Option<i64>) {
        let store = self.store.and_then(|store| i64::try_from(store.get()).ok());
        (self.app.as_ref().map(ClientId::as_str), store)
    }
}
