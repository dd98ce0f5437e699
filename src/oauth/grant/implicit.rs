//! Elastic Path's implicit grant: a token for whoever knows the public id of the app. It is meant for
//! browsers, and reaches what the operator's table allows and the installation has.

use std::sync::Arc;

use super::{Granted, installation};
use crate::model::{App, ScopeSet, StoreId};
use crate::oauth::failure::Failure;
use crate::replica::Replica;

/// A limited token of an app in a store. It does not end with a secret: none was shown.
pub(in crate::oauth) fn grant(
    replica: &Replica,
    app: Arc<App>,
    store_id: StoreId,
    allowed: &ScopeSet,
) -> Result<Granted, Failure> {
    let installation = installation(replica, &app, store_id)?;
    let scopes = installation.scopes.intersection(allowed);
    Ok(Granted { app, store_id, scopes: Some(scopes), generation: None })
}
