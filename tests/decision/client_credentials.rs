//! Client credentials: contract, section 4, first table; rows C1 to C19 of the platform's behaviour.

use crate::request::{get, good_pair, orders, send};
use crate::stage::{check, check_changed, judge};
use crate::world::{
    APP, FENCED, FENCED_SECRET, LEGACY, LEGACY_SECRET, OFF, OFF_SECRET, Platform, SECRET, app, secret,
};

const MISSING: &str = "401 missing_token";
const BAD_ID: &str = "401 invalid_client (id)";
const BAD_SECRET: &str = "401 invalid_client (secret)";
const BAD_STORE: &str = "400 invalid_store_id";
const IN_22: &str = "client_credentials sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]";
const LEGACY_IN_22: &str = "client_credentials legacy-shop.app_9 in store 22 as 511 [read:orders]";
const FENCED_IN_22: &str = "client_credentials sx_app_fenced in store 22 as 521 [read:orders]";

#[test]
fn the_pair_must_be_whole() {
    check([
        ("no credential header of any kind", orders(), MISSING),
        ("id alone", orders().line("x-client-id", APP), MISSING),
        ("id and store", orders().line("x-client-id", APP).store("22"), MISSING),
        ("secret alone", orders().line("x-client-secret", SECRET), MISSING),
        ("secret and store", orders().line("x-client-secret", SECRET).store("22"), MISSING),
        ("only a store", orders().store("22"), MISSING),
        ("only a store in the query", orders().query("store_id=22"), MISSING),
        ("empty id", orders().client("", SECRET).store("22"), MISSING),
        ("blank id", orders().client(" \t", SECRET).store("22"), MISSING),
        ("empty secret", orders().client(APP, "").store("22"), MISSING),
        ("both empty", orders().client("", "").store("22"), MISSING),
        ("id twice and no secret", orders().line("x-client-id", APP).line("x-client-id", APP), MISSING),
        (
            "secret twice, no id",
            orders().line("x-client-secret", SECRET).line("x-client-secret", SECRET),
            MISSING,
        ),
        ("unknown id and no secret", orders().line("x-client-id", "sx_app_x"), MISSING),
        (
            "the pair in the query",
            get(format!("/api/apps/v1/orders?client_id={APP}&client_secret={SECRET}")),
            MISSING,
        ),
        (
            "the id with underscores",
            orders().line("x_client_id", APP).line("x-client-secret", SECRET),
            MISSING,
        ),
        ("the secret with dots", orders().line("x-client-id", APP).line("x.client.secret", SECRET), MISSING),
    ]);
}

#[test]
fn the_id_must_name_an_enabled_app() {
    let id = |id: &str| orders().client(id, SECRET).store("22");
    check([
        ("unknown", id("sx_app_0000"), BAD_ID),
        ("one character short", id(&APP[..APP.len() - 1]), BAD_ID),
        ("in another case", id(&APP.to_uppercase()), BAD_ID),
        ("of the identity provider", id("sx_oc_1b16e193"), BAD_ID),
        ("with a comma, as joined lines look", id(&format!("{APP}, {APP}")), BAD_ID),
        ("with a blank", id("sx_app 1"), BAD_ID),
        ("with a slash", id("sx_app/1"), BAD_ID),
        ("with a quote", id("\"sx_app_1\""), BAD_ID),
        ("with a byte above 0x7F", orders().client(b"sx_app_\xff", SECRET).store("22"), BAD_ID),
        ("in UTF-8", orders().client("sx_app_é", SECRET).store("22"), BAD_ID),
        ("129 bytes", id(&"a".repeat(129)), BAD_ID),
        ("128 bytes, unknown", id(&"a".repeat(128)), BAD_ID),
        ("twice, equal", id(APP).line("x-client-id", APP), BAD_ID),
        ("twice, different", id(APP).line("x-client-id", LEGACY), BAD_ID),
        ("empty and filled", orders().line("x-client-id", "").client(APP, SECRET), BAD_ID),
        ("twice, both empty", orders().line("x-client-id", "").client("", SECRET), BAD_ID),
        ("id and secret twice", id(APP).client(APP, SECRET), BAD_ID),
        ("disabled", orders().client(OFF, OFF_SECRET).store("22"), BAD_ID),
        ("disabled, wrong secret", orders().client(OFF, SECRET).store("22"), BAD_ID),
        ("unknown, malformed secret", orders().client("sx_app_0", "a b").store("22"), BAD_ID),
        ("unknown, overlong secret", orders().client("sx_app_0", "s".repeat(257)).store("22"), BAD_ID),
        ("unknown, no store", orders().client("sx_app_0", SECRET), BAD_ID),
    ]);
}

