//! A directory that cannot tell: 503 at every look-up of every kind, never 401 and never forwarded.

use crate::request::{Request, good_pair, orders, session};
use crate::stage::usual;
use crate::world::{APP, LEGACY, LEGACY_SECRET, Platform, Records, TOKEN};

#[test]
fn every_look_up() {
    let rows: [(&str, Request, usize); 5] = [
        ("client credentials", good_pair().store("22"), 3),
        (
            "bcrypt client credentials, with the second decision",
            orders().client(LEGACY, LEGACY_SECRET).store("22"),
            4,
        ),
        ("client credentials, wrong", orders().client(APP, "wrong").store("22"), 1),
        ("access token", orders().bearer(TOKEN), 4),
        ("session token", orders().bearer(&session(22, 501)), 3),
    ];
    for (sentence, request, look_ups) in rows {
        for number in 0..look_ups {
            let records = Records::new(&Platform::usual());
            records.fail_at(Some(number));
            let outcome = usual().judge(&records, &request);
            assert_eq!(outcome.summary, "503 service_unavailable", "{sentence}, look-up {number}");
            assert_eq!(records.asked(), number + 1, "{sentence}: nothing more is asked");
        }
        let records = Records::new(&Platform::usual());
        usual().judge(&records, &request);
        assert_eq!(records.asked(), look_ups, "{sentence}");
    }
}

#[test]
fn what_needs_no_record_is_decided_all_the_same() {
    let rows = [
        ("malformed token", orders().bearer("?"), "401 invalid_token"),
        ("malformed session token", orders().bearer("a.b.c"), "401 invalid_token"),
        ("no credential", orders(), "401 missing_token"),
        ("contradiction", orders().bearer(TOKEN).line("x-client-id", APP), "400 invalid_request"),
        ("malformed id", orders().client("a b", "x"), "401 invalid_client (id)"),
        ("no route", orders().to("GET", "/nowhere").bearer(TOKEN), "404 not_found"),
        ("public", orders().to("GET", "/public/x"), "anonymous"),
        ("upstream", orders().to("GET", "/dashboard/x"), "upstream"),
        ("preflight", orders().to("OPTIONS", "/api/apps/v1/orders").preflight(), "anonymous"),
    ];
    for (sentence, request, expected) in rows {
        let records = Records::new(&Platform::usual());
        records.fail_at(Some(0));
        assert_eq!(usual().judge(&records, &request).summary, expected, "{sentence}");
    }
}
