//! What belongs to one connection only (RFC 9110 section 7.6.1), where Pingora leaves it to us: it
//! passes an upstream's hop-by-hop fields on to the client, and takes any `Upgrade: websocket` for a
//! handshake. It cleans the request to the upstream by itself.

use http::Method;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::wire::field::connection_tokens;

/// Fields of the upstream's connection that mean nothing, or something else, on the client's.
static HOP_BY_HOP: [HeaderName; 3] =
    [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection"), TRAILER];

/// Fields that frame the message: an upstream that names them in `Connection` cannot mean it.
static FRAMING: [HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

/// Fields of a request that end here (RFC 9110 sections 6.6.2, 7.6.1, 11.7). What HTTP/2 forbids besides is
/// refused by its parser.
static HOP_BY_HOP_REQUEST: [HeaderName; 5] = [
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    TRAILER,
];

/// Cleans a request that came by HTTP/2, with these fields: Pingora passes a cookie that was split for
/// compression on in pieces. `te: trailers`, which its own clean-up removes, may pass from HTTP/2 to
/// HTTP/2 (RFC 9113 section 8.2.2), and gRPC servers demand it.
pub(super) fn clean_http2_request(head: &mut Parts, sent: &HeaderMap) {
    let headers = &mut head.headers;
    if head.version == http::Version::HTTP_2
        && let Some(trailers) = sent.get(TE)
    {
        headers.insert(TE, trailers.clone());
    }
    for name in &HOP_BY_HOP_REQUEST {
        headers.remove(name);
    }
    let pieces = headers.get_all(COOKIE);
    if pieces.iter().nth(1).is_some() {
        // RFC 9113 section 8.2.3.
        let pieces: Vec<&[u8]> = pieces.iter().map(HeaderValue::as_bytes).collect();
        let joined = pieces.join(&b"; "[..]);
        // Pieces that are valid values make a valid value.
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// Removes an `Upgrade` that `Connection` does not name (RFC 9110 section 7.8) or that does not come
/// with GET (RFC 6455 section 4.1): a proxy in front of us that knows no upgrades would let a
/// connection that it shares become a tunnel.
pub(super) fn drop_stray_upgrade(request: &mut RequestHeader) {
    if !request.headers.contains_key(UPGRADE) {
        return;
    }
    let mut nominated =
        request.headers.get_all(CONNECTION).iter().map(|line| connection_tokens(line.as_bytes()));
    let is_meant = nominated.any(|mut tokens| tokens.any(|token| token.eq_ignore_ascii_case(b"upgrade")));
    if !is_meant || request.method != Method::GET {
        request.remove_header(&UPGRADE);
    }
}

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
