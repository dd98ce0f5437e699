//! Installations of apps in stores.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, Done};
use super::list::{List, Part};
use super::refused::{ErrorBody, Refused};
use super::words::{Nothing, client_id, number_in_path, scopes, store_id};
use crate::model::{ClientId, Permission, StoreId};
use crate::replica::{InstallationFilter, InstallationSummary, Writer};

/// An app in a store.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Installation {
    installation_id: i64,
    client_id: String,
    store_id: i64,
    /// What the merchant granted, separated by blanks.
    scopes: String,
    /// `active` or `uninstalled`.
    status: String,
    /// Unix seconds.
    created_at: i64,
}

/// An installation to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToInstall {
    #[schema(pattern = "^[A-Za-z0-9._~-]{1,128}$")]
    client_id: String,
    #[schema(minimum = 1, maximum = 9007199254740991_u64)]
    store_id: u64,
    /// What the merchant grants; the app's scopes by default.
    scopes: Option<String>,
}

/// Which installations are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this app only; they come by store then, else by number.
    client_id: Option<String>,
    /// In this store only.
    store_id: Option<u64>,
    /// The most that are given.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the part before, asked for with the same `client_id`.
    cursor: Option<String>,
}

impl From<InstallationSummary> for Installation {
    fn from(found: InstallationSummary) -> Self {
        let InstallationSummary { installation_id, client_id, store_id, scopes, status, created_at } = found;
        Self { installation_id, client_id, store_id, scopes, status, created_at }
    }
}

/// Lists installations.
#[utoipa::path(get, path = "/admin/v1/installations", tag = "installations", operation_id = "list_installations",
    params(Which),
    responses((status = 200, description = "Installations.", body = List<Installation>),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn list(call: Call) -> Result<Json<List<Installation>>, Refused> {
    let which: Which = call.query()?;
    let filter = InstallationFilter {
        app: which.client_id.as_deref().map(client_id).transpose()?,
        store: which.store_id.map(store_id).transpose()?,
    };
    // The two orders have cursors of their own.
    let name = if filter.app.is_some() { "installations-by-store" } else { "installations" };
    let page = Part { limit: which.limit, cursor: which.cursor }.page(name)?;
    let asked = filter.clone();
    let found =
        call.look(Permission::ViewApps, move |writer| Ok(writer.installations(&asked, page)?)).await?;
    Ok(Json(List::of(name, page, found, |found| filter.key(found), Installation::from)))
}

/// Shows an installation.
#[utoipa::path(get, path = "/admin/v1/installations/{installation_id}", tag = "installations",
    operation_id = "show_installation",
    params(("installation_id" = u64, Path, description = "Its number.")),
    responses((status = 200, description = "The installation.", body = Installation),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn show(Path(id): Path<String>, call: Call) -> Result<Json<Installation>, Refused> {
    let found = call.look(Permission::ViewApps, move |writer| {
        Ok(writer.installation(number_in_path("installation", &id)?)?)
    });
    found.await.map(|found| Json(found.into()))
}

/// Installs an app in a store. Installing again sets the scopes; after an end it brings the same
/// installation back.
#[utoipa::path(post, path = "/admin/v1/installations", tag = "installations", operation_id = "install",
    request_body = ToInstall, params(super::words::Key),
    responses((status = 201, description = "The installation.", body = Installation),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn install(call: Call) -> Result<Response, Refused> {
    call.create(Permission::InstallApps, StatusCode::CREATED, |writer, new: ToInstall| {
        let (client_id, store_id) = (client_id(&new.client_id)?, store_id(new.store_id)?);
        let granted = new.scopes.as_deref().map(scopes).transpose()?;
        let installed = writer.install(&client_id, store_id, granted.as_ref())?;
        let installation = Installation::from(writer.installation(*installed.value())?);
        Ok(Done::of(installed, |_| installation))
    })
    .await
}

/// Ends an installation: no credential of the app works in the store any more.
#[utoipa::path(delete, path = "/admin/v1/installations/{installation_id}", tag = "installations",
    operation_id = "uninstall",
    params(("installation_id" = u64, Path, description = "Its number.")),
    responses((status = 200, description = "The installation, which is ended.", body = Installation),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn uninstall(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    call.change(Permission::InstallApps, move |writer, _: Nothing| {
        let id = number_in_path("installation", &id)?;
        let (client_id, store_id) = parties(writer, id)?;
        let ended = writer.uninstall(&client_id, store_id)?;
        let installation = Installation::from(writer.installation(id)?);
        Ok(Done::of(ended, |()| installation))
    })
    .await
}

/// App and store of an installation; they are the same for ever.
fn parties(writer: &mut Writer, id: i64) -> Result<(ClientId, StoreId), Refused> {
    let found = writer.installation(id)?;
    let store = u64::try_from(found.store_id).ok().and_then(StoreId::new);
    match (ClientId::parse(&found.client_id), store) {
        (Ok(client_id), Some(store_id)) => Ok((client_id, store_id)),
        _ => Err(Refused::Unavailable("The installation's row is malformed.".to_owned())),
    }
}
