//! Session tokens: contract, section 4; rows S1 to S12 of the platform's behaviour.

use data_encoding::BASE64URL_NOPAD;

use crate::request::{HS256, Request, claims, good_claims, json, jws, orders, send, session};
use crate::stage::{check, check_changed, judge};
use crate::world::{APP, FENCED_KEY, KEY, NOW, OFF_KEY, Platform, SECRET};

const INVALID: &str = "401 invalid_token";
const IN_22: &str = "session sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]";

fn with(token: &str) -> Request {
    orders().bearer(token)
}

/// Good claims with one of them another, or gone where the value is empty.
fn but(name: &'static str, value: impl ToString) -> Request {
    let mut list = good_claims(22, 501);
    list.retain(|(known, _)| *known != name);
    list.push((name, value.to_string()));
    with(&claims(&json(&list)))
}

fn times(iat: i64, exp: i64) -> Request {
    let mut list = good_claims(22, 501);
    list.truncate(3);
    list.extend([("iat", iat.to_string()), ("exp", exp.to_string())]);
    with(&claims(&json(&list)))
}

#[test]
fn good_ones() {
    let payload = json(&good_claims(22, 501));
    check([
        ("store from `sub`", with(&session(22, 501)), IN_22),
        ("the same store sent", with(&session(22, 501)).store("22"), IN_22),
        (
            "another store",
            with(&session(23, 502)),
            "session sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 23 as 502 [read:orders]",
        ),
        ("header without typ", with(&jws(r#"{"alg":"HS256"}"#, &payload, KEY)), IN_22),
        (
            "kid selects nothing",
            with(&jws(r#"{"kid":"../../dev/null","alg":"HS256"}"#, &payload, KEY)),
            IN_22,
        ),
        ("a user and other claims", but("user", r#"{"id":1,"id":2}"#), IN_22),
        ("nbf now", but("nbf", NOW), IN_22),
        ("numbers as plain digit strings", but("sub", "\"22\""), IN_22),
        ("the query is not read", with(&session(22, 501)).query("store_id=23"), IN_22),
    ]);
}

#[test]
fn times_and_lives() {
    check([
        ("the last second", times(NOW - 599, NOW + 1), IN_22),
        ("exp = now", times(NOW - 600, NOW), INVALID),
        ("expired", times(NOW - 700, NOW - 100), INVALID),
        ("exactly 600 s", times(NOW, NOW + 600), IN_22),
        ("601 s", times(NOW, NOW + 601), INVALID),
        ("a long life, most of it over", times(NOW - 86_000, NOW + 100), INVALID),
        ("iat 10 s ahead", times(NOW + 10, NOW + 600), IN_22),
        ("iat 11 s ahead", times(NOW + 11, NOW + 600), INVALID),
        ("iat after exp", times(NOW + 10, NOW + 5), INVALID),
        ("iat = exp", times(NOW + 5, NOW + 5), INVALID),
        ("exp missing", but("exp", ""), INVALID),
        ("iat missing", but("iat", ""), INVALID),
        ("nbf ahead", but("nbf", NOW + 1), INVALID),
        ("nbf of another type", but("nbf", "null"), INVALID),
        ("exp as a fraction", but("exp", format!("{NOW}.5")), INVALID),
        ("exp with an exponent", but("exp", "1.8e9"), INVALID),
        ("exp null", but("exp", "null"), INVALID),
        ("exp negative", but("exp", -1), INVALID),
        ("exp beyond every clock", but("exp", "18446744073709551615"), INVALID),
        ("exp beyond a double", but("exp", "1e400"), INVALID),
        ("exp as a date", but("exp", "\"2030-01-01\""), INVALID),
        ("exp as a list", but("exp", format!("[{}]", NOW + 600)), INVALID),
        ("iat negative", but("iat", -1), INVALID),
        ("iat true", but("iat", "true"), INVALID),
        ("in milliseconds", times(NOW * 1000, (NOW + 600) * 1000), INVALID),
    ]);
}

#[test]
fn only_one_algorithm() {
    let payload = json(&good_claims(22, 501));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":256}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"Alg":"HS256"}"#,
        "{}",
        "[]",
        "\"HS256\"",
        "null",
        r#"{"alg":"HS256""#,
        r#"{"alg":"HS256"}x"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","enc":"A256GCM"}"#,
        r#"{"alg":"dir","enc":"A256GCM"}"#,
    ] {
        assert_eq!(
            judge(&Platform::usual(), &with(&jws(header, &payload, KEY))).summary,
            INVALID,
            "{header}"
        );
    }
    check([
        (
            "key in the header",
            with(&jws(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"YQ"}}"#, &payload, "a")),
            INVALID,
        ),
        (
            "key by address",
            with(&jws(r#"{"alg":"HS256","jku":"https://evil.test"}"#, &payload, "a")),
            INVALID,
        ),
    ]);
}

#[test]
fn signed_with_the_text_of_the_apps_key() {
    let payload = json(&good_claims(22, 501));
    let good = session(22, 501);
    let (input, signature) = good.rsplit_once('.').unwrap();
    let decoded = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    let with_signature = |bytes: &[u8]| with(&format!("{input}.{}", BASE64URL_NOPAD.encode(bytes)));
    let mut flipped = decoded(signature);
    flipped[31] ^= 1;
    let twice = [decoded(signature), decoded(signature)].concat();
    // 32 bytes leave two unused bits in the last character: `B` for `A` and so on.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    let respelled = format!("{input}.{}{next}", &signature[..signature.len() - 1]);
    let other_payload = BASE64URL_NOPAD.encode(json(&good_claims(23, 502)).as_bytes());
    let header = BASE64URL_NOPAD.encode(HS256.as_bytes());
    check([
        ("the client secret", with(&jws(HS256, &payload, SECRET)), INVALID),
        ("the key of another app", with(&jws(HS256, &payload, FENCED_KEY)), INVALID),
        ("an empty key", with(&jws(HS256, &payload, "")), INVALID),
        ("the key in another case", with(&jws(HS256, &payload, &KEY.to_uppercase())), INVALID),
        ("one bit off", with_signature(&flipped), INVALID),
        ("cut short", with_signature(&decoded(signature)[..31]), INVALID),
        ("cut to one byte", with_signature(&decoded(signature)[..1]), INVALID),
        ("doubled", with_signature(&twice), INVALID),
        ("all zeros", with_signature(&[0; 32]), INVALID),
        ("spelled another way", with(&respelled), INVALID),
        ("no signature", with(&format!("{input}.")), INVALID),
        ("over another payload", with(&format!("{header}.{other_payload}.{signature}")), INVALID),
        ("a cut token", with(&good[..good.len() - 1]), INVALID),
    ]);
    // The hexadecimal decoded: 32 bytes that are no text, so that the signature is made by hand.
    let key = data_encoding::HEXLOWER.decode(KEY.as_bytes()).unwrap();
    let mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&key).unwrap();
    let mac = hmac::Mac::finalize(hmac::Mac::chain_update(mac, input)).into_bytes();
    check([("the key decoded from hexadecimal", with_signature(&mac), INVALID)]);
    check_changed([
        (
            "the key was regenerated",
            (|p| p.app(APP).signing_key = Some("new".into())) as fn(&mut Platform),
            with(&good),
            INVALID,
        ),
        ("the app has no key", |p| p.app(APP).signing_key = None, with(&good), INVALID),
        (
            "no key is not the empty key",
            |p| p.app(APP).signing_key = None,
            with(&jws(HS256, &payload, "")),
            INVALID,
        ),
    ]);
}

#[test]
fn three_canonical_parts() {
    let good = session(22, 501);
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let sign = |payload: &str| with(&claims(payload));
    check([
        ("two parts", with(&format!("{header}.{payload}")), INVALID),
        ("four parts", with(&format!("{good}.{signature}")), INVALID),
        ("five parts", with("a.b.c.d.e"), INVALID),
        ("an empty header", with(&format!(".{payload}.{signature}")), INVALID),
        ("an empty payload", with(&format!("{header}..{signature}")), INVALID),
        ("padding", with(&format!("{good}=")), INVALID),
        ("the alphabet of plain base64", with(&format!("{header}.{payload}.{}+", &signature[1..])), INVALID),
        ("not base64", with("a.b.c"), INVALID),
        ("4097 bytes", with(&format!("{header}.{}.{signature}", "a".repeat(4096))), INVALID),
        ("as JSON serialisation", with(r#"{"payload":"e30","signatures":[]}"#), INVALID),
        ("payload a list", sign("[]"), INVALID),
        ("payload a string", sign("\"sub\""), INVALID),
        ("payload null", sign("null"), INVALID),
        ("payload empty object", sign("{}"), INVALID),
        ("payload not JSON", sign("sub=22"), INVALID),
        ("payload cut", sign(r#"{"sub":22"#), INVALID),
        ("text after the payload", sign(&format!("{} x", json(&good_claims(22, 501)))), INVALID),
        ("a claim twice, equal", but("sub", "22,\"sub\":22"), INVALID),
        ("a claim twice, different", but("sub", "22,\"sub\":23"), INVALID),
        ("a claim twice by an escape", but("sub", "22,\"\\u0073ub\":23"), INVALID),
        ("an unread claim twice", but("x", "1,\"x\":1"), INVALID),
    ]);
}

#[test]
fn the_claims_belong_together() {
    check([
        ("sub missing", but("sub", ""), INVALID),
        ("sid missing", but("sid", ""), INVALID),
        ("app_id missing", but("app_id", ""), INVALID),
        ("sub 0", but("sub", 0), INVALID),
        ("sid 0", but("sid", 0), INVALID),
        ("sub negative", but("sub", -22), INVALID),
        ("sid negative", but("sid", -501), INVALID),
        ("sub a word", but("sub", "\"abc\""), INVALID),
        ("sub with a leading zero", but("sub", "\"022\""), INVALID),
        ("sub with a sign", but("sub", "\"+22\""), INVALID),
        ("sub a fraction", but("sub", "22.0"), INVALID),
        ("sub beyond 2^53", but("sub", "9007199254740992"), INVALID),
        ("sid as an object", but("sid", "{}"), INVALID),
        ("sid unknown", but("sid", 4711), INVALID),
        ("sub of another store", but("sub", 23), INVALID),
        ("sid of another store", but("sid", 502), INVALID),
        ("app_id of another app", but("app_id", 8), INVALID),
        ("sid of another app, own key", but("sid", 521), INVALID),
        (
            "a user of the dashboard",
            with(&claims(&format!(r#"{{"sub":"merchant:7","iat":{NOW},"exp":{}}}"#, NOW + 600))),
            INVALID,
        ),
        (
            "of a disabled app",
            with(&jws(
                HS256,
                &json(&[
                    ("sub", "22".into()),
                    ("sid", "531".into()),
                    ("app_id", "10".into()),
                    ("iat", NOW.to_string()),
                    ("exp", (NOW + 60).to_string()),
                ]),
                OFF_KEY,
            )),
            INVALID,
        ),
    ]);
}

#[test]
fn the_installation_and_the_store() {
    let good = || with(&session(22, 501));
    check([
        ("ended since", with(&session(24, 503)), INVALID),
        ("the store is gone", with(&session(99, 505)), INVALID),
        ("the store is suspended", with(&session(25, 504)), "403 store_suspended"),
        ("another store sent", good().store("23"), "403 store_mismatch"),
        ("a malformed store sent", good().store("x"), "400 invalid_store_id"),
        ("a store sent twice", good().store("22").store("22"), "400 invalid_store_id"),
        (
            "scope missing",
            with(&session(23, 502)).to("POST", "/api/apps/v1/orders"),
            "403 insufficient_scope (write:orders)",
        ),
        ("scope there", send("POST", "/api/apps/v1/orders").bearer(&session(22, 501)), IN_22),
    ]);
    check_changed([
        ("app disabled", (|p| p.app(APP).enabled = false) as fn(&mut Platform), good(), INVALID),
        ("app gone", |p| p.apps.clear(), good(), INVALID),
        ("uninstalled", |p| p.installation(501).active = false, good(), INVALID),
        ("installation moved to another store", |p| p.installation(501).store = 23, good(), INVALID),
        ("installation of another app's number", |p| p.installation(501).app_id = 8, good(), INVALID),
        ("the client id now belongs to another app", |p| p.app(APP).app_id = 77, good(), INVALID),
        ("suspended", |p| p.suspend(22), good(), "403 store_suspended"),
        (
            "the address list does not bind it",
            |p| p.app(APP).addresses = vec!["203.0.113.0/24".into()],
            good(),
            IN_22,
        ),
    ]);
}

#[test]
fn it_is_read_from_authorization_only() {
    let token = session(22, 501);
    check([
        ("in its own header", orders().line("x-session-token", &token), "401 missing_token"),
        (
            "beside a pair, in its own header",
            orders().client(APP, SECRET).store("23").line("x-session-token", &token),
            "client_credentials sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 23 as 502 [read:orders]",
        ),
        ("in the query", orders().query(&format!("session={token}&id_token={token}")), "401 missing_token"),
        ("in a cookie", orders().line("cookie", format!("session={token}")), "401 missing_token"),
    ]);
}
