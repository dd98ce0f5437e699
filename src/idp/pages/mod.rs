//! What people see: HTML made here, without a script, readable at every width, in light and in dark, by
//! keyboard and by screen reader. The words are in [`super::texts`], the operator's face comes from the
//! configuration, and everything that is not ours is escaped by the templates.

mod granting;
mod look;
mod views;

use std::time::Duration;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

pub(super) use look::Logo;
pub use look::LogoError;

use super::http::{Told, request_id};
use super::request::Asked;
use super::texts::{ENGLISH, Texts};
use super::{Brand, Settings};
use crate::model::{Consent, RedirectUri, Requester, ScopeSet, StoreId, User, csp_source};

/// The pages.
#[derive(Debug)]
pub(super) struct Pages {
    frame: Frame,
    /// The logo, or what stands for it in the browser's tab.
    logo: Logo,
    /// The digest of the style sheet, by which the policy allows it.
    style: String,
    issuer: String,
}

/// What every page has.
#[derive(Debug)]
struct Frame {
    brand: Brand,
    texts: &'static Texts,
    base: String,
    css: String,
    has_logo: bool,
    has_links: bool,
    monogram: String,
}

/// What goes wrong so that there is no way on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Problem {
    /// The client's request: told to its makers in these words.
    Request(&'static str),
    /// The page is not of this browser and this hour.
    Expired,
    /// The browser sent no cookie back.
    Cookies,
    /// The merchant does not belong to the store.
    Store,
    /// It cannot be told now.
    Unavailable,
}

/// What is wrong with what somebody typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Wrong,
    Incomplete,
    Busy,
    Throttled(Duration),
}

/// The sign-in page.
#[derive(Debug)]
pub(super) struct LoginPage<'p> {
    /// For whom; `None`: for the page with what was granted.
    pub(super) asked: Option<&'p Asked>,
    pub(super) sealed: &'p str,
    pub(super) csrf: &'p str,
    pub(super) email: &'p str,
    pub(super) trouble: Option<Trouble>,
    /// Who may go on without a password.
    pub(super) signed_in: Option<&'p User>,
}

/// The page that asks.
#[derive(Debug)]
pub(super) struct ConsentPage<'p> {
    pub(super) asked: &'p Asked,
    pub(super) sealed: &'p str,
    pub(super) csrf: &'p str,
    pub(super) user: &'p User,
    /// The store, or those to choose from, with their names.
    pub(super) stores: &'p [(StoreId, String)],
    /// The form came without a choice.
    pub(super) must_choose: bool,
    /// What was granted before.
    pub(super) granted: &'p ScopeSet,
}

/// The page that asks whether an app may work in a store.
#[derive(Debug)]
pub(super) struct InstallPage<'p> {
    pub(super) app: &'p str,
    pub(super) redirect_uri: &'p str,
    pub(super) store: (StoreId, String),
    pub(super) scopes: &'p ScopeSet,
    pub(super) user: &'p User,
    pub(super) csrf: &'p str,
    pub(super) sealed: &'p str,
}

/// The page with what was granted.
#[derive(Debug)]
pub(super) struct AppsPage<'p> {
    pub(super) user: &'p User,
    pub(super) csrf: &'p str,
    pub(super) consents: &'p [Consent],
}

/// The page that asks whether to sign out.
#[derive(Debug)]
pub(super) struct SignOutPage<'p> {
    pub(super) user: &'p User,
    /// Where the person goes afterwards.
    pub(super) back: Option<&'p RedirectUri>,
    pub(super) csrf: &'p str,
    pub(super) client_id: &'p str,
    pub(super) id_token_hint: &'p str,
    pub(super) place: &'p str,
    pub(super) state: &'p str,
}

