//! The endpoints by path, as axum serves them on the public listener.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequestParts, RawQuery, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::http::{Caller, Refused, parameters, public};
use super::{Idp, discovery};
use crate::wire::parameters::Parameters;

/// The largest body, in bytes: a list of redirect URIs, at most.
const MAX_BODY: usize = 64 * 1024;

/// Where client libraries look first, whatever the base.
const DISCOVERY: &str = "/.well-known/openid-configuration";

type Here = State<Arc<Idp>>;

impl Idp {
    /// The exact paths that are served here.
    pub fn paths(&self) -> Vec<String> {
        let below = [
            "/authorize",
            "/authorize/consent",
            "/login",
            "/login/answer",
            "/logout",
            "/token",
            "/userinfo",
            "/revoke",
            "/introspect",
            "/jwks",
            "/clients",
            "/apps",
            "/apps/withdraw",
            "/apps/sign-out-everywhere",
            "/logo",
            DISCOVERY,
        ];
        below.iter().map(|path| self.path(path)).chain([DISCOVERY.to_owned()]).collect()
    }

    /// The endpoints.
    pub fn router(self: &Arc<Self>) -> Router {
        let at = |path: &str| self.path(path);
        Router::new()
            .route(DISCOVERY, get(discover).options(preflight))
            .route(&at(DISCOVERY), get(discover).options(preflight))
            .route(&at("/jwks"), get(jwks).options(preflight))
            .route(&at("/token"), post(token).options(preflight))
            .route(&at("/userinfo"), get(userinfo).post(userinfo_form).options(preflight))
            .route(&at("/revoke"), post(revoke).options(preflight))
            .route(&at("/introspect"), post(introspect))
            .route(&at("/clients"), post(register))
            .route(&at("/authorize"), get(authorize).post(authorize_form))
            .route(&at("/authorize/consent"), get(consent_page).post(consent))
            .route(&at("/login"), get(login_page).post(login))
            .route(&at("/login/answer"), get(login_answer))
            .route(&at("/logout"), get(logout).post(logout_form))
            .route(&at("/apps"), get(apps_page))
            .route(&at("/apps/withdraw"), post(withdraw))
            .route(&at("/apps/sign-out-everywhere"), post(sign_out_everywhere))
            .route(&at("/logo"), get(logo))
            .method_not_allowed_fallback(wrong_method)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::clone(self))
    }
}

/// What the listener tells of the caller; without it, as in tests of single handlers, nobody in particular.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            request_id: HeaderValue::from_static("-"),
        }))
    }
}

fn answered(done: Result<Response, Refused>, caller: &Caller) -> Response {
    done.unwrap_or_else(|refused| refused.answer(caller))
}

async fn discover(State(idp): Here) -> Response {
    public(&discovery::document(&idp.settings))
}

async fn jwks(State(idp): Here, caller: Caller) -> Response {
    match idp.keyring.keys(&idp.replica) {
        Ok(keys) => public(&keys.jwks()),
        Err(_) => Refused::unavailable().answer(&caller),
    }
}

async fn token(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    answered(idp.token(&headers, &body, &caller).await, &caller)
}

async fn userinfo(State(idp): Here, caller: Caller, headers: HeaderMap) -> Response {
    answered(idp.userinfo(&headers, None, &caller).await, &caller)
}

async fn userinfo_form(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    answered(idp.userinfo(&headers, Some(&body), &caller).await, &caller)
}

async fn revoke(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    answered(idp.revoke(&headers, &body, &caller).await, &caller)
}

async fn introspect(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    answered(idp.introspect(&headers, &body, &caller).await, &caller)
}

async fn register(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    answered(idp.register(&headers, &body, &caller).await, &caller)
}

async fn authorize(
    State(idp): Here,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    idp.authorize(&query.unwrap_or_default(), &headers, &caller).await
}

async fn authorize_form(State(idp): Here, caller: Caller, body: Bytes) -> Response {
    idp.authorize_form(&body, &caller)
}

async fn consent_page(
    State(idp): Here,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    idp.consent_page(&query.unwrap_or_default(), &headers, &caller).await
}

async fn consent(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    idp.consent(&body, &headers, &caller).await
}

async fn login_page(
    State(idp): Here,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    idp.login_page(&query.unwrap_or_default(), &headers, &caller).await
}

async fn login(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    idp.login(&body, &headers, &caller).await
}

async fn login_answer(
    State(idp): Here,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    idp.login_answer(&query.unwrap_or_default(), &headers, &caller).await
}

async fn logout(State(idp): Here, caller: Caller, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    match Parameters::from_form(query.unwrap_or_default().as_bytes()) {
        Ok(parameters) => idp.logout(&Method::GET, parameters, &headers, &caller).await,
        Err(_) => idp.pages.malformed(&caller),
    }
}

async fn logout_form(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    match parameters(&headers, &body) {
        Ok(parameters) => idp.logout(&Method::POST, parameters, &headers, &caller).await,
        Err(_) => idp.pages.malformed(&caller),
    }
}

async fn apps_page(State(idp): Here, caller: Caller, headers: HeaderMap) -> Response {
    idp.apps_page(&headers, &caller).await
}

async fn withdraw(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    idp.withdraw(&body, &headers, &caller).await
}

async fn sign_out_everywhere(State(idp): Here, caller: Caller, headers: HeaderMap, body: Bytes) -> Response {
    idp.sign_out_everywhere(&body, &headers, &caller).await
}

async fn logo(State(idp): Here) -> Response {
    idp.pages.logo()
}

async fn wrong_method(caller: Caller) -> Response {
    Refused::method().answer(&caller)
}

/// Programs in browsers ask first (Fetch, "CORS-preflight request"). No cookie comes along.
async fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
