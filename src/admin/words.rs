//! What calls say, word by word: ids in paths and bodies, scopes, durations.

use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use ipnet::IpNet;
use serde::Deserialize;
use utoipa::IntoParams;

use super::refused::Refused;
use crate::model::TokenAuth;
use crate::model::{
    AddressList, AppId, ClientId, Permission, ScopeSet, StoreId, TokenDigest, parse_duration,
};

/// The body of a call that says everything by its path: empty, or `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The header of calls that make something.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // it describes; call.rs reads the header
pub(super) struct Key {
    /// 1 to 128 visible ASCII characters. A repetition with the same key and body is answered as the first
    /// call was, for ten minutes, and is refused (409 `already_done`) for a day; it never makes anything.
    #[param(rename = "Idempotency-Key", required = false)]
    idempotency_key: Option<String>,
}

/// A store's number in a path; what is none names no store.
pub(super) fn store_in_path(text: &str) -> Result<StoreId, Refused> {
    StoreId::parse(text.as_bytes()).map_err(|_| Refused::NotFound("No such store.".to_owned()))
}

/// An app's public identifier in a path.
pub(super) fn client_in_path(text: &str) -> Result<ClientId, Refused> {
    ClientId::parse(text).map_err(|_| Refused::NotFound("No such app.".to_owned()))
}

/// An app's number in a path.
pub(super) fn app_in_path(text: &str) -> Result<AppId, Refused> {
    number(text).map(AppId).ok_or_else(|| Refused::NotFound("No such app.".to_owned()))
}

/// The number of an installation or an operator in a path.
pub(super) fn number_in_path(what: &str, text: &str) -> Result<i64, Refused> {
    number(text).ok_or_else(|| Refused::NotFound(format!("No such {what}.")))
}

/// One spelling, as for stores.
fn number(text: &str) -> Option<i64> {
    let id = StoreId::parse(text.as_bytes()).ok()?;
    i64::try_from(id.get()).ok()
}

/// The SHA-256 of a token, 64 hexadecimal digits, in a path.
pub(super) fn digest_in_path(text: &str) -> Result<TokenDigest, Refused> {
    digest(text).ok_or_else(|| Refused::NotFound("No such token.".to_owned()))
}

/// The same in a body.
pub(super) fn digest(text: &str) -> Option<TokenDigest> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok().map(TokenDigest)
}

pub(super) fn store_id(number: u64) -> Result<StoreId, Refused> {
    StoreId::new(number)
        .ok_or_else(|| Refused::Invalid("store_id is out of range: 1 to 9007199254740991.".to_owned()))
}

pub(super) fn client_id(text: &str) -> Result<ClientId, Refused> {
    ClientId::parse(text).map_err(|why| Refused::Invalid(format!("client_id is malformed: {why}.")))
}

pub(super) fn scopes(text: &str) -> Result<ScopeSet, Refused> {
    ScopeSet::parse(text).map_err(|why| Refused::Invalid(format!("scopes are malformed: {why}.")))
}

pub(super) fn duration(name: &str, text: &str) -> Result<Duration, Refused> {
    parse_duration(text).map_err(|why| Refused::Invalid(format!("{name}: {why}.")))
}

pub(super) fn networks(texts: &[String]) -> Result<Vec<IpNet>, Refused> {
    let parse = |text: &String| {
        AddressList::parse_entry(text)
            .map_err(|why| Refused::Invalid(format!("allow_ip is malformed: {why}.")))
    };
    texts.iter().map(parse).collect()
}

pub(super) fn token_auth(text: &str) -> Result<TokenAuth, Refused> {
    TokenAuth::parse(text).map_err(|why| Refused::Invalid(format!("token_auth is malformed: {why}.")))
}

pub(super) fn permissions(names: &[String]) -> Result<Vec<Permission>, Refused> {
    let parse = |name: &String| {
        Permission::parse(name).map_err(|why| Refused::Invalid(format!("permissions are malformed: {why}.")))
    };
    names.iter().map(parse).collect()
}
