//! The request target (RFC 9112 section 3.2) in one normal form, so that what a route matched and
//! what the upstream receives are the same bytes.
//!
//! It does not fold case or trailing slashes (the route match does), does not strip `;` parameters
//! (but refuses dot segments that have them), and does not look into the query beyond its characters.

use std::borrow::Cow;
use std::fmt;

use super::class::Class;
use super::host::Authority;
use super::percent::triplet;

/// What a request target was refused for. It becomes 400 `invalid_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a path nor an `http` or `https` URL: `*`, `host:port`, a bare word.
    #[error("the request target is neither a path nor an http URL")]
    NotOriginForm,
    /// An absolute-form target for another authority than the Host field's.
    #[error("the request target names another authority than Host")]
    AuthorityDiffers,
    /// A byte that RFC 3986 does not allow unencoded.
    #[error("the request target has a byte that must be percent-encoded")]
    RawByte,
    /// A `%` in the path that two hexadecimal digits do not follow.
    #[error("the path has a percent sign without two hexadecimal digits")]
    BadPercent,
    /// `%00` to `%1F` or `%7F` in the path.
    #[error("the path has an encoded control character")]
    EncodedControl,
    /// `%2F` in the path: hops disagree on whether it separates segments.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `%5C` in the path: some hops read it as a slash.
    #[error("the path has an encoded backslash")]
    EncodedBackslash,
    /// More `..` segments than there are segments before them.
    #[error("the path's dot segments leave the root")]
    LeavesRoot,
    /// A dot segment with parameters, such as `..;x`: upstreams that drop them see the dots.
    #[error("a dot segment of the path has parameters")]
    DotParameters,
    /// A `#`, which is never sent (RFC 9112 section 3.2.1).
    #[error("the request target has a fragment")]
    Fragment,
    /// More than [`Target::MAX_BYTES`].
    #[error("the request target is longer than {} bytes", Target::MAX_BYTES)]
    TooLong,
}

/// A request target whose path is in normal form (RFC 3986 section 6.2.2): dot segments resolved,
/// unreserved characters decoded, every other triplet kept with upper-case digits, empty segments
/// kept. Parsing a normal form gives it back unchanged.
#[derive(Clone, PartialEq, Eq)]
pub struct Target<'a> {
    path: Cow<'a, str>,
    query: Option<&'a str>,
    /// Path and query as they were sent, where that is their normal form.
    as_sent: Option<&'a str>,
    is_changed: bool,
}

impl<'a> Target<'a> {
    /// The longest target taken, in bytes: what an `http::Uri` can hold. A normal form is never
    /// longer than what was sent.
    pub const MAX_BYTES: usize = 65_534;

    /// Reads the target of a request line, or `:path` of HTTP/2.
    ///
    /// An absolute-form target (RFC 9112 section 3.2.2) is taken only when its authority is the one
    /// that Host names, so that no hop can prefer the other; `authority` is the checked Host or
    /// `:authority` of the request.
    ///
    /// # Errors
    ///
    /// [`TargetError`]; nothing that is refused here may reach a route.
    pub fn parse(raw: &'a [u8], authority: Option<&str>) -> Result<Self, TargetError> {
        if raw.len() > Self::MAX_BYTES {
            return Err(TargetError::TooLong);
        }
        let raw = std::str::from_utf8(raw).map_err(|_| TargetError::RawByte)?;
        let is_absolute = !raw.starts_with('/');
        let origin_form = if is_absolute { strip_authority(raw, authority)? } else { raw };
        let (path, query) = match origin_form.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (origin_form, None),
        };
        let is_normal = check_path(path)?;
        query.map_or(Ok(()), check_query)?;
        let path = match path {
            "" => Cow::Borrowed("/"), // RFC 3986 section 6.2.3
            path if is_normal => Cow::Borrowed(path),
            path => Cow::Owned(resolve(path)?),
        };
        let as_sent = Some(origin_form).filter(|sent| is_normal && sent.starts_with('/'));
        Ok(Self { path, query, as_sent, is_changed: is_absolute || !is_normal })
    }

    /// The path in normal form; it begins with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the first `?`, byte for byte; `None` without a `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Whether the request must be rewritten before it is forwarded, because
    /// [`Target::path_and_query`] is not what the client sent.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The origin-form to forward. It may begin with two slashes: read it as a path, never as a URI
    /// reference, where it would name an authority.
    pub fn path_and_query(&self) -> Cow<'_, str> {
        match (self.as_sent, self.query) {
            (Some(sent), _) => Cow::Borrowed(sent),
            (None, None) => Cow::Borrowed(&self.path),
            (None, Some(query)) => Cow::Owned([&self.path, "?", query].concat()),
        }
    }
}

/// The query is left out: clients put tokens into it.
impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({:?}{})", self.path, if self.query.is_some() { "?…" } else { "" })
    }
}

