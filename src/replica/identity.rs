//! What the identity provider looks up: from the file each time, without a cache, so that what was
//! revoked is revoked. Nothing on the way of a proxied request asks for it.

use rusqlite::{OptionalExtension, Row, params};

use super::read::{ReadError, malformed, signed};
use super::reader::Replica;
use super::write::{key_owner, user_number};
use crate::gate::Unavailable;
use crate::model::{
    ClientId, ClientType, Consent, Grant, IdentityToken, KeyPurpose, OauthClient, PasswordHash, RedirectUri,
    ScopeSet, SignIn, StoreId, StoredKey, Subject, Timestamp, TokenDigest, TokenKind, UserKind,
};

/// What somebody granted is shown up to so many clients and stores.
const MOST_CONSENTS: i64 = 500;

impl Replica {
    /// The client of the identity provider with this id, whatever its status.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the answer cannot be known; so for every look-up here.
    pub fn oauth_client(&self, client_id: &ClientId) -> Result<Option<OauthClient>, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT client_number, client_id, name, secret_hash, redirect_uris, logout_uris, scopes,
                    status = 'enabled' FROM oauth_clients WHERE client_id = ?1",
            )?;
            let found = statement.query_row([client_id.as_str()], |row| Ok(oauth_client(row))).optional()?;
            found.transpose()
        })
    }

    /// Who is signed in in the browser with this session, whether by the clock or not.
    ///
    /// # Errors
    ///
    /// As [`Replica::oauth_client`].
    pub fn sign_in(&self, session: &TokenDigest) -> Result<Option<SignIn>, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT kind, number, auth_time, seen_at, ends_at FROM sign_ins WHERE session_hash = ?1",
            )?;
            let found = statement.query_row([&session.0[..]], |row| {
                Ok(subject(row, 0, "sign_ins").and_then(|subject| {
                    Ok(SignIn {
                        subject,
                        auth_time: Timestamp(row.get(2)?),
                        seen_at: Timestamp(row.get(3)?),
                        ends_at: Timestamp(row.get(4)?),
                    })
                }))
            });
            found.optional()?.transpose()
        })
    }

    /// What somebody has granted a client, by store.
    ///
    /// # Errors
    ///
    /// As [`Replica::oauth_client`].
    pub fn consents(
        &self,
        subject: Subject,
        client: &OauthClient,
    ) -> Result<Vec<(Option<StoreId>, ScopeSet)>, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT store_id, scopes FROM consents WHERE kind = ?1 AND number = ?2 AND client_number = ?3
                 LIMIT ?4",
            )?;
            let whose = params![subject.kind.name(), user_number(subject), client.number, MOST_CONSENTS];
            let mut rows = statement.query(whose)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push((store(row.get(0)?), scopes(row, 1, "consents")?));
            }
            Ok(found)
        })
    }

    /// All that somebody has granted, by the client's name.
    ///
    /// # Errors
    ///
    /// As [`Replica::oauth_client`].
    pub fn all_consents(&self, subject: Subject) -> Result<Vec<Consent>, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT c.client_id, c.name, c.redirect_uris, s.store_id, s.scopes, s.given_at,
                    coalesce(o.name, '')
                 FROM consents s JOIN oauth_clients c ON c.client_number = s.client_number
                    LEFT JOIN stores o ON o.store_id = s.store_id
                 WHERE s.kind = ?1 AND s.number = ?2 ORDER BY c.name, c.client_number, s.store_id LIMIT ?3",
            )?;
            let mut rows =
                statement.query(params![subject.kind.name(), user_number(subject), MOST_CONSENTS])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let uris = uris(&row.get::<_, String>(2)?)?;
                found.push(Consent {
                    client: client_id(row, 0)?,
                    client_name: row.get(1)?,
                    client_site: uris.first().map(RedirectUri::site).unwrap_or_default(),
                    store: store(row.get(3)?),
                    store_name: row.get(6)?,
                    scopes: scopes(row, 4, "consents")?,
                    given_at: Timestamp(row.get(5)?),
                });
            }
            Ok(found)
        })
    }

    /// The token with this digest, if it works at `now`: neither expired nor revoked nor, for a refresh
    /// token, used; its client enabled; its owner's account active.
    ///
    /// # Errors
    ///
    /// As [`Replica::oauth_client`].
    pub fn identity_token(
        &self,
        token: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<IdentityToken>, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT g.kind, g.number, g.grant_id, c.client_id, g.store_id, p.scopes, g.auth_time,
                    p.access_hash = ?1, p.issued_at, p.access_expires_at, p.refresh_expires_at,
                    p.replaced_at IS NOT NULL
                 FROM identity_tokens p JOIN identity_grants g ON g.grant_id = p.grant_id
                    JOIN oauth_clients c ON c.client_number = g.client_number
                    JOIN users u ON u.kind = g.kind AND u.number = g.number
                 WHERE (p.access_hash = ?1 OR p.refresh_hash = ?1) AND p.ended_at IS NULL
                    AND g.ended_at IS NULL AND c.status = 'enabled' AND u.status = 'active'",
            )?;
            let found =
                statement.query_row([&token.0[..]], |row| Ok(identity_token(row))).optional()?.transpose()?;
            Ok(found.filter(|(token, is_used)| {
                token.expires_at > now && !(token.kind == TokenKind::Refresh && *is_used)
            }))
        })
        .map(|found| found.map(|(token, _)| token))
    }

    /// The keys of the identity provider, newest first.
    ///
    /// # Errors
    ///
    /// As [`Replica::oauth_client`].
    pub fn identity_keys(&self, purpose: KeyPurpose) -> Result<Vec<StoredKey>, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT kid, private_key, starts_at FROM identity_keys WHERE purpose = ?1
                 ORDER BY starts_at DESC, position DESC",
            )?;
            let mut rows = statement.query([purpose.name()])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                let kid: String = row.get(0)?;
                let sealed = zeroize::Zeroizing::new(row.get::<_, String>(1)?);
                let private = self.sealer().open(&key_owner(&kid), &sealed).map_err(|_| ReadError::Sealed)?;
                keys.push(StoredKey { kid, purpose, private, starts_at: Timestamp(row.get(2)?) });
            }
            Ok(keys)
        })
    }

    /// The names of these keys, newest first: whether anything has changed.
    ///
    /// # Errors
    ///
    /// As [`Replica::oauth_client`].
    pub fn identity_key_names(&self, purpose: KeyPurpose) -> Result<Vec<String>, Unavailable> {
        self.look_up(|conn| {
            let sql =
                "SELECT kid FROM identity_keys WHERE purpose = ?1 ORDER BY starts_at DESC, position DESC";
            let mut statement = conn.prepare_cached(sql)?;
            let names = statement.query_map([purpose.name()], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
    }

    /// The name of an app; `None`: there is no such app.
    ///
    /// # Errors
    ///
    /// As [`Replica::oauth_client`].
    pub fn app_name(&self, client_id: &ClientId) -> Result<Option<String>, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached("SELECT name FROM apps WHERE client_id = ?1")?;
            Ok(statement.query_row([client_id.as_str()], |row| row.get(0)).optional()?)
        })
    }

    /// The name of a store; `None`: there is no such store.
    ///
    /// # Errors
    ///
    /// As [`Replica::oauth_client`].
    pub fn store_name(&self, store: StoreId) -> Result<Option<String>, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached("SELECT name FROM stores WHERE store_id = ?1")?;
            Ok(statement.query_row([signed(store)], |row| row.get(0)).optional()?)
        })
    }
}

