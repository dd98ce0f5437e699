//! The whole way, from the client's link to the claims, and what is remembered of it.

use axum::http::Method;

use crate::stage::{
    Browser, CHALLENGE, ISSUER, PASSWORD, PHONE, PHONE_CALLBACK, SHOP, Stage, VERIFIER, at_hash, authorize,
    form, verified,
};
use storegate::model::Timestamp;
use storegate::replica::{AuditFilter, Page};

#[tokio::test]
async fn a_customer_signs_in_and_the_shop_learns_what_was_granted() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let page = browser.open(&authorize("openid profile email phone store", &[])).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Shop &#60;b&#62;&#38;"), "the client's name is escaped: {}", page.body);
    assert!(page.body.contains("shop.example"), "and its place is told");
    let page = browser.sign_in(&page, "Rahim@Example.com ", PASSWORD).await;
    for told in ["Person customer:42", "rahim@example.com", "+8801712345678", "Nakshi Home, customer"] {
        assert!(page.body.contains(told), "{told} is not shown: {}", page.body);
    }
    let back = browser.decide(&page, "allow", &[]).await;
    let location = back.location();
    assert!(location.starts_with("https://shop.example/callback?code=sx_ic_"), "{location}");
    assert_eq!(back.parameter("state").as_deref(), Some("the-state"));
    assert_eq!(back.parameter("iss").as_deref(), Some(ISSUER));

    let answer = stage.redeem(&back.parameter("code").unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let tokens = answer.json();
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    assert!(text("access_token").starts_with("sx_it_") && text("refresh_token").starts_with("sx_ir_"));
    assert_eq!((text("token_type").as_str(), tokens["expires_in"].as_i64()), ("Bearer", Some(3600)));
    assert_eq!(text("scope"), "email openid phone profile store");

    let claims = verified(&stage, &text("id_token")).await;
    let now = Timestamp::now().0;
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!((claims["sub"].as_str(), claims["aud"].as_str()), (Some("customer:42"), Some(SHOP)));
    assert_eq!(claims["nonce"], "the-nonce");
    assert_eq!(claims["at_hash"], at_hash(&text("access_token")));
    let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!((now - 60..=now).contains(&iat) && exp == iat + 3600, "{claims}");
    assert!((now - 60..=now).contains(&claims["auth_time"].as_i64().unwrap()), "{claims}");

    let told = stage.userinfo(&text("access_token")).await.json();
    assert_eq!(
        told,
        serde_json::json!({
            "sub": "customer:42", "name": "Person customer:42", "email": "rahim@example.com",
            "email_verified": true, "phone_number": "+8801712345678", "phone_number_verified": true,
            "store_id": 22, "store_name": "Nakshi Home", "role": "customer",
        })
    );
}