/// The path and query of an absolute-form target for `host`.
fn strip_authority<'a>(raw: &'a str, host: Option<&str>) -> Result<&'a str, TargetError> {
    let (rest, default_port) = [("http://", 80), ("https://", 443)]
        .into_iter()
        .find_map(|(scheme, port)| {
            let start = raw.get(..scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then(|| (&raw[scheme.len()..], port))
        })
        .ok_or(TargetError::NotOriginForm)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (named, origin_form) = rest.split_at(end);
    let named = Authority::parse(named.as_bytes()).map_err(|_| TargetError::AuthorityDiffers)?;
    let host = host.and_then(|host| Authority::parse(host.as_bytes()).ok());
    match host {
        Some(host) if named.is_same(&host, default_port) => Ok(origin_form),
        _ => Err(TargetError::AuthorityDiffers),
    }
}

/// Checks every byte of a path and says whether it is in normal form already.
fn check_path(path: &str) -> Result<bool, TargetError> {
    let bytes = path.as_bytes();
    let mut is_normal = true;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let decoded = path_triplet(&bytes[at..])?;
                let is_upper = !bytes[at + 1..at + 3].iter().any(u8::is_ascii_lowercase);
                is_normal &= is_upper && !UNRESERVED.contains(decoded);
                at += 3;
                continue;
            }
            b'/' => is_normal &= !starts_with_dot_segment(&bytes[at + 1..]),
            b'#' => return Err(TargetError::Fragment),
            _ if !PATH.contains(byte) => return Err(TargetError::RawByte),
            _ => {}
        }
        at += 1;
    }
    Ok(is_normal && !path.is_empty())
}

fn check_query(query: &str) -> Result<(), TargetError> {
    match query.bytes().find(|&byte| !PATH.contains(byte) && !matches!(byte, b'?' | b'%')) {
        None => Ok(()),
        Some(b'#') => Err(TargetError::Fragment),
        Some(_) => Err(TargetError::RawByte),
    }
}

fn starts_with_dot_segment(rest: &[u8]) -> bool {
    let dots = rest.iter().take_while(|&&byte| byte == b'.').count();
    let ends = |rest: &[u8]| matches!(rest, [] | [b'/' | b';', ..] | [b'%', b'3', b'B' | b'b', ..]);
    matches!(dots, 1 | 2) && ends(&rest[dots..])
}

/// The normal form of a checked path that begins with a slash (RFC 3986 section 5.2.4). Triplets are
/// decoded before a segment is judged, so that `%2e%2e` is a `..`; they are decoded once, so that
/// `%252e` is not.
fn resolve(path: &str) -> Result<String, TargetError> {
    let mut normal = String::with_capacity(path.len());
    let mut ends_in_dots = false;
    for segment in path.split('/').skip(1) {
        let start = normal.len();
        normal.push('/');
        push_segment(&mut normal, segment.as_bytes())?;
        let dots = match &normal[start + 1..] {
            "." => 1,
            ".." => 2,
            segment if is_dots_with_parameters(segment) => return Err(TargetError::DotParameters),
            _ => 0,
        };
        ends_in_dots = dots > 0;
        if ends_in_dots {
            normal.truncate(start);
        }
        if dots == 2 {
            normal.truncate(normal.rfind('/').ok_or(TargetError::LeavesRoot)?);
        }
    }
    if ends_in_dots {
        normal.push('/');
    }
    Ok(normal)
}

/// `..;x`, also with an encoded semicolon: some decode before they look for parameters.
fn is_dots_with_parameters(segment: &str) -> bool {
    let rest = segment.strip_prefix("..").or_else(|| segment.strip_prefix('.'));
    rest.is_some_and(|rest| rest.starts_with(';') || rest.starts_with("%3B"))
}

fn push_segment(normal: &mut String, segment: &[u8]) -> Result<(), TargetError> {
    let mut at = 0;
    while let Some(&byte) = segment.get(at) {
        if byte != b'%' {
            normal.push(char::from(byte));
            at += 1;
            continue;
        }
        let decoded = path_triplet(&segment[at..])?;
        if UNRESERVED.contains(decoded) {
            normal.push(char::from(decoded));
        } else {
            normal.extend(segment[at..at + 3].iter().map(|&b| char::from(b.to_ascii_uppercase())));
        }
        at += 3;
    }
    Ok(())
}

/// The byte that a triplet of the path stands for, where the path may have it at all.
fn path_triplet(text: &[u8]) -> Result<u8, TargetError> {
    match triplet(text) {
        None => Err(TargetError::BadPercent),
        Some(..=0x1F | 0x7F) => Err(TargetError::EncodedControl),
        Some(b'/') => Err(TargetError::EncodedSlash),
        Some(b'\\') => Err(TargetError::EncodedBackslash),
        Some(byte) => Ok(byte),
    }
}

/// RFC 3986 section 2.3.
static UNRESERVED: Class = Class::alphanumeric_and(b"-._~");

/// `pchar` and `/` (RFC 3986 section 3.3) without `%`; and brackets, which clients of every framework
/// send unencoded (`filter[name]`).
static PATH: Class = Class::alphanumeric_and(b"-._~!$&'()*+,;=:@/[]");

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
