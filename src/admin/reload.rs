//! `POST /admin/v1/reload`: puts the configuration file in force, as SIGHUP does, and tells how it went.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Control;
use super::operator::{Refused, owner};

/// What is asked for; an empty body asks for a reload.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReloadRequest {
    /// The absolute path of the configuration that is meant; a gateway that runs with another one answers
    /// 409. Whichever it runs with by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
}

/// How a reload went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReloadReport {
    /// What became of it.
    pub result: ReloadResult,
    /// The configuration file.
    pub file: String,
    /// The SHA-256 of the configuration in force after it.
    pub checksum: String,
    /// Why nothing was changed; every problem of the file with its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What is valid and worth a look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Keys that differ from what the gateway was started with and that only a restart changes. Everything
    /// else was put in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
}

/// What became of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadResult {
    /// The configuration is in force for every request that starts from now on.
    Applied,
    /// The configuration before stays in force.
    Refused,
}

pub(super) async fn reload(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    owner(&control, &headers)?;
    let request = if body.trim_ascii().is_empty() {
        ReloadRequest::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Refused::Invalid(format!("Malformed body: {error}.")))?
    };
    let report = control.status.reload(request).await;
    let report = report
        .ok_or_else(|| Refused::Conflict("This gateway runs with another configuration file.".to_owned()))?;
    let status = match report.result {
        ReloadResult::Applied => StatusCode::OK,
        ReloadResult::Refused => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok((status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response())
}
