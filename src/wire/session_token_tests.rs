//! Tables and properties of session tokens.

use proptest::prelude::*;

use super::SessionTokenError::*;
use super::*;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const CLAIMS: &str = r#"{"sub":22,"sid":501,"app_id":7,"iat":1700000000,"exp":1700000600}"#;

/// Signed by another implementation (Python's hmac) over [`HEADER`] and [`CLAIMS`].
const FOREIGN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJzdWIiOjIyLCJzaWQiOjUwMSwiYXBwX2lkIjo3LCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDYwMH0.\
    KBQYBCIS7VWLDxzUzuacrwQq-FAlmsty1ZOPE3il5mY";

fn key() -> SessionKey {
    SessionKey::new(&"0123456789abcdef".repeat(4))
}

fn claims() -> Claims {
    Claims {
        store_id: StoreId::new(22).unwrap(),
        installation_id: InstallationId(501),
        app_id: AppId(7),
        expires_at: Timestamp(1_700_000_600),
        issued_at: Timestamp(1_700_000_000),
        not_before: None,
    }
}

fn token(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    format!("{}.{}.{}", part(header.as_ref()), part(claims.as_ref()), part(&[7; 32]))
}

fn read(token: impl AsRef<[u8]>) -> Result<Claims, SessionTokenError> {
    SessionToken::parse(token.as_ref()).map(|token| token.claims)
}

/// The good claims with one of them, or the end of the object, written otherwise.
fn with(from: &str, to: &str) -> Result<Claims, SessionTokenError> {
    assert!(CLAIMS.contains(from), "{from}");
    read(token(HEADER, CLAIMS.replace(from, to)))
}

#[test]
fn a_foreign_token_is_read_and_verifies() {
    let token = SessionToken::parse(FOREIGN.as_bytes()).unwrap();
    assert_eq!(token.claims, claims());
    assert!(key().verify(token.signing_input, &token.signature));
    assert!(!SessionKey::new("another").verify(token.signing_input, &token.signature));
}

#[test]
fn what_is_minted_is_what_others_make() {
    assert_eq!(mint(&claims(), &key()), FOREIGN);
    let later = Claims { not_before: Some(Timestamp(1_700_000_001)), ..claims() };
    assert_eq!(read(mint(&later, &key())), Ok(later));
}

