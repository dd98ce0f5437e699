//! Requests that the public listener answers itself: token endpoints and the like. The one bridge from
//! Pingora's session to a router of ordinary handlers.
//!
//! Such a request is admitted like every other one (one Host, one body length, a path in normal form) and
//! taken out before routes are matched. Its body is bounded and read under a deadline, its answer is
//! JSON also where the handler is not reached, and it ends in the same access log and metrics.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use foldhash::HashMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT,
    TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde_json::json;
use tokio::time::timeout;
use tower_service::Service;

use super::answer::{self, Rest};
use crate::gate::PathCase;
use crate::model::{Remark, Requester};

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The largest answer that is sent, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// How long the client has to send its body.
const TO_RECEIVE: Duration = Duration::from_secs(10);

/// How long the handler has.
const TO_ANSWER: Duration = Duration::from_secs(15);

/// The router and the paths that are its.
#[derive(Debug)]
pub struct Local {
    router: Router,
    /// By the spelling under which requests are matched: the paths as the router has them.
    paths: HashMap<Box<str>, Box<str>>,
    case: PathCase,
}

impl Local {
    /// Serves `router` at these paths, in normal form; they are matched as the literal parts of routes are, so
    /// that no other spelling reaches a wide route behind them.
    pub fn new(router: Router, paths: impl IntoIterator<Item = Box<str>>, case: PathCase) -> Self {
        Self { router: Router::new(), paths: HashMap::default(), case }.and(router, paths)
    }

    /// Serves another router's paths as well.
    pub fn and(mut self, router: Router, paths: impl IntoIterator<Item = Box<str>>) -> Self {
        self.router = self.router.merge(router);
        let case = self.case;
        self.paths.extend(paths.into_iter().map(|path| (case.literal(&path).into(), path)));
        self
    }

    /// The path of ours that a path in normal form stands for.
    pub(super) fn find(&self, path: &str) -> Option<&str> {
        if self.paths.is_empty() {
            return None;
        }
        self.paths.get(&*self.case.literal(path)).map(|path| &**path)
    }

    /// Answers the request. Gives what the handler tells the log, if it was reached.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        target: Uri,
        requester: Requester,
    ) -> pingora::Result<Option<Remark>> {
        let request_id = requester.request_id.clone();
        let (response, rest) = match receive(session).await {
            Ok(body) => (self.call(session, target, requester, body).await, Rest::Nothing),
            Err(status) => {
                let is_known = status == StatusCode::PAYLOAD_TOO_LARGE;
                let rest = if is_known { Rest::Discarded } else { Rest::InDoubt };
                (plain(status, &request_id), rest)
            }
        };
        send(session, response, &request_id, rest).await
    }

    async fn call(
        &self,
        session: &Session,
        target: Uri,
        requester: Requester,
        body: Bytes,
    ) -> Response<Body> {
        let request_id = requester.request_id.clone();
        let head = session.req_header();
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = target;
        *request.headers_mut() = end_to_end(&head.headers);
        request.extensions_mut().insert(requester);
        // A router is always ready, and never fails.
        match timeout(TO_ANSWER, self.router.clone().call(request)).await {
            Ok(Ok(response)) => response,
            Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, &request_id),
        }
    }
}

/// The fields that are for the handler.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT] {
        headers.remove(name);
    }
    headers
}

/// Reads the whole body, or says with which status the request is refused.
async fn receive(session: &mut Session) -> Result<Bytes, StatusCode> {
    let stated = session.req_header().headers.get(CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > MAX_BODY) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    if session.req_header().headers.contains_key(EXPECT) && !session.is_http2() {
        // Pingora would end the connection for an answer, even this one, before the body has come.
        session.set_close_on_response_before_downstream_finish(false);
        session.write_continue_response().await.map_err(|_| StatusCode::BAD_REQUEST)?;
    }
    let all = async {
        let mut body = BytesMut::new();
        while let Some(part) = session.read_request_body().await.map_err(|_| StatusCode::BAD_REQUEST)? {
            if body.len() + part.len() > MAX_BODY {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            body.extend_from_slice(&part);
        }
        Ok(body.freeze())
    };
    timeout(TO_RECEIVE, all).await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
}

/// What is answered where no handler is reached.
fn plain(status: StatusCode, request_id: &HeaderValue) -> Response<Body> {
    let (code, message) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("invalid_request", "The request body is too large."),
        StatusCode::REQUEST_TIMEOUT => ("invalid_request", "The request body did not come in time."),
        StatusCode::BAD_REQUEST => ("invalid_request", "The request body is malformed."),
        _ => ("service_unavailable", "The answer took too long. Try again shortly."),
    };
    // In our own words, in those of RFC 6749 and of Elastic Path, so that any client of a token endpoint can read it.
    let body = json!({
        "message": message, "code": code, "status": status.as_u16(),
        "request_id": request_id.to_str().unwrap_or_default(),
        "error": code, "error_description": message,
        "errors": [{
            "status": status.as_u16(), "title": status.canonical_reason().unwrap_or("Error"), "detail": message,
        }],
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // For programs in browsers, as the endpoints that they call answer; there is nothing in it but the reason.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn send(
    session: &mut Session,
    response: Response<Body>,
    request_id: &HeaderValue,
    rest: Rest,
) -> pingora::Result<Option<Remark>> {
    let (mut parts, body) = response.into_parts();
    let remark = parts.extensions.remove::<Remark>();
    let body = axum::body::to_bytes(body, MAX_ANSWER).await.unwrap_or_default();
    let mut head = ResponseHeader::build(parts.status, Some(parts.headers.len() + 3))?;
    for (name, value) in &parts.headers {
        if name != CONTENT_LENGTH {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    if parts.status != StatusCode::NO_CONTENT {
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    }
    head.insert_header(answer::X_REQUEST_ID, request_id.clone())?;
    head.insert_header(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))?;
    let bodiless = session.req_header().method == Method::HEAD || body.is_empty();
    answer::write(session, head, (!bodiless).then_some(body), rest).await?;
    Ok(remark)
}
