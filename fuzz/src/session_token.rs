//! Session tokens: a whole token; or its header and its claims, each on a line, as JSON.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use storegate::model::{SessionKey, Timestamp};
use storegate::wire::authorization::{Shape, shape};
use storegate::wire::session_token::{
    MAX_CLOCK_SKEW, MAX_LIFE, SessionToken, SessionTokenError, check_times, mint,
};

pub fn check(data: &[u8]) {
    if data.first() != Some(&b'{') {
        return check_token(data);
    }
    let mut parts = data.splitn(2, |&byte| byte == b'\n');
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    check_token(&token(header, claims));
    if SessionToken::parse(&token(header, claims)).is_ok() {
        check_duplicates(header, claims);
    }
}

fn token(header: &[u8], claims: &[u8]) -> Vec<u8> {
    let parts = [header, claims, &[7; 32]].map(|part| BASE64URL_NOPAD.encode(part));
    parts.join(".").into_bytes()
}

fn check_token(text: &[u8]) {
    let Ok(token) = SessionToken::parse(text) else { return };
    assert_eq!(shape(text, "sx_at_"), Shape::Session);
    let parts: Vec<&[u8]> = text.split(|&byte| byte == b'.').collect();
    let json = |part: &[u8]| -> Option<Value> {
        let bytes = BASE64URL_NOPAD.decode(part).unwrap();
        assert_eq!(BASE64URL_NOPAD.encode(&bytes).as_bytes(), part, "one spelling");
        super::json(&bytes)
    };
    let (Some(header), Some(value)) = (json(parts[0]), json(parts[1])) else { return };
    assert_eq!(header["alg"], "HS256");
    assert_eq!(BASE64URL_NOPAD.decode(parts[2]).unwrap(), token.signature);
    assert_eq!(token.signing_input, &text[..parts[0].len() + 1 + parts[1].len()]);
    // Another reader sees the same claims.
    let claims = &token.claims;
    let number = |name: &str| match &value[name] {
        Value::String(text) => text.parse::<i64>().ok(),
        other => other.as_i64(),
    };
    assert_eq!(number("sub"), Some(claims.store_id.get().cast_signed()));
    assert_eq!(number("sid"), Some(claims.installation_id.0));
    assert_eq!(number("app_id"), Some(claims.app_id.0));
    assert_eq!(number("exp"), Some(claims.expires_at.0));
    assert_eq!(number("iat"), Some(claims.issued_at.0));
    assert_eq!(number("nbf"), claims.not_before.map(|at| at.0));
    assert!(claims.installation_id.0 > 0 && claims.app_id.0 > 0);
    // The clock: nothing is in force outside its time.
    for now in [claims.issued_at, claims.expires_at, claims.not_before.unwrap_or(claims.issued_at)] {
        for now in [now.plus(-MAX_CLOCK_SKEW - 1), now.plus(-MAX_CLOCK_SKEW), now.plus(-1), now, now.plus(1)]
        {
            let (start, end) = (claims.issued_at.0, claims.expires_at.0);
            let in_time = now.0 < end
                && start - MAX_CLOCK_SKEW <= now.0
                && claims.not_before.is_none_or(|start| start <= now)
                && (1..=MAX_LIFE).contains(&(end - start));
            assert_eq!(check_times(claims, now).is_ok(), in_time, "{claims:?} at {now:?}");
        }
    }
    assert!(check_times(claims, Timestamp(i64::MAX)).is_err());
    // What is minted from them is read back, with a signature that only the key makes.
    let key = SessionKey::new("a key");
    let minted = mint(claims, &key);
    let read = SessionToken::parse(minted.as_bytes()).unwrap();
    assert_eq!(&read.claims, claims);
    assert!(key.verify(read.signing_input, &read.signature));
    assert!(!SessionKey::new("another").verify(read.signing_input, &read.signature));
    assert!(!key.verify(token.signing_input, &[0; 32]));
}

/// A name that stands twice is refused wherever it stands, also when the second is escaped.
fn check_duplicates(header: &[u8], claims: &[u8]) {
    for (name, escaped) in [("sub", "\\u0073ub"), ("exp", "ex\\u0070")] {
        for name in [name, escaped] {
            let end = claims.iter().rposition(|&byte| byte == b'}').unwrap();
            let doubled = [&claims[..end], format!(",\"{name}\":1}}").as_bytes()].concat();
            let error = SessionToken::parse(&token(header, &doubled)).err();
            // An object that fills the size limit refuses for its size.
            let wanted = [Some(SessionTokenError::DuplicateName), Some(SessionTokenError::Shape)];
            assert!(wanted.contains(&error), "{error:?}");
        }
    }
}