#[test]
fn other_spellings_of_good_tokens() {
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"\u0061lg":"HS\u003256"}"#,
        r#"{"typ":"JWT","kid":"../x","jku":"http://evil.test","x":[{"alg":"none","crit":1}],"alg":"HS256"}"#,
        " {\r\n\t\"alg\" : \"HS256\" } ",
    ] {
        assert_eq!(read(token(header, CLAIMS)), Ok(claims()), "{header}");
    }
    for (from, to) in [
        ("22", r#""22""#),
        ("501", r#""501""#),
        ("7,", r#""7","#),
        ("1700000600", r#""1700000600""#),
        ("1700000000", r#""1700000000""#),
        (r#""sub""#, r#""\u0073ub""#),
        ("}", r#","aud":"x","iss":null,"roles":[{"sub":1,"sub":2}],"Sub":1,"exp ":1.5e9}"#),
    ] {
        assert_eq!(with(from, to), Ok(claims()), "{to}");
    }
    for nbf in ["0", "1700000000", "\"0\"", "9007199254740991"] {
        let expected = Timestamp(nbf.trim_matches('"').parse().unwrap());
        let read = with("}", &format!(r#","nbf":{nbf}}}"#)).unwrap();
        assert_eq!(read.not_before, Some(expected));
    }
    assert_eq!(with(":22", ":9007199254740991").unwrap().store_id.get(), StoreId::MAX);
    assert_eq!(with("1700000000", "0").unwrap().issued_at, Timestamp(0));
}

#[test]
fn headers_that_are_refused() {
    for (header, expected) in [
        ("{}", Algorithm),
        (r#"{"typ":"JWT"}"#, Algorithm),
        (r#"{"alg":"none"}"#, Algorithm),
        (r#"{"alg":"None"}"#, Algorithm),
        (r#"{"alg":""}"#, Algorithm),
        (r#"{"alg":"hs256"}"#, Algorithm),
        (r#"{"alg":"HS256 "}"#, Algorithm),
        (r#"{"alg":"HS256\u0000"}"#, Algorithm),
        (r#"{"alg":"HS384"}"#, Algorithm),
        (r#"{"alg":"HS512"}"#, Algorithm),
        (r#"{"alg":"RS256"}"#, Algorithm),
        (r#"{"alg":"ES256"}"#, Algorithm),
        (r#"{"alg":["HS256"]}"#, Algorithm),
        (r#"{"alg":{"alg":"HS256"}}"#, Algorithm),
        (r#"{"alg":null}"#, Algorithm),
        (r#"{"alg":256}"#, Algorithm),
        (r#"{"Alg":"HS256"}"#, Algorithm),
        (r#"{"alg":"HS256","crit":["exp"]}"#, Extension("crit")),
        (r#"{"alg":"HS256","crit":[]}"#, Extension("crit")),
        (r#"{"alg":"HS256","cr\u0069t":null}"#, Extension("crit")),
        (r#"{"alg":"HS256","b64":false}"#, Extension("b64")),
        (r#"{"alg":"HS256","b64":true}"#, Extension("b64")),
        (r#"{"alg":"HS256","zip":"DEF"}"#, Extension("zip")),
        (r#"{"alg":"dir","enc":"A256GCM"}"#, Extension("enc")),
        (r#"{"alg":"HS256","alg":"HS256"}"#, DuplicateName),
        (r#"{"alg":"none","alg":"HS256"}"#, DuplicateName),
        (r#"{"alg":"HS256","\u0061lg":"none"}"#, DuplicateName),
        (r#"{"typ":"JWT","alg":"HS256","typ":"JWT"}"#, DuplicateName),
        ("", Shape),
        ("x", NotAnObject),
        ("null", NotAnObject),
        ("[]", NotAnObject),
        ("\"HS256\"", NotAnObject),
        (r#"[{"alg":"HS256"}]"#, NotAnObject),
        (r#"{"alg":"HS256"}{}"#, NotAnObject),
        (r#"{"alg":"HS256"} x"#, NotAnObject),
        (r#"{"alg":"HS256",}"#, NotAnObject),
        ("{\"alg\":\"HS256\"}\0", NotAnObject),
        ("\u{feff}{\"alg\":\"HS256\"}", NotAnObject),
        (r#"{"alg":"HS256"#, NotAnObject),
    ] {
        assert_eq!(read(token(header, CLAIMS)), Err(expected), "{header}");
    }
    assert_eq!(read(token(b"{\"alg\":\"HS256\",\"x\":\"\xff\"}", CLAIMS)), Err(NotAnObject));
    assert_eq!(read(token(b"{\"alg\":\"HS256\",\"x\":\"\xed\xa0\x80\"}", CLAIMS)), Err(NotAnObject));
}

#[test]
fn numbers_of_another_kind_are_refused_in_every_claim() {
    let values = [
        "-1",
        "-0",
        "22.0",
        "22.5",
        "2e1",
        "22E0",
        "1e400",
        "9007199254740992",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "null",
        "true",
        "false",
        "[]",
        "[22]",
        "{}",
        "{\"sub\":22}",
        "\"\"",
        "\" 22\"",
        "\"22 \"",
        "\"+22\"",
        "\"-22\"",
        "\"022\"",
        "\"00\"",
        "\"22.0\"",
        "\"2e1\"",
        "\"0x16\"",
        "\"2_2\"",
        "\"٢٢\"",
        "\"22\\u0000\"",
        "\"22,23\"",
        "\"abc\"",
        "\"null\"",
        "\"9007199254740992\"",
        "\"99999999999999999999999999\"",
    ];
    for (name, good) in
        [("sub", "22"), ("sid", "501"), ("app_id", "7"), ("exp", "1700000600"), ("iat", "1700000000")]
    {
        let member = format!(r#""{name}":{good}"#);
        for value in values {
            // 1e400 is beyond a double, so that it is no JSON number here.
            let expected = if value == "1e400" { NotAnObject } else { WrongClaim(name) };
            assert_eq!(with(&member, &format!(r#""{name}":{value}"#)), Err(expected), "{name} {value}");
        }
        assert_eq!(with(&member, r#""x":1"#), Err(MissingClaim(name)));
        assert_eq!(with(&member, &format!("{member},{member}")), Err(DuplicateName));
        let escaped = format!("\"\\u00{:02x}{}\":1", name.as_bytes()[0], &name[1..]);
        assert_eq!(with(&member, &format!("{member},{escaped}")), Err(DuplicateName), "{escaped}");
    }
    for value in values.into_iter().filter(|&value| value != "1e400") {
        assert_eq!(with("}", &format!(r#","nbf":{value}}}"#)), Err(WrongClaim("nbf")), "nbf {value}");
    }
    for name in ["sub\":22", "sid\":501", "app_id\":7"] {
        let (name, _) = name.split_once('"').unwrap();
        let zero = CLAIMS.replace(&format!("\"{name}\":"), &format!("\"{name}\":0,\"x\":"));
        assert!(matches!(read(token(HEADER, zero)), Err(WrongClaim(which)) if which == name), "{name}");
    }
}

#[test]
fn claims_that_are_no_object_are_refused() {
    for (payload, expected) in [
        ("", Shape),
        ("x", NotAnObject),
        ("{", NotAnObject),
        ("[]", NotAnObject),
        ("22", NotAnObject),
        ("\"{}\"", NotAnObject),
        ("{}", MissingClaim("sub")),
        (&format!("[{CLAIMS}]"), NotAnObject),
        (&format!("{CLAIMS}{CLAIMS}"), NotAnObject),
        (&format!("{CLAIMS},"), NotAnObject),
        (&format!("{CLAIMS}\0"), NotAnObject),
        (&CLAIMS.replace("22", "022"), NotAnObject),
        (&CLAIMS.replace("22", "+22"), NotAnObject),
        (&CLAIMS.replace("22", "0x16"), NotAnObject),
        (&CLAIMS.replace("22", "NaN"), NotAnObject),
        (&CLAIMS.replace('"', "'"), NotAnObject),
        (&CLAIMS.replace('}', &format!(",\"x\":{}", "[".repeat(2000))), NotAnObject),
        (&CLAIMS.replace('}', &format!("{}}}", ",\"x\":1".repeat(300))), DuplicateName),
        (&CLAIMS.replace('}', ",\"jti\":1,\"\\u006ati\":1}"), DuplicateName),
        (&CLAIMS.replace('}', ",\"\":1,\"\":1}"), DuplicateName),
    ] {
        assert_eq!(read(token(HEADER, payload)), Err(expected), "{payload}");
    }
    assert_eq!(read(token(HEADER, CLAIMS.replace("sub", "s\u{fc}b"))), Err(MissingClaim("sub")));
    let latin = CLAIMS.replace("}", ",\"x\":\"@\"}").into_bytes();
    let latin: Vec<u8> = latin.into_iter().map(|byte| if byte == b'@' { 0xfc } else { byte }).collect();
    assert_eq!(read(token(HEADER, latin)), Err(NotAnObject));
}

#[test]
fn forms_of_the_three_parts() {
    let parts: Vec<&str> = FOREIGN.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let cut = &signature[..42];
    for (text, expected) in [
        (String::new(), Shape),
        (".".into(), Shape),
        ("..".into(), Shape),
        ("...".into(), Shape),
        (header.into(), Shape),
        (format!("{header}.{payload}"), Shape),
        (format!("{header}.{payload}."), Shape),
        (format!("{header}..{signature}"), Shape),
        (format!(".{payload}.{signature}"), Shape),
        (format!("{FOREIGN}."), Shape),
        (format!(".{FOREIGN}"), Shape),
        (format!("{FOREIGN}.{signature}"), Shape),
        (format!("{header}.{header}.{payload}.{signature}.{signature}"), Shape),
        (format!("{FOREIGN}="), Encoding),
        (format!("{header}=.{payload}.{signature}"), Encoding),
        (format!("{header}.{payload}==.{signature}"), Encoding),
        (format!("{FOREIGN} "), Encoding),
        (format!(" {FOREIGN}"), Encoding),
        (format!("{FOREIGN}\n"), Encoding),
        (format!("{header}.{payload}\r\n.{signature}"), Encoding),
        (FOREIGN.replace('-', "+"), Encoding),
        (FOREIGN.replace("KBQ", "KB/"), Encoding),
        (format!("{header}.{payload}.é"), Encoding),
        // Y and Z differ in bits that no byte of the signature holds (RFC 4648 section 3.5).
        (format!("{header}.{payload}.{cut}Z"), Encoding),
        (format!("{header}.{payload}.{cut}"), Encoding),
        (format!("{header}.{payload}.{}", &signature[..41]), Encoding),
        (format!("{header}.{payload}.{}", &signature[..40]), SignatureLength),
        (format!("{header}.{payload}.{signature}A"), SignatureLength),
        (format!("{header}.{payload}.{}", BASE64URL_NOPAD.encode(&[7; 31])), SignatureLength),
        (format!("{header}.{payload}.{}", BASE64URL_NOPAD.encode(&[7; 33])), SignatureLength),
        (format!("{header}.{payload}.{}", BASE64URL_NOPAD.encode(&[7; 64])), SignatureLength),
        (format!("{header}.{payload}.{}", "A".repeat(MAX_SESSION_BYTES)), Shape),
    ] {
        assert_eq!(read(&text), Err(expected), "{text:?}");
    }
}

#[test]
fn the_longest_token_is_read_and_one_byte_more_is_not() {
    let filled = |n: usize| token(HEADER, CLAIMS.replace('}', &format!(",\"x\":\"{}\"}}", "a".repeat(n))));
    let size = (0..4000).rev().find(|&n| filled(n).len() <= MAX_SESSION_BYTES).unwrap();
    assert_eq!(read(filled(size)), Ok(claims()));
    assert_eq!(read(filled(size + 1)), Err(Shape));
}

#[test]
fn the_clock() {
    let (iat, exp) = (1_700_000_000, 1_700_000_600);
    for (name, issued, expires, start, now, expected) in [
        ("just made", iat, exp, None, iat, Ok(())),
        ("last second", iat, exp, None, exp - 1, Ok(())),
        ("at expiry", iat, exp, None, exp, Err(Expired)),
        ("after expiry", iat, exp, None, exp + 1, Err(Expired)),
        ("far after", iat, exp, None, i64::MAX, Err(Expired)),
        ("iat 10 s ahead", iat, exp, None, iat - 10, Ok(())),
        ("iat 11 s ahead", iat, exp, None, iat - 11, Err(IssuedAhead)),
        ("iat far ahead", iat, exp, None, 0, Err(IssuedAhead)),
        ("life 601 s", iat, exp + 1, None, iat, Err(Life)),
        ("life of years", 0, exp, None, iat, Err(Life)),
        ("no end", iat, StoreId::MAX as i64, None, iat, Err(Life)),
        ("exp equals iat", iat, iat, None, iat - 1, Err(Life)),
        ("exp before iat", iat, iat - 2, None, iat - 3, Err(Life)),
        ("1 s", iat, iat + 1, None, iat, Ok(())),
        ("nbf now", iat, exp, Some(iat), iat, Ok(())),
        ("nbf past", iat, exp, Some(0), iat, Ok(())),
        ("nbf 1 s ahead", iat, exp, Some(iat + 1), iat, Err(NotYetValid)),
        ("nbf at the end of time", iat, exp, Some(StoreId::MAX as i64), iat, Err(NotYetValid)),
        ("overflow", i64::MIN, i64::MAX, None, 0, Err(Life)),
    ] {
        let claims = Claims {
            issued_at: Timestamp(issued),
            expires_at: Timestamp(expires),
            not_before: start.map(Timestamp),
            ..claims()
        };
        assert_eq!(check_times(&claims, Timestamp(now)), expected, "{name}");
    }
}

#[test]
fn debug_and_errors_show_no_token() {
    let shown = format!("{:?}", SessionToken::parse(FOREIGN.as_bytes()).unwrap());
    assert!(!shown.contains("signature") && !shown.contains("eyJ") && !shown.contains("101"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_changed_token_never_verifies(at in 0..FOREIGN.len(), byte in any::<u8>()) {
        let mut changed = FOREIGN.as_bytes().to_vec();
        changed[at] = byte;
        if let Ok(token) = SessionToken::parse(&changed) {
            let verifies = key().verify(token.signing_input, &token.signature);
            prop_assert_eq!(verifies, changed == FOREIGN.as_bytes());
        }
    }

    #[test]
    fn nothing_panics(
        raw in proptest::collection::vec(any::<u8>(), 0..60),
        json in "[{}\\[\\]:,\"\\\\ua0-9.e+-]{0,40}",
    ) {
        let _ = (read(&raw), read(token(&raw, CLAIMS)), read(token(HEADER, &raw)));
        let _ = (read(token(&json, CLAIMS)), read(token(HEADER, &json)));
    }
}
