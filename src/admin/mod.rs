//! The admin listener: health, readiness, metrics, and the operators' API, on a listener of its own
//! that the public one can never be routed to.
//!
//! Handlers parse, call and encode; the rules are the replica's.

mod admission;
mod apps;
mod health;
mod operator;
mod reload;
mod token_file;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::{get, post};

use crate::replica::Replica;
use crate::telemetry::Metrics;
pub use reload::{ReloadReport, ReloadRequest, ReloadResult};
pub use token_file::{TokenFile, TokenFileError};

/// The largest body that the API takes, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// What the admin listener asks of the gateway.
#[async_trait]
pub trait Status: Send + Sync + 'static {
    /// Why requests should not be sent here now; empty: they may be.
    fn reasons_not_ready(&self) -> Vec<String>;

    /// The metrics, brought up to date.
    fn metrics(&self) -> &Metrics;

    /// Puts the configuration file in force; `None` where the request means another one.
    async fn reload(&self, request: ReloadRequest) -> Option<ReloadReport>;
}

/// What the handlers work with.
pub(crate) struct Control {
    status: Box<dyn Status>,
    replica: Arc<Replica>,
    token: TokenFile,
}

/// The admin listener's routes.
pub fn router(status: impl Status, replica: Arc<Replica>, token: TokenFile) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(health::readiness))
        .route("/metrics", get(health::metrics))
        .route("/api/apps/{app_id}/rotate-secret", post(apps::rotate_secret))
        .route("/admin/v1/reload", post(reload::reload))
        .fallback(operator::not_found)
        .method_not_allowed_fallback(operator::method_not_allowed)
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn(admission::admit))
        .with_state(Arc::new(Control { status: Box::new(status), replica, token }))
}
