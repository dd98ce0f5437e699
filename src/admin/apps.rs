//! Apps and their secrets. `POST /api/apps/{app_id}/rotate-secret` is the platform's own call (SeloraX,
//! "Client Credentials", Rotating Secrets), so that its dashboard can be pointed here.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::call::{Call, Done};
use super::list::{List, Part};
use super::refused::{ErrorBody, Refused};
use super::words::{Nothing, app_in_path, client_id, client_in_path, duration, networks, scopes, token_auth};
use crate::model::{AppStatus, Permission, Secret};
use crate::replica::{AppDetail, AppSummary, NewApp, SecretDetail, SecretKind};

/// An app.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct App {
    app_id: i64,
    client_id: String,
    name: String,
    organization: Option<String>,
    /// What installations grant where nothing else is said, separated by blanks.
    scopes: String,
    /// `enabled` or `disabled`.
    status: String,
    /// The networks from which it may call; empty: from anywhere.
    allowed_addresses: Vec<String>,
    /// Unix seconds.
    created_at: i64,
}

/// An app with what may be shown of its secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AppWithSecrets {
    #[serde(flatten)]
    app: App,
    has_session_signing_key: bool,
    /// Newest first.
    secrets: Vec<SecretAge>,
}

/// A generation of an app's secret. Times are Unix seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SecretAge {
    generation: i64,
    /// `sha256` or `bcrypt`.
    kind: &'static str,
    created_at: i64,
    /// When it stops working; null: not by the clock.
    expires_at: Option<i64>,
    /// To the minute, as far as it was recorded.
    last_used_at: Option<i64>,
}

/// An app to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AppToMake {
    /// What people call it; at most 200 characters.
    #[schema(max_length = 200)]
    name: String,
    /// What installations grant by default, such as `read:orders write:orders`; nothing by default.
    scopes: Option<String>,
    /// One is made by default.
    #[schema(pattern = "^[A-Za-z0-9._~-]{1,128}$")]
    client_id: Option<String>,
    /// One is made by default.
    client_secret: Option<String>,
    /// The organization that owns it.
    organization: Option<String>,
    /// Networks from which it may call; from anywhere by default.
    #[serde(default)]
    #[schema(max_items = 256)]
    allow_ip: Vec<String>,
    /// How it authenticates itself at token endpoints, where the platform wants one way only: `basic` or
    /// `post`.
    token_auth: Option<String>,
    /// Where authorization codes may be sent.
    #[serde(default)]
    redirect_uris: Vec<String>,
}

/// A new app. The secrets are shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeApp {
    app_id: i64,
    client_id: String,
    client_secret: String,
    session_signing_key: String,
}

/// The networks from which an app may call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Networks {
    /// In place of those before; none: from anywhere. At most 256.
    #[schema(max_items = 256)]
    allow_ip: Vec<String>,
}

/// How a secret is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// How long the old secret is taken as well, such as `24h`; not at all by default.
    overlap: Option<String>,
}

/// A new secret, shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewSecret {
    client_id: String,
    client_secret: String,
}

/// A new session signing key, shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewSigningKey {
    client_id: String,
    session_signing_key: String,
}

impl From<AppSummary> for App {
    fn from(found: AppSummary) -> Self {
        let AppSummary {
            app_id,
            client_id,
            name,
            organization,
            scopes,
            status,
            allowed_addresses,
            created_at,
        } = found;
        Self { app_id, client_id, name, organization, scopes, status, allowed_addresses, created_at }
    }
}

impl From<AppDetail> for AppWithSecrets {
    fn from(found: AppDetail) -> Self {
        let secrets = found.secrets.into_iter().map(SecretAge::from).collect();
        Self { app: found.app.into(), has_session_signing_key: found.has_signing_key, secrets }
    }
}

impl From<SecretDetail> for SecretAge {
    fn from(found: SecretDetail) -> Self {
        let SecretDetail { generation, kind, created_at, expires_at, last_used_at } = found;
        let kind = match kind {
            SecretKind::Sha256 => "sha256",
            SecretKind::Bcrypt => "bcrypt",
        };
        Self { generation, kind, created_at, expires_at, last_used_at }
    }
}

