//! Trace context: what is well-formed goes on to the upstream as it came, anything else does not (W3C Trace
//! Context, level 1). The gateway takes no part in a trace and makes no spans of its own.

use http::{HeaderMap, HeaderName};

use crate::wire::trace_context;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace that a request belongs to, by its one well-formed `traceparent`.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => trace_context::trace_id(line.as_bytes()),
        _ => None,
    }
}

/// Removes what must not be passed on: a malformed or repeated `traceparent`, and a `tracestate` that is
/// malformed or has no good `traceparent` beside it (sections 3.2.2 and 3.3.1).
pub(super) fn clean(headers: &mut HeaderMap) {
    let has_parent = trace_id(headers).is_some();
    if !has_parent {
        headers.remove(TRACEPARENT);
    }
    let state = || headers.get_all(TRACESTATE).iter().map(|line| line.as_bytes());
    if !has_parent || !trace_context::is_tracestate(state()) {
        headers.remove(TRACESTATE);
    }
}
