//! What a token request carries: parameters as a form or as JSON, and HTTP Basic.

use std::collections::HashMap;

use data_encoding::BASE64;
use serde_json::Value;
use storegate::wire::basic::{self, BasicField};
use storegate::wire::parameters::Parameters;
use storegate::wire::shopify_session::ShopifySession;

pub fn check(data: &[u8]) {
    check_form(data);
    check_json(data);
    check_basic(data);
    if let Ok(session) = ShopifySession::parse(data) {
        assert!(data.starts_with(session.signing_input), "what is signed stands in the token");
        assert!(!session.claims.domain.is_empty() && session.claims.domain.is_ascii());
    }
}

fn check_form(data: &[u8]) {
    let Ok(form) = Parameters::from_form(data) else { return };
    let mut seen = HashMap::new();
    for pair in data.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut parts = pair.splitn(2, |&byte| byte == b'=').map(decoded);
        let (name, value) = (parts.next().unwrap(), parts.next().unwrap_or_default());
        assert!(seen.insert(name, value).is_none(), "a name stands twice");
    }
    for (name, value) in seen {
        assert_eq!(form.get(&name), (!value.is_empty()).then_some(&*value), "{name}");
    }
}

fn check_json(data: &[u8]) {
    let Ok(object) = Parameters::from_json(data) else { return };
    let Some(value) = super::json(data) else { return };
    let Value::Object(read) = value else { panic!("it is no object") };
    for (name, value) in read {
        let expected = match value {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::Number(number) if number.is_u64() => Some(number.to_string()),
            _ => None,
        };
        assert_eq!(object.get(&name), expected.as_deref(), "{name}");
    }
}

fn check_basic(data: &[u8]) {
    let BasicField::Basic(basic) = basic::parse(data) else { return };
    let text = std::str::from_utf8(data).unwrap().trim();
    let (scheme, credentials) = text.split_once([' ', '\t']).unwrap();
    assert!(scheme.eq_ignore_ascii_case("basic"));
    let pair = BASE64.decode(credentials.trim().as_bytes()).unwrap();
    let colon = pair.iter().position(|&byte| byte == b':').unwrap();
    assert!(basic.id.len() <= colon && basic.secret.len() < pair.len() - colon, "decoding adds nothing");
    if !pair.contains(&b'%') {
        assert_eq!((basic.id.as_bytes(), basic.secret.as_bytes()), (&pair[..colon], &pair[colon + 1..]));
    }
}

/// WHATWG URL section 5.1 for what has no broken escapes. An escape may complete a character whose first bytes
/// stand there as they are.
fn decoded(text: &[u8]) -> String {
    let mut parts = text.split(|&byte| byte == b'%');
    let plain =
        |part: &[u8]| part.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect::<Vec<u8>>();
    let mut bytes = plain(parts.next().unwrap_or_default());
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
        bytes.extend(plain(rest));
    }
    String::from_utf8(bytes).unwrap()
}
