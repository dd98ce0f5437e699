//! Contradictory and repeated credentials: contract, section 3 and the third table of section 4; rows
//! X1 to X11.

use crate::request::{good_pair, orders, session};
use crate::stage::{check, judge};
use crate::world::{APP, Platform, SECRET, TOKEN};

const TWO: &str = "400 invalid_request";
const IN_22: &str = "client_credentials sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]";
const BY_TOKEN: &str = "oauth sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]";

#[test]
fn a_token_beside_client_headers() {
    let bearer = || orders().bearer(TOKEN);
    let raw = |value: &str| orders().line("authorization", value);
    check([
        ("both good", bearer().client(APP, SECRET).store("22"), TWO),
        ("both good, of two stores", bearer().client(APP, SECRET).store("23"), TWO),
        (
            "a session token and a pair",
            orders().bearer(&session(22, 501)).client(APP, SECRET).store("22"),
            TWO,
        ),
        ("an id alone", bearer().line("x-client-id", APP), TWO),
        ("a secret alone", bearer().line("x-client-secret", SECRET), TWO),
        ("an id twice", bearer().line("x-client-id", APP).line("x-client-id", APP), TWO),
        ("an unknown token and a good pair", orders().bearer("sx_at_0").client(APP, SECRET).store("22"), TWO),
        ("a malformed token and a good pair", orders().bearer("?").client(APP, SECRET).store("22"), TWO),
        (
            "a token of another family and a good pair",
            orders().bearer("shpat_1").client(APP, SECRET).store("22"),
            TWO,
        ),
        ("an expired token and a wrong pair", bearer().client("sx_app_0", "wrong").at(i64::MAX), TWO),
        ("a good token and a malformed id", bearer().line("x-client-id", "a b"), TWO),
        ("a bare scheme beside a pair", raw("Bearer").client(APP, SECRET).store("22"), TWO),
        ("a bare scheme beside an id", raw("Bearer  ").line("x-client-id", APP), TWO),
        ("an empty id is no id", bearer().line("x-client-id", ""), BY_TOKEN),
        ("an empty secret is no secret", bearer().line("x-client-secret", " "), BY_TOKEN),
        ("a bare scheme beside an empty id", raw("Bearer").line("x-client-id", ""), "401 missing_token"),
        (
            "other spellings are not read",
            bearer().line("x_client_id", APP).line("x.client.secret", SECRET),
            BY_TOKEN,
        ),
        ("an empty Authorization beside a pair", raw("").client(APP, SECRET).store("22"), IN_22),
    ]);
}

#[test]
fn authorization_twice() {
    let twice = |one: &str, two: &str| orders().line("authorization", one).line("authorization", two);
    let good = format!("Bearer {TOKEN}");
    check([
        ("equal", twice(&good, &good), TWO),
        ("different", twice(&good, "Bearer sx_at_0"), TWO),
        ("filled and empty", twice(&good, ""), TWO),
        ("empty and filled", twice("", &good), TWO),
        ("two empty", twice("", ""), TWO),
        ("Bearer and Basic", twice(&good, "Basic YTpi"), TWO),
        ("Basic and Bearer", twice("Basic YTpi", &good), TWO),
        (
            "two of another scheme beside a pair",
            twice("Basic YTpi", "Basic YTpi").client(APP, SECRET).store("22"),
            TWO,
        ),
    ]);
}

#[test]
fn another_scheme_beside_a_pair_is_ignored() {
    let basic = || good_pair().line("authorization", "Basic YTpi");
    check([
        ("with a store", basic().store("22"), IN_22),
        ("without a store", basic(), "400 missing_store_id"),
        (
            "with half a pair",
            orders().line("authorization", "Basic YTpi").line("x-client-id", APP),
            "401 missing_token",
        ),
        ("a bare token as scheme", good_pair().line("authorization", TOKEN).store("22"), IN_22),
    ]);
    let outcome = judge(&Platform::usual(), &basic().store("22"));
    assert!(outcome.stripped.contains(&"authorization".to_owned()), "{outcome:?}");
}
