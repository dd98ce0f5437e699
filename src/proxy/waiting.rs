//! Who is waited for while a request is under way, from phase to phase. What takes too long is ended by the
//! watch over the client's connection or stream; the pace of the answer is looked at here, part by part.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;

use super::answer_pace::AnswerPace;
use super::context::Context;
use super::ending::Ending;
use super::grpc;
use super::leash::Awaited;
use super::pace::{LeastPace, TooSlow};

/// By how much longer than its `read_timeout` an upstream may take for the whole head of its answer, so that
/// one that is silent is told from one that drips.
const HEAD_SLACK: Duration = Duration::from_secs(1);

/// A request is about to be forwarded: its client is watched while it sends the body.
pub(super) fn for_body(session: &mut Session, context: &Context) {
    let Some(leash) = context.leash.as_ref().filter(|_| !session.is_body_empty()) else { return };
    let request = session.req_header();
    // A gRPC client may call and then be silent for as long as the upstream bears it.
    if context.engine.upstreams.speaks_http2(context.upstream) && grpc::content_type(request).is_some() {
        return;
    }
    let is_to_be_asked = request.headers.contains_key(EXPECT);
    leash.awaits(if is_to_be_asked { Awaited::BodyOnceAsked } else { Awaited::Body });
}

/// The silence of a WebSocket has a limit of its own, in place of the upstream's.
pub(super) fn for_websocket(peer: &mut HttpPeer, idle: Duration) {
    let read_timeout = &mut peer.options.read_timeout;
    *read_timeout = read_timeout.map(|read| read.max(idle + HEAD_SLACK));
}

/// The upstream has the whole request: it has its time for the head of the answer.
pub(super) fn for_answer(context: &Context, now: Instant) {
    if let Some(leash) = &context.leash {
        let by = context
            .engine
            .upstreams
            .read_timeout(context.upstream)
            .and_then(|time| now.checked_add(time + HEAD_SLACK));
        leash.limit_answer(by);
    }
}

/// The last of the request's body is on its way to the upstream.
pub(super) fn body_is_complete(context: &Context) {
    if let Some(leash) = &context.leash
        && matches!(leash.awaited(), Awaited::Body | Awaited::BodyOnceAsked)
    {
        leash.awaits(Awaited::Nothing);
        if context.first_byte.is_none() {
            for_answer(context, Instant::now());
        }
    }
}

/// The head of an answer is there, maybe an interim one (RFC 9110 section 15.2).
pub(super) fn answer_has_begun(response: &ResponseHeader, context: &mut Context, now: Instant) {
    let Some(leash) = &context.leash else { return };
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        leash.limit_answer(None);
        leash.awaits(Awaited::WebSocket);
    } else if response.status.is_informational() {
        if leash.awaited() == Awaited::Nothing {
            for_answer(context, now);
        }
    } else {
        leash.limit_answer(None);
        if response.headers.contains_key(CONTENT_LENGTH) {
            context.answer = Some(AnswerPace::begin(now, leash.not_taken()));
        }
    }
}

/// A part of the answer came that is not the last.
pub(super) fn part_of_answer(
    part: &Option<Bytes>,
    context: &mut Context,
    least: LeastPace,
) -> Result<(), TooSlow> {
    let (Some(answer), Some(leash)) = (&mut context.answer, &context.leash) else { return Ok(()) };
    let now = Instant::now();
    if leash.awaited() != Awaited::Nothing {
        // The upstream may be waiting for the rest of the request.
        *answer = AnswerPace::begin(now, leash.not_taken());
        return Ok(());
    }
    let bytes = part.as_ref().map_or(0, Bytes::len);
    let came = answer.came(least, bytes, now, leash.not_taken());
    if came.is_err() {
        leash.end(Ending::UpstreamAnswer);
    }
    came
}
