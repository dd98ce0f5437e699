//! What belongs to one connection only (RFC 9110 section 7.6.1), where Pingora leaves it to us: it
//! passes an upstream's hop-by-hop fields on to the client, takes any `Upgrade: websocket` for a
//! handshake, and removes from a request whatever the client names in `Connection`, fields of the
//! whole way included.

use std::sync::LazyLock;

use http::header::{
    ALT_SVC, CONNECTION, CONTENT_LENGTH, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;

use crate::wire::field::{OwnedNames, connection_tokens};
use crate::wire::head::HeadError;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields of an answer that the upstream said to its own client, which is this gateway: they mean nothing, or
/// something else, to ours. `Alt-Svc` (RFC 7838) would lead them around the gateway.
static NOT_FOR_CLIENTS: [HeaderName; 7] = [
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    TRAILER,
    TE,
    ALT_SVC,
];

/// Fields that frame the message: an upstream that names them in `Connection` cannot mean it.
static FRAMING: [HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

/// Fields of a request that end here (RFC 9110 sections 6.6.2, 7.6.1, 11.7). What HTTP/2 forbids besides is
/// refused by its parser.
static HOP_BY_HOP_REQUEST: [HeaderName; 5] =
    [PROXY_AUTHORIZATION, PROXY_AUTHENTICATE, PROXY_CONNECTION, HTTP2_SETTINGS, TRAILER];

/// Fields of a request that never go beyond this hop, named or not.
static NEVER_RESTORED: [HeaderName; 10] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// Fields that the standards of HTTP and of the web define for the whole way: no client can mean that they
/// end here, and upstreams decide by them.
static END_TO_END: LazyLock<OwnedNames> = LazyLock::new(|| {
    OwnedNames::new([
        "baggage",
        "cache-control",
        "date",
        "digest",
        "dnt",
        "early-data",
        "expect",
        "from",
        "idempotency-key",
        "last-event-id",
        "max-forwards",
        "origin",
        "pragma",
        "prefer",
        "priority",
        "range",
        "referer",
        "repr-digest",
        "signature",
        "signature-input",
        "tracestate",
        "traceparent",
        "user-agent",
        "x-api-key",
        "x-requested-with",
    ])
    .with_prefixes([
        "accept",
        "access-control-",
        "content-",
        "grpc-",
        "if-",
        "sec-",
        "want-",
        "x-csrf",
        "x-xsrf",
    ])
});

/// Puts back what Pingora removed because the client named it in `Connection`: fields of the whole
/// way, and from a trusted proxy, which may have passed its client's `Connection` on, every field that is not
/// hop-by-hop. Others end here, as the client asked. (The gate has refused those that are ours.)
pub(super) fn restore(sent: &HeaderMap, forwarded: &mut HeaderMap, trusted_peer: bool) {
    for token in sent.get_all(CONNECTION).iter().flat_map(|line| connection_tokens(line.as_bytes())) {
        // What nearly every request says.
        if token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close") {
            continue;
        }
        let Ok(name) = HeaderName::from_bytes(token) else { continue };
        let is_lost = !NEVER_RESTORED.contains(&name) && !forwarded.contains_key(&name);
        if is_lost && (trusted_peer || END_TO_END.contains(name.as_str())) {
            for value in sent.get_all(&name) {
                forwarded.append(&name, value.clone());
            }
        }
    }
}

/// What HTTP/2 forbids and its parser lets through.
///
/// A value with a blank at an end makes a request malformed (RFC 9113 section 8.2.1): in HTTP/1 such a blank is no
/// part of the value, so that the next hop would read another one. So does an empty `:scheme`, and one that is none of
/// ours says that another protocol is meant. (CONNECT has none, and without `:authority` it is not passed on to us.)
pub(super) fn check_http2_request(request: &RequestHeader) -> Result<(), HeadError> {
    let is_ours = matches!(request.uri.scheme_str(), Some("https" | "http"));
    if !is_ours && request.uri.authority().is_some() && request.method != Method::CONNECT {
        return Err(HeadError::Scheme);
    }
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_padded = |value: &HeaderValue| {
        let value = value.as_bytes();
        is_blank(value.first()) || is_blank(value.last())
    };
    if request.headers.values().any(is_padded) { Err(HeadError::Padded) } else { Ok(()) }
}

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

/// Removes what the upstream said to this hop from what the client is told, and what `speaks_for_us`.
pub(super) fn clean(response: &mut ResponseHeader, speaks_for_us: impl Fn(&HeaderName) -> bool) {
    // An upgrade is of one connection; 426 names the one that is needed (RFC 9110 section 15.5.22).
    let upgrades = matches!(response.status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED);
    let unwanted = |name: &&HeaderName| {
        NOT_FOR_CLIENTS.contains(name) || (**name == UPGRADE && !upgrades) || speaks_for_us(name)
    };
    // Mostly there is none, and one walk tells.
    let unwanted: SmallVec<[HeaderName; 4]> = response.headers.keys().filter(unwanted).cloned().collect();
    for name in &unwanted {
        response.remove_header(name);
    }
    if !response.headers.contains_key(CONNECTION) {
        return;
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

/// The same for fields that come behind a body (RFC 9110 section 6.5.1): what frames a message or
/// belongs to a connection has no place there.
pub(super) fn clean_trailers(trailers: &mut HeaderMap, speaks_for_us: impl Fn(&HeaderName) -> bool) {
    let unwanted = |name: &&HeaderName| {
        **name == CONNECTION
            || NOT_FOR_CLIENTS.contains(name)
            || FRAMING.contains(name)
            || speaks_for_us(name)
    };
    let unwanted: SmallVec<[HeaderName; 4]> = trailers.keys().filter(unwanted).cloned().collect();
    for name in &unwanted {
        trailers.remove(name);
    }
}
