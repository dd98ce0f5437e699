//! Where a merchant grants an app access to a store (`GET /api/apps/oauth/authorize`): the browser comes with
//! what the app asks for, and leaves with a code.
//!
//! Signing in and asking is not done here: [`Merchants`] does it, with whatever pages it has. Nothing is sent to a
//! redirect URI that is not, byte for byte, one of the app's (RFC 9700 section 2.1); until that is known the
//! answer is shown.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;

use super::dialect::selorax;
use super::failure::Failure;
use super::request::{Request, store_id};
use super::{Served, tell};
use crate::gate::Directory;
use crate::model::{AppStatus, ClientId, Remark, Requester, ScopeSet, StoreId, Subject};
use crate::replica::{Actor, NewGrant};
use crate::wire::parameters::Parameters;

/// What an app asks a merchant for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The app.
    pub client_id: ClientId,
    /// The store.
    pub store_id: StoreId,
    /// What the app wants to do there.
    pub scopes: ScopeSet,
    /// Path and query of the request, to come back to after signing in.
    pub target: String,
}

/// Whoever signs merchants in and asks for their consent.
pub trait Merchants: Send + Sync + 'static {
    /// The merchant who is signed in and has agreed to exactly this, or the page that the browser is shown.
    fn consent<'a>(
        &'a self,
        requester: &'a Requester,
        headers: &'a HeaderMap,
        asked: &'a Asked,
    ) -> Pin<Box<dyn Future<Output = Result<Subject, Response>> + Send + 'a>>;
}

impl std::fmt::Debug for dyn Merchants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Merchants")
    }
}

/// The handler.
pub(super) async fn authorize(
    State(served): State<Arc<Served>>,
    Extension(requester): Extension<Requester>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let body = Bytes::new();
    let request = Request { requester: &requester, headers: &headers, body: &body };
    let mut remark = served.remark("authorize");
    let outcome = match method {
        Method::GET => served.agree(&request, &uri, &mut remark).await,
        _ => Err(Refused::Failure(Failure::Method)),
    };
    let mut response = match outcome {
        Ok(location) => redirect(&location),
        Err(Refused::Page(page)) => page,
        Err(Refused::Back { error, location }) => {
            remark.code = error;
            redirect(&location)
        }
        Err(Refused::Failure(failure)) => {
            let mut response =
                tell(&served.limits, served.endpoint.platform, Err(failure), &request, remark.clone());
            if method != Method::GET {
                response.headers_mut().insert(axum::http::header::ALLOW, HeaderValue::from_static("GET"));
            }
            return response;
        }
    };
    response.extensions_mut().insert(remark);
    response
}

enum Refused {
    Failure(Failure),
    /// What the browser is shown: signing in, or the consent.
    Page(Response),
    /// The app is told (RFC 6749 section 4.1.2.1).
    Back {
        error: &'static str,
        location: String,
    },
}

impl<F: Into<Failure>> From<F> for Refused {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

impl Served {
    /// The address to which the browser goes with its code.
    async fn agree(&self, request: &Request<'_>, uri: &Uri, remark: &mut Remark) -> Result<String, Refused> {
        let parameters = Parameters::from_form(uri.query().unwrap_or_default().as_bytes());
        let parameters = parameters.map_err(Failure::from)?;
        let needed = |name: &'static str, why| parameters.get(name).ok_or(Failure::malformed(why));
        let client_id = needed("client_id", "client_id is missing.")?;
        let redirect_uri = needed("redirect_uri", "redirect_uri is missing.")?;
        let state = needed("state", "state is missing.")?;
        let scopes = needed("scope", "scope is missing.")?;
        let store_id = store_id(&parameters)?.ok_or(Failure::malformed("store_id is missing."))?;

        let id = ClientId::parse(client_id).map_err(|_| Failure::UnknownClient)?;
        remark.client_id = Some(id.clone());
        let app = self.authority.replica.app(id.as_str()).map_err(Failure::from)?;
        let app = app.filter(|app| app.status == AppStatus::Enabled).ok_or(Failure::UnknownClient)?;
        if !app.registration.redirect_uris.iter().any(|own| **own == *redirect_uri) {
            return Err(Failure::malformed("redirect_uri is not one of the app's.").into());
        }
        // From here on the app is told.
        let back = |error: &'static str| Refused::Back {
            error,
            location: with(redirect_uri, &format!("error={error}&state={}", escaped(state))),
        };
        let scopes = selorax::scopes(scopes, &app.registration.scopes).map_err(|_| back("invalid_scope"))?;
        let target = uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
        let asked = Asked { client_id: id.clone(), store_id, scopes: scopes.clone(), target };
        let Some(merchants) = &self.merchants else { return Err(Failure::NotSignedIn.into()) };
        let consent = merchants.consent(request.requester, request.headers, &asked).await;
        let merchant = consent.map_err(Refused::Page)?;
        remark.store_id = Some(store_id);
        let request_id = request.requester.request_id.to_str().unwrap_or_default();
        let actor = Actor::caller(&merchant.to_string(), request.requester.address, request_id);
        let grant =
            NewGrant { client_id: id, store_id, merchant, scopes, redirect_uri: redirect_uri.to_owned() };
        let code = self.authority.queue()?.record_code(grant, actor).await.map_err(Failure::from)?;
        let code = code.map_err(|why| {
            tracing::info!(request_id, "a code is refused: {why}");
            back("access_denied")
        })?;
        Ok(with(redirect_uri, &format!("code={}&state={}", code.code.expose(), escaped(state))))
    }
}

/// A redirect URI with parameters added to its query.
fn with(redirect_uri: &str, parameters: &str) -> String {
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{separator}{parameters}")
}

/// A value of a query, with everything but unreserved characters escaped (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn redirect(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(LOCATION, location);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
