//! Stores.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::{Call, Done};
use super::list::{List, Part};
use super::refused::{ErrorBody, Refused};
use super::words::{Nothing, store_id, store_in_path};
use crate::model::{Permission, StoreStatus};
use crate::replica::StoreSummary;

/// A store.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Store {
    #[schema(minimum = 1, maximum = 9007199254740991_u64)]
    store_id: i64,
    /// What people call it.
    name: String,
    domain: Option<String>,
    organization: Option<String>,
    /// `active` or `suspended`.
    status: String,
    /// Unix seconds.
    created_at: i64,
}

/// A store to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewStore {
    /// Its number on the platform.
    #[schema(minimum = 1, maximum = 9007199254740991_u64)]
    store_id: u64,
    /// What people call it; at most 200 characters.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// Such as `shop.example.com`; unique among stores.
    domain: Option<String>,
    /// The organization that owns it.
    organization: Option<String>,
}

impl From<StoreSummary> for Store {
    fn from(found: StoreSummary) -> Self {
        let StoreSummary { store_id, name, domain, organization, status, created_at } = found;
        Self { store_id, name, domain, organization, status, created_at }
    }
}

/// Lists stores, by number.
#[utoipa::path(get, path = "/admin/v1/stores", tag = "stores", operation_id = "list_stores", params(Part),
    responses((status = 200, description = "Stores.", body = List<Store>),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn list(call: Call) -> Result<Json<List<Store>>, Refused> {
    let part: Part = call.query()?;
    let page = part.page("stores")?;
    let found = call.look(Permission::ViewStores, move |writer| Ok(writer.stores(page)?)).await?;
    Ok(Json(List::of("stores", page, found, |store| store.store_id, Store::from)))
}

/// Shows a store.
#[utoipa::path(get, path = "/admin/v1/stores/{store_id}", tag = "stores", operation_id = "show_store",
    params(("store_id" = u64, Path, description = "The store's number.")),
    responses((status = 200, description = "The store.", body = Store),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn show(Path(id): Path<String>, call: Call) -> Result<Json<Store>, Refused> {
    let found = call.look(Permission::ViewStores, move |writer| Ok(writer.store(store_in_path(&id)?)?));
    found.await.map(|store| Json(store.into()))
}

/// Adds a store.
#[utoipa::path(post, path = "/admin/v1/stores", tag = "stores", operation_id = "add_store",
    request_body = NewStore, params(super::words::Key),
    responses((status = 201, description = "The store is added.", body = Store),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn add(call: Call) -> Result<Response, Refused> {
    call.create(Permission::ManageStores, StatusCode::CREATED, |writer, new: NewStore| {
        let id = store_id(new.store_id)?;
        let (name, domain) = (new.name.as_deref(), new.domain.as_deref());
        let added = writer.add_store(id, name, domain, new.organization.as_deref())?;
        let store = Store::from(writer.store(id)?);
        Ok(Done::of(added, |()| store))
    })
    .await
}

/// Suspends a store: every request to it is refused with `store_suspended`.
#[utoipa::path(post, path = "/admin/v1/stores/{store_id}/suspend", tag = "stores", operation_id = "suspend_store",
    params(("store_id" = u64, Path, description = "The store's number.")),
    responses((status = 200, description = "The store.", body = Store),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn suspend(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    set(call, id, StoreStatus::Suspended).await
}

/// Ends a suspension.
#[utoipa::path(post, path = "/admin/v1/stores/{store_id}/resume", tag = "stores", operation_id = "resume_store",
    params(("store_id" = u64, Path, description = "The store's number.")),
    responses((status = 200, description = "The store.", body = Store),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn resume(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    set(call, id, StoreStatus::Active).await
}

async fn set(call: Call, id: String, status: StoreStatus) -> Result<Response, Refused> {
    call.change(Permission::ManageStores, move |writer, _: Nothing| {
        let id = store_in_path(&id)?;
        let changed = writer.set_store_status(id, status)?;
        let store = Store::from(writer.store(id)?);
        Ok(Done::of(changed, |()| store))
    })
    .await
}
