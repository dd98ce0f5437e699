//! `storegate store …`.

use std::path::Path;

use serde_json::json;

use super::change::{finish, store_id, writer};
use super::failure::Failure;
use super::list::Listing;
use super::output::{Output, table};
use crate::model::{StoreId, StoreStatus};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add a store
    Add {
        /// Its number on the platform, 1 to 9007199254740991
        #[arg(value_parser = store_id)]
        store_id: StoreId,
        /// What people call it
        #[arg(long)]
        name: Option<String>,
        /// Its domain, such as shop.example.com; unique among stores
        #[arg(long)]
        domain: Option<String>,
        /// The organization that owns it
        #[arg(long, value_name = "ORG")]
        organization: Option<String>,
    },
    /// Refuse every request to a store with 403 store_suspended, until it is resumed
    Suspend {
        /// The store's number
        #[arg(value_parser = store_id)]
        store_id: StoreId,
    },
    /// End a suspension
    Resume {
        /// The store's number
        #[arg(value_parser = store_id)]
        store_id: StoreId,
    },
    /// Show stores, by number
    List(Listing),
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let mut writer = writer(config)?;
        let mut set = |store_id: StoreId, status: StoreStatus, word: &str| {
            let committed = writer.set_store_status(store_id, status).map_err(Failure::write)?;
            let json = |(): &()| json!({"store_id": store_id.get(), "status": word});
            finish(output, committed, json, |()| format!("store {store_id} is {word}"))
        };
        match self {
            Self::Suspend { store_id } => set(store_id, StoreStatus::Suspended, "suspended"),
            Self::Resume { store_id } => set(store_id, StoreStatus::Active, "active"),
            Self::Add { store_id, name, domain, organization } => {
                let committed = writer
                    .add_store(store_id, name.as_deref(), domain.as_deref(), organization.as_deref())
                    .map_err(Failure::write)?;
                let json = |(): &()| {
                    json!({
                        "store_id": store_id.get(), "name": name, "domain": domain,
                        "organization": organization, "status": "active",
                    })
                };
                finish(output, committed, json, |()| format!("store {store_id} is added"))
            }
            Self::List(listing) => {
                let stores = listing.fetch(|page| writer.stores(page), |store| store.store_id)?;
                let rows: Vec<_> = stores
                    .iter()
                    .map(|store| {
                        json!({
                            "store_id": store.store_id, "name": store.name, "domain": store.domain,
                            "organization": store.organization, "status": store.status,
                            "created_at": store.created_at,
                        })
                    })
                    .collect();
                output.result(&rows, |_| {
                    let cells: Vec<_> = stores
                        .iter()
                        .map(|store| {
                            let domain = store.domain.clone().unwrap_or_default();
                            vec![store.store_id.to_string(), store.status.clone(), store.name.clone(), domain]
                        })
                        .collect();
                    table(&["STORE", "STATUS", "NAME", "DOMAIN"], &cells)
                });
                Ok(())
            }
        }
    }
}
