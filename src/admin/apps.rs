//! Apps. `POST /api/apps/{app_id}/rotate-secret` is the platform's own call (SeloraX, "Client
//! Credentials", Rotating Secrets), so that its dashboard can be pointed here.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::Control;
use super::operator::{Refused, change};
use crate::model::{AppId, Permission, parse_duration};

/// The body may be left out: the old secret then fails at once.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// How long the old secret is taken as well, such as `24h`.
    overlap: Option<String>,
}

pub(super) async fn rotate_secret(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, Refused> {
    let app = app.parse().map(AppId).map_err(|_| Refused::NotFound("No such app.".to_owned()))?;
    let rotation = if body.trim_ascii().is_empty() {
        Rotation::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Refused::Invalid(format!("Malformed body: {error}.")))?
    };
    let overlap = rotation.overlap.as_deref().map(parse_duration).transpose().map_err(Refused::Invalid)?;
    let answer = change(control, &headers, Permission::ManageApps, move |writer| {
        let client_id = writer.client_id(app)?.ok_or_else(|| Refused::NotFound("No such app.".to_owned()))?;
        let (secret, enforced) = writer.rotate_secret(&client_id, overlap)?.acknowledge();
        // A new secret must not be lost because another gateway of this machine hangs.
        let warning = enforced.err().map(|error| error.to_string());
        let data =
            json!({"app_id": app.0, "client_id": client_id.as_str(), "client_secret": secret.expose()});
        Ok(json!({"message": "Client secret rotated.", "data": data, "status": 200, "warning": warning}))
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer.await?)))
}
