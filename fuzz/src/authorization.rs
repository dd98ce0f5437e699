//! Authorization: one field value; read also as the token itself.

use storegate::wire::authorization::{
    Authorization, MAX_OPAQUE_BYTES, MAX_SESSION_BYTES, Shape, parse, shape,
};

const PREFIX: &str = "sx_at_";

pub fn check(data: &[u8]) {
    let value = super::without_blanks(data);
    let end = value.iter().position(|&byte| byte == b' ' || byte == b'\t').unwrap_or(value.len());
    let token = super::without_blanks(&value[end..]);
    let expected = match value[..end].to_ascii_lowercase().as_slice() {
        b"" => None,
        b"bearer" => Some(Authorization::Bearer(&token)),
        _ => Some(Authorization::Other),
    };
    assert!(parse(data) == expected, "{data:?}");
    check_shape(&token);
    check_shape(data);
    let line = [b"bEARER  ".as_slice(), data].concat();
    assert!(parse(&line) == Some(Authorization::Bearer(&value)), "blanks after the scheme say nothing");
}

fn check_shape(token: &[u8]) {
    let among = |more: &[u8]| token.iter().all(|byte| byte.is_ascii_alphanumeric() || more.contains(byte));
    let parts: Vec<&[u8]> = token.split(|&byte| byte == b'.').collect();
    match shape(token, PREFIX) {
        Shape::Opaque => {
            assert!(token.starts_with(PREFIX.as_bytes()) && token.len() > PREFIX.len());
            assert!(token.len() <= MAX_OPAQUE_BYTES && among(b"-._~+/="));
        }
        Shape::Session => {
            assert!(!token.starts_with(PREFIX.as_bytes()) && token.len() <= MAX_SESSION_BYTES);
            assert!(parts.len() == 3 && parts.iter().all(|part| !part.is_empty()) && among(b"-_."));
        }
        Shape::Unknown => {
            let opaque = token.starts_with(PREFIX.as_bytes()) && token.len() > PREFIX.len();
            assert!(!(opaque && token.len() <= MAX_OPAQUE_BYTES && among(b"-._~+/")), "{token:?}");
        }
    }
}
