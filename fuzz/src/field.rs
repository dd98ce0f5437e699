//! Field names: owned names on the first line and beginnings on the second, by commas; then a name or
//! a `Connection` value.

use storegate::wire::field::{OwnedNames, connection_tokens};

pub fn check(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == b'\n');
    let mut list = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (names, prefixes) = (list(), list());
    let name = parts.next().unwrap_or_default();
    let split = |list: &str| -> Vec<String> {
        list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let (names, prefixes) = (split(&names), split(&prefixes));
    let owned = OwnedNames::new(&names).with_prefixes(&prefixes);
    for name in connection_tokens(name).chain([name]) {
        let is_owned = names.iter().any(|own| fold(own.as_bytes()) == fold(name))
            || prefixes.iter().any(|own| fold(name).starts_with(&fold(own.as_bytes())));
        assert_eq!(owned.contains(name), is_owned, "{name:?}");
        let is_odd = name.contains(&b'_') || name.contains(&b'.');
        assert_eq!(owned.is_other_spelling(name).is_some(), is_owned && is_odd, "{name:?}");
    }
    let tokens: Vec<Vec<u8>> = name
        .split(|&byte| byte == b',')
        .map(super::without_blanks)
        .filter(|token| !token.is_empty())
        .collect();
    assert_eq!(connection_tokens(name).collect::<Vec<_>>(), tokens);
}

/// What CGI and its heirs make of a name (RFC 3875 section 4.1.18), for every separator they know.
pub(super) fn fold(name: &[u8]) -> Vec<u8> {
    let dash = |byte: &u8| if b"_.".contains(byte) { b'-' } else { byte.to_ascii_lowercase() };
    name.iter().map(dash).collect()
}
