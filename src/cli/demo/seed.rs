//! The demo's stores, apps and tokens, made by the same calls as the commands make them.

use std::path::Path;
use std::time::Duration;

use crate::cli::change;
use crate::cli::failure::Failure;
use crate::model::{AppId, ClientId, InstallationId, ScopeSet, Secret, StoreId, StoreStatus, Timestamp};
use crate::replica::{Committed, NewApp};
use crate::wire::session_token::{self, Claims};

/// The credentials of the demo.
pub(super) struct Seeded {
    pub(super) client_id: ClientId,
    pub(super) client_secret: Secret,
    pub(super) access_token: Secret,
    pub(super) session_token: Secret,
}

/// The store that the credentials act on.
pub(super) const STORE: u64 = 22;
/// A store that is suspended.
pub(super) const SUSPENDED: u64 = 23;

pub(super) fn seed(config: &Path) -> Result<Seeded, Failure> {
    let mut writer = change::writer(config)?;
    let store = |number: u64| StoreId::new(number).ok_or_else(|| Failure::failed("the store's number"));
    let scopes = ScopeSet::parse("read:orders write:orders read:products").map_err(Failure::failed)?;
    let (open, suspended) = (store(STORE)?, store(SUSPENDED)?);
    for (id, name) in [(open, "Nakshi Home"), (suspended, "Padma Tea")] {
        settle(writer.add_store(id, Some(name), None, None).map_err(Failure::failed)?)?;
    }
    let new = NewApp {
        name: "Order Sync".to_owned(),
        scopes,
        client_id: None,
        client_secret: None,
        organization: None,
        allow: Vec::new(),
        token_auth: None,
        redirect_uris: Vec::new(),
    };
    let app = settle(writer.create_app(new).map_err(Failure::failed)?)?;
    for id in [open, suspended] {
        settle(writer.install(&app.client_id, id, None).map_err(Failure::failed)?)?;
    }
    settle(writer.set_store_status(suspended, StoreStatus::Suspended).map_err(Failure::failed)?)?;
    let day = Duration::from_secs(24 * 3600);
    let read_only = ScopeSet::parse("read:orders read:products").map_err(Failure::failed)?;
    let issued = writer.issue_token(&app.client_id, open, day, Some(&read_only)).map_err(Failure::failed)?;
    let access_token = settle(issued)?.access_token;
    let found = writer.session_claims(&app.client_id, open).map_err(Failure::failed)?;
    let now = Timestamp::now();
    let claims = Claims {
        store_id: found.store_id,
        installation_id: InstallationId(found.installation_id),
        app_id: AppId(found.app_id),
        issued_at: now,
        expires_at: now.plus(session_token::MAX_LIFE),
        not_before: None,
    };
    let session_token = Secret::new(session_token::mint(&claims, &found.key));
    Ok(Seeded { client_id: app.client_id, client_secret: app.client_secret, access_token, session_token })
}

/// Waits until the gateway has the change in force.
fn settle<T>(committed: Committed<T>) -> Result<T, Failure> {
    let (value, enforced) = committed.acknowledge();
    enforced.map(|()| value).map_err(Failure::failed)
}
