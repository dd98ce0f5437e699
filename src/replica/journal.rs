//! The change journal: what triggers write, how a reader follows it, how a writer keeps it short.
//!
//! A reader remembers the last entry that it applied, its number and its time. As long as that very
//! entry is still there, what follows it is complete. When it is gone (trimmed, or another database
//! was copied into the file) the reader cannot know what it missed, and forgets everything.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Transaction, params};

use crate::model::{AppId, InstallationId, StoreId, TokenDigest};

/// How many entries a writer leaves behind. A reader that is further back clears its cache, so that
/// this bounds only the file, never correctness.
const KEPT: i64 = 100_000;

/// A place in the journal: the number of an entry. Numbers only grow.
pub type Position = i64;

/// What one entry says has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// A store.
    Store(StoreId),
    /// An app or its secrets.
    App(&'a str),
    /// An installation.
    Installation(AppId, StoreId, InstallationId),
    /// An access token.
    Token(TokenDigest),
    /// A customer token.
    CustomerToken(TokenDigest),
    /// Anything. Also how an entry is read that this program does not understand: it may be of a
    /// newer one, and what it names must not be kept.
    Everything,
}

/// The entry that a reader applied last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its number.
    pub(super) position: Position,
    /// When it was written, in milliseconds since 1970.
    pub(super) at_ms: i64,
}

/// The newest entry. There is always one, unless a stranger emptied the table.
pub(super) fn newest(conn: &Connection) -> rusqlite::Result<Mark> {
    let mut statement = conn.prepare_cached("SELECT seq, at_ms FROM changes ORDER BY seq DESC LIMIT 1")?;
    let mut rows = statement.query([])?;
    match rows.next()? {
        Some(row) => mark(row),
        None => Ok(Mark { position: 0, at_ms: 0 }),
    }
}

