//! Client credentials.

use crate::common::Session;
use crate::common::world::{
    BCRYPT, BOUND, DISABLED, MAIN, MAIN_SCOPES, OTHER, TOKEN_BOUND, bearer, client, pair, sha256,
};
use crate::{ADDRESS, As, BAD_STORE, Case, Expect, MISSING, NO_STORE, NOT_INSTALLED, ORDERS};
use crate::{SUSPENDED, WRONG_ID, WRONG_SECRET, case, main_as};

pub(crate) fn cases() -> Vec<Case> {
    [accepted(), incomplete(), wrong_pairs(), stores(), scopes()].into_iter().flatten().collect()
}

fn main_pair() -> Vec<String> {
    pair(MAIN.client_id, MAIN.secret)
}

fn with(mut lines: Vec<String>, more: &[&str]) -> Vec<String> {
    lines.extend(more.iter().map(|line| (*line).to_owned()));
    lines
}

fn accepted() -> Vec<Case> {
    let good = main_as("client_credentials");
    let bcrypt = Expect::Accepted(As {
        method: "client_credentials",
        app: &BCRYPT,
        store: 22,
        installation: 504,
        scopes: "read:orders",
    });
    let (id, secret) = (MAIN.client_id, MAIN.secret);
    vec![
        case("the three headers", ORDERS, &client(&MAIN, "22"), good),
        case("a bcrypt secret", ORDERS, &client(&BCRYPT, "22"), bcrypt),
        case("a bcrypt secret that was proved", ORDERS, &client(&BCRYPT, "22"), bcrypt),
        case("the store in the query", "GET /api/apps/v1/orders?store_id=22", &main_pair(), good),
        case("behind others", "GET /api/apps/v1/orders?a=b&store_id=22&c", &main_pair(), good),
        case("percent-encoded", "GET /api/apps/v1/orders?store_id=%32%32", &main_pair(), good),
        case("in both", "GET /api/apps/v1/orders?store_id=22", &client(&MAIN, "22"), good),
        case(
            "an empty header and the query",
            "GET /api/apps/v1/orders?store_id=22",
            &client(&MAIN, ""),
            good,
        ),
        case(
            "an empty query and the header",
            "GET /api/apps/v1/orders?store_id=",
            &client(&MAIN, "22"),
            good,
        ),
        case(
            "blanks round the values",
            ORDERS,
            &[
                format!("X-Client-Id:  {id}  "),
                format!("X-Client-Secret:\t{secret}\t"),
                "X-Store-Id: 22 ".into(),
            ],
            good,
        ),
        case(
            "names in other cases",
            ORDERS,
            &[format!("x-CLIENT-id: {id}"), format!("X-CLIENT-SECRET: {secret}"), "x-store-id: 22".into()],
            good,
        ),
        case("Basic beside them", ORDERS, &with(client(&MAIN, "22"), &["Authorization: Basic eDp5"]), good),
        case("an empty Authorization", ORDERS, &with(client(&MAIN, "22"), &["Authorization:"]), good),
        case("HEAD reads", "HEAD /api/apps/v1/orders", &client(&MAIN, "22"), good),
        case("POST writes", "POST /api/apps/v1/orders", &client(&MAIN, "22"), good),
        case("DELETE writes", "DELETE /api/apps/v1/orders/5", &client(&MAIN, "22"), good),
        case("PATCH writes", "PATCH /api/apps/v1/orders/5/lines", &client(&MAIN, "22"), good),
        case("another method writes", "PURGE /api/apps/v1/orders", &client(&MAIN, "22"), good),
        case(
            "an OPTIONS that is no preflight writes",
            "OPTIONS /api/apps/v1/orders",
            &client(&MAIN, "22"),
            good,
        ),
        case("with a tail", "GET /api/apps/v1/orders/5/lines", &client(&MAIN, "22"), good),
        case("a trailing slash", "GET /api/apps/v1/orders/", &client(&MAIN, "22"), good),
        case("another case", "GET /API/Apps/v1/ORDERS", &client(&MAIN, "22"), good),
        case("no scope needed", "POST /free/of/scopes", &client(&MAIN, "22"), good),
        case("all scopes of a list", "GET /both", &client(&MAIN, "22"), good),
        case("one scope for every method", "DELETE /one", &client(&MAIN, "22"), good),
    ]
}