/// Lists apps, by number.
#[utoipa::path(get, path = "/admin/v1/apps", tag = "apps", operation_id = "list_apps", params(Part),
    responses((status = 200, description = "Apps.", body = List<App>),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn list(call: Call) -> Result<Json<List<App>>, Refused> {
    let part: Part = call.query()?;
    let page = part.page("apps")?;
    let found = call.look(Permission::ViewApps, move |writer| Ok(writer.apps(page)?)).await?;
    Ok(Json(List::of("apps", page, found, |app| app.app_id, App::from)))
}

/// Shows an app and the ages of its secrets.
#[utoipa::path(get, path = "/admin/v1/apps/{client_id}", tag = "apps", operation_id = "show_app",
    params(("client_id" = String, Path, description = "The app's client id.")),
    responses((status = 200, description = "The app.", body = AppWithSecrets),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn show(Path(id): Path<String>, call: Call) -> Result<Json<AppWithSecrets>, Refused> {
    let found = call.look(Permission::ViewApps, move |writer| Ok(writer.app(&client_in_path(&id)?)?));
    found.await.map(|app| Json(app.into()))
}

/// Makes an app.
#[utoipa::path(post, path = "/admin/v1/apps", tag = "apps", operation_id = "create_app",
    request_body = AppToMake, params(super::words::Key),
    responses((status = 201, description = "The app is made; its secrets are shown this once.", body = MadeApp),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn create(call: Call) -> Result<Response, Refused> {
    call.create(Permission::ManageApps, StatusCode::CREATED, |writer, new: AppToMake| {
        let made = writer.create_app(NewApp {
            name: new.name,
            scopes: scopes(new.scopes.as_deref().unwrap_or_default())?,
            client_id: new.client_id.as_deref().map(client_id).transpose()?,
            client_secret: new.client_secret.map(Secret::new),
            organization: new.organization,
            allow: networks(&new.allow_ip)?,
            token_auth: new.token_auth.as_deref().map(token_auth).transpose()?,
            redirect_uris: new.redirect_uris,
        })?;
        Ok(Done::of(made, |made| MadeApp {
            app_id: made.app_id,
            client_id: made.client_id.as_str().to_owned(),
            client_secret: made.client_secret.expose().to_owned(),
            session_signing_key: made.session_signing_key.expose().to_owned(),
        }))
    })
    .await
}

/// Switches an app off: its credentials are refused as if they were unknown.
#[utoipa::path(post, path = "/admin/v1/apps/{client_id}/disable", tag = "apps", operation_id = "disable_app",
    params(("client_id" = String, Path, description = "The app's client id.")),
    responses((status = 200, description = "The app.", body = AppWithSecrets),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn disable(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    set(call, id, AppStatus::Disabled).await
}

/// Switches an app on.
#[utoipa::path(post, path = "/admin/v1/apps/{client_id}/enable", tag = "apps", operation_id = "enable_app",
    params(("client_id" = String, Path, description = "The app's client id.")),
    responses((status = 200, description = "The app.", body = AppWithSecrets),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn enable(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    set(call, id, AppStatus::Enabled).await
}

async fn set(call: Call, id: String, status: AppStatus) -> Result<Response, Refused> {
    call.change(Permission::ManageApps, move |writer, _: Nothing| {
        let id = client_in_path(&id)?;
        let changed = writer.set_app_status(&id, status)?;
        let app = AppWithSecrets::from(writer.app(&id)?);
        Ok(Done::of(changed, |()| app))
    })
    .await
}

/// Sets the networks from which an app may call.
#[utoipa::path(put, path = "/admin/v1/apps/{client_id}/allow-ip", tag = "apps", operation_id = "allow_ip",
    params(("client_id" = String, Path, description = "The app's client id.")), request_body = Networks,
    responses((status = 200, description = "The app.", body = AppWithSecrets),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn allow_ip(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    call.change(Permission::ManageApps, move |writer, given: Networks| {
        let id = client_in_path(&id)?;
        let changed = writer.set_allowed_addresses(&id, &networks(&given.allow_ip)?)?;
        let app = AppWithSecrets::from(writer.app(&id)?);
        Ok(Done::of(changed, |()| app))
    })
    .await
}

/// Makes a new client secret. The old one is refused from the answer on, or after the overlap.
#[utoipa::path(post, path = "/admin/v1/apps/{client_id}/rotate-secret", tag = "apps",
    operation_id = "rotate_secret", request_body = Option<Rotation>,
    params(("client_id" = String, Path, description = "The app's client id."), super::words::Key),
    responses((status = 200, description = "The new secret.", body = NewSecret),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn rotate_secret(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    call.create(Permission::ManageApps, StatusCode::OK, move |writer, rotation: Rotation| {
        let id = client_in_path(&id)?;
        let overlap = rotation.overlap.as_deref().map(|text| duration("overlap", text)).transpose()?;
        let rotated = writer.rotate_secret(&id, overlap)?;
        Ok(Done::of(rotated, |secret| NewSecret {
            client_id: id.as_str().to_owned(),
            client_secret: secret.expose().to_owned(),
        }))
    })
    .await
}

/// Makes a new session signing key. Tokens of the old one are refused from the answer on.
#[utoipa::path(post, path = "/admin/v1/apps/{client_id}/rotate-signing-key", tag = "apps",
    operation_id = "rotate_signing_key",
    params(("client_id" = String, Path, description = "The app's client id."), super::words::Key),
    responses((status = 200, description = "The new key.", body = NewSigningKey),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn rotate_signing_key(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    call.create(Permission::ManageApps, StatusCode::OK, move |writer, _: Nothing| {
        let id = client_in_path(&id)?;
        let rotated = writer.rotate_signing_key(&id)?;
        Ok(Done::of(rotated, |key| NewSigningKey {
            client_id: id.as_str().to_owned(),
            session_signing_key: key.expose().to_owned(),
        }))
    })
    .await
}

/// The platform's own call to rotate a secret, by the app's number.
#[utoipa::path(post, path = "/api/apps/{app_id}/rotate-secret", tag = "platform",
    operation_id = "platform_rotate_secret", request_body = Option<Rotation>,
    params(("app_id" = u64, Path, description = "The app's number."), super::words::Key),
    responses((status = 200, description = "`message`, `status` and `data` with the new `client_secret`.",
            body = serde_json::Value),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn platform_rotate_secret(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    call.create(Permission::ManageApps, StatusCode::OK, move |writer, rotation: Rotation| {
        let app = app_in_path(&id)?;
        let overlap = rotation.overlap.as_deref().map(|text| duration("overlap", text)).transpose()?;
        let no_app = || Refused::NotFound("No such app.".to_owned());
        let client_id = writer.client_id(app)?.ok_or_else(no_app)?;
        let rotated = writer.rotate_secret(&client_id, overlap)?;
        Ok(Done::of(rotated, |secret| {
            let data =
                json!({"app_id": app.0, "client_id": client_id.as_str(), "client_secret": secret.expose()});
            json!({"message": "Client secret rotated.", "data": data, "status": 200})
        }))
    })
    .await
}
