//! People: customers and merchants, and the stores that merchants work for.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::installations::store_exists;
use super::{Committed, Halt, WriteError, Writer, checked_name};
use crate::model::{PasswordHash, Profile, StoreId, Subject, Timestamp, UserKind, UserStatus};
use crate::replica::audit::{Action, Deed};
use crate::replica::read::signed;

/// What a user is made from.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Who it is.
    pub subject: Subject,
    /// The store of a customer, or the first one of a merchant.
    pub store_id: StoreId,
    /// What a merchant is there, such as `owner`; nothing for customers.
    pub role: Option<String>,
    /// What may be told of them.
    pub profile: Profile,
    /// What proves it is them.
    pub password: PasswordHash,
}

/// A user as `storegate user list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserSummary {
    /// Who it is, such as `customer:42`.
    pub subject: String,
    /// Their name.
    pub name: String,
    /// By which they sign in.
    pub email: String,
    /// `active` or `disabled`.
    pub status: String,
    /// Where they belong, by store.
    pub stores: Vec<UserStore>,
    /// When they were added, in Unix seconds.
    pub created_at: i64,
}

/// A user in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserStore {
    /// The store.
    pub store_id: i64,
    /// `customer`, or what the merchant is there.
    pub role: String,
}

impl Writer {
    /// Adds a user who may sign in.
    ///
    /// # Errors
    ///
    /// The user exists, the email address is taken (among merchants, or among the customers of the
    /// store), there is no such store, a text is malformed, or the replica cannot be changed.
    pub fn add_user(&mut self, new: &NewUser) -> Result<Committed<()>, WriteError> {
        let role = match (new.subject.kind, &new.role) {
            (UserKind::Customer, None) => None,
            (UserKind::Merchant, Some(role)) => Some(checked_role(role)?),
            (UserKind::Customer, Some(_)) => {
                return Err(WriteError::malformed("the role", "customers have none; leave it out"));
            }
            (UserKind::Merchant, None) => {
                return Err(WriteError::malformed("the role", "merchants need one, such as owner or staff"));
            }
        };
        check_profile(&new.profile)?;
        let deed = |(): &()| {
            Deed::new(Action::AddUser, new.subject).with("store_id", signed(new.store_id)).with("role", role)
        };
        self.change(deed, |tx, _, _| {
            store_exists(tx, new.store_id)?;
            if exists(tx, new.subject)? {
                return Err(WriteError::UserExists(new.subject).into());
            }
            let home = (new.subject.kind == UserKind::Customer).then(|| signed(new.store_id));
            let taken: Option<bool> = tx
                .query_row(
                    "SELECT 1 FROM users WHERE email = ?1 AND kind = ?2 AND coalesce(store_id, 0) = ?3",
                    params![new.profile.email.as_str(), new.subject.kind.name(), home.unwrap_or(0)],
                    |row| row.get(0),
                )
                .optional()?;
            if taken.is_some() {
                return Err(WriteError::EmailTaken(new.subject.kind).into());
            }
            tx.execute(
                "INSERT INTO users (kind, number, store_id, name, email, email_verified, picture, phone,
                    phone_verified, locale, password_hash, status, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'active', ?12)",
                params![
                    new.subject.kind.name(),
                    number(new.subject),
                    home,
                    new.profile.name,
                    new.profile.email.as_str(),
                    new.profile.email_verified,
                    new.profile.picture,
                    new.profile.phone,
                    new.profile.phone_verified,
                    new.profile.locale,
                    new.password.as_str(),
                    Timestamp::now().0,
                ],
            )?;
            if let Some(role) = role {
                put_membership(tx, new.subject, new.store_id, role)?;
            }
            Ok(())
        })
    }

    /// Makes a merchant belong to a store (as well), or changes what they are there.
    ///
    /// # Errors
    ///
    /// There is no such merchant or store, the role is malformed, or the replica cannot be changed.
    pub fn join_store(
        &mut self,
        merchant: Subject,
        store_id: StoreId,
        role: &str,
    ) -> Result<Committed<()>, WriteError> {
        let role = checked_role(role)?;
        check_merchant(merchant)?;
        let deed = |(): &()| {
            Deed::new(Action::JoinStore, merchant).with("store_id", signed(store_id)).with("role", role)
        };
        self.change(deed, |tx, _, _| {
            store_exists(tx, store_id)?;
            if !exists(tx, merchant)? {
                return Err(WriteError::NoUser(merchant).into());
            }
            put_membership(tx, merchant, store_id, role)?;
            Ok(())
        })
    }

    /// Ends a merchant's belonging to a store. One who did not belong there stays as they are.
    ///
    /// # Errors
    ///
    /// There is no such merchant, or the replica cannot be changed.
    pub fn leave_store(&mut self, merchant: Subject, store_id: StoreId) -> Result<Committed<()>, WriteError> {
        check_merchant(merchant)?;
        let deed = |(): &()| Deed::new(Action::LeaveStore, merchant).with("store_id", signed(store_id));
        self.change(deed, |tx, _, _| {
            if !exists(tx, merchant)? {
                return Err(WriteError::NoUser(merchant).into());
            }
            let delete = "DELETE FROM memberships WHERE merchant = ?1 AND store_id = ?2";
            tx.execute(delete, params![number(merchant), signed(store_id)])?;
            Ok(())
        })
    }

    /// Sets a user's password.
    ///
    /// # Errors
    ///
    /// There is no such user, or the replica cannot be changed.
    pub fn set_password(
        &mut self,
        subject: Subject,
        password: &PasswordHash,
    ) -> Result<Committed<()>, WriteError> {
        self.set_user(Action::SetPassword, subject, "password_hash", password.as_str())
    }

    /// Lets a user sign in, or no longer.
    ///
    /// # Errors
    ///
    /// There is no such user, or the replica cannot be changed.
    pub fn set_user_status(
        &mut self,
        subject: Subject,
        status: UserStatus,
    ) -> Result<Committed<()>, WriteError> {
        let (status, action) = match status {
            UserStatus::Active => ("active", Action::EnableUser),
            UserStatus::Disabled => ("disabled", Action::DisableUser),
        };
        self.set_user(action, subject, "status", status)
    }

    fn set_user(
        &mut self,
        action: Action,
        subject: Subject,
        column: &'static str,
        value: &str,
    ) -> Result<Committed<()>, WriteError> {
        let deed = |(): &()| Deed::new(action, subject);
        self.change(deed, |tx, _, _| {
            let update = format!("UPDATE users SET {column} = ?3 WHERE kind = ?1 AND number = ?2");
            match tx.execute(&update, params![subject.kind.name(), number(subject), value])? {
                0 => Err(WriteError::NoUser(subject).into()),
                _ => Ok(()),
            }
        })
    }

    /// Every user: customers, then merchants, each by number.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn users(&mut self) -> Result<Vec<UserSummary>, WriteError> {
        self.look(|conn, _| {
            let mut users = conn.prepare(
                "SELECT kind || ':' || number, name, email, status, created_at, kind, number, store_id
                 FROM users ORDER BY kind, number",
            )?;
            let mut stores =
                conn.prepare("SELECT store_id, role FROM memberships WHERE merchant = ?1 ORDER BY store_id")?;
            let rows = users.query_map([], |row| {
                let stores = match row.get::<_, Option<i64>>(7)? {
                    Some(store_id) => vec![UserStore { store_id, role: "customer".into() }],
                    None => stores
                        .query_map([row.get::<_, i64>(6)?], |row| {
                            Ok(UserStore { store_id: row.get(0)?, role: row.get(1)? })
                        })?
                        .collect::<Result<_, _>>()?,
                };
                Ok(UserSummary {
                    subject: row.get(0)?,
                    name: row.get(1)?,
                    email: row.get(2)?,
                    status: row.get(3)?,
                    stores,
                    created_at: row.get(4)?,
                })
            })?;
            rows.collect::<Result<_, _>>().map_err(Halt::from)
        })
    }
}

