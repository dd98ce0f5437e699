//! `POST /admin/v1/reload`: puts the configuration file in force, as SIGHUP does, and tells how it went.

use std::path::PathBuf;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::Call;
use super::refused::{ErrorBody, Refused};

/// What is asked for; an empty body asks for a reload.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReloadRequest {
    /// The absolute path of the configuration that is meant; a gateway that runs with another one answers
    /// 409. Whichever it runs with by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<PathBuf>,
    /// Nothing is changed: it is only told what would be.
    pub dry_run: bool,
    /// Another file in place of the configuration's own, for a dry run: an absolute path. Only for callers on
    /// the same machine: what is wrong with a file is told with its lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub candidate: Option<PathBuf>,
    /// The most of the recent decisions that may change, in percent; more, and it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_changed: Option<f64>,
}

/// How a reload went.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
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
    /// The recent decisions, taken again; for dry runs and where `max_changed` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Replayed>,
}

/// What would become of the recent decisions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// How many were taken again.
    pub decisions: usize,
    /// How many would be others.
    pub changed: usize,
    /// How many may be others: they depend on what is not kept, such as a credential that was not looked at.
    pub unknown: usize,
    /// Those that would or may be others, alike ones together, the most frequent first; 20 at most.
    pub changes: Vec<Change>,
}

/// Decisions that would change in the same way.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// How many.
    pub count: usize,
    /// The method of all.
    pub method: String,
    /// The path of the latest.
    pub path: String,
    /// What is decided by the configuration in force.
    pub before: String,
    /// What would be.
    pub after: String,
    /// The id of the latest, for `why`.
    pub request_id: String,
}

impl Replayed {
    /// The part that would or may change, in percent.
    pub fn percent(&self) -> f64 {
        (self.changed + self.unknown) as f64 * 100.0 / self.decisions.max(1) as f64
    }
}

/// What became of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReloadResult {
    /// The configuration is in force for every request that starts from now on.
    Applied,
    /// The configuration before stays in force.
    Refused,
    /// A dry run: the configuration could be put in force.
    Checked,
}

/// Puts the configuration file in force, as SIGHUP does. Only with the token in `admin.token`.
#[utoipa::path(post, path = "/admin/v1/reload", tag = "health", operation_id = "reload",
    request_body = Option<ReloadRequest>,
    responses((status = 200, description = "It is in force, or, with `dry_run`, could be.", body = ReloadReport),
        (status = 422, description = "It cannot be used; the one before stays in force.", body = ReloadReport),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn reload(call: Call) -> Result<Response, Refused> {
    let control = call.owner()?;
    let request: ReloadRequest = call.parse()?;
    admit(&request, call.is_local())?;
    let report = control.status.reload(request).await;
    let report = report
        .ok_or_else(|| Refused::Conflict("This gateway runs with another configuration file.".to_owned()))?;
    let status = match report.result {
        ReloadResult::Applied | ReloadResult::Checked => StatusCode::OK,
        ReloadResult::Refused => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok((status, Json(report)).into_response())
}

fn admit(request: &ReloadRequest, is_local: bool) -> Result<(), Refused> {
    if request.candidate.is_some() && !request.dry_run {
        return Err(Refused::Invalid("A candidate can only be looked at: with dry_run.".to_owned()));
    }
    if let Some(candidate) = &request.candidate {
        if !is_local {
            let why = "A candidate is a file of the gateway's machine; only callers there may name one.";
            return Err(Refused::NotYours(why.to_owned()));
        }
        if !candidate.is_absolute() {
            return Err(Refused::Invalid("candidate is an absolute path.".to_owned()));
        }
    }
    if request.max_changed.is_some_and(|most| !(0.0..=100.0).contains(&most)) {
        return Err(Refused::Invalid("max_changed is a percentage, from 0 to 100.".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_for_callers_on_the_machine() {
        let request = |dry_run, candidate: Option<&str>, max_changed| ReloadRequest {
            dry_run,
            candidate: candidate.map(PathBuf::from),
            max_changed,
            ..ReloadRequest::default()
        };
        for (request, is_local, expected) in [
            (request(false, None, None), false, 200),
            (request(true, None, Some(0.1)), false, 200),
            (request(true, Some("/etc/storegate/next.toml"), None), true, 200),
            (request(true, Some("/etc/storegate/next.toml"), None), false, 403),
            (request(true, Some("/var/lib/storegate/replica.key"), None), false, 403),
            (request(true, Some("next.toml"), None), true, 400),
            (request(true, Some(""), None), true, 400),
            (request(false, Some("/etc/storegate/next.toml"), None), true, 400),
            (request(false, None, Some(100.1)), true, 400),
            (request(false, None, Some(-0.1)), true, 400),
            (request(false, None, Some(f64::NAN)), true, 400),
        ] {
            let status = admit(&request, is_local)
                .map_or_else(|refused| refused.into_response().status().as_u16(), |()| 200);
            assert_eq!(status, expected, "{request:?} {is_local}");
        }
    }
}
