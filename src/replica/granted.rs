//! Which scopes there are at all: for the check of a configuration, not for decisions.

use std::collections::BTreeSet;
use std::path::Path;

use super::file::{OpenError, open_reader};

const SCOPES: &str = "SELECT scopes FROM apps UNION SELECT scopes FROM installations";

/// Every scope that an app or an installation has. The replica is only read; it must exist.
///
/// # Errors
///
/// [`OpenError`].
pub fn granted_scopes(path: &Path) -> Result<BTreeSet<Box<str>>, OpenError> {
    let conn = open_reader(path)?;
    let read = || {
        let mut scopes = BTreeSet::new();
        let mut statement = conn.prepare(SCOPES)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let list = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            scopes.extend(list.split_ascii_whitespace().map(Box::from));
        }
        Ok(scopes)
    };
    read().map_err(|error: rusqlite::Error| OpenError::sqlite(path, &error))
}
