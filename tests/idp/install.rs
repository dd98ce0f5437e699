//! Merchants at the app install flow of the platform: signing in, agreeing, and what does not count as that.

use axum::http::Method;

use crate::stage::{Answer, Browser, PASSWORD, Stage, form, parameter};
use storegate::model::{ClientId, ScopeSet};
use storegate::replica::NewApp;

const BACK: &str = "https://app.example/installed";

async fn stage() -> Stage {
    let stage = Stage::new().await;
    add_app(&stage);
    stage
}

pub(crate) fn add_app(stage: &Stage) {
    let _ = stage
        .writer()
        .create_app(NewApp {
            name: "Order <Sync>".into(),
            scopes: ScopeSet::parse("read:orders write:orders billing").unwrap(),
            client_id: Some(ClientId::parse("sx_app_1").unwrap()),
            client_secret: None,
            organization: None,
            allow: Vec::new(),
            token_auth: None,
            redirect_uris: vec![BACK.into()],
        })
        .unwrap();
}

pub(crate) fn authorize(store: &str, more: &[(&str, &str)]) -> String {
    let own = [
        ("client_id", "sx_app_1"),
        ("redirect_uri", BACK),
        ("scope", "read:orders,billing"),
        ("state", "s&1"),
        ("store_id", store),
    ];
    format!("/api/apps/oauth/authorize?{}", form(&[&own, more].concat()))
}

async fn signed_in<'s>(stage: &'s Stage, email: &str, target: &str) -> (Browser<'s>, Answer) {
    let mut browser = Browser::new(stage);
    let page = browser.open(target).await;
    let page = browser.sign_in(&page, email, PASSWORD).await;
    (browser, page)
}

async fn answer(browser: &mut Browser<'_>, page: &Answer, decision: &str) -> Answer {
    let (csrf, sealed) = (page.field("csrf"), page.field("request"));
    let body = [("csrf", csrf.as_str()), ("request", &sealed), ("decision", decision)];
    browser.submit("/api/oauth/install", &body).await
}

#[tokio::test]
async fn a_merchant_signs_in_and_agrees() {
    let stage = stage().await;
    let (mut browser, page) = signed_in(&stage, "fatema@example.com", &authorize("22", &[])).await;
    for told in
        ["Order &#60;Sync&#62;", "app.example", "Nakshi Home", "See orders", "billing", "fatema@example.com"]
    {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    assert!(page.header("content-security-policy").contains("form-action 'self' https://app.example;"));
    let back = answer(&mut browser, &page, "allow").await;
    assert!(back.location().starts_with("https://app.example/installed?code=sx_ac_"), "{back:?}");
    assert_eq!(back.parameter("state").as_deref(), Some("s&1"));
    // The next time they are asked again: installing is not signing in.
    let page = browser.open(&authorize("22", &[])).await;
    assert!(page.body.contains("name=\"decision\""), "{page:?}");
    let denied = answer(&mut browser, &page, "deny").await;
    assert_eq!(denied.location(), "https://app.example/installed?error=access_denied&state=s%261");
}

#[tokio::test]
async fn nothing_else_counts_as_agreeing() {
    let stage = stage().await;
    let (mut browser, page) = signed_in(&stage, "fatema@example.com", &authorize("22", &[])).await;
    let (csrf, sealed) = (page.field("csrf"), page.field("request"));
    // An agreement that somebody makes up, or that was made for another address or browser.
    let agreed = browser
        .once(
            Method::POST,
            "/api/oauth/install",
            &[("csrf", &csrf), ("request", &sealed), ("decision", "allow")],
        )
        .await;
    let agreement = parameter(agreed.location(), "agreement").unwrap();
    for (target, agreement) in [
        (authorize("22", &[]), "1.x"),
        (authorize("22", &[]), ""),
        (authorize("23", &[]), agreement.as_str()),
        (authorize("22", &[("x", "y")]), agreement.as_str()),
        (authorize("22", &[]).replace("billing", "write%3Aorders"), agreement.as_str()),
    ] {
        let page = browser.open(&format!("{target}&agreement={agreement}")).await;
        assert!(page.body.contains("name=\"decision\""), "{target} {agreement} {page:?}");
    }
    let (mut other, _) = signed_in(&stage, "fatema@example.com", &authorize("22", &[])).await;
    let page = other.open(agreed.location()).await;
    assert!(page.body.contains("name=\"decision\""), "another browser");
    // Forms of others.
    for (csrf, sealed) in [("", sealed.as_str()), (csrf.as_str(), ""), (csrf.as_str(), "x.y")] {
        let body = [("csrf", csrf), ("request", sealed), ("decision", "allow")];
        let page = browser.once(Method::POST, "/api/oauth/install", &body).await;
        assert_eq!(page.status, 403, "{csrf} {sealed}");
    }
}

#[tokio::test]
async fn only_merchants_of_the_store_are_asked() {
    let stage = stage().await;
    let (mut browser, page) = signed_in(&stage, "rahim@example.com", &authorize("22", &[])).await;
    assert!(page.body.contains("type=\"password\""), "a customer may sign in as somebody else: {page:?}");
    let page = browser.sign_in(&page, "fatema@example.com", PASSWORD).await;
    assert!(page.body.contains("name=\"decision\""), "{page:?}");
    let mut writer = stage.writer();
    let (merchant, store) = (
        storegate::model::Subject::parse("merchant:7").unwrap(),
        storegate::model::StoreId::new(23).unwrap(),
    );
    let _ = writer.leave_store(merchant, store).unwrap();
    let page = browser.open(&authorize("23", &[])).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("not one of your stores"), "{page:?}");
}
