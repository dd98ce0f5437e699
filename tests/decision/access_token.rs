//! Opaque access tokens: contract, section 4, second table; rows B1 to B14 of the platform's behaviour.

use crate::request::{get, orders, send};
use crate::stage::{check, check_changed, usual};
use crate::world::{
    APP, FENCED_TOKEN, LEGACY, NOW, OFF_TOKEN, Platform, READER, Records, SECRET, SUSPENDED, TOKEN, app,
    secret,
};

const MISSING: &str = "401 missing_token";
const INVALID: &str = "401 invalid_token";
const FULL: &str = "oauth sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]";
const READS: &str = "oauth sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [read:orders]";

#[test]
fn where_a_token_is_looked_for() {
    let raw = |value: &str| orders().line("authorization", value);
    check([
        ("scheme in any case", raw(&format!("bEARER {TOKEN}")), FULL),
        ("several blanks", raw(&format!("Bearer   {TOKEN}")), FULL),
        ("blanks around", raw(&format!("  Bearer {TOKEN} ")), FULL),
        ("a tab", raw(&format!("Bearer\t{TOKEN}")), FULL),
        ("nothing after the scheme", raw("Bearer"), MISSING),
        ("blanks after the scheme", raw("Bearer   "), MISSING),
        ("nothing, and a store", raw("Bearer").store("22"), MISSING),
        ("empty", raw(""), MISSING),
        ("Basic", raw("Basic c3hfYXBwOnNlY3JldA=="), MISSING),
        ("Token", raw(&format!("Token {TOKEN}")), MISSING),
        ("no scheme", raw(TOKEN), MISSING),
        ("scheme and token together", raw(&format!("Bearer{TOKEN}")), MISSING),
        ("scheme with a colon", raw(&format!("Bearer: {TOKEN}")), MISSING),
        ("only in the query", get(format!("/api/apps/v1/orders?access_token={TOKEN}")), MISSING),
        ("in a cookie", orders().line("cookie", format!("access_token={TOKEN}")), MISSING),
        ("in x-auth-token", orders().line("x-auth-token", TOKEN), MISSING),
        ("in proxy-authorization", orders().line("proxy-authorization", format!("Bearer {TOKEN}")), MISSING),
        ("in a platform's own header", orders().line("x-shopify-access-token", TOKEN), MISSING),
        ("as an id without a secret", orders().line("x-client-id", "sx_at_1"), MISSING),
    ]);
}

#[test]
fn what_is_no_token_of_ours() {
    let long = format!("sx_at_{}", "a".repeat(251));
    let unicode = format!("{TOKEN}é");
    let families = [
        "sx_rt_1",
        "sx_ac_1",
        "sx_it_1",
        "sx_ir_1",
        "sx_ic_1",
        "sx_secret_1",
        "sx_app_1",
        "shpat_1",
        "Sx_at_1",
    ];
    let malformed = [
        "sx_at_",
        "sx_at",
        "SX_AT_5feceb66",
        "sx_at_a b",
        "sx_at_a,sx_at_b",
        "sx_at_a=b",
        "sx_at_\"a\"",
        "sx_at_a%20b",
        "null",
        "undefined",
        "[object",
        "a.b",
        "a.b.c.d",
        "..",
        "Bearer",
        &long,
        &unicode,
        SECRET,
    ];
    for text in families.into_iter().chain(malformed) {
        let records = Records::new(&Platform::usual());
        let outcome = usual().judge(&records, &orders().bearer(text));
        assert_eq!(outcome.summary, INVALID, "{text:?}");
        assert_eq!(records.asked(), 0, "{text:?} is looked up");
    }
    check([
        ("two tokens in one value", orders().bearer(&format!("{TOKEN} {TOKEN}")), INVALID),
        ("two tokens with a comma", orders().bearer(&format!("{TOKEN}, Bearer {TOKEN}")), INVALID),
        ("the scheme twice", orders().bearer(&format!("Bearer {TOKEN}")), INVALID),
        ("a byte above 0x7F", orders().line("authorization", b"Bearer sx_at_\xff"), INVALID),
        ("unknown", orders().bearer("sx_at_0000"), INVALID),
        ("256 bytes, unknown", orders().bearer(&format!("sx_at_{}", "a".repeat(250))), INVALID),
        ("truncated", orders().bearer(&TOKEN[..TOKEN.len() - 1]), INVALID),
        ("extended", orders().bearer(&format!("{TOKEN}0")), INVALID),
        ("padded", orders().bearer(&format!("{TOKEN}=")), INVALID),
        ("in another case", orders().bearer(&TOKEN.replace("feceb", "FECEB")), INVALID),
    ]);
}

