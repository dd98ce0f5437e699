//! One line of an import to a checked record. Pure: knows no database.

use std::borrow::Cow;

use data_encoding::HEXLOWER_PERMISSIVE;
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::{AddressList, ClientId, ScopeSet, Secret, SecretHash, StoreId};
use crate::replica::seal::SEALED;
use crate::replica::write::{checked_domain, checked_name, checked_organization, checked_secret};

/// A checked record. `None`: the line does not say.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Store(Store),
    App(Box<App>),
    Installation(Installation),
    AccessToken(AccessToken<'a>),
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) store_id: StoreId,
    pub(super) name: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) status: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct App {
    pub(super) client_id: ClientId,
    pub(super) app_id: Option<i64>,
    pub(super) name: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) secret_hash: Option<SecretHash>,
    pub(super) session_signing_key: Option<Secret>,
    pub(super) scopes: Option<ScopeSet>,
    pub(super) status: Option<&'static str>,
    pub(super) allow_ips: Option<Vec<IpNet>>,
}

#[derive(Debug)]
pub(super) struct Installation {
    pub(super) installation_id: Option<i64>,
    pub(super) client_id: ClientId,
    pub(super) store_id: StoreId,
    pub(super) scopes: Option<ScopeSet>,
    pub(super) status: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct AccessToken<'a> {
    pub(super) digest: [u8; 32],
    /// As it is written; it is checked where it is looked up.
    pub(super) client_id: Cow<'a, str>,
    pub(super) store_id: StoreId,
    /// As it is written; checked once for each spelling.
    pub(super) scopes: Option<Cow<'a, str>>,
    pub(super) expires_at: i64,
    pub(super) revoked_at: Option<i64>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreLine {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    store_id: u64,
    name: Option<String>,
    domain: Option<String>,
    organization: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppLine {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    client_id: String,
    app_id: Option<u64>,
    name: Option<String>,
    organization: Option<String>,
    secret_hash: Option<String>,
    session_signing_key: Option<String>,
    scopes: Option<String>,
    status: Option<String>,
    allow_ips: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstallationLine {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    installation_id: Option<u64>,
    client_id: String,
    store_id: u64,
    scopes: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessTokenLine<'a> {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[serde(borrow)]
    token_hash: Cow<'a, str>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    store_id: u64,
    #[serde(borrow)]
    scopes: Option<Text<'a>>,
    expires_at: i64,
    revoked_at: Option<i64>,
}

/// A text that is not copied where it needs no unescaping; serde borrows no `Cow` inside an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// How a token's line begins as most programs write it: its type need not be looked for.
const TOKEN_LINE: &[u8] = br#"{"type":"access_token","#;

/// Reads one line.
///
/// # Errors
///
/// What is wrong, and what was expected. Values that could be secrets are not repeated.
pub(super) fn parse(line: &[u8]) -> Result<Record<'_>, String> {
    if line.starts_with(TOKEN_LINE) {
        return access_token(json(line)?).map(Record::AccessToken);
    }
    let kind: Kind<'_> = json(line)?;
    match &*kind.kind {
        "store" => store(json(line)?).map(Record::Store),
        "app" => app(json(line)?).map(|app| Record::App(Box::new(app))),
        "installation" => installation(json(line)?).map(Record::Installation),
        "access_token" => access_token(json(line)?).map(Record::AccessToken),
        other => {
            Err(format!("{other:?} is no type of record; expected store, app, installation or access_token"))
        }
    }
}

fn json<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        // The parser sees one line only, so that its line number would mislead.
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        // It repeats unknown names, which must not move the cursor of a terminal.
        let what: String = what.split(char::is_control).collect::<Vec<_>>().join("\u{fffd}");
        format!("column {}: {what}", error.column())
    })
}

fn store(line: StoreLine) -> Result<Store, String> {
    Ok(Store {
        store_id: store_id(line.store_id)?,
        name: name("name", line.name)?,
        domain: line.domain.as_deref().map(checked_domain).transpose().map_err(text)?,
        organization: organization(line.organization)?,
        status: status(line.status, &[("active", "active"), ("suspended", "suspended")])?,
    })
}

