//! The `store_id` parameter, and the store ids that it and `X-Store-Id` may have.

use storegate::model::StoreId;
use storegate::wire::query::{QueryStoreId, store_id};

pub fn check(data: &[u8]) {
    check_store_id(data);
    let Ok(query) = std::str::from_utf8(data) else { return };
    let values: Vec<Vec<u8>> = query
        .split('&')
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .filter(|(name, _)| name == b"store_id")
        .map(|(_, value)| value)
        .collect();
    let expected = match &values[..] {
        [] => QueryStoreId::Absent,
        [value] if value.is_empty() => QueryStoreId::Absent,
        [value] => QueryStoreId::Once(value.as_slice().into()),
        _ => QueryStoreId::Repeated,
    };
    assert_eq!(store_id(Some(query)), expected, "{query}");
    if let QueryStoreId::Once(value) = expected {
        check_store_id(&value);
    }
}

/// Whatever is taken has one spelling, which every JavaScript number holds.
fn check_store_id(text: &[u8]) {
    let Ok(id) = StoreId::parse(text) else {
        let plain = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
        let is_one = plain.is_some_and(|n| (1..1 << 53).contains(&n) && n.to_string().as_bytes() == text);
        assert!(!is_one, "{text:?} was refused");
        return;
    };
    assert_eq!(id.to_string().as_bytes(), text);
    assert_eq!(id.header().as_bytes(), text);
    assert!((1..1 << 53).contains(&id.get()));
    assert_eq!(StoreId::new(id.get()), Some(id));
}

/// WHATWG URL section 5.1, read aloud.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.replace('+', " ").into_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match digits {
            Some(digits) if bytes[at] == b'%' => {
                out.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}