impl Pages {
    pub(super) fn new(settings: &Settings, logo: Option<Logo>) -> Self {
        let brand = settings.brand.clone();
        let css = look::style(&brand);
        let style = BASE64.encode(&Sha256::digest(&css));
        let links = [&brand.help_url, &brand.privacy_url, &brand.terms_url];
        let frame = Frame {
            texts: &ENGLISH,
            base: settings.base.clone(),
            css,
            has_logo: logo.is_some(),
            has_links: links.iter().any(|url| url.is_some()),
            monogram: views::initial(&brand.name),
            brand,
        };
        let logo = logo.unwrap_or_else(|| look::sign(&frame.monogram, frame.brand.color));
        Self { frame, logo, style, issuer: settings.issuer.clone() }
    }

    /// The sign-in page.
    pub(super) fn login(&self, page: &LoginPage<'_>) -> Response {
        let (status, code, wait) = match page.trouble {
            None => (StatusCode::OK, "", None),
            Some(Trouble::Wrong) => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_password", None),
            Some(Trouble::Incomplete) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", None),
            Some(Trouble::Busy) => {
                (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", Some(Duration::from_secs(5)))
            }
            Some(Trouble::Throttled(wait)) => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", Some(wait))
            }
        };
        let back = page.asked.map(|asked| asked.back.uri.csp_source());
        let mut answer = self.page((status, code), back, views::login(&self.frame, &self.issuer, page));
        if let Some(wait) = wait {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        answer
    }

    /// The page that asks.
    pub(super) fn consent(&self, page: &ConsentPage<'_>) -> Response {
        let told = match page.must_choose {
            true => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"),
            false => (StatusCode::OK, ""),
        };
        self.page(told, Some(page.asked.back.uri.csp_source()), granting::consent(&self.frame, page))
    }

    /// The page that asks whether an app may work in a store.
    pub(super) fn install(&self, page: &InstallPage<'_>) -> Response {
        let back = csp_source(page.redirect_uri);
        self.page((StatusCode::OK, ""), Some(back), granting::install(&self.frame, page))
    }

    /// The page with what was granted.
    pub(super) fn apps(&self, page: &AppsPage<'_>) -> Response {
        self.page((StatusCode::OK, ""), None, granting::apps(&self.frame, page))
    }

    /// The page that asks whether to sign out.
    pub(super) fn sign_out(&self, page: &SignOutPage<'_>) -> Response {
        let back = page.back.map(RedirectUri::csp_source);
        self.page((StatusCode::OK, ""), back, views::sign_out(&self.frame, page))
    }

    /// The page after signing out.
    pub(super) fn signed_out(&self) -> Response {
        self.page((StatusCode::OK, ""), None, views::signed_out(&self.frame))
    }

    /// A page without a way on.
    pub(super) fn problem(&self, problem: Problem, caller: &Requester) -> Response {
        let told = match problem {
            Problem::Request(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Problem::Cookies => (StatusCode::BAD_REQUEST, "no_cookie"),
            Problem::Expired => (StatusCode::FORBIDDEN, "expired"),
            Problem::Store => (StatusCode::FORBIDDEN, "access_denied"),
            Problem::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable"),
        };
        let mut answer = self.page(told, None, views::problem(&self.frame, problem, request_id(caller)));
        if let Problem::Unavailable = problem {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        answer
    }

    /// A request that is not even a list of parameters.
    pub(super) fn malformed(&self, caller: &Requester) -> Response {
        self.problem(Problem::Request("The request is malformed."), caller)
    }

    /// The operator's logo.
    pub(super) fn logo(&self) -> Response {
        let logo = &self.logo;
        let mut answer = logo.bytes.clone().into_response();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(logo.media_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // An SVG that is opened by itself could hold a script.
        let alone = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(alone));
        answer
    }

    /// A page with the headers that all pages have. `back` is where its form leads in the end: browsers hold
    /// the answer to a form to `form-action` too.
    fn page(
        &self,
        (status, code): (StatusCode, &'static str),
        back: Option<String>,
        html: askama::Result<String>,
    ) -> Response {
        let Ok(html) = html else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let mut answer = (status, html).into_response();
        answer.extensions_mut().insert(Told { code, client: None });
        let back = back.map(|back| format!(" {back}")).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; img-src 'self'; form-action 'self'{back}; \
             frame-ancestors 'none'; base-uri 'none'",
            self.style
        );
        let headers: &mut HeaderMap = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }
}
