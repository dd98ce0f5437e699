//! `storegate app …`.

use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::change::{client_id, finish, scopes, writer};
use super::failure::Failure;
use super::list::Listing;
use super::output::{Output, table};
use super::when::{ago, until};
use crate::model::{AddressList, AppStatus, ClientId, ScopeSet, Secret, TokenAuth, parse_duration};
use crate::replica::{AppDetail, AppSummary, NewApp, SecretKind, Writer};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an app; its secrets are shown once
    Create(Create),
    /// Show apps, by number
    List(Listing),
    /// Show an app with its secrets' ages and its installations
    Show {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
    },
    /// Refuse the app's credentials as if they were unknown, until it is enabled
    Disable {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
    },
    /// Take the app's credentials again
    Enable {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
    },
    /// Set the networks from which the app may call, in place of the former; with none, from anywhere
    AllowIp {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
        /// 203.0.113.0/24, 2001:db8::/32, or one address
        #[arg(value_name = "CIDR", value_parser = network, required_unless_present = "anywhere")]
        networks: Vec<IpNet>,
        /// No list any more: the app may call from any address
        #[arg(long, conflicts_with = "networks")]
        anywhere: bool,
    },
    /// Make a new client secret; the old one is refused from the moment the command returns
    RotateSecret {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
        /// Take the old secret for this long as well, such as 24h; not at all by default
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        overlap: Option<Duration>,
    },
    /// End the secrets before the newest one, whatever overlap they were given, and the tokens that were obtained with
    /// them
    RevokeOldSecrets {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
    },
    /// Make a new session signing key; tokens of the old one are refused from the moment the command
    /// returns
    RotateSigningKey {
        /// The app's client id
        #[arg(value_parser = client_id)]
        client_id: ClientId,
    },
}

/// A longer key of HMAC-SHA-256 is hashed first (RFC 2104 section 2), so that its hash does as well.
const HMAC_BLOCK: usize = 64;

/// Make an app; its secrets are shown once
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// What people call it
    #[arg(long)]
    name: String,
    /// What installations grant it by default, such as "read:orders write:orders"; nothing by default
    #[arg(long, value_parser = scopes)]
    scopes: Option<ScopeSet>,
    /// Its public identifier; one is made by default
    #[arg(long, value_name = "ID", value_parser = client_id)]
    client_id: Option<ClientId>,
    /// Its secret, or - to read it from standard input, where no process list shows it; one is made
    /// by default
    #[arg(long, value_name = "SECRET")]
    client_secret: Option<String>,
    /// The organization that owns it
    #[arg(long, value_name = "ORG")]
    organization: Option<String>,
    /// A network from which it may call; may be repeated; from anywhere by default
    #[arg(long = "allow-ip", value_name = "CIDR", value_parser = network)]
    allow: Vec<IpNet>,
    /// The only way in which it may authenticate at token endpoints: basic (HTTP Basic) or post (in the
    /// body); either by default
    #[arg(long, value_name = "METHOD", value_parser = token_auth)]
    token_auth: Option<TokenAuth>,
    /// Where the browser may be sent with an authorization code; compared byte for byte; may be repeated
    #[arg(long = "redirect-uri", value_name = "URI", num_args = 1..)]
    redirect_uris: Vec<String>,
}

fn token_auth(text: &str) -> Result<TokenAuth, String> {
    TokenAuth::parse(text).map_err(|why| why.to_string())
}

fn network(text: &str) -> Result<IpNet, String> {
    AddressList::parse_entry(text).map_err(|why| why.to_string())
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let mut writer = writer(config)?;
        match self {
            Self::Create(create) => create.run(&mut writer, output),
            Self::List(listing) => list(&mut writer, listing, output),
            Self::Show { client_id } => {
                let app = writer.app(&client_id).map_err(Failure::write)?;
                output.result(&detail_json(&app), |_| detail_text(&app));
                Ok(())
            }
            Self::Disable { client_id } => {
                set_status(&mut writer, output, &client_id, AppStatus::Disabled, "disabled")
            }
            Self::Enable { client_id } => {
                set_status(&mut writer, output, &client_id, AppStatus::Enabled, "enabled")
            }
            Self::AllowIp { client_id, networks, anywhere: _ } => {
                let committed =
                    writer.set_allowed_addresses(&client_id, &networks).map_err(Failure::write)?;
                let listed: Vec<String> = networks.iter().map(ToString::to_string).collect();
                let json = |(): &()| json!({"client_id": client_id.as_str(), "allowed_addresses": listed});
                finish(output, committed, json, |()| match listed.is_empty() {
                    true => format!("{client_id} may call from anywhere"),
                    false => format!("{client_id} may call from {}", listed.join(", ")),
                })
            }
            Self::RotateSecret { client_id, overlap } => {
                let committed = writer.rotate_secret(&client_id, overlap).map_err(Failure::write)?;
                let json = |secret: &Secret| json!({"client_id": client_id.as_str(), "client_secret": secret.expose()});
                finish(output, committed, json, |secret| once(&[("client_secret", secret)]))
            }
            Self::RevokeOldSecrets { client_id } => {
                let committed = writer.revoke_old_secrets(&client_id).map_err(Failure::write)?;
                let json = |(): &()| json!({"client_id": client_id.as_str(), "revoked": true});
                finish(output, committed, json, |()| {
                    format!("only the newest secret of {client_id} is taken")
                })
            }
            Self::RotateSigningKey { client_id } => {
                let committed = writer.rotate_signing_key(&client_id).map_err(Failure::write)?;
                let json = |key: &Secret| json!({"client_id": client_id.as_str(), "session_signing_key": key.expose()});
                finish(output, committed, json, |key| once(&[("session_signing_key", key)]))
            }
        }
    }
}

