//! `storegate oauth-client …`.

use std::path::Path;

use serde_json::json;

use super::change::{client_id, finish, scopes, writer};
use super::failure::Failure;
use super::output::{Output, table};
use crate::hasher::hash_client_secret;
use crate::idp::{SCOPES, new_client_id};
use crate::model::{ClientId, ClientType, RedirectUri, ScopeSet, Secret};
use crate::replica::{NewOauthClient, OauthClientSummary, Writer};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Register a website or program where people sign in; its secret is shown once
    Add(Add),
    /// Show all clients
    List,
    /// Make a new secret; the old one is refused from the moment the command returns
    RotateSecret {
        /// The client
        #[arg(value_parser = client_id)]
        client_id: ClientId,
    },
    /// Change what a client may ask for; tokens lose what is taken away when they are refreshed
    SetScopes {
        /// The client
        #[arg(value_parser = client_id)]
        client_id: ClientId,
        /// The scopes, separated by blanks
        #[arg(value_parser = idp_scopes)]
        scopes: ScopeSet,
    },
    /// Refuse a client's requests, codes and tokens, until it is enabled
    Disable {
        /// The client
        #[arg(value_parser = client_id)]
        client_id: ClientId,
    },
    /// Let a client work again
    Enable {
        /// The client
        #[arg(value_parser = client_id)]
        client_id: ClientId,
    },
}

/// Register a website or program where people sign in; its secret is shown once
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// What people are shown
    #[arg(long)]
    name: String,
    /// Where people are sent back to, compared letter by letter; may be repeated
    #[arg(long = "redirect-uri", value_name = "URI", required = true, num_args = 1..)]
    redirect_uris: Vec<String>,
    /// Where people may be sent after they signed out; may be repeated
    #[arg(long = "post-logout-redirect-uri", value_name = "URI", num_args = 1..)]
    post_logout_redirect_uris: Vec<String>,
    /// It runs where it cannot keep a secret (a phone, a browser): it has none and must use PKCE
    #[arg(long)]
    public: bool,
    /// What it may ask for: openid, profile, email, phone, store
    #[arg(long, default_value = "openid profile", value_parser = idp_scopes)]
    scopes: ScopeSet,
}

fn idp_scopes(text: &str) -> Result<ScopeSet, String> {
    let set = scopes(text)?;
    if let Some(unknown) = set.iter().find(|scope| !SCOPES.contains(scope)) {
        return Err(format!("the scope {unknown} is none of {}", SCOPES.join(", ")));
    }
    Ok(set)
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let mut writer = writer(config)?;
        match self {
            Self::Add(add) => add.run(&mut writer, output),
            Self::List => {
                let clients = writer.oauth_clients().map_err(Failure::failed)?;
                output.result(&clients, |clients| list(clients));
                Ok(())
            }
            Self::RotateSecret { client_id } => {
                let secret = Secret::generate("sx_os_").map_err(Failure::failed)?;
                let hash = hash_client_secret(&secret).map_err(Failure::failed)?;
                let committed = writer.set_oauth_client_secret(&client_id, &hash).map_err(Failure::write)?;
                let json =
                    |(): &()| json!({"client_id": client_id.as_str(), "client_secret": secret.expose()});
                let text = |(): &()| {
                    format!("client_secret: {}\nKeep it safe: it is not shown again.", secret.expose())
                };
                finish(output, committed, json, text)
            }
            Self::SetScopes { client_id, scopes } => {
                let committed =
                    writer.set_oauth_client_scopes(&client_id, &scopes).map_err(Failure::write)?;
                let json = |(): &()| json!({"client_id": client_id.as_str(), "scopes": scopes.as_str()});
                finish(output, committed, json, |()| format!("{client_id} may ask for {}", scopes.as_str()))
            }
            Self::Disable { client_id } => set_status(&mut writer, output, &client_id, false),
            Self::Enable { client_id } => set_status(&mut writer, output, &client_id, true),
        }
    }
}

impl Add {
    fn run(self, writer: &mut Writer, output: &Output) -> Result<(), Failure> {
        let client_type = if self.public { ClientType::Public } else { ClientType::Confidential };
        let uris = |uris: &[String]| {
            let parse = |uri: &String| {
                RedirectUri::parse(uri, client_type).map_err(|why| Failure::Usage(format!("{uri}: {why}")))
            };
            uris.iter().map(parse).collect::<Result<Vec<_>, _>>()
        };
        let secret = match client_type {
            ClientType::Public => None,
            ClientType::Confidential => Some(Secret::generate("sx_os_").map_err(Failure::failed)?),
        };
        let new = NewOauthClient {
            client_id: new_client_id().map_err(Failure::failed)?,
            name: self.name,
            secret_hash: secret.as_ref().map(hash_client_secret).transpose().map_err(Failure::failed)?,
            redirect_uris: uris(&self.redirect_uris)?,
            logout_uris: uris(&self.post_logout_redirect_uris)?,
            scopes: self.scopes,
            owner: None,
        };
        let committed = writer.add_oauth_client(&new).map_err(Failure::write)?;
        let kind = if secret.is_some() { "confidential" } else { "public" };
        let id = new.client_id.as_str();
        let json = |number: &i64| {
            json!({
                "client_id_pk": number, "client_id": id, "client_secret": secret.as_ref().map(Secret::expose),
                "client_type": kind, "name": new.name, "scopes": new.scopes.as_str(),
            })
        };
        finish(output, committed, json, |_| match &secret {
            Some(secret) => format!(
                "client_id: {id}\nclient_secret: {}\nKeep it safe: it is not shown again.",
                secret.expose()
            ),
            None => format!("client_id: {id}\nIt is public: it has no secret and must use PKCE."),
        })
    }
}

fn set_status(
    writer: &mut Writer,
    output: &Output,
    client_id: &ClientId,
    is_enabled: bool,
) -> Result<(), Failure> {
    let word = if is_enabled { "enabled" } else { "disabled" };
    let committed = writer.set_oauth_client_status(client_id, is_enabled).map_err(Failure::write)?;
    let json = |(): &()| json!({"client_id": client_id.as_str(), "status": word});
    finish(output, committed, json, |()| format!("{client_id} is {word}"))
}

fn list(clients: &[OauthClientSummary]) -> String {
    let cells: Vec<_> = clients
        .iter()
        .map(|client| {
            vec![
                client.client_id.clone(),
                client.status.clone(),
                client.client_type.to_owned(),
                client.name.clone(),
                client.scopes.clone(),
                client.redirect_uris.join(" "),
            ]
        })
        .collect();
    table(&["CLIENT", "STATUS", "TYPE", "NAME", "SCOPES", "REDIRECT URIS"], &cells)
}
