//! What every command that changes credentials shares: the writer, and the wait until the change is
//! in force.

use std::path::Path;

use serde_json::Value;

use super::failure::{Failure, load};
use super::output::Output;
use crate::model::{ClientId, ScopeSet, StoreId, Subject};
use crate::replica::{Committed, Writer};

/// Opens the replica that the configuration names.
pub(super) fn writer(config: &Path) -> Result<Writer, Failure> {
    let config = load(config)?;
    let writer = Writer::open(&config.replica.path, config.replica.key_file.as_deref());
    Ok(writer.map_err(Failure::failed)?.with_prefixes(config.credentials.prefixes()))
}

/// Waits until every gateway on this machine decides by the change, then prints its result. A new
/// secret is printed even when a gateway hangs: it cannot be read back.
pub(super) fn finish<T>(
    output: &Output,
    committed: Committed<T>,
    json: impl FnOnce(&T) -> Value,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let (value, enforced) = committed.acknowledge();
    output.result(&json(&value), |_| text(&value));
    enforced.map_err(Failure::failed)
}

/// A client id argument.
pub(super) fn client_id(text: &str) -> Result<ClientId, String> {
    ClientId::parse(text).map_err(|why| why.to_string())
}

/// A store id argument.
pub(super) fn store_id(text: &str) -> Result<StoreId, String> {
    StoreId::parse(text.as_bytes()).map_err(|why| why.to_string())
}

/// A scopes argument.
pub(super) fn scopes(text: &str) -> Result<ScopeSet, String> {
    ScopeSet::parse(text).map_err(|why| why.to_string())
}

/// A user argument.
pub(super) fn subject(text: &str) -> Result<Subject, String> {
    Subject::parse(text).map_err(|why| why.to_string())
}