impl Create {
    fn run(self, writer: &mut Writer, output: &Output) -> Result<(), Failure> {
        let client_secret = match self.client_secret.as_deref() {
            Some("-") => Some(super::input::secret_line("client secret")?),
            Some(secret) => Some(Secret::new(secret.to_owned())),
            None => None,
        };
        let is_short = client_secret.as_ref().is_some_and(|secret| secret.expose().len() <= HMAC_BLOCK);
        let new = NewApp {
            name: self.name,
            scopes: self.scopes.unwrap_or_default(),
            client_id: self.client_id,
            client_secret,
            organization: self.organization,
            allow: self.allow,
            token_auth: self.token_auth,
            redirect_uris: self.redirect_uris,
        };
        let committed = writer.create_app(new).map_err(Failure::write)?;
        if is_short {
            output.message(
                "Shopify session tokens that are signed with a secret of fewer than 65 bytes cannot be verified, since \
                 only its hash is stored; sign them with the session signing key",
            );
        }
        finish(
            output,
            committed,
            |app| {
                json!({
                    "app_id": app.app_id,
                    "client_id": app.client_id.as_str(),
                    "client_secret": app.client_secret.expose(),
                    "session_signing_key": app.session_signing_key.expose(),
                })
            },
            |app| {
                let secrets = [
                    ("client_secret", &app.client_secret),
                    ("session_signing_key", &app.session_signing_key),
                ];
                format!("app_id: {}\nclient_id: {}\n{}", app.app_id, app.client_id, once(&secrets))
            },
        )
    }
}

/// Secrets, with the remark that they are shown only now.
fn once(secrets: &[(&str, &Secret)]) -> String {
    let mut text = String::new();
    for (name, secret) in secrets {
        text.push_str(&format!("{name}: {}\n", secret.expose()));
    }
    text + "Keep it safe: it is not shown again."
}

fn set_status(
    writer: &mut Writer,
    output: &Output,
    client_id: &ClientId,
    status: AppStatus,
    word: &str,
) -> Result<(), Failure> {
    let committed = writer.set_app_status(client_id, status).map_err(Failure::write)?;
    let json = |(): &()| json!({"client_id": client_id.as_str(), "status": word});
    finish(output, committed, json, |()| format!("{client_id} is {word}"))
}

fn list(writer: &mut Writer, listing: Listing, output: &Output) -> Result<(), Failure> {
    let apps = listing.fetch(|page| writer.apps(page), |app| app.app_id)?;
    let rows: Vec<Value> = apps.iter().map(summary_json).collect();
    output.result(&rows, |_| {
        let cells: Vec<_> = apps
            .iter()
            .map(|app| {
                let (name, scopes) = (app.name.clone(), app.scopes.clone());
                vec![app.app_id.to_string(), app.client_id.clone(), app.status.clone(), name, scopes]
            })
            .collect();
        table(&["APP", "CLIENT ID", "STATUS", "NAME", "SCOPES"], &cells)
    });
    Ok(())
}

fn summary_json(app: &AppSummary) -> Value {
    json!({
        "app_id": app.app_id,
        "client_id": app.client_id,
        "name": app.name,
        "organization": app.organization,
        "scopes": app.scopes,
        "status": app.status,
        "allowed_addresses": app.allowed_addresses,
        "created_at": app.created_at,
    })
}

fn kind_name(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Sha256 => "sha256",
        SecretKind::Bcrypt => "bcrypt",
    }
}

fn detail_json(app: &AppDetail) -> Value {
    let secrets: Vec<Value> = app
        .secrets
        .iter()
        .map(|secret| {
            json!({
                "generation": secret.generation,
                "kind": kind_name(secret.kind),
                "created_at": secret.created_at,
                "expires_at": secret.expires_at,
                "last_used_at": secret.last_used_at,
            })
        })
        .collect();
    let installations: Vec<Value> = app
        .installations
        .iter()
        .map(|found| {
            json!({
                "installation_id": found.installation_id,
                "store_id": found.store_id,
                "scopes": found.scopes,
                "status": found.status,
                "created_at": found.created_at,
            })
        })
        .collect();
    let mut json = summary_json(&app.app);
    json["has_session_signing_key"] = app.has_signing_key.into();
    json["secrets"] = secrets.into();
    json["installations"] = installations.into();
    json
}

fn detail_text(detail: &AppDetail) -> String {
    let app = &detail.app;
    let from = match app.allowed_addresses.is_empty() {
        true => "anywhere".to_owned(),
        false => app.allowed_addresses.join(", "),
    };
    let key = if detail.has_signing_key { "set" } else { "none" };
    let mut text = format!(
        "{} (app {}, {})\nname: {}\nscopes: {}\nmay call from: {from}\nsession signing key: {key}\n",
        app.client_id, app.app_id, app.status, app.name, app.scopes
    );
    let secrets: Vec<_> = detail
        .secrets
        .iter()
        .map(|secret| {
            vec![
                secret.generation.to_string(),
                kind_name(secret.kind).to_owned(),
                ago(secret.created_at),
                secret.last_used_at.map_or_else(|| "never recorded".to_owned(), ago),
                secret.expires_at.map_or_else(|| "-".to_owned(), until),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(&["SECRET", "KIND", "MADE", "LAST USED", "ENDS"], &secrets));
    let installations: Vec<_> = detail
        .installations
        .iter()
        .map(|found| {
            let (number, store) = (found.installation_id.to_string(), found.store_id.to_string());
            vec![number, store, found.status.clone(), found.scopes.clone()]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(&["INSTALLATION", "STORE", "STATUS", "SCOPES"], &installations));
    text
}
