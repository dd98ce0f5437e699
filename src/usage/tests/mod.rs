//! The file: what is counted is found again, within its bounds, whatever happens in between.

mod crash;

use std::sync::Arc;

use super::book::{Book, Entry};
use super::file::File;
use super::*;
use crate::gate::Code;
use crate::model::{AddressList, App, AppId, AppStatus, ClientId, StoreId};

/// 2026-01-02T03:04:00Z.
pub(super) const NOON: i64 = 1_767_323_040;

pub(super) fn settings() -> Settings {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    Settings { minutes: days(1), hours: days(30), days: days(400), pairs: 3, top: 2 }
}

fn alerts() -> Alerts {
    Alerts { watch: Watch { learning: 86_400, factor: 5.0, calls: 100 }, webhook: None }
}

pub(super) fn app(number: i64) -> Arc<App> {
    let client_id = ClientId::parse(&format!("sx_app_{number}")).unwrap();
    Arc::new(App {
        app_id: AppId(number),
        header: client_id.as_str().parse().unwrap(),
        client_id,
        status: AppStatus::Enabled,
        secrets: Box::default(),
        session_key: None,
        allowed_addresses: AddressList::default(),
        registration: Default::default(),
    })
}

pub(super) fn sample(app_id: i64, store: u64, verdict: Verdict) -> Sample {
    Sample {
        app: Some(app(app_id)),
        store: StoreId::new(store),
        verdict,
        kind: None,
        proved: true,
        token: None,
        caller: None,
        total_us: 2000,
        bytes_in: 10,
        bytes_out: 1000,
    }
}

fn entries(samples: &[(i64, Sample)]) -> Vec<Entry> {
    let mut book = Book::new(1000);
    samples.iter().for_each(|(at, sample)| book.count(Period::Minute.start(*at), sample));
    book.take()
}

fn asked(by: Option<Period>, since: i64) -> Filter {
    Filter { by, since, app: None, store: None, limit: 100 }
}

fn told(path: &Path, filter: &Filter) -> Vec<(Option<i64>, String, String, u64)> {
    let report = report(path, &settings(), filter, NOON).unwrap();
    let name = |row: &Row| {
        let store = row.store_id.map_or("-".to_owned(), |store| store.to_string());
        (row.at, row.client_id.clone().unwrap_or("-".to_owned()), store, row.calls)
    };
    report.rows.iter().map(name).collect()
}

fn row(at: Option<i64>, client_id: &str, store_id: &str, calls: u64) -> (Option<i64>, String, String, u64) {
    (at, client_id.to_owned(), store_id.to_owned(), calls)
}

#[test]
fn what_is_counted_is_found_by_minute_hour_and_day_and_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    assert_eq!(report(&path, &settings(), &asked(None, 0), NOON).unwrap().rows, [], "no file is no use");
    let refused = Verdict::Refused(Code::InsufficientScope);
    let samples = [
        (NOON - 60, sample(1, 22, Verdict::Forwarded)),
        (NOON, sample(1, 22, Verdict::Forwarded)),
        (NOON + 59, sample(1, 22, refused)),
        (NOON, sample(2, 22, Verdict::Broken)),
        (NOON - 3600, sample(1, 7, Verdict::Forwarded)),
    ];
    let mut file = File::open(&path, 100).unwrap();
    file.add(&entries(&samples)).unwrap();
    file.add(&entries(&samples[..2])).unwrap();
    let hour = Period::Hour.start(NOON);
    let expected = [
        row(Some(NOON), "sx_app_1", "22", 3),
        row(Some(NOON), "sx_app_2", "22", 1),
        row(Some(NOON - 60), "sx_app_1", "22", 2),
        row(Some(NOON - 3600), "sx_app_1", "7", 1),
    ];
    assert_eq!(told(&path, &asked(Some(Period::Minute), 0)), expected);
    let expected = [
        row(Some(hour), "sx_app_1", "22", 5),
        row(Some(hour), "sx_app_2", "22", 1),
        row(Some(hour - 3600), "sx_app_1", "7", 1),
    ];
    assert_eq!(told(&path, &asked(Some(Period::Hour), 0)), expected);
    assert_eq!(told(&path, &asked(Some(Period::Day), 0)).len(), 3);
    let together =
        [row(None, "sx_app_1", "22", 5), row(None, "sx_app_1", "7", 1), row(None, "sx_app_2", "22", 1)];
    assert_eq!(told(&path, &asked(None, NOON - 7200)), together);
    let of_app = Filter { app: ClientId::parse("sx_app_2").ok(), ..asked(None, 0) };
    assert_eq!(told(&path, &of_app), [row(None, "sx_app_2", "22", 1)]);
    let of_store = Filter { store: StoreId::new(7), ..asked(None, 0) };
    assert_eq!(told(&path, &of_store), [row(None, "sx_app_1", "7", 1)]);
    let one = report(&path, &settings(), &Filter { limit: 1, ..asked(None, 0) }, NOON).unwrap();
    let first = &one.rows[0];
    assert!(one.truncated && one.rows.len() == 1);
    assert_eq!((first.calls, first.refused, first.broken), (5, 1, 0));
    assert_eq!((first.bytes_in, first.bytes_out), (50, 5000));
    assert_eq!(first.refusals, [("insufficient_scope".to_owned(), 1)].into());
    assert!(first.p50_ms.unwrap() > 1.0 && first.p99_ms.unwrap() <= 2.5, "{first:?}");
}

