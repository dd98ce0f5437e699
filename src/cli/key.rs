//! `storegate key …`.

use std::path::Path;

use serde_json::json;

use super::change::{finish, writer};
use super::failure::Failure;
use super::output::{Output, table};
use crate::idp::new_signing_key;
use crate::model::{KeyPurpose, Timestamp};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Sign ID tokens with a new key from now on; what the former one signed stays valid
    Rotate {
        /// Withdraw the former keys: every ID token that they signed is refused. For when a key was stolen
        #[arg(long)]
        revoke_old: bool,
    },
    /// Show the keys that are published, newest first
    List,
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let mut writer = writer(config)?;
        match self {
            Self::Rotate { revoke_old } => {
                let key = new_signing_key(Timestamp::now()).map_err(Failure::failed)?;
                let committed = writer.add_identity_key(&key, revoke_old).map_err(Failure::write)?;
                let kid = &key.kid;
                let json = |(): &()| json!({"kid": kid, "alg": "ES256", "revoked_old": revoke_old});
                finish(output, committed, json, |()| format!("ID tokens are signed with key {kid}"))
            }
            Self::List => {
                let keys = writer.identity_key_names(KeyPurpose::IdToken).map_err(Failure::failed)?;
                let now = Timestamp::now();
                let in_use = keys.iter().position(|(_, starts_at)| *starts_at <= now);
                let state = |position: usize| match in_use {
                    Some(in_use) if position == in_use => "signs",
                    Some(in_use) if position > in_use => "former",
                    _ => "next",
                };
                let rows: Vec<_> =
                    keys.iter().enumerate().map(|(at, (kid, start))| (kid, start.0, state(at))).collect();
                let json: Vec<_> = rows
                    .iter()
                    .map(
                        |(kid, starts_at, state)| json!({"kid": kid, "starts_at": starts_at, "state": state}),
                    )
                    .collect();
                output.result(&json, |_| {
                    let cell = |(kid, starts_at, state): &(&String, i64, &str)| {
                        vec![(*kid).clone(), (*state).to_owned(), starts_at.to_string()]
                    };
                    table(&["KEY", "STATE", "SINCE"], &rows.iter().map(cell).collect::<Vec<_>>())
                });
                Ok(())
            }
        }
    }
}
