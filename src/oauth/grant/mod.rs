//! The grants, one file each: from who asks to what may be issued.

pub(super) mod authorization_code;
pub(super) mod client_credentials;
pub(super) mod implicit;

use std::sync::Arc;

use super::failure::Failure;
use crate::gate::Directory;
use crate::model::{App, Installation, InstallationStatus, ScopeSet, StoreId, StoreStatus};
use crate::replica::{Installed, Replica};

/// What may be issued.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) app: Arc<App>,
    pub(super) store_id: StoreId,
    /// `None`: whatever the installation has when the token is used.
    pub(super) scopes: Option<ScopeSet>,
    /// The generation of the secret that the token ends with.
    pub(super) generation: Option<i64>,
}

/// The store that was named, or the only one in which the app is installed.
pub(super) fn store(replica: &Replica, app: &App, named: Option<StoreId>) -> Result<StoreId, Failure> {
    if let Some(store) = named {
        return Ok(store);
    }
    match replica.installed(app.app_id)? {
        Installed::In(store) => Ok(store),
        Installed::Nowhere => Err(Failure::NotInstalled),
        Installed::Several => Err(Failure::malformed(
            "The app is installed in several stores: store_id has to say which one is meant.",
        )),
    }
}

/// The active installation of an app in a store that is not suspended.
pub(super) fn installation(
    replica: &Replica,
    app: &App,
    store: StoreId,
) -> Result<Arc<Installation>, Failure> {
    let found = replica.installation(app.app_id, store)?;
    let found = found.filter(|found| found.status == InstallationStatus::Active);
    let installation = found.ok_or(Failure::NotInstalled)?;
    match replica.store(store)?.ok_or(Failure::NotInstalled)?.status {
        StoreStatus::Active => Ok(installation),
        StoreStatus::Suspended => Err(Failure::StoreSuspended),
    }
}
