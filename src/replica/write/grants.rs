//! Codes and the families of tokens that come of them (RFC 6749 sections 4.1 and 6, RFC 9700 section 4.14).
//!
//! Whether a code or a refresh token is good is decided in the transaction that uses it up, so that of two
//! who come at once one is told that it was used.

use rusqlite::{Connection, OptionalExtension, Row, params};
use subtle::ConstantTimeEq;

use super::{Halt, WriteError};
use crate::gate::Unavailable;
use crate::model::{ClientId, Grant, ScopeSet, StoreId, Subject, Timestamp, TokenDigest, UserKind};
use crate::replica::group::WriteQueue;
use crate::replica::read::signed;
use crate::replica::write::users::number;

/// Exchanged grants of one person to one client that are kept. For one more the oldest goes, of those that ended
/// before the others.
const MOST_GRANTS: i64 = 50;

/// Codes of one person for one client that wait for their exchange. For one more the oldest goes.
const MOST_CODES: i64 = 20;

/// Pairs of one family that are kept, used ones too, whose reuse ends the family: none is forgotten before it
/// expires. A client that refreshes every hour for the month that a token lives makes 720; one that makes more than
/// this does it in a loop, and has its person sign in again.
const MOST_PAIRS: i64 = 3000;

/// What a code stands for.
#[derive(Debug, Clone)]
pub struct NewIdentityGrant {
    /// Of the code.
    pub code: TokenDigest,
    /// To whom it is given.
    pub client: ClientId,
    /// Who gives it.
    pub subject: Subject,
    /// The store that it is about.
    pub store: Option<StoreId>,
    /// What is granted.
    pub scopes: ScopeSet,
    /// Where the code is sent.
    pub redirect_uri: String,
    /// S256 of the client's verifier (RFC 7636 section 4.2).
    pub code_challenge: Option<String>,
    /// For the ID token.
    pub nonce: Option<String>,
    /// When the person proved who they are.
    pub auth_time: Timestamp,
    /// When the code stops working.
    pub expires_at: Timestamp,
}

/// The pair that is issued.
#[derive(Debug, Clone, Copy)]
pub struct NewIdentityPair {
    /// Of the access token.
    pub access: TokenDigest,
    /// Of the refresh token.
    pub refresh: TokenDigest,
    /// When the access token stops working.
    pub access_expires_at: Timestamp,
    /// When the refresh token stops working.
    pub refresh_expires_at: Timestamp,
}

/// A code as a client presents it.
#[derive(Debug, Clone)]
pub struct PresentedCode {
    /// Of the code.
    pub code: TokenDigest,
    /// Who presents it, proved.
    pub client: ClientId,
    /// Where they say it was sent; `None`: they do not say.
    pub redirect_uri: Option<String>,
    /// S256 of the verifier; `None`: there is none.
    pub challenge: Option<String>,
}

/// What came of a code or a refresh token.
#[derive(Debug, Clone)]
pub enum Exchanged {
    /// The pair is issued; its grant has the scopes of the access token.
    Issued(Grant),
    /// Nothing is issued; for the log and the error's description.
    Refused(&'static str),
    /// Refused, because the scopes asked for are not among those granted.
    BeyondGrant,
    /// It was used before. All that came of it has ended with this.
    Reused(Grant),
}

const GRANT: &str = "SELECT g.grant_id, g.kind, g.number, g.store_id, g.scopes, g.auth_time, g.nonce,
    g.ended_at IS NOT NULL, c.client_id, c.scopes, c.status = 'enabled', u.status IS 'active'";
const FROM: &str = "FROM identity_grants g JOIN oauth_clients c ON c.client_number = g.client_number
    LEFT JOIN users u ON u.kind = g.kind AND u.number = g.number";
const GRANT_COLUMNS: usize = 12;

/// A grant with what decides whether it works.
struct Found {
    grant: Grant,
    /// What its client may ask for now.
    allowed: ScopeSet,
    works: bool,
}

impl WriteQueue {
    /// Remembers a code.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the replica cannot be changed, or there is no such client; so for every change
    /// here.
    pub async fn add_identity_grant(&self, new: NewIdentityGrant, now: Timestamp) -> Result<(), Unavailable> {
        self.change(move |tx| add(tx, &new, now)).await
    }