/// Calls `apply` for every entry after `mark`, in order, and gives the place reached; `None` when it
/// cannot be known what came after `mark`, and then `apply` was not called.
pub(super) fn follow(
    conn: &Connection,
    mark_before: Mark,
    mut apply: impl FnMut(Change<'_>, i64),
) -> rusqlite::Result<Option<Mark>> {
    let mut statement =
        conn.prepare_cached("SELECT seq, at_ms, kind, key FROM changes WHERE seq >= ?1 ORDER BY seq")?;
    let mut rows = statement.query([mark_before.position])?;
    let Some(first) = rows.next()? else { return Ok(None) };
    if mark(first)? != mark_before {
        return Ok(None);
    }
    let mut reached = mark_before;
    while let Some(row) = rows.next()? {
        reached = mark(row)?;
        apply(change(row.get_ref(2)?, row.get_ref(3)?).unwrap_or(Change::Everything), reached.at_ms);
    }
    Ok(Some(reached))
}

fn mark(row: &Row<'_>) -> rusqlite::Result<Mark> {
    Ok(Mark { position: row.get(0)?, at_ms: row.get(1)? })
}

fn change<'a>(kind: ValueRef<'a>, key: ValueRef<'a>) -> Option<Change<'a>> {
    match kind.as_str().ok()? {
        "store" => {
            let number = u64::try_from(key.as_i64().ok()?).ok()?;
            StoreId::new(number).map(Change::Store)
        }
        "app" => key.as_str().ok().map(Change::App),
        "installation" => {
            let mut parts = key.as_str().ok()?.splitn(3, ':');
            let app = AppId(parts.next()?.parse().ok()?);
            let store = StoreId::parse(parts.next()?.as_bytes()).ok()?;
            let installation = InstallationId(parts.next()?.parse().ok()?);
            Some(Change::Installation(app, store, installation))
        }
        "token" => digest(key).map(Change::Token),
        "customer_token" => digest(key).map(Change::CustomerToken),
        _ => None,
    }
}

fn digest(key: ValueRef<'_>) -> Option<TokenDigest> {
    key.as_blob().ok()?.try_into().ok().map(TokenDigest)
}

/// Ends a writer's transaction: the entries after `before` get the time of the commit in place of the
/// time of their statement (an import may be long between the two), and old entries go. Gives the
/// position that a reader has to reach.
pub(super) fn settle(tx: &Transaction<'_>, before: Position, now_ms: i64) -> rusqlite::Result<Position> {
    trim(tx)?;
    let mut stamp = tx.prepare_cached("UPDATE changes SET at_ms = ?2 WHERE seq > ?1")?;
    stamp.execute(params![before, now_ms])?;
    Ok(newest(tx)?.position)
}

/// Removes all but the newest entries.
pub(super) fn trim(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut trim =
        tx.prepare_cached("DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - ?1")?;
    trim.execute([KEPT]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::file;

    const SEED: &str = "
        INSERT INTO stores VALUES (22, '', 'a.example', NULL, 'active', 0), (23, '', NULL, NULL, 'active', 0);
        INSERT INTO apps VALUES (7, 'sx_app_1', '', NULL, '', 'enabled', NULL, '', 0, NULL, '');
        INSERT INTO apps VALUES (8, 'sx_app_2', '', NULL, '', 'enabled', NULL, '', 0, NULL, '');
        INSERT INTO app_secrets VALUES (7, 1, 'sha256:', 0, NULL, NULL);
        INSERT INTO installations VALUES (501, 7, 22, '', 'active', 0);
        INSERT INTO access_tokens VALUES (zeroblob(32), 7, 22, NULL, 9, NULL, 0, NULL, NULL, NULL);";

    fn entries(conn: &Connection, after: Mark) -> Vec<String> {
        let mut seen = Vec::new();
        let reached = follow(conn, after, |change, _| {
            let text = match change {
                Change::Token(digest) => format!("token {}", digest.0[0]),
                Change::CustomerToken(digest) => format!("customer token {}", digest.0[0]),
                other => format!("{other:?}"),
            };
            if !seen.contains(&text) {
                seen.push(text);
            }
        });
        assert!(reached.unwrap().is_some());
        seen.sort();
        seen
    }

    /// Every way in which a row that may be cached changes; also those of a stranger with the
    /// `sqlite3` shell, who switched no pragma on.
    #[test]
    fn every_change_of_a_row_is_journalled() {
        const ONE: &str = "App(\"sx_app_1\")";
        const TWO: &str = "App(\"sx_app_2\")";
        const S22: &str = "Store(StoreId(22))";
        const S23: &str = "Store(StoreId(23))";
        const I501: &str = "Installation(AppId(7), StoreId(22), InstallationId(501))";
        const ALL: &str = "Everything";
        let rows: &[(&str, &[&str])] = &[
            ("UPDATE stores SET status = 'suspended' WHERE store_id = 22", &[S22]),
            ("UPDATE stores SET store_id = 24 WHERE store_id = 23", &[ALL, "Store(StoreId(24))"]),
            ("DELETE FROM stores WHERE store_id = 23", &[S23]),
            ("DELETE FROM stores", &[S22, S23]),
            ("INSERT OR REPLACE INTO stores VALUES (23, '', 'a.example', NULL, 'active', 0)", &[S22, S23]),
            ("UPDATE OR REPLACE stores SET domain = 'a.example' WHERE store_id = 23", &[S22, S23]),
            ("UPDATE apps SET status = 'disabled' WHERE app_id = 7", &[ONE]),
            ("UPDATE apps SET client_id = 'x' WHERE app_id = 7", &["App(\"x\")", ALL]),
            ("DELETE FROM apps WHERE app_id = 8", &[ALL]),
            (
                "INSERT OR REPLACE INTO apps VALUES (7, 'x', '', NULL, '', 'enabled', NULL, '', 0, NULL, '')",
                &["App(\"x\")", ALL],
            ),
            (
                "INSERT OR REPLACE INTO apps VALUES (NULL, 'sx_app_1', '', NULL, '', 'enabled', NULL, '', 0, NULL, '')",
                &[ONE, ALL],
            ),
            (
                "INSERT OR REPLACE INTO apps VALUES (8, 'sx_app_2', '', NULL, '', 'disabled', NULL, '', 0, NULL, '')",
                &[TWO],
            ),
            ("INSERT INTO app_secrets VALUES (7, 2, 'sha256:', 0, NULL, NULL)", &[ONE]),
            ("INSERT OR REPLACE INTO app_secrets VALUES (7, 1, 'x', 0, NULL, NULL)", &[ONE]),
            ("UPDATE app_secrets SET hash = 'x'", &[ONE]),
            ("UPDATE app_secrets SET expires_at = 1", &[ONE]),
            ("UPDATE app_secrets SET app_id = 8", &[ONE, TWO]),
            ("UPDATE app_secrets SET last_used_at = 1", &[]),
            ("DELETE FROM app_secrets", &[ONE]),
            ("UPDATE installations SET status = 'uninstalled'", &[I501]),
            (
                "UPDATE installations SET store_id = 23",
                &[ALL, "Installation(AppId(7), StoreId(23), InstallationId(501))"],
            ),
            (
                "INSERT OR REPLACE INTO installations VALUES (501, 8, 23, '', 'active', 0)",
                &[I501, "Installation(AppId(8), StoreId(23), InstallationId(501))"],
            ),
            (
                "INSERT OR REPLACE INTO installations VALUES (502, 7, 22, '', 'active', 0)",
                &[I501, "Installation(AppId(7), StoreId(22), InstallationId(502))"],
            ),
            ("DELETE FROM installations", &[I501]),
            ("UPDATE access_tokens SET revoked_at = 1", &["token 0"]),
            ("UPDATE access_tokens SET token_hash = X'01' || zeroblob(31)", &["token 0", "token 1"]),
            (
                "INSERT OR REPLACE INTO access_tokens VALUES (zeroblob(32), 7, 22, NULL, 9, 1, 0, NULL, NULL, NULL)",
                &["token 0"],
            ),
            (
                "INSERT INTO access_tokens VALUES (zeroblob(32), 7, 22, NULL, 9, 1, 0, NULL, NULL, NULL)
                 ON CONFLICT DO UPDATE SET revoked_at = 1",
                &["token 0"],
            ),
            (
                "INSERT INTO access_tokens VALUES (X'02' || zeroblob(31), 7, 22, NULL, 9, 1, 0, NULL, NULL, NULL)",
                &[],
            ),
            ("DELETE FROM access_tokens", &["token 0"]),
        ];
        for (sql, expected) in rows {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("storegate.db");
            let (conn, _) = file::open_writer(&path).unwrap();
            conn.execute_batch(SEED).unwrap();
            drop(conn);
            let stranger = Connection::open(&path).unwrap();
            stranger.pragma_update(None, "foreign_keys", false).unwrap();
            let before = newest(&stranger).unwrap();
            // UPDATE with a blob needs its type: || makes text.
            stranger
                .execute_batch(
                    &sql.replace("X'01' || zeroblob(31)", &blob(1))
                        .replace("X'02' || zeroblob(31)", &blob(2)),
                )
                .unwrap();
            assert_eq!(entries(&stranger, before), *expected, "{sql}");
        }
    }

    fn blob(first: u8) -> String {
        format!("X'{first:02x}{}'", "00".repeat(31))
    }

    #[test]
    fn a_lost_place_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut conn, _) = file::open_writer(&folder.path().join("storegate.db")).unwrap();
        let start = newest(&conn).unwrap();
        assert_eq!(follow(&conn, start, |_, _| panic!("nothing changed")).unwrap(), Some(start));

        let insert = "INSERT INTO changes (kind, key) WITH RECURSIVE n(x) AS
            (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000) SELECT 'store', x FROM n";
        let tx = conn.transaction().unwrap();
        tx.execute_batch(insert).unwrap();
        let position = settle(&tx, start.position, 5).unwrap();
        tx.commit().unwrap();
        assert_eq!(follow(&conn, start, |_, _| panic!("applied")).unwrap(), None, "trimmed away");
        assert_eq!(newest(&conn).unwrap(), Mark { position, at_ms: 5 });
        let kept: i64 = conn.query_row("SELECT count(*) FROM changes", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, KEPT);

        let other_history = Mark { position, at_ms: 4 };
        assert_eq!(follow(&conn, other_history, |_, _| panic!("applied")).unwrap(), None);
        let ahead = Mark { position: position + 1, at_ms: 5 };
        assert_eq!(follow(&conn, ahead, |_, _| panic!("applied")).unwrap(), None);
        conn.execute_batch("DELETE FROM changes").unwrap();
        assert_eq!(follow(&conn, newest(&conn).unwrap(), |_, _| ()).unwrap(), None, "emptied by a stranger");
    }

    #[test]
    fn an_entry_that_is_not_understood_means_everything() {
        let folder = tempfile::tempdir().unwrap();
        let (conn, _) = file::open_writer(&folder.path().join("storegate.db")).unwrap();
        let start = newest(&conn).unwrap();
        let odd = [
            "'user', 1",
            "'store', 'x'",
            "'store', 0",
            "'store', -1",
            "'app', X'00'",
            "'installation', '1:2'",
            "'installation', '1:02:3'",
            "'installation', '::'",
            "'token', X'00'",
            "'token', 'x'",
            "'all', ''",
        ];
        for values in odd {
            conn.execute_batch(&format!("INSERT INTO changes (kind, key) VALUES ({values})")).unwrap();
        }
        let mut seen = 0;
        follow(&conn, start, |change, _| {
            assert_eq!(change, Change::Everything);
            seen += 1;
        })
        .unwrap();
        assert_eq!(seen, odd.len());
    }
}
