//! What every request must satisfy before anything is decided: one Host, one target, one body
//! length, a bounded head. Whatever passes is what is matched and forwarded.

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Method};

use super::refusal::Reason;
use crate::model::AddressList;
use crate::wire::field::{OwnedNames, connection_tokens, is_name};
use crate::wire::forwarded;
use crate::wire::host::Authority;
use crate::wire::target::{Target, TargetError};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A request head as it came in. It has no `Debug`: its fields hold credentials.
#[derive(Clone, Copy)]
pub struct RawHead<'h> {
    /// The method.
    pub method: &'h Method,
    /// The request target, byte for byte (RFC 9112 section 3.2).
    pub target: &'h [u8],
    /// `:authority` of HTTP/2, where `Host` may be absent (RFC 9113 section 8.3.1).
    pub authority: Option<&'h str>,
    /// The header fields.
    pub headers: &'h HeaderMap,
    /// The other end of the connection.
    pub peer: IpAddr,
}

/// A request head that can be decided on. It has no `Debug`: its fields hold credentials.
pub struct Head<'h> {
    /// The method.
    pub method: &'h Method,
    /// The path in normal form and the query.
    pub target: Target<'h>,
    /// The host, validated.
    pub host: &'h str,
    /// The header fields.
    pub headers: &'h HeaderMap,
    /// The caller's address: the peer, or what trusted proxies say.
    pub caller: IpAddr,
}

/// The limits of a request head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the target and of all names and values.
    pub bytes: usize,
    /// Field lines.
    pub fields: usize,
}

pub(super) fn admit<'h>(
    raw: &RawHead<'h>,
    limits: HeadLimits,
    owned: &OwnedNames,
    trusted_proxies: &AddressList,
) -> Result<Head<'h>, Reason> {
    // Size first: everything after this reads a bounded head.
    let bytes: usize = raw.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if raw.target.len() + bytes > limits.bytes {
        return Err(Reason::HeadTooLarge);
    }
    if raw.headers.len() > limits.fields {
        return Err(Reason::TooManyFields);
    }
    if raw.method == Method::TRACE || raw.method == Method::CONNECT {
        return Err(Reason::Method);
    }
    let host = host(raw)?;
    let target = match raw.target {
        // RFC 9110 section 9.3.7 allows it; no upstream of ours has a meaning for it.
        b"*" => return Err(Reason::Target(TargetError::NotOriginForm)),
        target => Target::parse(target, Some(host.as_str())).map_err(Reason::Target)?,
    };
    check_framing(raw.headers)?;
    check_nominations(raw.headers, owned)?;
    // Looked up only when it is read, which is for trusted peers.
    let forwarded_for = std::iter::once(raw.headers).flat_map(|headers| headers.get_all(X_FORWARDED_FOR));
    let forwarded_for = forwarded_for.map(|line| line.as_bytes());
    let caller =
        forwarded::caller(raw.peer, forwarded_for, trusted_proxies).map_err(|_| Reason::Forwarded)?;
    Ok(Head { method: raw.method, target, host: host.as_str(), headers: raw.headers, caller })
}

fn host<'h>(raw: &RawHead<'h>) -> Result<Authority<'h>, Reason> {
    let mut lines = raw.headers.get_all(HOST).iter();
    let value = match (lines.next(), lines.next(), raw.authority) {
        (Some(line), None, None) => line.as_bytes(),
        (None, None, Some(authority)) => authority.as_bytes(),
        (Some(line), None, Some(authority)) if line.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {
            line.as_bytes()
        }
        _ => return Err(Reason::Host),
    };
    Authority::parse(value).map_err(|_| Reason::Host)
}

fn check_framing(headers: &HeaderMap) -> Result<(), Reason> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let one_length = match (lengths.next(), lengths.next()) {
        (None, _) => true,
        (Some(length), None) => {
            let digits = length.as_bytes();
            !headers.contains_key(TRANSFER_ENCODING)
                && !digits.is_empty()
                && digits.iter().all(u8::is_ascii_digit)
        }
        (Some(_), Some(_)) => false,
    };
    if one_length { Ok(()) } else { Err(Reason::Framing) }
}

/// The most options that `Connection` may have: Pingora reads no more.
const MAX_NOMINATIONS: usize = 9;

/// A later hop would delete what `Connection` names: a caller must not reach our headers that way.
fn check_nominations(headers: &HeaderMap, owned: &OwnedNames) -> Result<(), Reason> {
    let nominated = headers.get_all(CONNECTION).iter().flat_map(|line| connection_tokens(line.as_bytes()));
    for (number, name) in nominated.enumerate() {
        if owned.contains(name) {
            return Err(Reason::Nominated);
        }
        // Quotes and the like around a name are no part of it to a hop that is careless.
        if number >= MAX_NOMINATIONS || !is_name(name) {
            return Err(Reason::Connection);
        }
    }
    Ok(())
}
