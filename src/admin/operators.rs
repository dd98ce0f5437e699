//! Operators and what they may do. Nobody gives a permission that they lack, changes one who may do more,
//! or changes themselves; the replica holds that (`replica/write/operators.rs`).

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::{Call, Done};
use super::list::{List, Part};
use super::refused::{ErrorBody, Refused};
use super::words::{Nothing, number_in_path, permissions};
use crate::model::Permission;
use crate::replica::OperatorSummary;

/// An operator.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Operator {
    operator_id: i64,
    name: String,
    permissions: Vec<String>,
    /// Unix seconds.
    created_at: i64,
}

/// An operator to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToAdd {
    /// Who it is; unique.
    name: String,
    /// By their exact names.
    permissions: Vec<String>,
}

/// A new operator with the token, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Added {
    operator_id: i64,
    name: String,
    permissions: Vec<String>,
    token: String,
}

/// What an operator may do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Permissions {
    /// In place of those before; at least one.
    #[schema(min_items = 1)]
    permissions: Vec<String>,
}

/// An operator that is none any more.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    operator_id: i64,
    removed: bool,
}

impl From<OperatorSummary> for Operator {
    fn from(found: OperatorSummary) -> Self {
        let OperatorSummary { operator_id, name, permissions, created_at } = found;
        Self {
            operator_id,
            name,
            permissions: permissions.split(' ').map(String::from).collect(),
            created_at,
        }
    }
}

/// Lists operators, by number.
#[utoipa::path(get, path = "/admin/v1/operators", tag = "operators", operation_id = "list_operators", params(Part),
    responses((status = 200, description = "Operators.", body = List<Operator>),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn list(call: Call) -> Result<Json<List<Operator>>, Refused> {
    let part: Part = call.query()?;
    let page = part.page("operators")?;
    let found = call.look(Permission::ManageOperators, move |writer| Ok(writer.operators(page)?)).await?;
    Ok(Json(List::of("operators", page, found, |operator| operator.operator_id, Operator::from)))
}

/// Shows an operator.
#[utoipa::path(get, path = "/admin/v1/operators/{operator_id}", tag = "operators", operation_id = "show_operator",
    params(("operator_id" = u64, Path, description = "Their number.")),
    responses((status = 200, description = "The operator.", body = Operator),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn show(Path(id): Path<String>, call: Call) -> Result<Json<Operator>, Refused> {
    let found = call.look(Permission::ManageOperators, move |writer| {
        Ok(writer.operator(number_in_path("operator", &id)?)?)
    });
    found.await.map(|operator| Json(operator.into()))
}

/// Adds an operator. An operator who adds another gives what it may do itself, at most.
#[utoipa::path(post, path = "/admin/v1/operators", tag = "operators", operation_id = "add_operator",
    request_body = ToAdd, params(super::words::Key),
    responses((status = 201, description = "The operator; the token is shown this once.", body = Added),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn add(call: Call) -> Result<Response, Refused> {
    call.create(Permission::ManageOperators, StatusCode::CREATED, |writer, new: ToAdd| {
        let mut permissions = permissions(&new.permissions)?;
        permissions.sort_unstable_by_key(|permission| permission.name());
        permissions.dedup();
        let added = writer.add_operator(&new.name, &permissions)?;
        Ok(Done::of(added, |added| Added {
            operator_id: added.operator_id,
            name: new.name,
            permissions: permissions.iter().map(|permission| permission.name().to_owned()).collect(),
            token: added.token.expose().to_owned(),
        }))
    })
    .await
}

/// Sets what an operator may do. Not of oneself, and not beyond what one may do.
#[utoipa::path(put, path = "/admin/v1/operators/{operator_id}/permissions", tag = "operators",
    operation_id = "set_permissions", request_body = Permissions,
    params(("operator_id" = u64, Path, description = "Their number.")),
    responses((status = 200, description = "The operator.", body = Operator),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn set_permissions(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    call.change(Permission::ManageOperators, move |writer, given: Permissions| {
        let id = number_in_path("operator", &id)?;
        let name = writer.operator(id)?.name;
        let changed = writer.set_permissions(&name, &permissions(&given.permissions)?)?;
        let operator = Operator::from(writer.operator(id)?);
        Ok(Done::of(changed, |()| operator))
    })
    .await
}

/// Removes an operator; the token is refused from the answer on. Not oneself, and not one who may do more.
#[utoipa::path(delete, path = "/admin/v1/operators/{operator_id}", tag = "operators", operation_id = "remove_operator",
    params(("operator_id" = u64, Path, description = "Their number.")),
    responses((status = 200, description = "The operator is removed.", body = Removed),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn remove(Path(id): Path<String>, call: Call) -> Result<Response, Refused> {
    call.change(Permission::ManageOperators, move |writer, _: Nothing| {
        let operator_id = number_in_path("operator", &id)?;
        let name = writer.operator(operator_id)?.name;
        let removed = writer.remove_operator(&name)?;
        Ok(Done::of(removed, |()| Removed { operator_id, removed: true }))
    })
    .await
}
