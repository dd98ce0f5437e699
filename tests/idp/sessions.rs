//! Browsers: sessions, forms, and the headers of pages.

use std::time::Duration;

use axum::http::Method;

use crate::stage::{Browser, PASSWORD, Setup, Stage, authorize};
use storegate::model::{Subject, UserStatus};

const SESSION: &str = "storegate_session";

#[tokio::test]
async fn a_session_id_that_somebody_else_knows_never_becomes_a_session() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let page = browser.open(&authorize("openid", &[])).await;
    let planted = browser.cookies[SESSION].clone();
    browser.sign_in(&page, "rahim@example.com", PASSWORD).await;
    assert_ne!(browser.cookies[SESSION], planted);
    let mut attacker = Browser::new(&stage);
    attacker.cookies.insert(SESSION.into(), planted);
    assert_eq!(attacker.once(Method::GET, "/api/oauth/apps", &[]).await.location(), "/api/oauth/login");

    // Signing in once more ends the session before.
    let before = browser.cookies[SESSION].clone();
    let page = browser.open(&authorize("openid", &[("prompt", "login")])).await;
    browser.sign_in(&page, "rahim@example.com", PASSWORD).await;
    attacker.cookies.insert(SESSION.into(), before);
    assert_eq!(attacker.once(Method::GET, "/api/oauth/apps", &[]).await.location(), "/api/oauth/login");
    assert_eq!(browser.open("/api/oauth/apps").await.status, 200);
}

#[tokio::test]
async fn sessions_end_by_the_clock() {
    for (idle, life) in [(1, 3600), (3600, 1)] {
        let setup = Setup {
            session_idle: Duration::from_secs(idle),
            session_life: Duration::from_secs(life),
            ..Setup::default()
        };
        let stage = Stage::with(setup).await;
        let mut browser = Browser::new(&stage);
        let page = browser.open("/api/oauth/login").await;
        browser.sign_in(&page, "rahim@example.com", PASSWORD).await;
        tokio::time::sleep(Duration::from_millis(2100)).await;
        let answer = browser.once(Method::GET, "/api/oauth/apps", &[]).await;
        assert_eq!(answer.location(), "/api/oauth/login", "idle {idle}, life {life}");
    }
}

#[tokio::test]
async fn signing_out_everywhere_means_everywhere() {
    let stage = Stage::new().await;
    let (mut home, mut phone, mut other) = (Browser::new(&stage), Browser::new(&stage), Browser::new(&stage));
    for (browser, email) in [
        (&mut home, "rahim@example.com"),
        (&mut phone, "rahim@example.com"),
        (&mut other, "karim@example.com"),
    ] {
        let page = browser.open("/api/oauth/login").await;
        browser.sign_in(&page, email, PASSWORD).await;
    }
    let page = home.open("/api/oauth/apps").await;
    let page = home.submit("/api/oauth/apps/sign-out-everywhere", &[("csrf", &page.field("csrf"))]).await;
    assert!(page.body.contains("You are signed out"), "{page:?}");
    assert!(!home.cookies.contains_key(SESSION));
    for browser in [&mut home, &mut phone] {
        assert_eq!(browser.once(Method::GET, "/api/oauth/apps", &[]).await.status, 303);
    }
    assert_eq!(other.once(Method::GET, "/api/oauth/apps", &[]).await.status, 200, "nobody else");
}

#[tokio::test]
async fn sessions_end_with_the_password_and_the_account() {
    let stage = Stage::new().await;
    let subject = Subject::parse("customer:42").unwrap();
    let mut writer = stage.writer();
    let mut browser = Browser::new(&stage);
    for change in 0..2 {
        let page = browser.open("/api/oauth/login").await;
        browser
            .sign_in(&page, "rahim@example.com", if change == 0 { PASSWORD } else { "another password" })
            .await;
        assert_eq!(browser.once(Method::GET, "/api/oauth/apps", &[]).await.status, 200);
        match change {
            0 => drop(writer.set_password(subject, &crate::stage::password("another password")).unwrap()),
            _ => drop(writer.set_user_status(subject, UserStatus::Disabled).unwrap()),
        }
        assert_eq!(browser.once(Method::GET, "/api/oauth/apps", &[]).await.status, 303, "change {change}");
    }
    let page = browser.open("/api/oauth/login").await;
    let page = browser.sign_in(&page, "rahim@example.com", "another password").await;
    assert_eq!(page.status, 422, "a disabled account: {page:?}");
    assert!(page.body.contains("Wrong email address or password"), "{page:?}");
}

