//! Answers of the gateway itself. They keep the connection where the protocol allows it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER, WWW_AUTHENTICATE,
};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::gate::Reason;
use crate::limits::Quota;

/// The header that carries the request id, both ways.
pub(super) const X_REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// How long the rest of an unread request body is read after an answer, to keep the connection.
const DRAIN: Duration = Duration::from_secs(2);

/// Answers with a refusal; `quota` is the caller's, where the request was counted or was one too many.
/// `keep` says whether the connection is still in step.
pub(super) async fn refuse(
    session: &mut Session,
    reason: &Reason,
    request_id: &HeaderValue,
    quota: Option<&Quota>,
    keep: bool,
) -> pingora::Result<()> {
    let (mut head, body) = build(reason, request_id)?;
    for (name, value) in quota.into_iter().flat_map(Quota::headers) {
        head.insert_header(name, value)?;
    }
    // A client that waits for 100 (Continue) will not send its body now: nothing could be drained.
    if !keep || session.req_header().headers.contains_key(EXPECT) {
        session.set_keepalive(None);
    } else {
        session.set_close_on_response_before_downstream_finish(false);
        session.set_total_drain_timeout(Some(DRAIN));
    }
    let bodiless = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(head), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(Bytes::from(body)), true).await?;
    }
    if session.is_http2() && keep {
        // An HTTP/2 stream that ends before its body has come in makes some clients drop the answer.
        let _ = tokio::time::timeout(DRAIN, session.drain_request_body()).await;
    }
    Ok(())
}

/// The head and the body of a refusal.
fn build(reason: &Reason, request_id: &HeaderValue) -> pingora::Result<(ResponseHeader, Vec<u8>)> {
    let body = reason.body(request_id.to_str().unwrap_or_default());
    let mut head = ResponseHeader::build(reason.code().status(), Some(8))?;
    head.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/json"))?;
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    head.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    head.insert_header(X_REQUEST_ID, request_id.clone())?;
    if let Some(challenge) = reason.challenge() {
        head.insert_header(WWW_AUTHENTICATE, challenge)?;
    }
    if let Some(seconds) = reason.retry_after() {
        head.insert_header(RETRY_AFTER, HeaderValue::from(seconds))?;
    }
    if let Some(allow) = reason.allow() {
        head.insert_header(ALLOW, allow)?;
    }
    Ok((head, body))
}

/// A refusal as the bytes of an HTTP/1.1 response that ends the connection.
pub(super) fn closing(reason: &Reason, request_id: &HeaderValue) -> Vec<u8> {
    let Ok((mut head, body)) = build(reason, request_id) else { return Vec::new() };
    let status = head.status;
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let _ = head.insert_header(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &head.headers {
        bytes.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    bytes.push_str("\r\n");
    [bytes.into_bytes(), body].concat()
}