#[test]
fn whose_time_is_over() {
    let with = || orders().bearer(TOKEN);
    let end = NOW + 3600;
    check([
        ("a second before the end", with().at(end - 1), FULL),
        ("exactly at the end", with().at(end), INVALID),
        ("after the end", with().at(end + 1), INVALID),
        ("long after", with().at(i64::MAX), INVALID),
    ]);
    check_changed([
        ("revoked", (|p| p.token(TOKEN).revoked = true) as fn(&mut Platform), with(), INVALID),
        ("expired at the beginning of time", |p| p.token(TOKEN).expires_at = i64::MIN, with(), INVALID),
        ("expires at 0", |p| p.token(TOKEN).expires_at = 0, with(), INVALID),
        ("forgotten", |p| p.tokens.clear(), with(), INVALID),
        ("app disabled", |p| p.app(APP).enabled = false, with(), INVALID),
        ("app gone", |p| p.apps.clear(), with(), INVALID),
        ("uninstalled", |p| p.installation(501).active = false, with(), INVALID),
        ("installation gone", |p| p.installations.clear(), with(), INVALID),
        ("store gone", |p| p.stores.clear(), with(), INVALID),
        ("store suspended", |p| p.suspend(22), with(), "403 store_suspended"),
        ("the client id now belongs to another app", |p| p.app(APP).app_id = 77, with(), INVALID),
        ("rotating the secret leaves tokens alone", |p| p.app(APP).secrets.clear(), with(), FULL),
        ("the token's store is another than the app's", |p| p.token(TOKEN).store = 26, with(), INVALID),
    ]);
    check([
        ("of a disabled app", orders().bearer(OFF_TOKEN), INVALID),
        ("of a suspended store", orders().bearer(SUSPENDED), "403 store_suspended"),
    ]);
}

#[test]
fn which_store_it_acts_on() {
    let with = || orders().bearer(TOKEN);
    const OTHER: &str = "403 store_mismatch";
    const BAD_STORE: &str = "400 invalid_store_id";
    check([
        ("the token's", with(), FULL),
        ("the token's, sent too", with().store("22"), FULL),
        ("empty header", with().store(""), FULL),
        ("another installed store", with().store("23"), OTHER),
        ("a store that does not exist", with().store("4711"), OTHER),
        ("a suspended store", with().store("25"), OTHER),
        ("malformed", with().store("022"), BAD_STORE),
        ("a list", with().store("22, 22"), BAD_STORE),
        ("repeated, equal", with().store("22").store("22"), BAD_STORE),
        ("empty and filled", with().store("").store("22"), BAD_STORE),
        ("the query is not read for tokens", with().query("store_id=23&store_id=abc"), FULL),
        ("other spellings are not read", with().line("x_store_id", "23"), FULL),
    ]);
}

#[test]
fn its_scopes_never_reach_further_than_the_installation() {
    fn token_has(platform: &mut Platform, scopes: &str) {
        platform.token(READER).scopes = Some(scopes.into());
    }
    let read = || orders().bearer(READER);
    let write = || send("PUT", "/api/apps/v1/orders/1").bearer(READER);
    check([
        ("within", read(), READS),
        ("its own scopes bound it", write(), "403 insufficient_scope (write:orders)"),
        ("without own scopes: the installation's", send("PUT", "/api/apps/v1/orders/1").bearer(TOKEN), FULL),
    ]);
    check_changed([
        (
            "a part of both",
            (|p| token_has(p, "read:orders write:products")) as fn(&mut Platform),
            read(),
            READS,
        ),
        (
            "beyond the installation",
            |p| token_has(p, "read:orders write:products"),
            send("PUT", "/api/apps/v1/products/1").bearer(READER),
            "403 insufficient_scope (write:products)",
        ),
        (
            "nothing in common",
            |p| token_has(p, "read:products"),
            read(),
            "403 insufficient_scope (read:orders)",
        ),
        (
            "an empty set is no scope, not all",
            |p| token_has(p, ""),
            read(),
            "403 insufficient_scope (read:orders)",
        ),
        (
            "an empty set where none is needed",
            |p| token_has(p, ""),
            read().to("GET", "/api/apps/v1/whoami"),
            "oauth sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 []",
        ),
        (
            "the installation lost a scope",
            |p| p.installation(501).scopes = "write:orders".into(),
            read(),
            "403 insufficient_scope (read:orders)",
        ),
        (
            "the installation has none",
            |p| p.installation(501).scopes.clear(),
            read(),
            "403 insufficient_scope (read:orders)",
        ),
        (
            "more than the installation, equal where they meet",
            |p| token_has(p, "billing read:customers read:orders write:orders zzz"),
            write(),
            "oauth sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]",
        ),
    ]);
}

#[test]
fn the_address_list_binds_it() {
    let fenced = || orders().bearer(FENCED_TOKEN);
    check([
        ("inside", fenced().from("203.0.113.9"), "oauth sx_app_fenced in store 22 as 521 [read:orders]"),
        ("outside", fenced(), "403 ip_not_allowed"),
        ("outside, with another store", fenced().store("23"), "403 ip_not_allowed"),
        ("outside, forged", fenced().line("x-forwarded-for", "203.0.113.9"), "403 ip_not_allowed"),
    ]);
}

#[test]
fn a_token_of_one_app_uses_no_installation_of_another() {
    fn other_app(platform: &mut Platform) {
        platform.apps.push(app("sx_app_other", 12, secret("other-secret", false, None), None));
        platform.token(TOKEN).client_id = "sx_app_other".into();
    }
    check_changed([
        ("client id and number of two apps", other_app as fn(&mut Platform), orders().bearer(TOKEN), INVALID),
        (
            "an app that is not installed there",
            |p| {
                p.token(TOKEN).client_id = LEGACY.into();
                p.token(TOKEN).app_id = 8;
                p.token(TOKEN).store = 23;
            },
            orders().bearer(TOKEN),
            INVALID,
        ),
    ]);
}