    /// Exchanges a code for a pair of tokens, once.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::add_identity_grant`].
    pub async fn exchange_identity_code(
        &self,
        presented: PresentedCode,
        pair: NewIdentityPair,
        now: Timestamp,
    ) -> Result<Exchanged, Unavailable> {
        self.change(move |tx| redeem(tx, &presented, &pair, now)).await
    }

    /// Exchanges a refresh token for a new pair, once; `asked` narrows the scopes of the access token.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::add_identity_grant`].
    pub async fn refresh_identity(
        &self,
        refresh: TokenDigest,
        client: ClientId,
        asked: Option<ScopeSet>,
        pair: NewIdentityPair,
        now: Timestamp,
    ) -> Result<Exchanged, Unavailable> {
        self.change(move |tx| exchange(tx, &refresh, &client, asked.as_ref(), &pair, now)).await
    }

    /// Ends what a token stands for, if it was issued to this client, and tells whether it was: an access token its
    /// pair, a refresh token all that came of the same grant (RFC 7009 section 2.1).
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::add_identity_grant`].
    pub async fn revoke_identity_token(
        &self,
        token: TokenDigest,
        client: ClientId,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        self.change(move |tx| end_token(tx, &token, Some(&client), now)).await
    }
}

/// Ends what a token stands for; with a `client` only where it was issued to that one. Whether it was found.
pub(super) fn end_token(
    conn: &Connection,
    token: &TokenDigest,
    client: Option<&ClientId>,
    now: Timestamp,
) -> Result<bool, Halt> {
    let mut find = conn.prepare_cached(
        "SELECT p.pair_id, p.grant_id, p.refresh_hash = ?1 FROM identity_tokens p
         JOIN identity_grants g ON g.grant_id = p.grant_id
         JOIN oauth_clients c ON c.client_number = g.client_number
         WHERE (p.access_hash = ?1 OR p.refresh_hash = ?1) AND (?2 IS NULL OR c.client_id = ?2)",
    )?;
    let found = find.query_row(params![&token.0[..], client.map(ClientId::as_str)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
    });
    let Some((pair, grant, is_refresh)) = found.optional()? else { return Ok(false) };
    if is_refresh {
        end_grant(conn, grant, now)?;
    }
    let end = "UPDATE identity_tokens SET ended_at = coalesce(ended_at, ?2) WHERE pair_id = ?1";
    conn.prepare_cached(end)?.execute(params![pair, now.0])?;
    Ok(true)
}

fn add(conn: &Connection, new: &NewIdentityGrant, now: Timestamp) -> Result<(), Halt> {
    let client = client_number(conn, &new.client)?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO identity_grants (code_hash, client_number, kind, number, store_id, scopes,
            redirect_uri, code_challenge, nonce, auth_time, created_at, code_expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    insert.execute(params![
        &new.code.0[..],
        client,
        new.subject.kind.name(),
        number(new.subject),
        new.store.map(signed),
        new.scopes.as_str(),
        new.redirect_uri,
        new.code_challenge,
        new.nonce,
        new.auth_time.0,
        now.0,
        new.expires_at.0,
    ])?;
    trim_grants(conn, new, client)
}

/// Removes what is over [`MOST_GRANTS`] and [`MOST_CODES`].
fn trim_grants(conn: &Connection, new: &NewIdentityGrant, client: i64) -> Result<(), Halt> {
    for (which, order, most) in [
        ("redeemed_at IS NULL", "grant_id DESC", MOST_CODES),
        ("redeemed_at IS NOT NULL", "ended_at IS NOT NULL, grant_id DESC", MOST_GRANTS),
    ] {
        let mut surplus = conn.prepare_cached(&format!(
            "SELECT grant_id FROM identity_grants WHERE kind = ?1 AND number = ?2 AND client_number = ?3
                AND {which} ORDER BY {order} LIMIT -1 OFFSET ?4"
        ))?;
        let of = params![new.subject.kind.name(), number(new.subject), client, most];
        let surplus = surplus.query_map(of, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        for grant in surplus {
            for table in ["identity_tokens", "identity_grants"] {
                conn.prepare_cached(&format!("DELETE FROM {table} WHERE grant_id = ?1"))?.execute([grant])?;
            }
        }
    }
    Ok(())
}

fn redeem(
    conn: &Connection,
    presented: &PresentedCode,
    pair: &NewIdentityPair,
    now: Timestamp,
) -> Result<Exchanged, Halt> {
    let sql = format!(
        "{GRANT}, g.redirect_uri, g.code_challenge, g.code_expires_at, g.redeemed_at IS NOT NULL {FROM}
         WHERE g.code_hash = ?1"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([&presented.code.0[..]])?;
    let Some(row) = rows.next()? else { return Ok(Exchanged::Refused("there is no such code")) };
    let found = found(row)?;
    let redirect_uri: String = row.get(GRANT_COLUMNS)?;
    let challenge: Option<String> = row.get(GRANT_COLUMNS + 1)?;
    let expires_at = Timestamp(row.get(GRANT_COLUMNS + 2)?);
    let is_redeemed: bool = row.get(GRANT_COLUMNS + 3)?;
    drop(rows);
    if found.grant.client != presented.client {
        // Not used up: a stranger's attempt must not cost the owner of the code their sign-in.
        return Ok(Exchanged::Refused("the code was issued to another client"));
    }
    if is_redeemed {
        end_grant(conn, found.grant.id, now)?;
        return Ok(Exchanged::Reused(found.grant));
    }
    let sql = "UPDATE identity_grants SET redeemed_at = ?2 WHERE grant_id = ?1";
    conn.prepare_cached(sql)?.execute(params![found.grant.id, now.0])?;
    let sent_elsewhere = match &presented.redirect_uri {
        Some(uri) => *uri != redirect_uri,
        None => challenge.is_none(), // with PKCE the verifier proves as much (OAuth 2.1)
    };
    let refusal = if expires_at <= now {
        Some("the code has expired")
    } else if sent_elsewhere {
        Some("the redirect_uri is not the one that the code was sent to")
    } else if !same_challenge(challenge.as_deref(), presented.challenge.as_deref()) {
        Some("the code_verifier does not match")
    } else if !found.works {
        Some("the client, the account or the grant has ended")
    } else {
        None
    };
    if let Some(why) = refusal {
        end_grant(conn, found.grant.id, now)?;
        return Ok(Exchanged::Refused(why));
    }
    issue(conn, found, None, pair, now)
}

fn exchange(
    conn: &Connection,
    refresh: &TokenDigest,
    client: &ClientId,
    asked: Option<&ScopeSet>,
    pair: &NewIdentityPair,
    now: Timestamp,
) -> Result<Exchanged, Halt> {
    let sql = format!(
        "{GRANT}, p.pair_id, p.refresh_expires_at, p.replaced_at IS NOT NULL, p.ended_at IS NOT NULL
         {FROM} JOIN identity_tokens p ON p.grant_id = g.grant_id WHERE p.refresh_hash = ?1"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([&refresh.0[..]])?;
    let Some(row) = rows.next()? else {
        return Ok(Exchanged::Refused("there is no such refresh token"));
    };
    let found = found(row)?;
    let pair_id: i64 = row.get(GRANT_COLUMNS)?;
    let expires_at = Timestamp(row.get(GRANT_COLUMNS + 1)?);
    let (is_replaced, is_ended): (bool, bool) = (row.get(GRANT_COLUMNS + 2)?, row.get(GRANT_COLUMNS + 3)?);
    drop(rows);
    if found.grant.client != *client {
        return Ok(Exchanged::Refused("the refresh token was issued to another client"));
    }
    if is_replaced {
        // The thief or the owner comes second: nobody can tell which, so that both start anew.
        end_grant(conn, found.grant.id, now)?;
        return Ok(Exchanged::Reused(found.grant));
    }
    if is_ended || !found.works {
        return Ok(Exchanged::Refused("the refresh token was revoked"));
    }
    if expires_at <= now {
        return Ok(Exchanged::Refused("the refresh token has expired"));
    }
    if asked.is_some_and(|asked| !asked.is_subset(&found.grant.scopes)) {
        return Ok(Exchanged::BeyondGrant);
    }
    let sql = "UPDATE identity_tokens SET replaced_at = ?2 WHERE pair_id = ?1";
    conn.prepare_cached(sql)?.execute(params![pair_id, now.0])?;
    issue(conn, found, asked, pair, now)
}

fn issue(
    conn: &Connection,
    found: Found,
    asked: Option<&ScopeSet>,
    pair: &NewIdentityPair,
    now: Timestamp,
) -> Result<Exchanged, Halt> {
    let mut scopes = found.grant.scopes.intersection(&found.allowed);
    if let Some(asked) = asked {
        scopes = scopes.intersection(asked);
    }
    if scopes.as_str().is_empty() {
        return Ok(Exchanged::Refused("the client may ask for none of the scopes any more"));
    }
    let count = "SELECT count(*) FROM identity_tokens WHERE grant_id = ?1";
    let pairs: i64 = conn.prepare_cached(count)?.query_row([found.grant.id], |row| row.get(0))?;
    if pairs >= MOST_PAIRS {
        end_grant(conn, found.grant.id, now)?;
        return Ok(Exchanged::Refused("too many tokens came of one sign-in"));
    }
    let mut insert = conn.prepare_cached(
        "INSERT INTO identity_tokens (grant_id, access_hash, refresh_hash, scopes, issued_at,
            access_expires_at, refresh_expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    insert.execute(params![
        found.grant.id,
        &pair.access.0[..],
        &pair.refresh.0[..],
        scopes.as_str(),
        now.0,
        pair.access_expires_at.0,
        pair.refresh_expires_at.0,
    ])?;
    Ok(Exchanged::Issued(Grant { scopes, ..found.grant }))
}

/// Ends a family of tokens.
fn end_grant(conn: &Connection, grant: i64, now: Timestamp) -> Result<(), Halt> {
    let sql = "UPDATE identity_grants SET ended_at = coalesce(ended_at, ?2) WHERE grant_id = ?1";
    conn.prepare_cached(sql)?.execute(params![grant, now.0])?;
    Ok(())
}

/// The number of a client.
pub(super) fn client_number(conn: &Connection, client: &ClientId) -> Result<i64, Halt> {
    let sql = "SELECT client_number FROM oauth_clients WHERE client_id = ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement.query_row([client.as_str()], |row| row.get(0)).optional()?;
    found.ok_or_else(|| WriteError::NoOauthClient(client.clone()).into())
}

/// Both absent, or equal. A verifier without a challenge is refused too (RFC 9700 section 4.8.2).
fn same_challenge(stored: Option<&str>, presented: Option<&str>) -> bool {
    match (stored, presented) {
        (None, None) => true,
        (Some(stored), Some(presented)) => bool::from(stored.as_bytes().ct_eq(presented.as_bytes())),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn found(row: &Row<'_>) -> Result<Found, Halt> {
    let broken = |what: &'static str| WriteError::malformed(what, "the replica holds another form");
    let kind = match &*row.get::<_, String>(1)? {
        "customer" => UserKind::Customer,
        _ => UserKind::Merchant,
    };
    let number = u64::try_from(row.get::<_, i64>(2)?).ok();
    let subject = number.and_then(|number| Subject::new(kind, number)).ok_or(broken("a subject"))?;
    let store = row.get::<_, Option<i64>>(3)?.and_then(|id| u64::try_from(id).ok()).and_then(StoreId::new);
    let scopes = |column| -> Result<ScopeSet, Halt> {
        ScopeSet::parse(&row.get::<_, String>(column)?).map_err(|_| broken("a list of scopes").into())
    };
    let is_ended: bool = row.get(7)?;
    let (client_works, user_works): (bool, bool) = (row.get(10)?, row.get(11)?);
    Ok(Found {
        grant: Grant {
            id: row.get(0)?,
            client: ClientId::parse(&row.get::<_, String>(8)?).map_err(|_| broken("a client id"))?,
            subject,
            store,
            scopes: scopes(4)?,
            auth_time: Timestamp(row.get(5)?),
            nonce: row.get(6)?,
        },
        allowed: scopes(9)?,
        works: !is_ended && client_works && user_works,
    })
}
