//! The admin listener: health, readiness, metrics, and the operators' API, on a listener of its own
//! that the public one can never be routed to.
//!
//! Handlers parse, call and encode; the rules are the replica's. Each stands beside its description, from
//! which the OpenAPI document is made (`openapi.rs`), and takes a `Call` (`call.rs`), which exists only for a
//! caller who is known.

mod admission;
mod apps;
mod audit;
mod call;
mod edge;
mod health;
mod installations;
mod list;
mod listener;
mod openapi;
mod operators;
mod refused;
mod reload;
mod stores;
mod token_file;
mod tokens;
mod usage;
mod why;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use tokio::sync::Semaphore;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::limits::{FailureBudgets, FailureSettings, Rate};
use crate::replica::{Actor, Prefixes, Replica, Writer};
use crate::telemetry::{Decision, FingerprintKey, Metrics};
use crate::usage::{FileError, Filter, Report};
pub use listener::serve;
use refused::Refused;
pub use reload::{Change, ReloadReport, ReloadRequest, ReloadResult, Replayed};
pub use token_file::{TokenFile, TokenFileError};
pub use why::{Explanation, Injected, Past};

/// The largest body that the API takes, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Calls that work on the replica at a time.
const TURNS: usize = 8;

/// Failed attempts of one address at once, and how many come back per second. A token cannot be guessed;
/// this bounds what trying costs us, and what it writes to the log.
const FAILURES: Rate = Rate { burst: 20, per_second: 0.2 };

/// What the admin listener asks of the gateway.
#[async_trait]
pub trait Status: Send + Sync + 'static {
    /// Why requests should not be sent here now; empty: they may be.
    fn reasons_not_ready(&self) -> Vec<String>;

    /// The metrics, brought up to date.
    fn metrics(&self) -> &Metrics;

    /// How what is made here begins, by the configuration in force.
    fn prefixes(&self) -> Prefixes;

    /// Puts the configuration file in force; `None` where the request means another one.
    async fn reload(&self, request: ReloadRequest) -> Option<ReloadReport>;

    /// The last decision on the request with this id, if it is kept.
    fn decision(&self, request_id: &str) -> Option<Decision>;

    /// What credentials are named by.
    fn fingerprints(&self) -> &FingerprintKey;

    /// Who calls how much. Reads a file.
    fn usage(&self, filter: &Filter) -> Result<Report, FileError>;
}

/// What the handlers work with.
pub(crate) struct Control {
    status: Box<dyn Status>,
    replica: Arc<Replica>,
    token: TokenFile,
    failures: FailureBudgets,
    turns: Arc<Semaphore>,
}

impl Control {
    fn writer(&self, actor: Actor) -> Result<Writer, Refused> {
        let writer = self.replica.writer(actor).map_err(|error| Refused::Unavailable(error.to_string()))?;
        Ok(writer.with_prefixes(self.status.prefixes()))
    }
}

/// The admin listener's routes.
pub fn router(status: impl Status, replica: Arc<Replica>, token: TokenFile) -> Router {
    let failures = FailureBudgets::new(FailureSettings { per_address: Some(FAILURES), per_client: None });
    let turns = Arc::new(Semaphore::new(TURNS));
    let control = Arc::new(Control { status: Box::new(status), replica, token, failures, turns });
    let (router, _) = described().split_for_parts();
    router
        .fallback(|| async { Refused::NotFound("No such resource.".to_owned()) })
        .method_not_allowed_fallback(|| async { Refused::MethodNotAllowed })
        .layer(axum::middleware::from_fn(admission::admit))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&control), edge::pass))
        .with_state(control)
}

/// The OpenAPI document of the API (version 3.1).
pub fn document() -> OpenApi {
    let mut document = described().into_openapi();
    // The router's mark for a name of several segments means nothing there.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document
}

/// Every route with its description: there is no other way to add one.
fn described() -> OpenApiRouter<Arc<Control>> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(health::liveness))
        .routes(routes!(health::readiness))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::openapi))
        .routes(routes!(stores::list, stores::add))
        .routes(routes!(stores::show))
        .routes(routes!(stores::suspend))
        .routes(routes!(stores::resume))
        .routes(routes!(apps::list, apps::create))
        .routes(routes!(apps::show))
        .routes(routes!(apps::disable))
        .routes(routes!(apps::enable))
        .routes(routes!(apps::allow_ip))
        .routes(routes!(apps::rotate_secret))
        .routes(routes!(apps::revoke_old_secrets))
        .routes(routes!(apps::rotate_signing_key))
        .routes(routes!(apps::platform_rotate_secret))
        .routes(routes!(installations::list, installations::install))
        .routes(routes!(installations::show, installations::uninstall))
        .routes(routes!(tokens::issue))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::show, tokens::revoke_by_hash))
        .routes(routes!(operators::list, operators::add))
        .routes(routes!(operators::show, operators::remove))
        .routes(routes!(operators::set_permissions))
        .routes(routes!(audit::list))
        .routes(routes!(usage::show))
        .routes(routes!(reload::reload))
        .routes(routes!(why::decision))
}
