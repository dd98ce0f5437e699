//! The client credentials grant (RFC 6749 section 4.4).

use super::{Granted, installation};
use crate::model::{ScopeSet, StoreId};
use crate::oauth::client::Authenticated;
use crate::oauth::failure::Failure;
use crate::replica::Replica;

/// Which scopes the token gets.
#[derive(Debug, Clone, Copy)]
pub(in crate::oauth) enum Wanted<'s> {
    /// Whatever the installation has whenever the token is used.
    Everything,
    /// What the installation has now.
    Present,
    /// These, all of which the installation must have (RFC 6749 section 3.3).
    These(&'s ScopeSet),
}

/// A token for an app in a store, without any person.
pub(in crate::oauth) fn grant(
    replica: &Replica,
    client: Authenticated,
    store_id: StoreId,
    wanted: Wanted<'_>,
) -> Result<Granted, Failure> {
    let installation = installation(replica, &client.app, store_id)?;
    let scopes = match wanted {
        Wanted::Everything => None,
        Wanted::Present => Some(installation.scopes.clone()),
        Wanted::These(scopes) if scopes.is_subset(&installation.scopes) => Some(scopes.clone()),
        Wanted::These(_) => return Err(Failure::Scope),
    };
    Ok(Granted { app: client.app, store_id, scopes, generation: Some(client.generation) })
}
