//! The headers that say who called and what was asked: request id and `X-Forwarded-*`. Built from
//! parsed values; what the client sent counts only when the peer is a trusted proxy.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::answer::X_REQUEST_ID;
use super::peer::Peer;
use crate::wire::host::Authority;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The longest request id taken over from a trusted proxy, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// Request ids: 32 hexadecimal digits, unique to the process and the request.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Seeds the ids of this process.
    ///
    /// # Errors
    ///
    /// The operating system's error when it has no randomness to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        let (mut process, mut first) = ([0; 8], [0; 8]);
        getrandom::fill(&mut process)?;
        getrandom::fill(&mut first)?;
        let next = AtomicU64::new(u64::from_ne_bytes(first));
        Ok(Self { process: u64::from_ne_bytes(process), next })
    }

    pub(super) fn next(&self) -> HeaderValue {
        // splitmix64 is a bijection: consecutive counts give distinct, unlike numbers.
        let mut mixed = self.next.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let mut text = [0u8; 32];
        let bytes = (u128::from(self.process) << 64 | u128::from(mixed)).to_be_bytes();
        data_encoding::HEXLOWER.encode_mut(&bytes, &mut text);
        // Shared from the start: upstream, client and log each have a copy of the handle only.
        let text = Bytes::from_owner(text);
        HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

/// The request id of a trusted proxy, if it sent a usable one.
pub(super) fn sent_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(&X_REQUEST_ID)?;
    let usable = !value.is_empty()
        && value.len() <= MAX_REQUEST_ID
        && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b));
    usable.then(|| value.clone())
}

/// Where a request came from.
pub(super) struct Origin<'a> {
    pub(super) peer: &'a Peer,
    /// Whether what the peer says of others is believed.
    pub(super) is_trusted: bool,
    pub(super) tls: bool,
    pub(super) request_id: &'a HeaderValue,
}

/// Whether the caller spoke TLS: to us, or to the trusted proxy in front, which says so.
pub(super) fn is_secure(tls: bool, is_peer_trusted: bool, headers: &HeaderMap) -> bool {
    match is_peer_trusted && has_only(headers, &PROTO, is_scheme) {
        true => headers.get(&PROTO).is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https")),
        false => tls,
    }
}

/// Sets request id and `X-Forwarded-*` on the request to the upstream, which has its checked Host.
pub(super) fn set(headers: &mut HeaderMap, origin: &Origin<'_>) {
    let (peer, is_trusted) = (origin.peer, origin.is_trusted);
    headers.insert(X_REQUEST_ID, origin.request_id.clone());
    let addresses = if is_trusted { chain(headers, peer) } else { peer.text.clone() };
    headers.insert(FOR, addresses);
    if !(is_trusted && has_only(headers, &PROTO, is_scheme)) {
        headers.insert(PROTO, HeaderValue::from_static(if origin.tls { "https" } else { "http" }));
    }
    if !(is_trusted && has_only(headers, &FORWARDED_HOST, is_authority))
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Whether a proxy sent this header with members that all are what they should be. Some pass on what
/// their client sent.
fn has_only(headers: &HeaderMap, name: &HeaderName, is_fine: fn(&[u8]) -> bool) -> bool {
    let lines = headers.get_all(name).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).peekable();
    members.peek().is_some() && members.all(|member| is_fine(member.trim_ascii()))
}

fn is_scheme(text: &[u8]) -> bool {
    [&b"http"[..], b"https", b"ws", b"wss"].iter().any(|scheme| scheme.eq_ignore_ascii_case(text))
}

fn is_authority(text: &[u8]) -> bool {
    Authority::parse(text).is_ok()
}

/// The addresses that trusted proxies passed on, and the peer's. The gate has checked that they are
/// addresses.
fn chain(headers: &HeaderMap, peer: &Peer) -> HeaderValue {
    let mut chain = Vec::new();
    for line in headers.get_all(&FOR).iter().chain([&peer.text]) {
        if !chain.is_empty() {
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(line.as_bytes().trim_ascii());
    }
    HeaderValue::from_maybe_shared(Bytes::from(chain)).unwrap_or_else(|_| peer.text.clone())
}
