//! `storegate install` and `storegate uninstall`.

use std::path::Path;

use serde_json::json;

use super::change::{client_id, finish, scopes, store_id, writer};
use super::failure::Failure;
use super::output::Output;
use crate::model::{ClientId, ScopeSet, StoreId};

/// Install an app in a store
#[derive(Debug, clap::Args)]
pub(super) struct Install {
    /// The app's client id
    #[arg(value_parser = client_id)]
    client_id: ClientId,
    /// The store's number
    #[arg(value_parser = store_id)]
    store_id: StoreId,
    /// What the merchant grants, such as "read:orders"; the app's scopes by default
    #[arg(long, value_parser = scopes)]
    scopes: Option<ScopeSet>,
}

impl Install {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let committed = writer(config)?
            .install(&self.client_id, self.store_id, self.scopes.as_ref())
            .map_err(Failure::failed)?;
        finish(
            output,
            committed,
            |id| {
                json!({
                    "installation_id": id, "client_id": self.client_id.as_str(), "store_id": self.store_id.get(),
                })
            },
            |id| format!("installation {id}: {} in store {}", self.client_id, self.store_id),
        )
    }
}

/// End an app's installation in a store
#[derive(Debug, clap::Args)]
pub(super) struct Uninstall {
    /// The app's client id
    #[arg(value_parser = client_id)]
    client_id: ClientId,
    /// The store's number
    #[arg(value_parser = store_id)]
    store_id: StoreId,
}

impl Uninstall {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let committed = writer(config)?.uninstall(&self.client_id, self.store_id).map_err(Failure::failed)?;
        finish(
            output,
            committed,
            |()| {
                json!({
                    "client_id": self.client_id.as_str(), "store_id": self.store_id.get(), "status": "uninstalled",
                })
            },
            |()| format!("{} is uninstalled from store {}", self.client_id, self.store_id),
        )
    }
}