#[test]
fn the_secret_must_be_the_apps() {
    let secret = |text: &str| orders().client(APP, text).store("22");
    let legacy = |text: &str| orders().client(LEGACY, text).store("22");
    check([
        ("wrong", secret("sx_secret_0000"), BAD_SECRET),
        ("one character short", secret(&SECRET[..SECRET.len() - 1]), BAD_SECRET),
        ("one character more", secret(&format!("{SECRET}0")), BAD_SECRET),
        ("in another case", secret(&SECRET.to_uppercase()), BAD_SECRET),
        ("without its prefix", secret(SECRET.trim_start_matches("sx_secret_")), BAD_SECRET),
        ("of another app", secret(FENCED_SECRET), BAD_SECRET),
        ("with a comma, as joined lines look", secret(&format!("{SECRET}, {SECRET}")), BAD_SECRET),
        ("with a blank", secret("sx_secret 1"), BAD_SECRET),
        ("with a tab", secret("sx_secret\t1"), BAD_SECRET),
        ("with a byte above 0x7F", orders().client(APP, b"sx_secret_\xff").store("22"), BAD_SECRET),
        ("256 bytes", secret(&"s".repeat(256)), BAD_SECRET),
        ("257 bytes", secret(&"s".repeat(257)), BAD_SECRET),
        ("twice, equal", secret(SECRET).line("x-client-secret", SECRET), BAD_SECRET),
        ("twice, different", secret(SECRET).line("x-client-secret", "other-secret"), BAD_SECRET),
        ("filled and empty", secret(SECRET).line("x-client-secret", ""), BAD_SECRET),
        ("no store either", orders().client(APP, "sx_secret_0000"), BAD_SECRET),
        ("malformed store too", orders().client(APP, "sx_secret_0000").store("abc"), BAD_SECRET),
        ("the stored hash is no secret", secret("sha256:00"), BAD_SECRET),
        ("bcrypt: wrong", legacy("correct-horse"), BAD_SECRET),
        ("bcrypt: of an app with the other hash", legacy(SECRET), BAD_SECRET),
        ("bcrypt: malformed", legacy("correct horse"), BAD_SECRET),
        ("bcrypt: overlong", legacy(&"s".repeat(257)), BAD_SECRET),
        ("bcrypt: wrong, no store", orders().client(LEGACY, "correct-horse"), BAD_SECRET),
    ]);
}

#[test]
fn every_generation_of_a_secret_counts_until_its_end() {
    let with = |secret: &str| orders().client(APP, secret).store("22");
    fn rotated(platform: &mut Platform) {
        platform.app(APP).secrets = vec![
            secret("new-secret", false, None),
            secret("legacy-old", true, Some(crate::world::NOW + 10)),
            secret("made-here-old", false, Some(crate::world::NOW + 10)),
        ];
    }
    fn all_bcrypt(platform: &mut Platform) {
        platform.app(APP).secrets =
            vec![secret("new-secret", true, None), secret("old-secret", true, Some(crate::world::NOW + 10))];
    }
    let late = crate::world::NOW + 10;
    check_changed([
        ("the newest", rotated as fn(&mut Platform), with("new-secret"), IN_22),
        ("an older one within the overlap", rotated, with("made-here-old"), IN_22),
        ("an older bcrypt one within the overlap", rotated, with("legacy-old"), IN_22),
        ("the newest after the overlap", rotated, with("new-secret").at(late), IN_22),
        ("now = end is over", rotated, with("made-here-old").at(late), BAD_SECRET),
        ("bcrypt: now = end is over", rotated, with("legacy-old").at(late), BAD_SECRET),
        ("a second before", rotated, with("legacy-old").at(late - 1), IN_22),
        ("rotated out without overlap", rotated, with(SECRET), BAD_SECRET),
        ("wrong beside a bcrypt generation", rotated, with("neither"), BAD_SECRET),
        ("two bcrypt generations: new", all_bcrypt, with("new-secret"), IN_22),
        ("two bcrypt generations: old", all_bcrypt, with("old-secret"), IN_22),
        ("two bcrypt generations: old, over", all_bcrypt, with("old-secret").at(late), BAD_SECRET),
        ("two bcrypt generations: neither", all_bcrypt, with("neither"), BAD_SECRET),
        ("no generation at all", |p| p.app(APP).secrets.clear(), with(SECRET), BAD_SECRET),
    ]);
}

