//! What belongs to one connection only (RFC 9110 section 7.6.1), where Pingora leaves it to us: it
//! passes an upstream's hop-by-hop fields on to the client. It cleans the request to the upstream by
//! itself.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRAILER, TRANSFER_ENCODING, UPGRADE};
use pingora::http::ResponseHeader;

use crate::wire::field::connection_tokens;

/// Fields of the upstream's connection that mean nothing, or something else, on the client's.
static HOP_BY_HOP: [HeaderName; 3] =
    [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection"), TRAILER];

/// Fields that frame the message: an upstream that names them in `Connection` cannot mean it.
static FRAMING: [HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

/// Removes what the upstream said to this hop from what the client is told.
pub(super) fn clean(response: &mut ResponseHeader) {
    // One walk over the few names there are is cheaper than four look-ups that find nothing.
    if !response.headers.keys().any(|name| *name == CONNECTION || HOP_BY_HOP.contains(name)) {
        return;
    }
    for name in &HOP_BY_HOP {
        response.remove_header(name);
    }
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| connection_tokens(line.as_bytes()))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !FRAMING.contains(name))
        .collect();
    for name in nominated {
        response.remove_header(&name);
    }
}
