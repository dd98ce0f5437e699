//! Request heads without the spelling of their names.
//!
//! Pingora keeps the names as they were spelled in a second map beside the fields, and copies, looks up
//! and writes through both. Names mean the same in any case (RFC 9110 section 5.1) and HTTP/2 knows only
//! lower case, so that the upstream receives them in lower case and the second map is dropped as soon
//! as a request is permitted. That pays for most of what the gateway does itself: docs/performance.md.

use http::request::Parts;
use pingora::http::RequestHeader;

/// Takes a head apart; `request` is to be filled again.
///
/// The target is what its URI says: for heads that the gate has admitted, that is what is forwarded.
pub(super) fn take(request: &mut RequestHeader) -> Parts {
    let empty = http::Request::new(()).into_parts().0;
    std::mem::replace(request, RequestHeader::from(empty)).into()
}

/// Drops the spelling of the names, before the head is copied for the upstream.
pub(super) fn forget_spelling(request: &mut RequestHeader) {
    if request.has_case() {
        *request = RequestHeader::from(take(request));
    }
}
