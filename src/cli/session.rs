//! `storegate session …`: session tokens for testing an embedded app without the dashboard.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::change::{client_id, store_id, writer};
use super::failure::Failure;
use super::output::Output;
use crate::model::{AppId, ClientId, InstallationId, StoreId, Timestamp, parse_duration};
use crate::wire::session_token::{self, Claims, MAX_LIFE};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Sign a session token, as the dashboard would
    Mint {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
        /// The store's number
        #[arg(value_parser = store_id)]
        store_id: StoreId,
        /// How long it works, at most 10m
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = life)]
        ttl: Duration,
    },
}

fn life(text: &str) -> Result<Duration, String> {
    let life = parse_duration(text)?;
    match i64::try_from(life.as_secs()) {
        Ok(seconds) if (1..=MAX_LIFE).contains(&seconds) => Ok(life),
        _ => Err(format!("a session token lives 1s to {MAX_LIFE}s; longer ones are refused")),
    }
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let Self::Mint { client_id, store_id, ttl } = self;
        let found = writer(config)?.session_claims(&client_id, store_id).map_err(Failure::failed)?;
        let now = Timestamp::now();
        let claims = Claims {
            store_id: found.store_id,
            installation_id: InstallationId(found.installation_id),
            app_id: AppId(found.app_id),
            issued_at: now,
            expires_at: now.plus(ttl.as_secs().try_into().unwrap_or(MAX_LIFE)),
            not_before: None,
        };
        let token = session_token::mint(&claims, &found.key);
        let json = json!({"session_token": token, "expires_at": claims.expires_at.0});
        output.result(&json, |_| token.clone());
        Ok(())
    }
}