#[test]
fn a_proved_bcrypt_secret_needs_no_second_proof_and_proves_no_other() {
    use crate::stage::usual;
    use crate::world::Records;
    let records = Records::new(&Platform::usual());
    let ask = |secret: &str| usual().judge(&records, &orders().client(LEGACY, secret).store("22")).summary;
    assert_eq!(ask("wrong-before-the-proof"), BAD_SECRET);
    records.fail_at(None);
    assert_eq!(ask(LEGACY_SECRET), LEGACY_IN_22);
    assert_eq!(records.asked(), 4, "decided anew after the proof: the app is looked up again");
    records.fail_at(None);
    assert_eq!(ask(LEGACY_SECRET), LEGACY_IN_22);
    assert_eq!(records.asked(), 3, "warm: one decision");
    for wrong in ["wrong-after-the-proof", "correct-horse-battery-stapl", "Correct-horse-battery-staple", "x"]
    {
        assert_eq!(ask(wrong), BAD_SECRET, "{wrong}");
    }
}

#[test]
fn the_store_is_told_only_after_the_secret() {
    let store = |id: &str| good_pair().store(id);
    check([
        ("header", store("22"), IN_22),
        ("query", good_pair().query("store_id=22"), IN_22),
        ("query, percent-encoded", good_pair().query("a=1&store%5Fid=%32%32"), IN_22),
        ("both, equal", store("22").query("store_id=22"), IN_22),
        ("empty header, query", store("").query("store_id=22"), IN_22),
        ("header, empty query", store("22").query("store_id="), IN_22),
        ("blanks around the header's value", store(" 22 "), IN_22),
        ("none", good_pair(), "400 missing_store_id"),
        ("empty header", store(""), "400 missing_store_id"),
        ("empty query", good_pair().query("store_id=&x=22"), "400 missing_store_id"),
        (
            "in the query under another name",
            good_pair().query("storeId=22&STORE_ID=22"),
            "400 missing_store_id",
        ),
        ("header with underscores", good_pair().line("x_store_id", "22"), "400 missing_store_id"),
        ("both, different", store("22").query("store_id=23"), BAD_STORE),
        ("good header, malformed query", store("22").query("store_id=abc"), BAD_STORE),
        ("good header, query twice", store("22").query("store_id=22&store_id=22"), BAD_STORE),
        ("malformed header, good query", store("abc").query("store_id=22"), BAD_STORE),
        ("header twice, equal", store("22").store("22"), BAD_STORE),
        ("header twice, different", store("22").store("23"), BAD_STORE),
        ("header empty and filled", store("").store("22"), BAD_STORE),
        ("query twice, one empty", good_pair().query("store_id=22&store_id="), BAD_STORE),
        ("query with a blank", good_pair().query("store_id=22+"), BAD_STORE),
        ("query with an encoded blank", good_pair().query("store_id=%2022"), BAD_STORE),
        ("query with an encoded plus", good_pair().query("store_id=%2B22"), BAD_STORE),
    ]);
    for text in [
        "abc",
        "22abc",
        "-1",
        "+22",
        "0",
        "00",
        "022",
        "22.0",
        "1e3",
        "22, 23",
        "22,23",
        "22 23",
        "0x16",
        "9007199254740992",
        "99999999999999999999999999",
        "\u{0665}",
        "22;",
        "\"22\"",
        "null",
        "undefined",
        "*",
    ] {
        let outcome = judge(&Platform::usual(), &store(text));
        assert_eq!(outcome.summary, BAD_STORE, "header {text:?}");
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let outcome = judge(&Platform::usual(), &good_pair().query(&format!("store_id={encoded}")));
        assert_eq!(outcome.summary, BAD_STORE, "query {text:?}");
    }
}

#[test]
fn the_app_must_be_installed() {
    const NOT: &str = "401 not_installed";
    let store = |id: &str| good_pair().store(id);
    check([
        (
            "in another store",
            store("23"),
            "client_credentials sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 23 as 502 [read:orders]",
        ),
        ("uninstalled", store("24"), NOT),
        ("never installed in a store that exists", store("26"), NOT),
        ("no such store", store("4711"), NOT),
        ("the largest store id", store("9007199254740991"), NOT),
        ("installed, the store is gone", store("99"), NOT),
        ("an app of one store with another's", orders().client(LEGACY, LEGACY_SECRET).store("23"), NOT),
        ("installed, suspended", store("25"), "403 store_suspended"),
    ]);
    check_changed([
        (
            "uninstalled in a suspended store",
            (|p| p.installation(504).active = false) as fn(&mut Platform),
            store("25"),
            NOT,
        ),
        (
            "installed anew",
            |p| p.installation(503).active = true,
            store("24").to("GET", "/api/apps/v1/whoami"),
            "client_credentials sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 24 as 503 [billing read:customers read:orders write:orders]",
        ),
        ("suspended while in use", |p| p.suspend(22), store("22"), "403 store_suspended"),
    ]);
}

