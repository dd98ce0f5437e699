//! The audit record.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::Call;
use super::list::{List, Part};
use super::refused::{ErrorBody, Refused};
use crate::model::{Permission, Timestamp};
use crate::replica::{AuditEntry, AuditFilter};

/// An entry of the audit record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    seq: i64,
    /// Unix seconds.
    at: i64,
    /// The operator; `admin` for the holder of `admin.token`; the user of the system for a command.
    who: String,
    /// The caller's address, or `cli`.
    origin: String,
    request_id: Option<String>,
    #[schema(example = "app.rotate_secret")]
    action: String,
    #[schema(example = "store:22")]
    subject: String,
    /// What else is known. Never a secret.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

/// Which entries are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Unix seconds: not before this.
    since: Option<i64>,
    /// Only of this, such as `store:22`.
    subject: Option<String>,
    /// The most that are given.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the part before.
    cursor: Option<String>,
}

impl From<AuditEntry> for Entry {
    fn from(found: AuditEntry) -> Self {
        let AuditEntry { seq, at, who, origin, request_id, action, subject, detail } = found;
        Self { seq, at, who, origin, request_id, action, subject, detail }
    }
}

/// Lists who changed what, newest first.
#[utoipa::path(get, path = "/admin/v1/audit", tag = "audit", operation_id = "list_audit", params(Which),
    responses((status = 200, description = "Entries.", body = List<Entry>),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn list(call: Call) -> Result<Json<List<Entry>>, Refused> {
    let which: Which = call.query()?;
    let page = Part { limit: which.limit, cursor: which.cursor }.page("audit")?;
    let filter = AuditFilter { since: which.since.map(Timestamp), subject: which.subject };
    let found = call.look(Permission::ViewAudit, move |writer| Ok(writer.audit(&filter, page)?)).await?;
    Ok(Json(List::of("audit", page, found, |entry| entry.seq, Entry::from)))
}
