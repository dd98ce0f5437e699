//! `POST {base}/clients`: a merchant registers a client, as the platform's dashboard does it for them.
//!
//! It takes JSON alone, which no page elsewhere can send with a merchant's cookies: other origins are
//! refused, and browsers do not send the cookie from there.

use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::http::{Refused, uncached};
use super::request::SCOPES;
use super::{Event, Idp, actor};
use crate::hasher::hash_client_secret;
use crate::model::{
    ClientId, ClientType, PasswordHash, RedirectUri, Requester, ScopeSet, Secret, Subject, UserKind,
};
use crate::replica::{NewOauthClient, WriteError};

/// What a client may ask for unless more is said.
const DEFAULT_SCOPES: &str = "openid profile";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    name: String,
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    #[serde(default)]
    allowed_scopes: Option<Scopes>,
    #[serde(default)]
    client_type: Type,
}

/// As a list, or separated by blanks.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scopes {
    List(Vec<String>),
    Text(String),
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Type {
    #[default]
    Confidential,
    Public,
}

impl Idp {
    /// Registers a client for the merchant who is signed in.
    pub(super) async fn register(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        caller: &Requester,
    ) -> Result<Response, Refused> {
        if !is_json(headers) {
            return Err(Refused::request("Send the client as application/json."));
        }
        if headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes() != self.settings.issuer.as_bytes()) {
            return Err(Refused::forbidden("Clients are registered from the platform's own pages."));
        }
        let session = self.session(headers).await.map_err(|_| Refused::unavailable())?;
        let session = session.ok_or_else(Refused::login)?;
        if session.user.subject.kind != UserKind::Merchant {
            return Err(Refused::forbidden("Only merchants register clients."));
        }
        let asked: Registration = serde_json::from_slice(body)
            .map_err(|error| Refused::request(format!("The client cannot be read: {error}.")))?;
        let (new, secret) = self.made(&asked, session.user.subject).await?;
        let (id, name) = (new.client_id.clone(), new.name.clone());
        let number = self.queue()?.add_oauth_client(new, actor(session.user.subject, caller)).await?;
        let number = number.map_err(|error| match error {
            WriteError::Malformed { .. } => Refused::request(sentence(&error.to_string())),
            WriteError::TooManyClients(..) => Refused::forbidden(sentence(&error.to_string())),
            _ => Refused::unavailable(),
        })?;
        self.note(Event::ClientRegistered, caller, Some(session.user.subject), Some(&id));
        let kind = if secret.is_some() { "confidential" } else { "public" };
        let data = json!({
            "client_id_pk": number, "client_id": id.as_str(), "name": name, "client_type": kind,
            "client_secret": secret.as_ref().map(Secret::expose),
        });
        let body = json!({"message": "Client registered.", "data": data, "status": 200});
        let mut answer = uncached(StatusCode::OK, &body);
        // It is for pages of this origin alone.
        answer.headers_mut().remove(axum::http::header::ACCESS_CONTROL_ALLOW_ORIGIN);
        Ok(answer)
    }
}

impl Idp {
    async fn made(
        &self,
        asked: &Registration,
        owner: Subject,
    ) -> Result<(NewOauthClient, Option<Secret>), Refused> {
        let client_type = match asked.client_type {
            Type::Confidential => ClientType::Confidential,
            Type::Public => ClientType::Public,
        };
        let uris = |uris: &[String]| -> Result<Vec<RedirectUri>, Refused> {
            let parse = |uri: &String| RedirectUri::parse(uri, client_type);
            uris.iter()
                .map(parse)
                .collect::<Result<_, _>>()
                .map_err(|why| Refused::request(sentence(&why.to_string())))
        };
        let scopes = match &asked.allowed_scopes {
            None => DEFAULT_SCOPES.to_owned(),
            Some(Scopes::List(list)) => list.join(" "),
            Some(Scopes::Text(text)) => text.clone(),
        };
        let scopes = ScopeSet::parse(&scopes).map_err(|why| Refused::request(sentence(&why.to_string())))?;
        if let Some(unknown) = scopes.iter().find(|scope| !SCOPES.contains(scope)) {
            return Err(Refused::request(format!("The scope {unknown} is not known here.")));
        }
        let (redirect_uris, logout_uris) =
            (uris(&asked.redirect_uris)?, uris(&asked.post_logout_redirect_uris)?);
        let client_id = new_client_id().map_err(|_| Refused::unavailable())?;
        let secret = match client_type {
            ClientType::Public => None,
            ClientType::Confidential => Some(Secret::generate("sx_os_").map_err(|_| Refused::unavailable())?),
        };
        let hash = match secret.clone() {
            None => None,
            Some(secret) => Some(self.hashed(owner, secret).await?),
        };
        let new = NewOauthClient {
            client_id,
            name: asked.name.clone(),
            secret_hash: hash,
            redirect_uris,
            logout_uris,
            scopes,
            owner: Some(owner),
        };
        Ok((new, secret))
    }

    /// bcrypt takes a while, on a thread of its own: one at a time, and so often for one merchant.
    async fn hashed(&self, owner: Subject, secret: Secret) -> Result<PasswordHash, Refused> {
        self.provider.registrations.draw(owner).map_err(Refused::too_often)?;
        let turn = self.provider.registering.acquire().await.map_err(|_| Refused::unavailable())?;
        let hashed = tokio::task::spawn_blocking(move || hash_client_secret(&secret)).await;
        drop(turn);
        hashed.ok().and_then(Result::ok).ok_or_else(Refused::unavailable)
    }
}

/// `sx_oc_` and 32 hexadecimal digits.
///
/// # Errors
///
/// When the operating system gives no randomness.
pub fn new_client_id() -> Result<ClientId, getrandom::Error> {
    const PREFIX: &str = "sx_oc_";
    let random = Secret::generate(PREFIX)?;
    Ok(ClientId::parse(&random.expose()[..PREFIX.len() + 32]).expect("letters, digits and '_'"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = given.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    media_type.eq_ignore_ascii_case(b"application/json")
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(characters).chain(['.']).collect()
}