/// A user's number as SQLite holds it.
pub(in crate::replica) fn number(subject: Subject) -> i64 {
    i64::try_from(subject.number()).expect("a user's number is below 2^53")
}

fn exists(conn: &Connection, subject: Subject) -> rusqlite::Result<bool> {
    let mut statement = conn.prepare_cached("SELECT 1 FROM users WHERE kind = ?1 AND number = ?2")?;
    statement.exists(params![subject.kind.name(), number(subject)])
}

fn put_membership(
    conn: &Connection,
    merchant: Subject,
    store_id: StoreId,
    role: &str,
) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT INTO memberships (merchant, store_id, role) VALUES (?1, ?2, ?3)
         ON CONFLICT (merchant, store_id) DO UPDATE SET role = excluded.role",
        params![number(merchant), signed(store_id), role],
    )
}

fn check_merchant(subject: Subject) -> Result<(), WriteError> {
    match subject.kind {
        UserKind::Merchant => Ok(()),
        UserKind::Customer => {
            Err(WriteError::malformed("the user", "a customer belongs to the store it was added to"))
        }
    }
}

fn checked_role(role: &str) -> Result<&str, WriteError> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    match (1..=64).contains(&role.len()) && role.bytes().all(letter) {
        true => Ok(role),
        false => Err(WriteError::malformed("the role", "1 to 64 small letters, digits, '_' or '-'")),
    }
}

fn check_profile(profile: &Profile) -> Result<(), WriteError> {
    if profile.name.is_empty() {
        return Err(WriteError::malformed("the user's name", "at least one character"));
    }
    checked_name("the user's name", &profile.name)?;
    let is_url = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty())
            && text.len() <= 2048
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'<' && b != b'>')
    };
    let is_phone = |text: &str| {
        let digits = text.strip_prefix('+').unwrap_or_default();
        (4..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let is_locale = |text: &str| {
        (2..=35).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let check = |value: &Option<String>, is_fine: &dyn Fn(&str) -> bool, what, why| match value {
        Some(value) if !is_fine(value) => Err(WriteError::malformed(what, why)),
        _ => Ok(()),
    };
    check(&profile.picture, &is_url, "the picture", "an http or https URL of at most 2048 bytes")?;
    check(&profile.phone, &is_phone, "the phone number", "as in E.164: + and 4 to 15 digits")?;
    check(&profile.locale, &is_locale, "the locale", "a language tag such as en or bn-BD")
}