#[test]
fn the_address_must_be_on_the_apps_list() {
    let fenced = |peer: &str| orders().client(FENCED, FENCED_SECRET).store("22").from(peer);
    const NO: &str = "403 ip_not_allowed";
    check([
        ("inside", fenced("203.0.113.9"), FENCED_IN_22),
        ("the network's first address", fenced("203.0.113.0"), FENCED_IN_22),
        ("IPv6 inside", fenced("2001:db8::1"), FENCED_IN_22),
        ("IPv4 in IPv6 form", fenced("::ffff:203.0.113.9"), FENCED_IN_22),
        ("outside", fenced("203.0.114.1"), NO),
        ("IPv6 outside", fenced("2001:db9::1"), NO),
        ("IPv4 in IPv6 form, outside", fenced("::ffff:192.0.2.1"), NO),
        ("outside, wrong secret: the address decides", orders().client(FENCED, "nope").store("22"), NO),
        ("outside, malformed secret: the address decides", orders().client(FENCED, "a b").store("22"), NO),
        ("outside, no store: the address decides", orders().client(FENCED, FENCED_SECRET), NO),
        (
            "a forwarded address of a stranger is nothing",
            fenced("192.0.2.1").line("x-forwarded-for", "203.0.113.9"),
            NO,
        ),
        (
            "nor is any other header",
            fenced("192.0.2.1").line("x-real-ip", "203.0.113.9").line("forwarded", "for=203.0.113.9"),
            NO,
        ),
        ("inside, wrong secret", orders().client(FENCED, "nope").store("22").from("203.0.113.9"), BAD_SECRET),
    ]);
}

#[test]
fn the_scope_is_the_installations() {
    let orders_in =
        |store: &str, method: &str| send(method, "/api/apps/v1/orders").client(APP, SECRET).store(store);
    check([
        ("granted for writing", orders_in("22", "POST"), IN_22),
        ("reading does not grant writing", orders_in("23", "POST"), "403 insufficient_scope (write:orders)"),
        (
            "another resource",
            good_pair().store("22").to("GET", "/api/apps/v1/products/1"),
            "403 insufficient_scope (read:products)",
        ),
    ]);
    check_changed([
        (
            "no scope at all",
            (|p| p.installation(501).scopes.clear()) as fn(&mut Platform),
            orders_in("22", "GET"),
            "403 insufficient_scope (read:orders)",
        ),
        (
            "writing does not grant reading",
            |p| p.installation(501).scopes = "write:orders".into(),
            orders_in("22", "GET"),
            "403 insufficient_scope (read:orders)",
        ),
        (
            "scopes are compared whole",
            |p| p.installation(501).scopes = "read:order read:orders2 READ:ORDERS read: orders".into(),
            orders_in("22", "GET"),
            "403 insufficient_scope (read:orders)",
        ),
        (
            "a star is a character",
            |p| p.installation(501).scopes = "read:* *".into(),
            orders_in("22", "GET"),
            "403 insufficient_scope (read:orders)",
        ),
    ]);
}

/// A malformed value costs no look-up; nothing about stores is looked up before the secret is proved.
#[test]
fn what_is_refused_early_looks_nothing_up() {
    use crate::stage::usual;
    use crate::world::Records;
    let rows = [
        ("half a pair", orders().line("x-client-id", APP), 0),
        ("malformed id", orders().client("a b", SECRET).store("22"), 0),
        ("overlong id", orders().client("a".repeat(129), SECRET).store("22"), 0),
        ("repeated secret", good_pair().store("22").line("x-client-secret", SECRET), 0),
        ("unknown id", orders().client("sx_app_0", SECRET).store("22"), 1),
        ("wrong secret", orders().client(APP, "nope").store("22"), 1),
        ("malformed secret", orders().client(APP, "a b").store("22"), 1),
        ("malformed store", good_pair().store("abc"), 1),
        ("no store", good_pair(), 1),
    ];
    for (sentence, request, expected) in rows {
        let records = Records::new(&Platform::usual());
        usual().judge(&records, &request);
        assert_eq!((records.asked(), records.asked_of_stores()), (expected, 0), "{sentence}");
    }
}

/// A second app under the same client id does not exist; a record of another app must not be taken.
#[test]
fn secrets_of_two_apps_do_not_mix() {
    fn same_secret(platform: &mut Platform) {
        platform.apps.push(app("sx_app_twin", 11, secret(SECRET, false, None), None));
    }
    check_changed([(
        "the same secret under another id opens nothing of the first",
        same_secret as fn(&mut Platform),
        orders().client("sx_app_twin", SECRET).store("22"),
        "401 not_installed",
    )]);
}
