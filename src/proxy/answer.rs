//! Answers of the gateway itself. They keep the connection where the protocol allows it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

use super::ending::Ending;
use super::grpc;
use super::http2::is_http2;
use crate::gate::{BodyFormat, Reason, Refusals};
use crate::limits::Quota;
use crate::model::Platform;
use crate::wire::accept;

/// The header that carries the request id, both ways.
pub(super) const X_REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// How long the rest of an unread request body is read after an answer, to keep the connection.
const DRAIN: Duration = Duration::from_secs(2);

/// What is left of a request's body when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: it was read to its end.
    Nothing,
    /// More than anybody wants: it is discarded for a while, so that the client gets to read the answer.
    Discarded,
    /// Nobody can tell: the connection ends.
    InDoubt,
}

/// Answers with this head and body.
pub(super) async fn write(
    session: &mut Session,
    head: ResponseHeader,
    body: Option<Bytes>,
    rest: Rest,
) -> pingora::Result<()> {
    if rest != Rest::Nothing {
        prepare_for_rest(session, rest == Rest::Discarded);
    }
    write_whole(session, head, body).await?;
    drain(session, rest == Rest::Discarded).await;
    Ok(())
}

async fn write_whole(
    session: &mut Session,
    head: ResponseHeader,
    body: Option<Bytes>,
) -> pingora::Result<()> {
    let Some(body) = body else { return write_head_alone(session, head).await };
    session.write_response_header(Box::new(head), false).await?;
    session.write_response_body(Some(body), true).await
}

/// Answers with a refusal; `quota` is the caller's, where the request was counted or was one too many.
/// `keep` says whether the connection is still in step.
pub(super) async fn refuse(
    session: &mut Session,
    refusals: &Refusals,
    reason: &Reason,
    platform: Platform,
    request_id: &HeaderValue,
    quota: Option<&Quota>,
    keep: bool,
) -> pingora::Result<()> {
    prepare_for_rest(session, keep);
    if let Some(content_type) = grpc::content_type(session.req_header()) {
        let mut head = grpc::head(reason, content_type, request_id)?;
        if !is_http2(session) {
            head.insert_header(CONTENT_LENGTH, HeaderValue::from_static("0"))?;
        }
        add(&mut head, quota)?;
        write_head_alone(session, head).await?;
        drain(session, keep).await;
        return Ok(());
    }
    let format = refusals.format(accept::prefers_problem(&session.req_header().headers));
    let (mut head, body) = build(refusals, format, reason, platform, request_id)?;
    add(&mut head, quota)?;
    let is_head = session.req_header().method == http::Method::HEAD;
    write_whole(session, head, (!is_head).then(|| Bytes::from(body))).await?;
    drain(session, keep).await;
    Ok(())
}

/// What an error means to the caller; `None` where nobody is there to be answered.
pub(super) fn reason_of(error: &Error, ended: Option<Ending>) -> Option<Reason> {
    match ended {
        Some(Ending::RequestBody) => return Some(Reason::SlowBody),
        Some(Ending::UpstreamAnswer) => return Some(Reason::UpstreamTimeout),
        Some(_) => return None,
        None => {}
    }
    match (error.esource(), error.etype()) {
        (
            ErrorSource::Upstream,
            ErrorType::ConnectTimedout
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout,
        ) => Some(Reason::UpstreamTimeout),
        (ErrorSource::Upstream, _) => Some(Reason::UpstreamUnreachable),
        (
            ErrorSource::Downstream,
            ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed,
        ) => None,
        (ErrorSource::Downstream, _) => Some(Reason::Body),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Reason::UpstreamUnreachable),
    }
}

fn add(head: &mut ResponseHeader, quota: Option<&Quota>) -> pingora::Result<()> {
    quota.into_iter().flat_map(Quota::headers).try_for_each(|(name, value)| head.insert_header(name, value))
}

/// Says what becomes of a request body that has not been read: it is discarded, or the connection ends.
fn prepare_for_rest(session: &mut Session, keep: bool) {
    // A client that waits for 100 (Continue) will not send its body now: nothing could be drained.
    if !keep || session.req_header().headers.contains_key(EXPECT) {
        session.set_keepalive(None);
    } else {
        session.set_close_on_response_before_downstream_finish(false);
        session.set_total_drain_timeout(Some(DRAIN));
    }
}

/// In HTTP/2 the head itself ends the stream, which gRPC demands; Pingora's plain way leaves it open.
async fn write_head_alone(session: &mut Session, head: ResponseHeader) -> pingora::Result<()> {
    session.write_response_tasks(vec![HttpTask::Header(Box::new(head), true)]).await.map(|_| ())
}

async fn drain(session: &mut Session, keep: bool) {
    if is_http2(session) && keep {
        // An HTTP/2 stream that ends before its body has come in makes some clients drop the answer.
        let _ = tokio::time::timeout(DRAIN, session.drain_request_body()).await;
    }
}

/// The head and the body of a refusal.
fn build(
    refusals: &Refusals,
    format: BodyFormat,
    reason: &Reason,
    platform: Platform,
    request_id: &HeaderValue,
) -> pingora::Result<(ResponseHeader, Vec<u8>)> {
    let id = request_id.to_str().unwrap_or_default();
    let platform = reason.platform().unwrap_or(platform);
    let (body, format) = match reason.body_of(platform, id) {
        Some(body) => (body, BodyFormat::Json),
        None => (refusals.body(reason, id, format), format),
    };
    let mut head = ResponseHeader::build(reason.code().status(), Some(8))?;
    head.insert_header(CONTENT_TYPE, HeaderValue::from_static(format.content_type()))?;
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    head.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    head.insert_header(X_REQUEST_ID, request_id.clone())?;
    if platform == Platform::ElasticPath {
        // Its clients are shops in browsers, which have to see a 401 to fetch another token.
        head.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))?;
    }
    if let Some(challenge) = reason.challenge_for(platform) {
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
pub(super) fn closing(refusals: &Refusals, reason: &Reason, request_id: &HeaderValue) -> Vec<u8> {
    // What the caller accepts is not known: the head cannot be trusted.
    let built = build(refusals, refusals.format(false), reason, Platform::default(), request_id);
    let Ok((mut head, body)) = built else { return Vec::new() };
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