fn incomplete() -> Vec<Case> {
    let (id, secret) =
        (format!("X-Client-Id: {}", MAIN.client_id), format!("X-Client-Secret: {}", MAIN.secret));
    let rows: Vec<(&str, Vec<String>)> = vec![
        ("nothing", vec![]),
        ("the id only", vec![id.clone()]),
        ("the secret only", vec![secret.clone()]),
        ("the store only", vec!["X-Store-Id: 22".into()]),
        ("id and store", vec![id.clone(), "X-Store-Id: 22".into()]),
        ("secret and store", vec![secret.clone(), "X-Store-Id: 22".into()]),
        ("an empty id", vec!["X-Client-Id:".into(), secret.clone(), "X-Store-Id: 22".into()]),
        ("an empty secret", vec![id.clone(), "X-Client-Secret:   ".into(), "X-Store-Id: 22".into()]),
        ("both empty", vec!["X-Client-Id:".into(), "X-Client-Secret:".into()]),
        ("the id twice and no secret", vec![id.clone(), id.clone()]),
        ("the id under another spelling", vec![id.replace("X-Client-Id", "X_Client_Id"), secret.clone()]),
        ("the secret under another spelling", vec![id.clone(), secret.replace("X-Client", "X.Client")]),
        ("an empty id beside Basic", vec!["X-Client-Id:".into(), "Authorization: Basic eDp5".into()]),
    ];
    let mut cases: Vec<_> = rows.iter().map(|(what, lines)| case(*what, ORDERS, lines, MISSING)).collect();
    let query = format!("GET /api/apps/v1/orders?client_id={}&client_secret={}", MAIN.client_id, MAIN.secret);
    cases.push(case("in the query", &query, &["X-Store-Id: 22"], MISSING));
    cases
}

fn wrong_pairs() -> Vec<Case> {
    let secret = MAIN.secret;
    let id = MAIN.client_id;
    let ids = [
        "x".to_owned(),
        "sx_app_".to_owned(),
        "sx_app_99999999999999999999999999999999".to_owned(),
        format!("{id}0"),
        id[..id.len() - 1].to_owned(),
        id.to_uppercase(),
        format!("{id}, {id}"),
        format!("{id} {id}"),
        format!("\"{id}\""),
        format!("{id}%00"),
        "sx_oc_11111111111111111111111111111111".to_owned(),
        "7".to_owned(),
        "a".repeat(128),
        "a".repeat(129),
        "a".repeat(5000),
        "é".to_owned(),
        "' OR 1=1 --".to_owned(),
    ];
    let mut cases: Vec<_> = ids
        .iter()
        .map(|id| case("a wrong id", ORDERS, &with(pair(id, secret), &["X-Store-Id: 22"]), WRONG_ID))
        .collect();
    let secrets = [
        "x".to_owned(),
        "sx_secret_".to_owned(),
        secret[..secret.len() - 1].to_owned(),
        format!("{secret}0"),
        format!("{secret}, {secret}"),
        format!("{secret} {secret}"),
        secret.to_uppercase(),
        secret.replace("sx_secret_", ""),
        sha256(secret),
        format!("sha256:{}", sha256(secret)),
        OTHER.secret.to_owned(),
        MAIN.signing_key.to_owned(),
        "s".repeat(256),
        "s".repeat(257),
        "s".repeat(6000),
        "sécret".to_owned(),
    ];
    cases.extend(secrets.iter().map(|secret| {
        case("a wrong secret", ORDERS, &with(pair(id, secret), &["X-Store-Id: 22"]), WRONG_SECRET)
    }));
    let bcrypt = BCRYPT.secret;
    for wrong in [&bcrypt[..bcrypt.len() - 1], MAIN.secret, "sx_secret_", &format!("{bcrypt}0")] {
        let lines = with(pair(BCRYPT.client_id, wrong), &["X-Store-Id: 22"]);
        cases.push(case("a wrong bcrypt secret", ORDERS, &lines, WRONG_SECRET));
    }
    let disabled = client(&DISABLED, "22");
    cases.push(case("a disabled app", ORDERS, &disabled, WRONG_ID));
    cases.push(case("a malformed secret of an unknown app", ORDERS, &pair("sx_app_9", "é"), WRONG_ID));
    for (name, value, expect) in [
        ("X-Client-Id", id, WRONG_ID),
        ("X-Client-Id", OTHER.client_id, WRONG_ID),
        ("X-Client-Id", "", WRONG_ID),
        ("X-Client-Secret", secret, WRONG_SECRET),
        ("X-Client-Secret", OTHER.secret, WRONG_SECRET),
        ("X-Client-Secret", "", WRONG_SECRET),
    ] {
        let lines = with(client(&MAIN, "22"), &[&format!("{name}: {value}")]);
        cases.push(case("a header twice", ORDERS, &lines, expect));
    }
    // Nothing about stores is told to whoever has not proved the secret.
    for store in ["22", "23", "24", "25", "99", "abc", ""] {
        let lines = with(pair(id, "sx_secret_wrong"), &[&format!("X-Store-Id: {store}")]);
        cases.push(case("a wrong secret and any store", ORDERS, &lines, WRONG_SECRET));
    }
    cases
}

