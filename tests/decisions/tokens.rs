//! Opaque access tokens.

use crate::common::world::{
    MAIN, TOKEN, TOKEN_DISABLED, TOKEN_EXPIRED, TOKEN_OWN_SCOPES, TOKEN_REVOKED, TOKEN_SUSPENDED,
    TOKEN_UNINSTALLED, TOKEN_UNKNOWN, bearer, sha256,
};
use crate::{
    As, BAD_STORE, Case, Expect, INVALID_TOKEN, MISMATCH, MISSING, ORDERS, SUSPENDED, case, main_as,
};

pub(crate) fn cases() -> Vec<Case> {
    [accepted(), missing(), invalid(), after_the_token()].into_iter().flatten().collect()
}

fn accepted() -> Vec<Case> {
    let good = main_as("oauth");
    let own = Expect::Accepted(As {
        method: "oauth",
        app: &MAIN,
        store: 22,
        installation: 501,
        scopes: "read:orders",
    });
    let sent = |line: String| vec![line];
    vec![
        case("a token", ORDERS, &bearer(TOKEN), good),
        case("in lower case", ORDERS, &sent(format!("authorization: bearer {TOKEN}")), good),
        case("in upper case", ORDERS, &sent(format!("AUTHORIZATION: BEARER {TOKEN}")), good),
        case("several spaces", ORDERS, &sent(format!("Authorization:   Bearer    {TOKEN}  ")), good),
        case("the store agrees", ORDERS, &[bearer(TOKEN), vec!["X-Store-Id: 22".into()]].concat(), good),
        case("an empty store", ORDERS, &[bearer(TOKEN), vec!["X-Store-Id:".into()]].concat(), good),
        case(
            "empty client headers",
            ORDERS,
            &[bearer(TOKEN), vec!["X-Client-Id:".into(), "X-Client-Secret: ".into()]].concat(),
            good,
        ),
        case("a write", "POST /api/apps/v1/orders", &bearer(TOKEN), good),
        case("where tokens only are taken", "GET /tokens", &bearer(TOKEN), good),
        case("never further than the installation", ORDERS, &bearer(TOKEN_OWN_SCOPES), own),
    ]
}

fn missing() -> Vec<Case> {
    let rows = [
        "Authorization:".to_owned(),
        "Authorization: Bearer".to_owned(),
        "Authorization: Bearer   ".to_owned(),
        "Authorization: bearer \t ".to_owned(),
        format!("Authorization: Basic {TOKEN}"),
        format!("Authorization: Token {TOKEN}"),
        format!("Authorization: {TOKEN}"),
        format!("Authorization: Bearer{TOKEN}"),
        format!("Authorization: Bearer:{TOKEN}"),
        format!("Authorization: Bearer={TOKEN}"),
        format!("Authorization: \"Bearer {TOKEN}\""),
        format!("Proxy-Authorization: Bearer {TOKEN}"),
        format!("X-Authorization: Bearer {TOKEN}"),
        format!("X-Session-Token: {TOKEN}"),
        format!("Cookie: access_token={TOKEN}"),
    ];
    let mut cases: Vec<_> =
        rows.into_iter().map(|line| case("no bearer", ORDERS, &[line], MISSING)).collect();
    let query = format!("GET /api/apps/v1/orders?access_token={TOKEN}");
    cases.push(case("in the query", &query, &[""; 0], MISSING));
    cases
}

