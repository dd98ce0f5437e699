//! What cannot be told is never told: 503, or `temporarily_unavailable` at the client (RFC 6749 section
//! 4.1.2.1), and nobody is signed out, refused or let in because the records cannot be read.

use axum::http::Method;

use crate::stage::{Answer, Browser, PASSWORD, SHOP, SHOP_SECRET, Stage, authorize, basic};

/// Takes a table away until the guard goes.
struct Away<'s>(&'s Stage, &'static str);

impl<'s> Away<'s> {
    fn take(stage: &'s Stage, table: &'static str) -> Self {
        rename(stage, table, "away");
        Self(stage, table)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        rename(self.0, "away", self.1);
    }
}

fn rename(stage: &Stage, from: &str, to: &str) {
    let database = rusqlite::Connection::open(stage.folder.path().join("storegate.db")).unwrap();
    database.pragma_update(None, "legacy_alter_table", true).unwrap();
    database.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
}

fn is_unavailable(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 503, "{what}: {answer:?}");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0, "{what}");
    assert!(!answer.body.contains("sqlite") && !answer.body.contains("no such table"), "{what}: {answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    assert_eq!(answer.header("set-cookie"), "", "{what}: nobody is signed out");
}

#[tokio::test]
async fn the_client_is_told_to_come_again() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    browser.code("rahim@example.com", "openid").await;
    for table in ["sign_ins", "users", "consents", "identity_grants"] {
        let away = Away::take(&stage, table);
        for query in [authorize("openid", &[]), authorize("openid", &[("prompt", "none")])] {
            let answer = browser.once(Method::GET, &query, &[]).await;
            let error = answer.parameter("error");
            assert_eq!(error.as_deref(), Some("temporarily_unavailable"), "{table}: {answer:?}");
            assert_eq!(answer.parameter("state").as_deref(), Some("the-state"), "{table}");
        }
        drop(away);
        browser.code_at_once("openid").await;
    }
    let away = Away::take(&stage, "oauth_clients");
    let answer = browser.once(Method::GET, &authorize("openid", &[]), &[]).await;
    is_unavailable(&answer, "a client that nobody knows now");
    assert_eq!(answer.header("location"), "", "its redirect URI is not proved");
    drop(away);
}

#[tokio::test]
async fn the_pages_say_so() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    browser.code("rahim@example.com", "openid").await;
    let mut stranger = Browser::new(&stage);
    let page = stranger.open("/api/oauth/login").await;
    let away = Away::take(&stage, "users");
    let csrf = page.field("csrf");
    let body = [("csrf", csrf.as_str()), ("email", "rahim@example.com"), ("password", PASSWORD)];
    is_unavailable(&stranger.once(Method::POST, "/api/oauth/login", &body).await, "a right password");
    drop(away);
    let away = Away::take(&stage, "sign_ins");
    for path in ["/api/oauth/login", "/api/oauth/apps", "/api/oauth/logout"] {
        is_unavailable(&browser.once(Method::GET, path, &[]).await, path);
    }
    drop(away);
    assert_eq!(browser.open("/api/oauth/apps").await.status, 200, "still signed in");
}

#[tokio::test]
async fn programs_are_told_so_too() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let code = browser.code("rahim@example.com", "openid").await;
    let tokens = stage.redeem(&code).await.json();
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let shop = basic(SHOP, SHOP_SECRET);
    let headers = [("authorization", shop.as_str())];
    let code = browser.code_at_once("openid").await;
    for table in ["identity_grants", "identity_tokens", "oauth_clients"] {
        let away = Away::take(&stage, table);
        is_unavailable(&stage.redeem(&code).await, "a code");
        is_unavailable(&stage.refresh(refresh).await, "a refresh token");
        is_unavailable(&stage.userinfo(access).await, "an access token");
        for path in ["/api/oauth/introspect", "/api/oauth/revoke"] {
            // A revocation that was not done must not look like one.
            is_unavailable(&stage.post(path, &headers, &[("token", access)]).await, path);
        }
        drop(away);
    }
    assert_eq!(stage.userinfo(access).await.status, 200);
    assert_eq!(stage.redeem(&code).await.status, 200, "nothing was used up");
    assert_eq!(stage.refresh(refresh).await.status, 200);
}

/// Without a key no ID token can be signed; what it would come with stays good for later.
#[tokio::test]
async fn a_code_is_not_spent_while_nothing_can_be_signed() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let code = browser.code("rahim@example.com", "openid").await;
    let away = Away::take(&stage, "identity_keys");
    is_unavailable(&stage.redeem(&code).await, "a code");
    is_unavailable(&stage.get("/api/oauth/jwks", &[]).await, "the keys");
    drop(away);
    assert_eq!(stage.redeem(&code).await.status, 200);
}
