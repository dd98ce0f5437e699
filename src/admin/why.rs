//! `GET /admin/v1/decisions/{request_id}`: one of the recent decisions, step by step.

use axum::Json;
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::Call;
use super::refused::{ErrorBody, Refused};
use crate::catalogue;
use crate::gate::Reason;
use crate::proxy::Outcome;
use crate::telemetry::{Decision, FingerprintKey};

/// A decision as it is told, by `explain` and by `why`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// What became of the request.
    pub decision: String,
    /// The status that the caller got.
    pub status: u16,
    /// Of a refusal, as is the rest to `reason`: the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the caller was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why in fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the caller can do; Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_remedy: Option<String>,
    /// What the operator can do; Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_remedy: Option<String>,
    /// The route's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Where the route's requests go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The path, and with `explain` the query, in normal form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The steps in their order.
    pub steps: Vec<String>,
    /// The header names that are removed; only `explain` knows them.
    #[serde(default)]
    pub removed: Vec<String>,
    /// The identity headers that are set; only `explain` knows them.
    #[serde(default)]
    pub injected: Vec<Injected>,
}

/// A header that is set.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Injected {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A past decision.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Past {
    /// `X-Request-Id`.
    pub request_id: String,
    /// When the request ended, Unix seconds.
    pub time: f64,
    /// The method.
    pub method: String,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The caller's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The whole request, in microseconds.
    pub total_us: u64,
    /// Until the upstream's first byte, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_us: Option<u64>,
    /// Why the gateway ended it before it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// How it was decided.
    #[serde(flatten)]
    pub explanation: Explanation,
}

/// Shows one of the recent decisions, step by step. Only with the token in `admin.token`.
#[utoipa::path(get, path = "/admin/v1/decisions/{*request_id}", tag = "health", operation_id = "show_decision",
    params(("request_id" = String, Path, description = "The `X-Request-Id` of the answer.")),
    responses((status = 200, description = "The decision.", body = Past),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn decision(Path(request_id): Path<String>, call: Call) -> Result<Json<Past>, Refused> {
    let status = &call.owner()?.status;
    let found = status
        .decision(&request_id)
        .ok_or_else(|| Refused::NotFound("No decision on a request with this id is kept.".to_owned()))?;
    Ok(Json(Past::of(&found, status.fingerprints())))
}

impl Past {
    /// Tells a decision; an access token by its fingerprint.
    fn of(decision: &Decision, key: &FingerprintKey) -> Self {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            request_id: decision.request_id.to_str().unwrap_or_default().to_owned(),
            time: decision.at.as_secs_f64(),
            method: decision.method.to_string(),
            host: filled(&decision.host),
            caller: decision.caller.map(|address| address.to_string()),
            total_us: micros(decision.total),
            upstream_us: decision.upstream.map(micros),
            ended: decision.ended.map(|why| why.name().to_owned()),
            explanation: Explanation {
                target: filled(&decision.path),
                route: decision.route.as_ref().map(|route| route.pattern.to_string()),
                upstream: decision.route.as_ref().map(|route| route.upstream.to_string()),
                status: decision.status,
                steps: decision.told(key).iter().map(ToString::to_string).collect(),
                ..outcome(decision)
            },
        }
    }
}

fn outcome(decision: &Decision) -> Explanation {
    match (&decision.reason, decision.outcome) {
        (Some(reason), _) => Explanation::refused(reason),
        (None, Outcome::Broken) => {
            Explanation { decision: "broken off".to_owned(), ..Explanation::default() }
        }
        (None, _) => {
            let how = if decision.scopes.is_some() { "forward" } else { "forward without identity" };
            Explanation { decision: how.to_owned(), ..Explanation::default() }
        }
    }
}

impl Explanation {
    /// Of a refusal: what is the same wherever it happened.
    pub fn refused(reason: &Reason) -> Self {
        let code = reason.code();
        let remedies = catalogue::case_of(reason);
        Self {
            caller_remedy: remedies.map(|case| case.caller.to_owned()),
            operator_remedy: remedies.map(|case| case.operator.to_owned()),
            decision: "refuse".to_owned(),
            status: code.status().as_u16(),
            code: Some(code.name().to_owned()),
            message: Some(reason.message().into_owned()),
            reason: Some(reason.to_string()),
            ..Self::default()
        }
    }
}
