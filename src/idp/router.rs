//! The endpoints by path, as axum serves them on the public listener.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, RawQuery, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::http::{Refused, Told, parameters, public};
use super::{Idp, Settings, discovery};
use crate::model::{Remark, Requester};
use crate::wire::parameters::Parameters;

/// The largest body, in bytes: a list of redirect URIs, at most.
const MAX_BODY: usize = 64 * 1024;

/// Where client libraries look first, whatever the base.
const DISCOVERY: &str = "/.well-known/openid-configuration";

type Here = State<Arc<Idp>>;
type Caller = Extension<Requester>;

impl Settings {
    /// The exact paths that are served here.
    pub fn paths(&self) -> Vec<Box<str>> {
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
            "/install",
            "/logo",
            DISCOVERY,
        ];
        below.iter().map(|path| self.path(path).into()).chain([DISCOVERY.into()]).collect()
    }

    /// The path of an endpoint.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Idp {
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
            .route(&at("/install"), post(install))
            .route(&at("/logo"), get(logo))
            .method_not_allowed_fallback(wrong_method)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::clone(self))
    }
}

/// The answer, with what the access log is told of it.
fn told(action: &'static str, mut answer: Response) -> Response {
    let Told { code, client } = answer.extensions_mut().remove().unwrap_or_default();
    answer.extensions_mut().insert(Remark { family: "idp", action, code, client_id: client, store_id: None });
    answer
}

fn answered(action: &'static str, done: Result<Response, Refused>, caller: &Requester) -> Response {
    told(action, done.unwrap_or_else(|refused| refused.answer(caller)))
}

async fn discover(State(idp): Here) -> Response {
    told("discovery", public(&discovery::document(&idp.settings)))
}

async fn jwks(State(idp): Here, Extension(caller): Caller) -> Response {
    let keys = idp.keys().map_err(|_| Refused::unavailable());
    answered("jwks", keys.map(|keys| public(&keys.jwks())), &caller)
}

async fn token(State(idp): Here, Extension(caller): Caller, headers: HeaderMap, body: Bytes) -> Response {
    answered("token", idp.token(&headers, &body, &caller).await, &caller)
}

async fn userinfo(State(idp): Here, Extension(caller): Caller, headers: HeaderMap) -> Response {
    answered("userinfo", idp.userinfo(&headers, None, &caller).await, &caller)
}

async fn userinfo_form(
    State(idp): Here,
    Extension(caller): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answered("userinfo", idp.userinfo(&headers, Some(&body), &caller).await, &caller)
}

async fn revoke(State(idp): Here, Extension(caller): Caller, headers: HeaderMap, body: Bytes) -> Response {
    answered("revoke", idp.revoke(&headers, &body, &caller).await, &caller)
}

async fn introspect(
    State(idp): Here,
    Extension(caller): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answered("introspect", idp.introspect(&headers, &body, &caller).await, &caller)
}

async fn register(State(idp): Here, Extension(caller): Caller, headers: HeaderMap, body: Bytes) -> Response {
    answered("register", idp.register(&headers, &body, &caller).await, &caller)
}

async fn authorize(
    State(idp): Here,
    Extension(caller): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    told("authorize", idp.authorize(&query.unwrap_or_default(), &headers, &caller).await)
}

async fn authorize_form(State(idp): Here, Extension(caller): Caller, body: Bytes) -> Response {
    told("authorize", idp.authorize_form(&body, &caller))
}

async fn consent_page(
    State(idp): Here,
    Extension(caller): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    told("consent", idp.consent_page(&query.unwrap_or_default(), &headers, &caller).await)
}

async fn consent(State(idp): Here, Extension(caller): Caller, headers: HeaderMap, body: Bytes) -> Response {
    told("consent", idp.consent(&body, &headers, &caller).await)
}

async fn login_page(
    State(idp): Here,
    Extension(caller): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    told("login", idp.login_page(&query.unwrap_or_default(), &headers, &caller).await)
}

async fn login(State(idp): Here, Extension(caller): Caller, headers: HeaderMap, body: Bytes) -> Response {
    told("login", idp.login(&body, &headers, &caller).await)
}

async fn login_answer(
    State(idp): Here,
    Extension(caller): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    told("login", idp.login_answer(&query.unwrap_or_default(), &headers, &caller).await)
}

async fn logout(
    State(idp): Here,
    Extension(caller): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let answer = match Parameters::from_form(query.unwrap_or_default().as_bytes()) {
        Ok(parameters) => idp.logout(&Method::GET, parameters, &headers, &caller).await,
        Err(_) => idp.pages.malformed(&caller),
    };
    told("logout", answer)
}

async fn logout_form(
    State(idp): Here,
    Extension(caller): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match parameters(&headers, &body) {
        Ok(parameters) => idp.logout(&Method::POST, parameters, &headers, &caller).await,
        Err(_) => idp.pages.malformed(&caller),
    };
    told("logout", answer)
}

async fn apps_page(State(idp): Here, Extension(caller): Caller, headers: HeaderMap) -> Response {
    told("apps", idp.apps_page(&headers, &caller).await)
}

async fn withdraw(State(idp): Here, Extension(caller): Caller, headers: HeaderMap, body: Bytes) -> Response {
    told("apps", idp.withdraw(&body, &headers, &caller).await)
}

async fn sign_out_everywhere(
    State(idp): Here,
    Extension(caller): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    told("apps", idp.sign_out_everywhere(&body, &headers, &caller).await)
}

async fn install(State(idp): Here, Extension(caller): Caller, headers: HeaderMap, body: Bytes) -> Response {
    told("install", idp.install(&body, &headers, &caller).await)
}

async fn logo(State(idp): Here) -> Response {
    told("logo", idp.pages.logo())
}

async fn wrong_method(Extension(caller): Caller) -> Response {
    told("method", Refused::method().answer(&caller))
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