fn stores() -> Vec<Case> {
    let mut cases = vec![
        case("no store", ORDERS, &main_pair(), NO_STORE),
        case("an empty store", ORDERS, &client(&MAIN, ""), NO_STORE),
        case("an empty store in the query", "GET /api/apps/v1/orders?store_id=", &main_pair(), NO_STORE),
        case("another parameter", "GET /api/apps/v1/orders?xstore_id=22", &main_pair(), NO_STORE),
        case("another spelling", ORDERS, &with(main_pair(), &["X_Store_Id: 22"]), NO_STORE),
        case("they differ", "GET /api/apps/v1/orders?store_id=23", &client(&MAIN, "22"), BAD_STORE),
        case("twice", ORDERS, &with(client(&MAIN, "22"), &["X-Store-Id: 22"]), BAD_STORE),
        case("once empty", ORDERS, &with(client(&MAIN, "22"), &["X-Store-Id:"]), BAD_STORE),
        case(
            "twice in the query",
            "GET /api/apps/v1/orders?store_id=22&store_id=22",
            &main_pair(),
            BAD_STORE,
        ),
        case("empty and filled", "GET /api/apps/v1/orders?store_id=&store_id=22", &main_pair(), BAD_STORE),
        case("good and malformed", "GET /api/apps/v1/orders?store_id=022", &client(&MAIN, "22"), BAD_STORE),
        case("an unknown store", ORDERS, &client(&MAIN, "99"), NOT_INSTALLED),
        case("the largest number", ORDERS, &client(&MAIN, "9007199254740991"), NOT_INSTALLED),
        case("a store without the app", ORDERS, &client(&MAIN, "25"), NOT_INSTALLED),
        case("an ended installation", ORDERS, &client(&MAIN, "23"), NOT_INSTALLED),
        case("another app's store", ORDERS, &client(&OTHER, "22"), NOT_INSTALLED),
        case("a suspended store", ORDERS, &client(&MAIN, "24"), SUSPENDED),
        case(
            "a suspended store before a scope",
            "GET /api/apps/v1/customers",
            &client(&MAIN, "24"),
            SUSPENDED,
        ),
        case(
            "no installation before a scope",
            "GET /api/apps/v1/customers",
            &client(&MAIN, "25"),
            NOT_INSTALLED,
        ),
    ];
    let malformed = [
        "abc",
        "22abc",
        "-1",
        "0",
        "00",
        "022",
        "+22",
        "22.0",
        "1e3",
        "0x16",
        "22, 23",
        "22,22",
        "22 22",
        "2 2",
        "9007199254740992",
        "99999999999999999999999",
        "２２",
        "22;",
        "\"22\"",
        "null",
        "*",
    ];
    cases.extend(malformed.iter().map(|id| case("a malformed store", ORDERS, &client(&MAIN, id), BAD_STORE)));
    for id in
        ["abc", "-1", "0", "022", "1e3", "+22", "%2022", "22%20", "22%00", "22+", "%2", "22,23", "%EF%BC%92"]
    {
        let line = format!("GET /api/apps/v1/orders?store_id={id}");
        cases.push(case("a malformed store in the query", &line, &main_pair(), BAD_STORE));
    }
    cases
}

fn scopes() -> Vec<Case> {
    let main = client(&MAIN, "22");
    let bcrypt = client(&BCRYPT, "22");
    vec![
        case("read of another", "GET /api/apps/v1/customers", &main, Expect::Scope("read:customers")),
        case("write of another", "POST /api/apps/v1/products", &main, Expect::Scope("write:products")),
        case("write with read only", "PUT /api/apps/v1/orders/5", &bcrypt, Expect::Scope("write:orders")),
        case("OPTIONS is a write", "OPTIONS /api/apps/v1/orders", &bcrypt, Expect::Scope("write:orders")),
        case("so is any other", "FOO /api/apps/v1/orders", &bcrypt, Expect::Scope("write:orders")),
        case("the whole segment", "GET /api/apps/v1/order", &main, Expect::Scope("read:order")),
        case("in another case", "GET /api/apps/v1/Customers", &main, Expect::Scope("read:customers")),
        case("one of two", "GET /both", &bcrypt, Expect::Scope("read:orders write:orders")),
        case("one for all methods", "GET /one", &bcrypt, Expect::Scope("read:products")),
        case("after dots", "GET /api/apps/v1/orders/../customers", &main, Expect::Scope("read:customers")),
    ]
}

/// [`BOUND`] may call from somewhere else only.
pub(crate) fn elsewhere() -> Vec<Case> {
    let session = Expect::Accepted(As {
        method: "session",
        app: &BOUND,
        store: 22,
        installation: 507,
        scopes: MAIN_SCOPES,
    });
    let sent = with(client(&BOUND, "22"), &["X-Forwarded-For: 192.0.2.1"]);
    vec![
        case("the pair", ORDERS, &client(&BOUND, "22"), ADDRESS),
        case("before the secret", ORDERS, &pair(BOUND.client_id, "sx_secret_wrong"), ADDRESS),
        case("before the store", ORDERS, &pair(BOUND.client_id, BOUND.secret), ADDRESS),
        case("a forwarded address of nobody we trust", ORDERS, &sent, ADDRESS),
        case("the token", ORDERS, &bearer(TOKEN_BOUND), ADDRESS),
        case(
            "a session token lives in browsers",
            ORDERS,
            &bearer(&Session::of(&BOUND, 22, 507).token()),
            session,
        ),
        case("other apps", ORDERS, &client(&MAIN, "22"), main_as("client_credentials")),
    ]
}