#[test]
fn rows_are_bounded_and_nothing_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    let settings = settings();
    let mut samples = Vec::new();
    for store in 1..=20 {
        for app in 1..=20 {
            samples.push((NOON, sample(app, store, Verdict::Forwarded)));
        }
    }
    for _ in 0..3 {
        // Opened anew each time, as after a crash: who has a row is in the file.
        File::open(&path, settings.pairs).unwrap().add(&entries(&samples)).unwrap();
    }
    for by in Period::ALL {
        let rows = told(&path, &asked(Some(by), 0));
        let calls: u64 = rows.iter().map(|(.., calls)| calls).sum();
        assert_eq!(calls, 3 * 400, "{rows:?}");
        assert_eq!(rows.len(), 3 + 3 + 1, "pairs, apps, all others: {rows:?}");
        assert!(rows.iter().any(|(_, app, store, _)| app == "*" && store == "*"), "{rows:?}");
    }
}

#[test]
fn the_book_is_bounded_while_nobody_takes_what_it_holds() {
    let mut book = Book::new(10);
    let mut given = 0;
    for minute in 0..2000 {
        for store in 1..5 {
            book.count(minute * 60, &sample(1, store, Verdict::Forwarded));
            given += 1;
        }
    }
    let lost = book.lost();
    let entries = book.take();
    assert!(entries.len() <= 10 + 1440, "{}", entries.len());
    assert_eq!(entries.iter().map(|entry| entry.counts.calls).sum::<u64>() + lost, given);
    assert!(lost > 0 && book.is_empty());
}

#[test]
fn what_is_old_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    let mut file = File::open(&path, 100).unwrap();
    let refused = Verdict::Refused(Code::NotInstalled);
    let day = 86_400;
    // Those of a day less and more one minute are of one hour and day.
    let ages = [0, day - 60, day + 60, 29 * day, 31 * day, 399 * day, 401 * day];
    let samples: Vec<_> = ages.iter().map(|age| (NOON - age, sample(1, 1, refused))).collect();
    file.add(&entries(&samples)).unwrap();
    assert!(!file.sweep(NOON, &settings()).unwrap());
    let count = |table: &str, period: Period| -> i64 {
        let sql = format!("SELECT count(*) FROM {table} WHERE period = ?1");
        file.connection().query_row(&sql, [period as i64], |row| row.get(0)).unwrap()
    };
    for table in ["usage", "refusals"] {
        assert_eq!(Period::ALL.map(|period| count(table, period)), [2, 3, 5], "{table}");
    }
}

#[test]
fn a_full_disk_loses_nothing_that_fits_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    let mut file = File::open(&path, 100_000).unwrap();
    let many: Vec<_> = (1..2000).map(|store| (NOON, sample(1, store, Verdict::Forwarded))).collect();
    let many = entries(&many);
    file.connection().pragma_update(None, "max_page_count", 8).unwrap();
    let error = file.add(&many).unwrap_err().to_string();
    assert!(error.contains("full"), "{error}");
    assert_eq!(told(&path, &asked(None, 0)), [], "a batch is added whole or not at all");
    file.connection().pragma_update(None, "max_page_count", 1_000_000).unwrap();
    file.add(&many).unwrap();
    assert_eq!(told(&path, &asked(None, 0)).len(), 100);
}

#[test]
fn other_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, but longer than the head of one: ".repeat(30)).unwrap();
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    for path in [text, other] {
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(File::open(&path, 1), Err(FileError::Foreign(_))), "{path:?}");
        let read = report(&path, &settings(), &asked(None, 0), NOON);
        assert!(read.is_err() || read.unwrap().rows.is_empty());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_file_of_another_version_is_left_alone_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    drop(File::open(&path, 1).unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    for error in [File::open(&path, 1).unwrap_err(), File::read(&path).unwrap_err()] {
        let text = error.to_string();
        assert!(
            text.contains("layout 2") && text.contains("knows 1") && text.contains("move it away"),
            "{text}"
        );
    }
    assert!(report(&path, &settings(), &asked(None, 0), NOON).is_err());
    conn.pragma_update(None, "user_version", 1).unwrap();
    File::open(&path, 1).unwrap();
}

#[test]
fn a_file_that_cannot_be_used_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let usage = Usage::start(folder.path().join("missing/usage.db"), settings(), alerts(), |_| {
        "of the key".to_owned()
    })
    .unwrap();
    usage.count(sample(1, 1, Verdict::Forwarded));
    let start = std::time::Instant::now();
    drop(usage);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_end_writes_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    let usage = Usage::start(path.clone(), settings(), alerts(), |_| "of the key".to_owned()).unwrap();
    (0..100).for_each(|_| usage.count(sample(1, 1, Verdict::Forwarded)));
    drop(usage);
    let now = crate::model::Timestamp::now().0;
    let rows = report(&path, &settings(), &asked(None, now - 3600), now).unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.calls).sum::<u64>(), 100);
}
