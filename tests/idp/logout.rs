//! Signing out, by ourselves and for a client.

use axum::http::Method;

use crate::stage::{Browser, GOODBYE, ISSUER, OTHER, PASSWORD, SHOP, Stage, form};

const LOGOUT: &str = "/api/oauth/logout";

async fn signed_in(stage: &Stage) -> (Browser<'_>, String) {
    let mut browser = Browser::new(stage);
    let code = browser.code("rahim@example.com", "openid").await;
    let id_token = stage.redeem(&code).await.json()["id_token"].as_str().unwrap().to_owned();
    (browser, id_token)
}

async fn is_in(browser: &mut Browser<'_>) -> bool {
    browser.once(Method::GET, "/api/oauth/apps", &[]).await.status == 200
}

#[tokio::test]
async fn a_link_alone_signs_nobody_out() {
    let stage = Stage::new().await;
    let (mut browser, _) = signed_in(&stage).await;
    let page = browser.open(LOGOUT).await;
    assert!(page.body.contains("Sign out?") && is_in(&mut browser).await, "{page:?}");
    let page = browser.once(Method::POST, LOGOUT, &[]).await;
    assert!(page.body.contains("Sign out?") && is_in(&mut browser).await, "a form of another page: {page:?}");
    let page = browser.submit(LOGOUT, &[("csrf", &page.field("csrf"))]).await;
    assert!(page.body.contains("You are signed out"), "{page:?}");
    assert!(!browser.cookies.contains_key("storegate_session"));
    assert!(!is_in(&mut browser).await);
    let page = browser.open(LOGOUT).await;
    assert!(page.body.contains("You are signed out"), "twice is fine: {page:?}");
}

#[tokio::test]
async fn a_page_of_this_origin_signs_out() {
    let stage = Stage::new().await;
    let (mut browser, _) = signed_in(&stage).await;
    let cookie = format!("storegate_session={}", browser.cookies["storegate_session"]);
    for (origin, is_still_in) in [("https://evil.example", true), ("null", true), (ISSUER, false)] {
        stage.post(LOGOUT, &[("cookie", &cookie), ("origin", origin)], &[]).await;
        assert_eq!(is_in(&mut browser).await, is_still_in, "{origin}");
    }
}

#[tokio::test]
async fn a_client_signs_its_person_out() {
    let stage = Stage::new().await;
    let (mut browser, id_token) = signed_in(&stage).await;
    let query = form(&[
        ("id_token_hint", id_token.as_str()),
        ("post_logout_redirect_uri", GOODBYE),
        ("state", "x y"),
    ]);
    let answer = browser.once(Method::GET, &format!("{LOGOUT}?{query}"), &[]).await;
    assert_eq!(answer.location(), "https://shop.example/goodbye?state=x+y");
    assert!(!is_in(&mut browser).await);

    // Somebody else's token is no proof, and the page carries everything on.
    let mut other = Browser::new(&stage);
    let page = other.open("/api/oauth/login").await;
    other.sign_in(&page, "karim@example.com", PASSWORD).await;
    let page = other.open(&format!("{LOGOUT}?{query}")).await;
    assert!(page.body.contains("Sign out?") && is_in(&mut other).await, "{page:?}");
    // The form's answer leads there, which browsers count as the form's too.
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self' https://shop.example;"), "{policy}");
    let fields =
        ["csrf", "id_token_hint", "post_logout_redirect_uri", "state"].map(|name| (name, page.field(name)));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = other.once(Method::POST, LOGOUT, &fields).await;
    assert_eq!(answer.location(), "https://shop.example/goodbye?state=x+y");
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_registered() {
    let stage = Stage::new().await;
    let (mut browser, id_token) = signed_in(&stage).await;
    for parameters in [
        vec![("post_logout_redirect_uri", GOODBYE)],
        vec![("post_logout_redirect_uri", GOODBYE), ("client_id", OTHER)],
        vec![("post_logout_redirect_uri", GOODBYE), ("client_id", OTHER), ("id_token_hint", &id_token)],
        vec![("post_logout_redirect_uri", GOODBYE), ("client_id", "sx_oc_nobody")],
        vec![("post_logout_redirect_uri", "https://evil.example"), ("client_id", SHOP)],
        vec![("post_logout_redirect_uri", "https://evil.example"), ("id_token_hint", &id_token)],
        vec![("post_logout_redirect_uri", "https://shop.example/callback"), ("client_id", SHOP)],
        vec![("post_logout_redirect_uri", GOODBYE), ("id_token_hint", "e.e.e")],
    ] {
        let answer = browser.once(Method::GET, &format!("{LOGOUT}?{}", form(&parameters)), &[]).await;
        assert_eq!(answer.status, 400, "{parameters:?}");
        assert!(is_in(&mut browser).await, "{parameters:?}");
    }
    let query = form(&[("post_logout_redirect_uri", GOODBYE), ("client_id", SHOP)]);
    let page = browser.open(&format!("{LOGOUT}?{query}")).await;
    assert!(page.body.contains("Sign out?"), "{page:?}");
}
