//! People as signing in reads them: from the file each time, without a cache. A sign-in costs a bcrypt
//! computation anyway, and nothing on the way of a proxied request asks for a person.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::read::{ReadError, malformed, signed, store_id};
use super::reader::Replica;
use super::write::user_number;
use crate::gate::Unavailable;
use crate::model::{Email, Membership, PasswordHash, Profile, StoreId, Subject, User, UserKind, UserStatus};

/// How many accounts with one email address are read: one for each store in which they are a customer.
const MOST_ACCOUNTS: i64 = 16;

const USER: &str = "SELECT kind, number, store_id, name, email, email_verified, picture, phone,
    phone_verified, locale, password_hash, status FROM users";

impl Replica {
    /// The user with this subject, whatever their status.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the answer cannot be known; so for every look-up here.
    pub fn user(&self, subject: Subject) -> Result<Option<User>, Unavailable> {
        self.look_up(|conn| {
            let sql = format!("{USER} WHERE kind = ?1 AND number = ?2");
            one(conn, &sql, params![subject.kind.name(), user_number(subject)])
        })
    }

    /// The customer of a store with this email address, whatever their status.
    ///
    /// # Errors
    ///
    /// As [`Replica::user`].
    pub fn customer_by_email(&self, store: StoreId, email: &Email) -> Result<Option<User>, Unavailable> {
        self.look_up(|conn| {
            let sql = format!("{USER} WHERE email = ?1 AND kind = 'customer' AND coalesce(store_id, 0) = ?2");
            one(conn, &sql, params![email.as_str(), signed(store)])
        })
    }

    /// Everybody with this email address: at most one merchant, and a customer in each of several stores.
    /// Merchants come first.
    ///
    /// # Errors
    ///
    /// As [`Replica::user`].
    pub fn users_by_email(&self, email: &Email) -> Result<Vec<User>, Unavailable> {
        self.look_up(|conn| {
            let sql = format!("{USER} WHERE email = ?1 ORDER BY kind DESC, store_id LIMIT ?2");
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query(params![email.as_str(), MOST_ACCOUNTS])?;
            let mut users = Vec::new();
            while let Some(row) = rows.next()? {
                users.push(user(conn, row)?);
            }
            Ok(users)
        })
    }
}

fn one(conn: &Connection, sql: &str, key: impl rusqlite::Params) -> Result<Option<User>, ReadError> {
    let mut statement = conn.prepare_cached(sql)?;
    statement.query_row(key, |row| Ok(user(conn, row))).optional()?.transpose()
}

fn user(conn: &Connection, row: &Row<'_>) -> Result<User, ReadError> {
    let kind = match &*row.get::<_, String>(0)? {
        "customer" => UserKind::Customer,
        "merchant" => UserKind::Merchant,
        other => return Err(malformed("users", "kind")(other)),
    };
    let number = u64::try_from(row.get::<_, i64>(1)?).map_err(malformed("users", "number"))?;
    let subject = Subject::new(kind, number).ok_or(()).map_err(malformed("users", "number"))?;
    let status = match &*row.get::<_, String>(11)? {
        "active" => UserStatus::Active,
        "disabled" => UserStatus::Disabled,
        other => return Err(malformed("users", "status")(other)),
    };
    let stores = match kind {
        UserKind::Customer => {
            vec![Membership { store_id: store_id(row, 2, "users")?, role: kind.name().to_owned() }]
        }
        UserKind::Merchant => memberships(conn, subject)?,
    };
    let password = row.get::<_, String>(10)?;
    Ok(User {
        subject,
        profile: Profile {
            name: row.get(3)?,
            email: Email::parse(&row.get::<_, String>(4)?).map_err(malformed("users", "email"))?,
            email_verified: row.get(5)?,
            picture: row.get(6)?,
            phone: row.get(7)?,
            phone_verified: row.get(8)?,
            locale: row.get(9)?,
        },
        password: PasswordHash::parse(&password).map_err(malformed("users", "password_hash"))?,
        status,
        stores: stores.into(),
    })
}

fn memberships(conn: &Connection, merchant: Subject) -> Result<Vec<Membership>, ReadError> {
    let mut statement =
        conn.prepare_cached("SELECT store_id, role FROM memberships WHERE merchant = ?1 ORDER BY store_id")?;
    let mut rows = statement.query([user_number(merchant)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Membership { store_id: store_id(row, 0, "memberships")?, role: row.get(1)? });
    }
    Ok(found)
}
