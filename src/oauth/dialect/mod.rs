//! How each platform asks and answers. A dialect reads a request and writes an answer or an error; the rules
//! are elsewhere.

mod elasticpath;
pub(super) mod selorax;
mod shopify;
mod standard;
mod tiki;

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use super::Served;
use super::answer;
use super::failure::Failure;
use super::request::Request;
use crate::model::{Platform, Remark};
use crate::wire::parameters::Parameters;

/// Answers a token request.
pub(super) async fn token(
    served: &Served,
    request: &Request<'_>,
    remark: &mut Remark,
) -> Result<Value, Failure> {
    match served.endpoint.platform {
        Platform::Standard => standard::token(served, request, remark).await,
        Platform::Shopify => shopify::token(served, request, remark).await,
        Platform::ElasticPath => elasticpath::token(served, request, remark).await,
        Platform::Tiki => tiki::token(served, request, remark).await,
        Platform::Selorax => selorax::token(served, request, remark).await,
    }
}

/// Tells what was issued.
pub(super) fn accept(platform: Platform, body: &Value) -> Response {
    let mut response = answer::json(StatusCode::OK, body);
    allow_browsers(platform, &mut response);
    response
}

/// Tells a failure.
pub(super) fn refuse(platform: Platform, failure: &Failure, request: &Request<'_>) -> Response {
    let mut response = match platform {
        Platform::Standard => standard::refuse(failure, request),
        Platform::Selorax => selorax::refuse(failure, request),
        Platform::Shopify => shopify::refuse(failure),
        Platform::ElasticPath => elasticpath::refuse(failure),
        Platform::Tiki => tiki::refuse(failure, request),
    };
    if *failure == Failure::Method {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        // RFC 9110 section 15.5.2. Not Basic where the platform does not speak it: browsers would ask for a password.
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().entry(header::WWW_AUTHENTICATE).or_insert(challenge);
    }
    allow_browsers(platform, &mut response);
    response
}

/// The answer to a CORS preflight, where browsers of any origin may ask: implicit tokens are theirs, and
/// nothing of the browser's own is sent along.
pub(super) fn preflight(platform: Platform, method: &Method) -> Option<Response> {
    if platform != Platform::ElasticPath || method != Method::OPTIONS {
        return None;
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    allow_browsers(platform, &mut response);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, authorization"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Some(response)
}

fn allow_browsers(platform: Platform, response: &mut Response) {
    if platform == Platform::ElasticPath {
        let everybody = HeaderValue::from_static("*");
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, everybody);
    }
}

/// The grant that is asked for, which must be one of `known`.
fn grant_type(
    parameters: &Parameters,
    known: &[&'static str],
    remark: &mut Remark,
) -> Result<&'static str, Failure> {
    let asked = parameters.get("grant_type").ok_or(Failure::malformed("grant_type is missing."))?;
    let found = known.iter().copied().find(|grant| *grant == asked).ok_or(Failure::GrantType)?;
    remark.action = found;
    Ok(found)
}
