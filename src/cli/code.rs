//! `storegate code …`.

use std::path::Path;

use serde_json::json;

use super::change::{client_id, finish, scopes, store_id, subject, writer};
use super::failure::Failure;
use super::output::Output;
use crate::model::{ClientId, ScopeSet, StoreId, Subject};
use crate::replica::NewGrant;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an authorization code, as a merchant's consent does; it is shown once and counts for 60 s
    Mint {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
        /// The store's number
        #[arg(value_parser = store_id)]
        store_id: StoreId,
        /// The merchant who grants it, such as merchant:7; must belong to the store
        #[arg(long, value_parser = subject)]
        merchant: Subject,
        /// Where the browser would be sent; one of those that the app is registered with
        #[arg(long, value_name = "URI")]
        redirect_uri: String,
        /// What is granted, such as "read:orders"; all that the app asks for by default
        #[arg(long, value_parser = scopes)]
        scopes: Option<ScopeSet>,
    },
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let Self::Mint { client_id, store_id, merchant, redirect_uri, scopes } = self;
        let mut writer = writer(config)?;
        let scopes = match scopes {
            Some(scopes) => scopes,
            None => {
                let app = writer.app(&client_id).map_err(Failure::write)?;
                ScopeSet::parse(&app.app.scopes).map_err(Failure::failed)?
            }
        };
        let grant = NewGrant { client_id, store_id, merchant, scopes, redirect_uri };
        let committed = writer.mint_code(&grant).map_err(Failure::write)?;
        finish(
            output,
            committed,
            |made| json!({"code": made.code.expose(), "expires_at": made.expires_at.0}),
            |made| format!("code: {}\nIt counts once, within 60 s.", made.code.expose()),
        )
    }
}