fn oauth_client(row: &Row<'_>) -> Result<OauthClient, ReadError> {
    Ok(OauthClient {
        number: row.get(0)?,
        client_id: client_id(row, 1)?,
        name: row.get(2)?,
        secret_hash: row
            .get::<_, Option<String>>(3)?
            .map(|hash| PasswordHash::parse(&hash))
            .transpose()
            .map_err(malformed("oauth_clients", "secret_hash"))?,
        redirect_uris: uris(&row.get::<_, String>(4)?)?.into(),
        logout_uris: uris(&row.get::<_, String>(5)?)?.into(),
        scopes: scopes(row, 6, "oauth_clients")?,
        is_enabled: row.get(7)?,
    })
}

fn identity_token(row: &Row<'_>) -> Result<(IdentityToken, bool), ReadError> {
    let (kind, expires_at) = match row.get(7)? {
        true => (TokenKind::Access, row.get(9)?),
        false => (TokenKind::Refresh, row.get(10)?),
    };
    let grant = Grant {
        id: row.get(2)?,
        client: client_id(row, 3)?,
        subject: subject(row, 0, "identity_grants")?,
        store: row.get::<_, Option<i64>>(4)?.and_then(store),
        scopes: scopes(row, 5, "identity_tokens")?,
        auth_time: Timestamp(row.get(6)?),
        nonce: None,
    };
    let token =
        IdentityToken { kind, grant, issued_at: Timestamp(row.get(8)?), expires_at: Timestamp(expires_at) };
    Ok((token, row.get(11)?))
}

/// What was registered was checked for its client's type; here it is only read.
fn uris(text: &str) -> Result<Vec<RedirectUri>, ReadError> {
    let parse = |uri| RedirectUri::parse(uri, ClientType::Public);
    let all = text.split_ascii_whitespace().map(parse).collect::<Result<_, _>>();
    all.map_err(malformed("oauth_clients", "redirect_uris"))
}

fn scopes(row: &Row<'_>, column: usize, table: &'static str) -> Result<ScopeSet, ReadError> {
    ScopeSet::parse(&row.get::<_, String>(column)?).map_err(malformed(table, "scopes"))
}

fn client_id(row: &Row<'_>, column: usize) -> Result<ClientId, ReadError> {
    ClientId::parse(&row.get::<_, String>(column)?).map_err(malformed("oauth_clients", "client_id"))
}

fn subject(row: &Row<'_>, column: usize, table: &'static str) -> Result<Subject, ReadError> {
    let kind = match &*row.get::<_, String>(column)? {
        "customer" => UserKind::Customer,
        "merchant" => UserKind::Merchant,
        other => return Err(malformed(table, "kind")(other)),
    };
    let number = u64::try_from(row.get::<_, i64>(column + 1)?).map_err(malformed(table, "number"))?;
    Subject::new(kind, number).ok_or(()).map_err(malformed(table, "number"))
}

/// 0 stands for none.
fn store(id: i64) -> Option<StoreId> {
    u64::try_from(id).ok().and_then(StoreId::new)
}