fn invalid() -> Vec<Case> {
    let values = [
        "sx_at_".to_owned(),
        "x".to_owned(),
        "null".to_owned(),
        "undefined".to_owned(),
        TOKEN[..TOKEN.len() - 1].to_owned(),
        format!("{TOKEN}0"),
        format!("{TOKEN}="),
        TOKEN.to_uppercase(),
        TOKEN.replace("sx_at_", ""),
        TOKEN.replace("sx_at_", "SX_AT_"),
        format!("{TOKEN} {TOKEN}"),
        format!("{TOKEN}, {TOKEN}"),
        format!("{TOKEN},{TOKEN}"),
        format!("\"{TOKEN}\""),
        format!("Bearer {TOKEN}"),
        format!("{TOKEN};"),
        format!("{TOKEN}%00"),
        format!("{TOKEN}é"),
        format!("sx_at_{}", "a".repeat(250)),
        format!("sx_at_{}", "a".repeat(251)),
        format!("sx_at_{}", "a".repeat(9000)),
        sha256(TOKEN),
        format!("sx_at_{}", sha256(TOKEN)),
        TOKEN_UNKNOWN.to_owned(),
        TOKEN_EXPIRED.to_owned(),
        TOKEN_REVOKED.to_owned(),
        TOKEN_DISABLED.to_owned(),
        TOKEN_UNINSTALLED.to_owned(),
        MAIN.secret.to_owned(),
        MAIN.client_id.to_owned(),
    ];
    let families = ["sx_rt_", "sx_ac_", "sx_it_", "sx_ir_", "sx_ic_", "sx_secret_", "sx_app_", "shpat_"];
    let families = families.map(|family| TOKEN.replace("sx_at_", family));
    let values = values.into_iter().chain(families);
    let mut cases: Vec<_> =
        values.map(|value| case("no good token", ORDERS, &bearer(&value), INVALID_TOKEN)).collect();
    for (token, store) in [(TOKEN_EXPIRED, "abc"), (TOKEN_UNKNOWN, "23"), (TOKEN_REVOKED, "23")] {
        let lines = [bearer(token), vec![format!("X-Store-Id: {store}")]].concat();
        cases.push(case("the token before the store", ORDERS, &lines, INVALID_TOKEN));
    }
    let line = "GET /api/apps/v1/customers";
    cases.push(case("the token before the scope", line, &bearer(TOKEN_EXPIRED), INVALID_TOKEN));
    cases
}

fn after_the_token() -> Vec<Case> {
    let sent = |token: &str, lines: &[&str]| {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        [bearer(token), lines].concat()
    };
    let mut cases = vec![
        case("a suspended store", ORDERS, &bearer(TOKEN_SUSPENDED), SUSPENDED),
        case("suspended first", ORDERS, &sent(TOKEN_SUSPENDED, &["X-Store-Id: 22"]), SUSPENDED),
        case("another store", ORDERS, &sent(TOKEN, &["X-Store-Id: 23"]), MISMATCH),
        case("an unknown store", ORDERS, &sent(TOKEN, &["X-Store-Id: 99"]), MISMATCH),
        case("twice", ORDERS, &sent(TOKEN, &["X-Store-Id: 22", "X-Store-Id: 22"]), BAD_STORE),
        case("once empty", ORDERS, &sent(TOKEN, &["X-Store-Id: 22", "X-Store-Id:"]), BAD_STORE),
        case("a scope", "GET /api/apps/v1/customers", &bearer(TOKEN), Expect::Scope("read:customers")),
        case(
            "its own scopes",
            "POST /api/apps/v1/orders",
            &bearer(TOKEN_OWN_SCOPES),
            Expect::Scope("write:orders"),
        ),
        case(
            "a scope that the installation lacks",
            "GET /api/apps/v1/customers",
            &bearer(TOKEN_OWN_SCOPES),
            Expect::Scope("read:customers"),
        ),
        case(
            "the store before the scope",
            "GET /api/apps/v1/customers",
            &sent(TOKEN, &["X-Store-Id: 23"]),
            MISMATCH,
        ),
    ];
    for id in ["abc", "-1", "0", "022", "1e3", "22, 23", "+22", "9007199254740992"] {
        let lines = sent(TOKEN, &[&format!("X-Store-Id: {id}")]);
        cases.push(case("a malformed store", ORDERS, &lines, BAD_STORE));
    }
    // With a token the query means nothing to us.
    cases.push(case(
        "the query is not asked",
        "GET /api/apps/v1/orders?store_id=23",
        &bearer(TOKEN),
        main_as("oauth"),
    ));
    cases
}
