//! Session tokens.

use data_encoding::{BASE64URL, BASE64URL_NOPAD, HEXLOWER};

use crate::common::world::{App, BCRYPT, BOUND, DISABLED, MAIN, OTHER, bearer};
use crate::common::{Session, now, sign};
use crate::{As, BAD_STORE, Case, Expect, INVALID_TOKEN, MISMATCH, ORDERS, SUSPENDED, case, main_as};

pub(crate) fn cases() -> Vec<Case> {
    [accepted(), shapes(), headers(), claims(), times(), belonging(), after_the_token()]
        .into_iter()
        .flatten()
        .collect()
}

fn good() -> Session {
    Session::of(&MAIN, 22, 501)
}

/// Claims with these times, relative to now.
fn timed(issued: i64, expires: i64, more: &str) -> Session {
    let (iat, exp) = (now() + issued, now() + expires);
    good().claims(format!(r#"{{"sub":22,"sid":501,"app_id":7,"iat":{iat},"exp":{exp}{more}}}"#))
}

fn accepted() -> Vec<Case> {
    let yes = main_as("session");
    let bcrypt = Expect::Accepted(As {
        method: "session",
        app: &BCRYPT,
        store: 22,
        installation: 504,
        scopes: "read:orders",
    });
    let rows = [
        ("a token", good()),
        ("digit strings", good().with(r#""sub":22"#, r#""sub":"22""#).with(r#""sid":501"#, r#""sid":"501""#)),
        ("app_id as a string", good().with(r#""app_id":7"#, r#""app_id":"7""#)),
        ("the longest life", timed(0, 600, "")),
        ("a clock a little ahead", timed(7, 300, "")),
        ("an nbf that has come", timed(0, 300, &format!(r#","nbf":{}"#, now() - 1))),
        ("other claims", timed(-5, 300, r#","aud":"x","iss":["y"],"jti":{"a":null},"admin":true"#)),
        ("no typ", good().header(r#"{"alg":"HS256"}"#)),
        ("a kid is nothing to us", good().header(r#"{"kid":"../../x","alg":"HS256","jku":"http://x"}"#)),
    ];
    let mut cases: Vec<_> =
        rows.iter().map(|(what, session)| case(*what, ORDERS, &bearer(&session.token()), yes)).collect();
    let of_bcrypt = bearer(&Session::of(&BCRYPT, 22, 504).token());
    cases.push(case("another app", ORDERS, &of_bcrypt, bcrypt));
    cases.push(case("where tokens only are taken", "GET /tokens", &bearer(&good().token()), yes));
    let agreeing = [bearer(&good().token()), vec!["X-Store-Id: 22".into()]].concat();
    cases.push(case("the store agrees", ORDERS, &agreeing, yes));
    cases
}

fn refused(what: &str, token: &str) -> Case {
    case(what, ORDERS, &bearer(token), INVALID_TOKEN)
}

fn shapes() -> Vec<Case> {
    let token = good().token();
    let parts: Vec<&str> = token.split('.').collect();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let key = MAIN.signing_key.as_bytes();
    // The last of 43 characters carries two unused bits: the next letter decodes to the same bytes.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(&signature[42..]).unwrap();
    let unused = format!("{input}.{}{}", &signature[..42], &alphabet[last + 1..last + 2]);
    let padded = BASE64URL.encode(good().claims.as_bytes());
    let padded_input =
        format!("{}.{}", parts[0], if padded.ends_with('=') { padded } else { format!("{padded}=") });
    let other = if signature.starts_with('A') { "B" } else { "A" };
    vec![
        refused("two parts", input),
        refused("four parts", &format!("{token}.x")),
        refused("an empty part", &format!("..{signature}")),
        refused("no signature", &format!("{input}.")),
        refused("unsigned", &format!("{input}.{}", BASE64URL_NOPAD.encode(b"none"))),
        refused("a changed signature", &format!("{input}.{other}{}", &signature[1..])),
        refused("a short signature", &format!("{input}.{}", &signature[..40])),
        refused("a long signature", &format!("{token}AAAA")),
        refused("unused bits", &unused),
        refused("padding behind", &format!("{token}=")),
        refused("padding within", &sign(&padded_input, key)),
        refused("changed claims", &token.replacen(parts[1], &BASE64URL_NOPAD.encode(b"{\"sub\":23}"), 1)),
        refused("no object", &good().claims("[]").token()),
        refused("no JSON", &good().claims("sub=22").token()),
        refused("two objects", &good().claims(format!("{}{{}}", good().claims)).token()),
        refused("trailing text", &good().claims(format!("{} x", good().claims)).token()),
        refused("a comma too much", &good().with("}", ",}").token()),
        refused(
            "no UTF-8",
            &sign(&format!("{}.{}", parts[0], BASE64URL_NOPAD.encode(b"{\"sub\":\"\xff\"}")), key),
        ),
        refused("overlong", &timed(0, 300, &format!(r#","x":"{}""#, "x".repeat(4000))).token()),
        refused("deeply nested", &timed(0, 300, &format!(r#","x":{}"#, "[".repeat(2000))).token()),
    ]
}

fn headers() -> Vec<Case> {
    let rows = [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":" HS256"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"typ":"JWT"}"#,
        r#"{}"#,
        r#"[]"#,
        r#""HS256""#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","enc":"A256GCM"}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256"} {}"#,
        r#"{alg:"HS256"}"#,
        "",
    ];
    let of = |header: &&str| refused(&format!("the header {header}"), &good().header(header).token());
    rows.iter().map(of).collect()
}

fn claims() -> Vec<Case> {
    let mut cases = Vec::new();
    let numbers =
        ["0", "-22", "22.0", "2.2e1", "22e0", "null", "true", "[22]", "{}", "9007199254740992", "1e400"];
    let strings = ["", " 22", "22 ", "022", "+22", "0x16", "2.2e1", "22.0", "２２", "abc"];
    let strings = strings.map(|text| format!("\"{text}\""));
    for (name, value) in [("sub", "22"), ("sid", "501"), ("app_id", "7")] {
        let pair = format!("\"{name}\":{value}");
        let without = good().claims.replace(&format!("{pair},"), "");
        cases.push(refused(&format!("no {name}"), &good().claims(without).token()));
        let twice = good().with(&pair, &format!("{pair},{pair}"));
        cases.push(refused(&format!("{name} twice"), &twice.token()));
        for other in numbers.iter().map(|number| (*number).to_owned()).chain(strings.clone()) {
            let session = good().with(&pair, &format!("\"{name}\":{other}"));
            cases.push(refused(&format!("{name} is {other}"), &session.token()));
        }
    }
    let escaped = good().with(r#""sub":22"#, r#""sub":22,"\u0073ub":22"#);
    cases.push(refused("a name twice in another spelling", &escaped.token()));
    let unknown = timed(0, 300, r#","x":1,"x":1"#);
    cases.push(refused("an unknown name twice", &unknown.token()));
    cases
}

fn times() -> Vec<Case> {
    let text = |name: &str, value: &str| {
        let session = timed(0, 300, "");
        let at = session.claims.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
        let end = at + session.claims[at..].find([',', '}']).unwrap();
        let claims = format!("{}{value}{}", &session.claims[..at], &session.claims[end..]);
        refused(&format!("{name} is {value}"), &session.claims(claims).token())
    };
    let (iat, exp) = (format!("\"iat\":{},", now()), format!(",\"exp\":{}", now() + 300));
    let all = r#"{"sub":22,"sid":501,"app_id":7,"#;
    let mut cases = vec![
        refused("expired", &timed(-300, -1, "").token()),
        refused("expired now", &timed(-300, 0, "").token()),
        refused("long expired", &timed(-9000, -8700, "").token()),
        refused("too long a life", &timed(0, 601, "").token()),
        refused("too long a life, nearly over", &timed(-600, 5, "").token()),
        refused("a day", &timed(0, 86_400, "").token()),
        // The tokens are made before the first is sent, which may be a while on a busy machine.
        refused("issued ahead", &timed(200, 500, "").token()),
        refused("ends before it begins", &timed(5, 3, "").token()),
        refused("not yet valid", &timed(0, 300, &format!(r#","nbf":{}"#, now() + 200)).token()),
        refused("nbf is no number", &timed(0, 300, r#","nbf":"soon""#).token()),
        refused("nbf is null", &timed(0, 300, r#","nbf":null"#).token()),
        refused("no exp", &good().claims(format!("{all}{}}}", iat.trim_end_matches(','))).token()),
        refused("no iat", &good().claims(format!("{}{exp}}}", all.trim_end_matches(','))).token()),
    ];
    for value in ["null", "\"\"", "true", "-1", "1e10", "99999999999999999999", "9007199254740992", "{}"] {
        cases.push(text("exp", value));
        cases.push(text("iat", value));
    }
    cases
}

fn belonging() -> Vec<Case> {
    let of = |app: &App, store: u64, installation: u64| Session::of(app, store, installation);
    let decoded = HEXLOWER.decode(MAIN.signing_key.as_bytes()).unwrap();
    vec![
        refused("another app's key", &good().key(OTHER.signing_key).token()),
        refused("the client secret as key", &good().key(MAIN.secret).token()),
        refused("the decoded key", &good().key(decoded).token()),
        refused("an empty key", &good().key("").token()),
        refused("the client id as key", &good().key(MAIN.client_id).token()),
        refused("an unknown installation", &of(&MAIN, 22, 999).token()),
        refused("another store", &of(&MAIN, 23, 501).token()),
        refused("a store that does not exist", &of(&MAIN, 99, 501).token()),
        refused("another app's installation", &of(&MAIN, 22, 504).token()),
        refused("another app's installation, its number", &of(&MAIN, 23, 506).token()),
        refused("another app", &good().with(r#""app_id":7"#, r#""app_id":8"#).token()),
        refused("an app that claims another's store", &of(&OTHER, 22, 501).token()),
        refused("a disabled app", &of(&DISABLED, 22, 505).token()),
        refused("an ended installation", &of(&MAIN, 23, 503).token()),
        refused("the installation's number as store", &of(&MAIN, 501, 22).token()),
    ]
}

fn after_the_token() -> Vec<Case> {
    let with = |store: &str| [bearer(&good().token()), vec![format!("X-Store-Id: {store}")]].concat();
    let suspended = bearer(&Session::of(&MAIN, 24, 502).token());
    let token = bearer(&good().token());
    let read_only = bearer(&Session::of(&BCRYPT, 22, 504).token());
    let bound = Expect::Accepted(As {
        method: "session",
        app: &BOUND,
        store: 22,
        installation: 507,
        scopes: crate::MAIN_SCOPES,
    });
    vec![
        case("a suspended store", ORDERS, &suspended, SUSPENDED),
        case("another store", ORDERS, &with("23"), MISMATCH),
        case("a malformed store", ORDERS, &with("022"), BAD_STORE),
        case("a repeated store", ORDERS, &[with("22"), vec!["X-Store-Id: 22".into()]].concat(), BAD_STORE),
        case("a scope", "GET /api/apps/v1/customers", &token, Expect::Scope("read:customers")),
        case("a write", "POST /api/apps/v1/orders", &read_only, Expect::Scope("write:orders")),
        case("an app of its own", ORDERS, &bearer(&Session::of(&BOUND, 22, 507).token()), bound),
    ]
}
