//! The headers that say who called and what was asked: request id and `X-Forwarded-*`. Built from
//! parsed values; what the client sent counts only when the peer is a trusted proxy.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use super::answer::X_REQUEST_ID;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

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
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
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
    pub(super) peer: IpAddr,
    pub(super) trusted_peer: bool,
    pub(super) tls: bool,
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) request_id: &'a HeaderValue,
}

/// Sets request id and `X-Forwarded-*` on the request to the upstream.
pub(super) fn set(request: &mut RequestHeader, origin: &Origin<'_>) -> pingora::Result<()> {
    request.insert_header(X_REQUEST_ID, origin.request_id.clone())?;
    let chain = if origin.trusted_peer { chain(&request.headers) } else { String::new() };
    request.insert_header(FOR, append(chain, origin.peer.to_canonical()))?;
    let sent = |name: &HeaderName| origin.trusted_peer && request.headers.contains_key(name);
    let (has_proto, has_host) = (sent(&PROTO), sent(&HOST));
    if !has_proto {
        let proto = HeaderValue::from_static(if origin.tls { "https" } else { "http" });
        request.insert_header(PROTO, proto)?;
    }
    match origin.host {
        Some(host) if !has_host => request.insert_header(HOST, host.clone()),
        _ => Ok(()),
    }
}

/// The addresses that trusted proxies passed on; the gate has checked that they are addresses.
fn chain(headers: &HeaderMap) -> String {
    let mut chain = String::new();
    for line in headers.get_all(&FOR).iter().filter_map(|line| line.to_str().ok()) {
        if !chain.is_empty() {
            chain.push_str(", ");
        }
        chain.push_str(line.trim());
    }
    chain
}

fn append(mut chain: String, peer: IpAddr) -> HeaderValue {
    use std::fmt::Write;
    if !chain.is_empty() {
        chain.push_str(", ");
    }
    let _ = write!(chain, "{peer}"); // writing to a String cannot fail
    HeaderValue::try_from(chain).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
