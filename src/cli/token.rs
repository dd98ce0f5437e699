//! `storegate token …`.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::change::{client_id, finish, scopes, store_id, writer};
use super::failure::Failure;
use super::output::Output;
use super::when::until;
use crate::model::{ClientId, ScopeSet, Secret, StoreId, parse_duration};
use crate::replica::Revocation;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Issue an access token; it is shown once
    Issue {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
        /// The store's number
        #[arg(value_parser = store_id)]
        store_id: StoreId,
        /// How long it works
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
        ttl: Duration,
        /// Fewer scopes than the installation has; those that it lacks are not granted. By default,
        /// whatever it has
        #[arg(long, value_parser = scopes)]
        scopes: Option<ScopeSet>,
    },
    /// Revoke an access token; it is refused from the moment the command returns
    Revoke {
        /// The token, or - to read it from standard input, where no process list shows it
        token: String,
    },
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let mut writer = writer(config)?;
        match self {
            Self::Issue { client_id, store_id, ttl, scopes } => {
                let committed =
                    writer.issue_token(&client_id, store_id, ttl, scopes.as_ref()).map_err(Failure::write)?;
                finish(
                    output,
                    committed,
                    |issued| {
                        json!({
                            "access_token": issued.access_token.expose(), "expires_at": issued.expires_at.0,
                        })
                    },
                    |issued| {
                        let ends = until(issued.expires_at.0);
                        let token = issued.access_token.expose();
                        format!("access_token: {token}\nends {ends}\nKeep it safe: it is not shown again.")
                    },
                )
            }
            Self::Revoke { token } => {
                let token = match &*token {
                    "-" => super::input::secret_line("token")?,
                    _ => Secret::new(token),
                };
                let committed = writer.revoke_token(&token).map_err(Failure::write)?;
                if *committed.value() == Revocation::NotFound {
                    return Err(Failure::Failed(
                        "there is no token like this here, of any kind; nothing was changed. Session tokens end by \
                         themselves, or with `app rotate-signing-key`"
                            .into(),
                    ));
                }
                finish(output, committed, |_| json!({"revoked": true}), |_| "the token is revoked".to_owned())
            }
        }
    }
}