#[tokio::test]
async fn a_public_client_with_pkce() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let query = form(&[
        ("client_id", PHONE),
        ("redirect_uri", PHONE_CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let page = browser.open(&format!("/api/oauth/authorize?{query}")).await;
    assert!(page.header("content-security-policy").contains("form-action 'self' com.example.phone:;"));
    let page = browser.sign_in(&page, "rahim@example.com", PASSWORD).await;
    let back = browser.decide(&page, "allow", &[]).await;
    assert!(back.location().starts_with("com.example.phone:/callback?code="), "{back:?}");
    let code = back.parameter("code").unwrap();
    let body = [
        ("grant_type", "authorization_code"),
        ("client_id", PHONE),
        ("code", &code),
        ("redirect_uri", PHONE_CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let answer = stage.post("/api/oauth/token", &[], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    let body = [("grant_type", "refresh_token"), ("client_id", PHONE), ("refresh_token", &refresh)];
    let answer = stage.post("/api/oauth/token", &[], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(verified(&stage, answer.json()["id_token"].as_str().unwrap()).await.get("nonce").is_none());
}

#[tokio::test]
async fn consent_is_remembered_and_asked_again_for_new_scopes_only() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    browser.code("rahim@example.com", "openid email").await;
    for scope in ["openid email", "openid", "email"] {
        browser.code_at_once(scope).await;
    }
    let page = browser.open(&authorize("openid email phone", &[])).await;
    assert!(page.body.contains("name=\"decision\""), "{page:?}");
    assert_eq!(page.body.matches("class=\"tag\"").count(), 1, "one of them is new");
    browser.decide(&page, "allow", &[]).await;
    browser.code_at_once("openid email phone").await;
    let page = browser.open(&authorize("openid", &[("prompt", "consent")])).await;
    assert!(page.body.contains("name=\"decision\""), "asked for all the same");

    let other = Browser::new(&stage).code("karim@example.com", "openid email").await;
    assert!(other.starts_with("sx_ic_"), "another person is asked: `code` answered the page");
}

#[tokio::test]
async fn a_merchant_of_several_stores_chooses() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let page = browser.open(&authorize("openid store", &[])).await;
    let page = browser.sign_in(&page, "fatema@example.com", PASSWORD).await;
    for told in ["Nakshi Home", "Padma Tea", "You are owner there", "You are staff there"] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    for wrong in [&[][..], &[("store", "24")], &[("store", "x")]] {
        let again = browser.decide(&page, "allow", wrong).await;
        assert_eq!(again.status, 422, "{wrong:?}");
        assert!(again.body.contains("role=\"alert\""), "{wrong:?}");
    }
    let back = browser.decide(&page, "allow", &[("store", "23")]).await;
    let tokens = stage.redeem(&back.parameter("code").unwrap()).await.json();
    let told = stage.userinfo(tokens["access_token"].as_str().unwrap()).await.json();
    assert_eq!(
        told,
        serde_json::json!({"sub": "merchant:7", "store_id": 23, "store_name": "Padma Tea", "role": "staff"})
    );
    let apps = browser.open("/api/oauth/apps").await;
    assert!(apps.body.contains("For Padma Tea.") && !apps.body.contains("Nakshi Home"), "{apps:?}");
    // Remembered for that store alone.
    let at_once = browser.open(&authorize("openid store", &[("store_id", "23")])).await;
    assert!(at_once.parameter("code").is_some(), "{at_once:?}");
    let page = browser.open(&authorize("openid store", &[("store_id", "22")])).await;
    assert!(page.body.contains("Nakshi Home, owner"), "{page:?}");

    let mut writer = stage.writer();
    let (merchant, store) = (storegate::model::Subject::parse("merchant:7").unwrap(), 23);
    let _ = writer.leave_store(merchant, storegate::model::StoreId::new(store).unwrap()).unwrap();
    let told = stage.userinfo(tokens["access_token"].as_str().unwrap()).await.json();
    assert_eq!(told, serde_json::json!({"sub": "merchant:7"}), "who left has nothing to tell of it");
}

#[tokio::test]
async fn what_was_granted_is_seen_and_withdrawn() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let code = browser.code("rahim@example.com", "openid email").await;
    let tokens = stage.redeem(&code).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    let page = browser.open("/api/oauth/apps").await;
    assert!(
        page.body.contains("Shop &#60;b&#62;&#38;") && page.body.contains("your email address"),
        "{page:?}"
    );
    let csrf = page.field("csrf");
    let page = browser.submit("/api/oauth/apps/withdraw", &[("csrf", &csrf), ("client_id", SHOP)]).await;
    assert!(page.body.contains("not signed in to any app"), "{page:?}");
    assert_eq!(stage.userinfo(access).await.status, 401);
    assert_eq!(stage.refresh(tokens["refresh_token"].as_str().unwrap()).await.error().1, "invalid_grant");
    let page = browser.open(&authorize("openid email", &[])).await;
    assert!(page.body.contains("name=\"decision\""), "they are asked again");

    let audit = stage.writer().audit(&AuditFilter::default(), Page::ALL).unwrap();
    let done: Vec<_> = audit.iter().map(|entry| (&*entry.action, &*entry.who, &*entry.subject)).collect();
    let who = "customer:42";
    assert_eq!(done[..2], [("consent.withdraw", who, who), ("consent.give", who, who)], "{done:?}");
    assert_eq!(audit[0].detail["client_id"], SHOP);
    assert_eq!((&*audit[0].origin, audit[0].request_id.as_deref()), ("192.0.2.1", Some("of-the-test")));

    let mut stranger = Browser::new(&stage);
    let answer = stranger.once(Method::GET, "/api/oauth/apps", &[]).await;
    assert_eq!(answer.location(), "/api/oauth/login");
    let page = stranger.open("/api/oauth/login").await;
    let page = stranger.sign_in(&page, "karim@example.com", PASSWORD).await;
    assert!(page.body.contains("Signed-in apps") && page.body.contains("karim@example.com"), "{page:?}");
}

#[tokio::test]
async fn signing_in_anew_and_choosing_the_account() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    browser.code("rahim@example.com", "openid email").await;

    let page = browser.open(&authorize("openid email", &[("prompt", "login")])).await;
    assert!(page.body.contains("type=\"password\"") && !page.body.contains("go_on"), "{page:?}");
    let back = browser.sign_in(&page, "rahim@example.com", PASSWORD).await;
    assert!(back.parameter("code").is_some(), "{back:?}");

    let page = browser.open(&authorize("openid email", &[("prompt", "select_account")])).await;
    assert!(page.body.contains("Continue as Person customer:42"), "{page:?}");
    let (csrf, sealed) = (page.field("csrf"), page.field("request"));
    let go_on = [("csrf", csrf.as_str()), ("request", &sealed), ("go_on", "1")];
    let back = browser.submit("/api/oauth/login", &go_on).await;
    assert!(back.parameter("code").is_some(), "{back:?}");

    // Going on without a password where one is asked for leads back to the page.
    let page = browser.open(&authorize("openid email", &[("max_age", "0")])).await;
    let (csrf, sealed) = (page.field("csrf"), page.field("request"));
    // The sign-in above was in this very second at the earliest; the clock must move past it.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let page_later = browser.open(&authorize("openid email", &[("max_age", "0")])).await;
    let sealed_later = page_later.field("request");
    let go_on = [("csrf", csrf.as_str()), ("request", &sealed_later), ("go_on", "1")];
    let again = browser.submit("/api/oauth/login", &go_on).await;
    assert!(again.body.contains("type=\"password\""), "{again:?} {sealed}");

    let page = browser.open(&authorize("openid", &[("login_hint", "karim@example.com")])).await;
    assert!(page.body.contains("value=\"karim@example.com\""), "{page:?}");
    let page = browser.sign_in(&page, "karim@example.com", PASSWORD).await;
    let back = browser.decide(&page, "allow", &[]).await;
    let tokens = stage.redeem(&back.parameter("code").unwrap()).await.json();
    assert_eq!(verified(&stage, tokens["id_token"].as_str().unwrap()).await["sub"], "customer:43");

    // An ID token as a hint names who it must be.
    let hint = tokens["id_token"].as_str().unwrap();
    let fine = browser.open(&authorize("openid", &[("id_token_hint", hint), ("prompt", "none")])).await;
    assert!(fine.parameter("code").is_some(), "{fine:?}");
    let mut rahim = Browser::new(&stage);
    let page = rahim.open(&authorize("openid", &[("id_token_hint", hint)])).await;
    let back = rahim.sign_in(&page, "rahim@example.com", PASSWORD).await;
    assert_eq!(back.parameter("error").as_deref(), Some("login_required"), "{back:?}");
}

#[tokio::test]
async fn discovery_names_what_is_there() {
    let stage = Stage::new().await;
    let document = stage.get("/.well-known/openid-configuration", &[]).await;
    assert_eq!(document.header("access-control-allow-origin"), "*");
    let below = stage.get("/api/oauth/.well-known/openid-configuration", &[]).await;
    assert_eq!(document.json(), below.json());
    let document = document.json();
    assert_eq!(document["issuer"], ISSUER);
    let endpoints = document.as_object().unwrap().iter();
    let endpoints: Vec<_> =
        endpoints.filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri").collect();
    assert_eq!(endpoints.len(), 7, "{endpoints:?}");
    let paths = stage.idp.settings().paths();
    for (name, url) in endpoints {
        let path = url.as_str().unwrap().strip_prefix(ISSUER).unwrap();
        assert!(paths.iter().any(|own| **own == *path), "{name} {path}");
        assert_ne!(stage.get(path, &[]).await.status, 404, "{name}");
    }
    for path in paths {
        assert_ne!(stage.get(&path, &[]).await.status, 404, "{path}");
    }
}
