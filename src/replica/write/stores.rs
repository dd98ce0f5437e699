//! Stores.

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::{Committed, Halt, Page, WriteError, Writer, checked_name, checked_organization};
use crate::model::{StoreId, StoreStatus, Timestamp};
use crate::replica::audit::{Action, Deed};
use crate::replica::read::signed;

/// A store as `storegate store list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreSummary {
    /// Its number.
    pub store_id: i64,
    /// Its name; empty: none.
    pub name: String,
    /// The domain by which the Shopify dialect finds it.
    pub domain: Option<String>,
    /// The organization that owns it.
    pub organization: Option<String>,
    /// `active` or `suspended`.
    pub status: String,
    /// When it was added, in Unix seconds.
    pub created_at: i64,
}

impl Writer {
    /// Adds an active store.
    ///
    /// # Errors
    ///
    /// The number or the domain is taken, a text is malformed, or the replica cannot be changed.
    pub fn add_store(
        &mut self,
        store_id: StoreId,
        name: Option<&str>,
        domain: Option<&str>,
        organization: Option<&str>,
    ) -> Result<Committed<()>, WriteError> {
        let name = checked_name("the store's name", name.unwrap_or_default())?;
        let domain = domain.map(checked_domain).transpose()?;
        let organization = organization.map(checked_organization).transpose()?;
        let deed = |(): &()| {
            let deed = subject(Action::AddStore, store_id).with("name", name);
            deed.with("domain", domain.clone()).with("organization", organization)
        };
        self.change(deed, |tx, _, _| {
            let taken: Option<i64> = tx
                .query_row(
                    "SELECT store_id FROM stores WHERE store_id = ?1 OR domain = ?2",
                    params![signed(store_id), domain],
                    |row| row.get(0),
                )
                .optional()?;
            match (taken, &domain) {
                (None, _) => {}
                (Some(taken), Some(domain)) if taken != signed(store_id) => {
                    return Err(WriteError::DomainTaken(domain.clone()).into());
                }
                (Some(_), _) => return Err(WriteError::StoreExists(store_id).into()),
            }
            tx.execute(
                "INSERT INTO stores VALUES (?1, ?2, ?3, ?4, 'active', ?5)",
                params![signed(store_id), name, domain, organization, Timestamp::now().0],
            )?;
            Ok(())
        })
    }

    /// Suspends a store or lets it work again.
    ///
    /// # Errors
    ///
    /// There is no such store, or the replica cannot be changed.
    pub fn set_store_status(
        &mut self,
        store_id: StoreId,
        status: StoreStatus,
    ) -> Result<Committed<()>, WriteError> {
        let (status, action) = match status {
            StoreStatus::Active => ("active", Action::ResumeStore),
            StoreStatus::Suspended => ("suspended", Action::SuspendStore),
        };
        self.change(
            |_| subject(action, store_id),
            |tx, _, _| {
                let update = "UPDATE stores SET status = ?2 WHERE store_id = ?1";
                match tx.execute(update, params![signed(store_id), status])? {
                    0 => Err(WriteError::NoStore(store_id).into()),
                    _ => Ok(()),
                }
            },
        )
    }

    /// Stores, by number.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn stores(&mut self, page: Page<i64>) -> Result<Vec<StoreSummary>, WriteError> {
        self.look(|conn, _| {
            let mut statement =
                conn.prepare_cached(&format!("{SUMMARY} WHERE store_id > ?1 ORDER BY store_id LIMIT ?2"))?;
            let rows = statement.query_map(params![page.after.unwrap_or(0), page.limit], summary)?;
            rows.collect::<Result<_, _>>().map_err(Halt::from)
        })
    }

    /// One store.
    ///
    /// # Errors
    ///
    /// There is no such store, or the replica cannot be read.
    pub fn store(&mut self, store_id: StoreId) -> Result<StoreSummary, WriteError> {
        self.look(|conn, _| {
            let mut statement = conn.prepare_cached(&format!("{SUMMARY} WHERE store_id = ?1"))?;
            let found = statement.query_row([signed(store_id)], summary).optional()?;
            found.ok_or_else(|| WriteError::NoStore(store_id).into())
        })
    }
}

const SUMMARY: &str = "SELECT store_id, name, domain, organization, status, created_at FROM stores";

fn summary(row: &Row<'_>) -> rusqlite::Result<StoreSummary> {
    Ok(StoreSummary {
        store_id: row.get(0)?,
        name: row.get(1)?,
        domain: row.get(2)?,
        organization: row.get(3)?,
        status: row.get(4)?,
        created_at: row.get(5)?,
    })
}

fn subject(action: Action, store_id: StoreId) -> Deed {
    Deed::new(action, format_args!("store:{store_id}"))
}

/// A host name (RFC 1123 section 2.1), lower-cased: domains are compared without regard to case.
pub(in crate::replica) fn checked_domain(text: &str) -> Result<String, WriteError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(WriteError::malformed(
            "the domain",
            format!("{text:?} is no host name, such as shop.example.com"),
        ))
    }
}