fn app(line: AppLine) -> Result<App, String> {
    let secret_hash = line.secret_hash.as_deref().map(SecretHash::parse).transpose();
    let networks =
        line.allow_ips.map(|list| list.iter().map(|text| AddressList::parse_entry(text)).collect());
    Ok(App {
        client_id: client_id(&line.client_id)?,
        app_id: line.app_id.map(|number| id("app_id", number)).transpose()?,
        name: name("name", line.name)?,
        organization: organization(line.organization)?,
        secret_hash: secret_hash.map_err(|why| format!("secret_hash: {why}"))?,
        session_signing_key: line.session_signing_key.map(signing_key).transpose()?,
        scopes: scopes(line.scopes.as_deref())?,
        // "active" is how the other records say that they are in force.
        status: status(
            line.status,
            &[("enabled", "enabled"), ("disabled", "disabled"), ("active", "enabled")],
        )?,
        allow_ips: networks.transpose().map_err(|why| format!("allow_ips: {why}"))?,
    })
}

fn installation(line: InstallationLine) -> Result<Installation, String> {
    Ok(Installation {
        installation_id: line.installation_id.map(|number| id("installation_id", number)).transpose()?,
        client_id: client_id(&line.client_id)?,
        store_id: store_id(line.store_id)?,
        scopes: scopes(line.scopes.as_deref())?,
        status: status(line.status, &[("active", "active"), ("uninstalled", "uninstalled")])?,
    })
}

fn access_token(line: AccessTokenLine<'_>) -> Result<AccessToken<'_>, String> {
    let mut digest = [0u8; 32];
    let hex = line.token_hash.as_bytes();
    if hex.len() != 64 || HEXLOWER_PERMISSIVE.decode_mut(hex, &mut digest).is_err() {
        return Err("token_hash: expected the SHA-256 of the token as 64 hexadecimal digits".into());
    }
    Ok(AccessToken {
        digest,
        client_id: line.client_id,
        store_id: store_id(line.store_id)?,
        scopes: line.scopes.map(|Text(scopes)| scopes),
        expires_at: seconds("expires_at", line.expires_at)?,
        revoked_at: line.revoked_at.map(|at| seconds("revoked_at", at)).transpose()?,
    })
}

/// Checks a scope list.
pub(super) fn scopes(list: Option<&str>) -> Result<Option<ScopeSet>, String> {
    list.map(ScopeSet::parse).transpose().map_err(|why| format!("scopes: {why}"))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn name(what: &'static str, value: Option<String>) -> Result<Option<String>, String> {
    value.as_deref().map(|value| checked_name(what, value)).transpose().map_err(text)?;
    Ok(value)
}

fn organization(value: Option<String>) -> Result<Option<String>, String> {
    value.as_deref().map(checked_organization).transpose().map_err(text)?;
    Ok(value)
}

pub(super) fn client_id(value: &str) -> Result<ClientId, String> {
    ClientId::parse(value).map_err(|why| format!("client_id: {why}"))
}

fn store_id(number: u64) -> Result<StoreId, String> {
    StoreId::new(number).ok_or_else(|| format!("store_id: {number} is not between 1 and {}", StoreId::MAX))
}

fn id(what: &str, number: u64) -> Result<i64, String> {
    let known = i64::try_from(number).ok().filter(|_| (1..=StoreId::MAX).contains(&number));
    known.ok_or_else(|| format!("{what}: {number} is not between 1 and {}", StoreId::MAX))
}

/// Unix seconds up to the year 9999: a time in milliseconds would make a token that never ends.
fn seconds(what: &str, number: i64) -> Result<i64, String> {
    let fine = (0..=253_402_300_799).contains(&number);
    if fine { Ok(number) } else { Err(format!("{what}: {number} is not a time in Unix seconds")) }
}

fn status(value: Option<String>, known: &[(&str, &'static str)]) -> Result<Option<&'static str>, String> {
    let Some(value) = value else { return Ok(None) };
    let found = known.iter().find(|(spelling, _)| *spelling == value);
    let expected = || known.iter().map(|(spelling, _)| *spelling).collect::<Vec<_>>().join(" or ");
    found
        .map(|(_, stored)| Some(*stored))
        .ok_or_else(|| format!("status: {value:?}; expected {}", expected()))
}

fn signing_key(value: String) -> Result<Secret, String> {
    let key = Secret::new(value);
    checked_secret("session_signing_key", &key).map_err(text)?;
    if key.expose().starts_with(SEALED) {
        return Err("session_signing_key: expected the key itself, not its sealed form".into());
    }
    Ok(key)
}