/// A form that no page of ours in this very browser made changes nothing.
#[tokio::test]
async fn forms_of_others_are_refused() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let page = browser.open(&authorize("openid", &[])).await;
    let consent = browser.sign_in(&page, "rahim@example.com", PASSWORD).await;
    let (csrf, sealed) = (consent.field("csrf"), consent.field("request"));
    let mut stranger = Browser::new(&stage);
    let strange = stranger.open(&authorize("openid", &[])).await.field("csrf");

    let forms = [
        ("/api/oauth/login", vec![("email", "rahim@example.com"), ("password", PASSWORD)]),
        ("/api/oauth/authorize/consent", vec![("request", sealed.as_str()), ("decision", "allow")]),
        ("/api/oauth/apps/withdraw", vec![("client_id", crate::stage::SHOP)]),
        ("/api/oauth/apps/sign-out-everywhere", vec![]),
    ];
    for (path, fields) in &forms {
        for wrong in [None, Some(""), Some("x"), Some(strange.as_str()), Some(&csrf[1..])] {
            let mut body = fields.clone();
            body.extend(wrong.map(|wrong| ("csrf", wrong)));
            let answer = browser.once(Method::POST, path, &body).await;
            assert_eq!(answer.status, 403, "{path} {wrong:?}");
            assert!(answer.body.contains("expired"), "{path} {wrong:?}");
            assert!(answer.headers.get("set-cookie").is_none(), "{path} {wrong:?}");
        }
        // A browser without the cookie.
        let mut body = fields.clone();
        body.push(("csrf", &csrf));
        let answer = Browser::new(&stage).once(Method::POST, path, &body).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body.contains("Cookies are switched off"), "{path}");
    }
    assert_eq!(browser.once(Method::GET, "/api/oauth/apps", &[]).await.status, 200, "still signed in");
    for sealed in ["", "x", "x.y", &sealed[1..], &sealed[..sealed.len() - 1]] {
        let body = [("csrf", csrf.as_str()), ("request", sealed), ("decision", "allow")];
        let answer = browser.once(Method::POST, "/api/oauth/authorize/consent", &body).await;
        assert_eq!(answer.status, 403, "{sealed}");
    }
}

#[tokio::test]
async fn pages_defend_themselves() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let login = browser.open(&authorize("openid", &[])).await;
    let consent = browser.sign_in(&login, "rahim@example.com", PASSWORD).await;
    let apps = browser.open("/api/oauth/apps").await;
    let problem = browser.open("/api/oauth/authorize").await;
    let sign_out = browser.open("/api/oauth/logout").await;
    for page in [&login, &consent, &apps, &problem, &sign_out] {
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'sha256-"]
        {
            assert!(policy.contains(part), "{part}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("access-control-allow-origin"), "", "no other origin reads a page");
        for absent in ["<script", " onclick", " style=", "javascript:"] {
            assert!(!page.body.contains(absent), "{absent}");
        }
        assert!(page.body.starts_with("<!doctype html>\n<html lang=\"en\">"), "{}", page.body);
        assert_eq!(page.body.matches("<h1").count(), 1);
        let style = page.body.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let digest = data_encoding::BASE64.encode(&<sha2::Sha256 as sha2::Digest>::digest(style));
        assert!(policy.contains(&digest), "the policy allows another style sheet");
    }
    assert!(login.header("content-security-policy").contains("form-action 'self' https://shop.example;"));
    assert!(apps.header("content-security-policy").contains("form-action 'self';"));
}

#[tokio::test]
async fn cookies_of_an_https_issuer_are_bound_to_the_host() {
    let setup = Setup { issuer: "https://id.example", ..Setup::default() };
    let stage = Stage::with(setup).await;
    let answer = stage.get("/api/oauth/login", &[]).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-storegate_session="), "{cookie}");
    for attribute in ["; Path=/;", "; HttpOnly;", "; SameSite=Lax;", "; Secure"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
}
