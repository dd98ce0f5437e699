//! Trace context: what is well-formed goes on to the upstream as it came, anything else does not (W3C Trace
//! Context, level 1). Only where spans are exported (`telemetry/otlp`) does the gateway take part in a trace.

use http::{HeaderMap, HeaderName};

use crate::wire::trace_context::{self, Parent};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The one well-formed `traceparent` of a request.
pub(super) fn parent(headers: &HeaderMap) -> Option<Parent<'_>> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => trace_context::parent(line.as_bytes()),
        _ => None,
    }
}

/// Removes what must not be passed on: a malformed or repeated `traceparent`, and a `tracestate` that is
/// malformed or has no good `traceparent` beside it (sections 3.2.2 and 3.3.1).
pub(super) fn clean(headers: &mut HeaderMap) {
    let has_parent = parent(headers).is_some();
    if !has_parent {
        headers.remove(TRACEPARENT);
    }
    let state = || headers.get_all(TRACESTATE).iter().map(|line| line.as_bytes());
    if !has_parent || !trace_context::is_tracestate(state()) {
        headers.remove(TRACESTATE);
    }
}

/// The span of a request that is exported. Ids are hexadecimal digits in lower case.
#[cfg(feature = "otlp")]
#[derive(Debug, Clone)]
pub struct Span {
    trace_id: [u8; 32],
    span_id: [u8; 16],
    /// The caller's span.
    parent_id: Option<[u8; 16]>,
}

#[cfg(feature = "otlp")]
impl Span {
    /// A span with this id: below the caller's, or the first of the trace `begun`. Neither may be 0.
    pub fn new(parent: Option<Parent<'_>>, begun: u128, id: u64) -> Self {
        let mut span = Self { trace_id: [b'0'; 32], span_id: [b'0'; 16], parent_id: None };
        data_encoding::HEXLOWER.encode_mut(&id.to_be_bytes(), &mut span.span_id);
        match parent {
            None => data_encoding::HEXLOWER.encode_mut(&begun.to_be_bytes(), &mut span.trace_id),
            Some(parent) => {
                let parent_id = span.parent_id.insert([b'0'; 16]);
                span.trace_id.iter_mut().zip(parent.trace_id.bytes()).for_each(|(own, digit)| *own = digit);
                parent_id.iter_mut().zip(parent.span_id.bytes()).for_each(|(own, digit)| *own = digit);
            }
        }
        span
    }

    /// The trace.
    pub fn trace_id(&self) -> &str {
        std::str::from_utf8(&self.trace_id).unwrap_or_default()
    }

    /// The span itself.
    pub fn span_id(&self) -> &str {
        std::str::from_utf8(&self.span_id).unwrap_or_default()
    }

    /// The caller's span, where the caller has one.
    pub fn parent_id(&self) -> Option<&str> {
        self.parent_id.as_ref().and_then(|id| std::str::from_utf8(id).ok())
    }

    /// Makes it the parent of what the upstream does. Of flags only the one that is known is set, and the version is
    /// ours (section 3.2.4 of the recommendation).
    pub(super) fn pass_on(&self, headers: &mut HeaderMap) {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
        text[3..35].copy_from_slice(&self.trace_id);
        text[36..52].copy_from_slice(&self.span_id);
        if let Ok(value) = http::HeaderValue::from_bytes(&text) {
            headers.insert(TRACEPARENT, value);
        }
    }
}
