//! The authorization request: every error of RFC 6749 section 4.1.2.1, RFC 7636 section 4.4.1 and OpenID Connect
//! Core section 3.1.2.6, and to whom it is told.

use axum::http::Method;

use crate::stage::{
    Browser, CALLBACK, CHALLENGE, ISSUER, OTHER, OTHER_CALLBACK, PASSWORD, PHONE, PHONE_CALLBACK, SHOP,
    Stage, authorize, form, parameter,
};

/// The parameters of a good request, with some replaced, added, or (by an empty value) taken away.
fn with(changes: &[(&str, &str)]) -> String {
    let good = [
        ("client_id", SHOP),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid"),
        ("state", "s t&te"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let kept = good.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let all: Vec<(&str, &str)> =
        kept.chain(changes.iter().filter(|(_, value)| *value != "-")).copied().collect();
    format!("/api/oauth/authorize?{}", form(&all))
}

#[tokio::test]
async fn nobody_is_sent_anywhere_before_the_redirect_uri_is_proved() {
    let stage = Stage::new().await;
    let long = "a".repeat(5000);
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[("client_id", "-")], "client_id"),
        (&[("client_id", "")], "client_id"),
        (&[("client_id", "sx_oc_nobody")], "client_id"),
        (&[("client_id", "a b")], "client_id"),
        (&[("client_id", "sx_app_1")], "client_id"),
        (&[("redirect_uri", "-")], "redirect_uri"),
        (&[("redirect_uri", "https://evil.example/callback")], "redirect_uri"),
        (&[("redirect_uri", "https://shop.example/callback/")], "redirect_uri"),
        (&[("redirect_uri", "https://shop.example/callback?x=1")], "redirect_uri"),
        (&[("redirect_uri", "https://shop.example/callback#x")], "redirect_uri"),
        (&[("redirect_uri", "https://shop.example/Callback")], "redirect_uri"),
        (&[("redirect_uri", "https://SHOP.example/callback")], "redirect_uri"),
        (&[("redirect_uri", "https://shop.example:443/callback")], "redirect_uri"),
        (&[("redirect_uri", "http://shop.example/callback")], "redirect_uri"),
        (&[("redirect_uri", "https://shop.example/x/../callback")], "redirect_uri"),
        (&[("redirect_uri", "https://shop.example/%63allback")], "redirect_uri"),
        (&[("redirect_uri", "https://shop.example@evil.example/callback")], "redirect_uri"),
        (&[("redirect_uri", OTHER_CALLBACK)], "redirect_uri"),
        (&[("redirect_uri", "javascript:alert(1)")], "redirect_uri"),
        (&[("client_id", SHOP), ("client_id", SHOP)], "client_id"),
        (&[("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.example")], "redirect_uri"),
        (&[("state", &long)], "too long"),
    ];
    for (changes, told) in rows {
        let answer = stage.get(&with(changes), &[]).await;
        assert_eq!(answer.status, 400, "{changes:?}");
        assert_eq!(answer.header("location"), "", "{changes:?}");
        assert!(answer.header("content-type").starts_with("text/html"), "{changes:?}");
        assert!(
            answer.body.contains(told) && answer.body.contains("of-the-test"),
            "{changes:?} {}",
            answer.body
        );
        assert!(!answer.body.contains("evil.example") && !answer.body.contains("alert("), "{changes:?}");
    }
    for query in ["%", "client_id=%zz", "client_id=%ff", "=&=", "&&&", "client_id"] {
        let answer = stage.get(&format!("/api/oauth/authorize?{query}"), &[]).await;
        assert_eq!((answer.status, answer.header("location")), (400, ""), "{query}");
    }
    assert_eq!(stage.get("/api/oauth/authorize", &[]).await.status, 400);
}

#[tokio::test]
async fn the_client_is_told_of_its_mistakes() {
    let stage = Stage::new().await;
    let long = "n".repeat(1100);
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[("response_type", "-")], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "id_token")], "unsupported_response_type"),
        (&[("response_type", "code id_token")], "unsupported_response_type"),
        (&[("response_type", "Code")], "unsupported_response_type"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("response_mode", "form_post")], "invalid_request"),
        (&[("scope", "-")], "invalid_scope"),
        (&[("scope", " ")], "invalid_scope"),
        (&[("scope", "offline_access")], "invalid_scope"),
        (&[("scope", "openid read:orders")], "invalid_scope"),
        (&[("scope", "openid OPENID")], "invalid_scope"),
        (&[("scope", "openid \"")], "invalid_scope"),
        (&[("scope", "openid"), ("scope", "openid")], "invalid_request"),
        (&[("nonce", "a"), ("nonce", "b")], "invalid_request"),
        (&[("anything", "a"), ("anything", "b")], "invalid_request"),
        (&[("nonce", &long)], "invalid_request"),
        (&[("nonce", "a\nb")], "invalid_request"),
        // RFC 7636 sections 4.3 and 4.4.1.
        (&[("code_challenge", "-")], "invalid_request"),
        (&[("code_challenge_method", "-")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "s256")], "invalid_request"),
        (&[("code_challenge", &CHALLENGE[1..])], "invalid_request"),
        (&[("code_challenge", &format!("{}=", &CHALLENGE[1..]))], "invalid_request"),
        (&[("code_challenge", &format!("{CHALLENGE}A"))], "invalid_request"),
        // OpenID Connect Core sections 3.1.2.1, 6 and 7.
        (&[("request", "eyJ.e.")], "request_not_supported"),
        (&[("request_uri", "https://shop.example/request")], "request_uri_not_supported"),
        (&[("registration", "{}")], "registration_not_supported"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "none consent")], "invalid_request"),
        (&[("prompt", "create")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
        (&[("max_age", "1e3")], "invalid_request"),
        (&[("max_age", "99999999999")], "invalid_request"),
        (&[("store_id", "0")], "invalid_request"),
        (&[("store_id", "022")], "invalid_request"),
        (&[("store_id", "22,23")], "invalid_request"),
        (&[("prompt", "none")], "login_required"),
        (&[("prompt", "none"), ("max_age", "10")], "login_required"),
    ];
    for (changes, code) in rows {
        let answer = stage.get(&with(changes), &[]).await;
        let location = answer.location();
        assert!(location.starts_with("https://shop.example/callback?"), "{changes:?} {location}");
        assert_eq!(answer.parameter("error").as_deref(), Some(*code), "{changes:?} {location}");
        assert_eq!(answer.parameter("state").as_deref(), Some("s t&te"), "{changes:?}");
        assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER), "{changes:?}");
        assert!(answer.parameter("error_description").unwrap().len() > 10, "{changes:?}");
        assert_eq!(answer.parameter("code"), None, "{changes:?}");
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_given_back_is_an_error_without_state() {
    let stage = Stage::new().await;
    let long = "s".repeat(1025);
    for changes in [
        &[("state", long.as_str())][..],
        &[("state", "a\u{0}b")],
        &[("state", "a\r\nSet-Cookie: x=y")],
        &[("state", "a"), ("state", "b")],
    ] {
        let answer = stage.get(&with(changes), &[]).await;
        assert_eq!(answer.parameter("error").as_deref(), Some("invalid_request"), "{changes:?}");
        assert_eq!(answer.parameter("state"), None, "{changes:?}");
    }
    let odd = "{\"a\":[1,\"ü\"]}";
    let answer = stage.get(&with(&[("state", odd), ("prompt", "none")]), &[]).await;
    assert_eq!(answer.parameter("state").as_deref(), Some(odd), "what can be given back is");
}

#[tokio::test]
async fn clients_are_held_to_what_they_are() {
    let stage = Stage::new().await;
    let phone = [("client_id", PHONE), ("redirect_uri", PHONE_CALLBACK)];
    let no_pkce = with(&[&phone[..], &[("code_challenge", "-"), ("code_challenge_method", "-")]].concat());
    let answer = stage.get(&no_pkce, &[]).await;
    assert!(answer.location().starts_with("com.example.phone:/callback?"), "{answer:?}");
    assert_eq!(answer.parameter("error").as_deref(), Some("invalid_request"), "public clients need PKCE");
    let answer = stage.get(&with(&[&phone[..], &[("scope", "openid profile")]].concat()), &[]).await;
    assert_eq!(answer.parameter("error").as_deref(), Some("invalid_scope"), "not registered for it");

    let no_pkce = with(&[("code_challenge", "-"), ("code_challenge_method", "-")]);
    let answer = stage.get(&no_pkce, &[]).await;
    assert!(answer.location().starts_with("/api/oauth/login?"), "a confidential client may do without");
    let answer = stage.get(&with(&[("scope", "openid offline_access")]), &[]).await;
    assert!(answer.location().starts_with("/api/oauth/login?"), "{answer:?}");

    let mut writer = stage.writer();
    let _ = writer.set_oauth_client_status(&OTHER.parse_id(), false).unwrap();
    let answer = stage.get(&with(&[("client_id", OTHER), ("redirect_uri", OTHER_CALLBACK)]), &[]).await;
    assert_eq!(answer.parameter("error").as_deref(), Some("unauthorized_client"));
}

trait ParseId {
    fn parse_id(&self) -> storegate::model::ClientId;
}

impl ParseId for &str {
    fn parse_id(&self) -> storegate::model::ClientId {
        storegate::model::ClientId::parse(self).unwrap()
    }
}

/// The errors that depend on who is signed in (OpenID Connect Core section 3.1.2.6).
#[tokio::test]
async fn nobody_is_asked_with_prompt_none() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let error = async |browser: &mut Browser<'_>, more: &[(&str, &str)]| {
        let query = authorize("openid", &[&[("prompt", "none")], more].concat());
        browser.once(Method::GET, &query, &[]).await.parameter("error").unwrap_or_default()
    };
    assert_eq!(error(&mut browser, &[]).await, "login_required");

    let page = browser.open(&authorize("openid", &[])).await;
    let page = browser.sign_in(&page, "rahim@example.com", PASSWORD).await;
    assert_eq!(error(&mut browser, &[]).await, "consent_required");
    browser.decide(&page, "allow", &[]).await;
    assert_eq!(error(&mut browser, &[]).await, "", "a code is issued");
    let hint = [("login_hint", "karim@example.com")];
    assert_eq!(error(&mut browser, &hint).await, "account_selection_required");
    assert_eq!(error(&mut browser, &[("store_id", "23")]).await, "account_selection_required");
    assert_eq!(error(&mut browser, &[("max_age", "0")]).await, "login_required");
    let rubbish = [("id_token_hint", "rubbish")];
    assert_eq!(error(&mut browser, &rubbish).await, "login_required", "nobody can tell whom it means");
    assert!(browser.open(&authorize("openid", &rubbish)).await.parameter("code").is_some());

    let mut merchant = Browser::new(&stage);
    merchant.code("fatema@example.com", "openid").await;
    let query = authorize("openid store", &[("prompt", "none")]);
    let answer = merchant.once(Method::GET, &query, &[]).await;
    assert_eq!(answer.parameter("error").as_deref(), Some("interaction_required"));
    let answer = merchant.once(Method::GET, &authorize("openid", &[("store_id", "99")]), &[]).await;
    assert_eq!(answer.parameter("error").as_deref(), Some("access_denied"), "not their store");
}

#[tokio::test]
async fn whoever_does_not_allow_it_is_sent_back_too() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let page = browser.open(&authorize("openid email", &[])).await;
    let cancel = page.body.split("href=\"").find(|link| link.starts_with("https://shop.example/callback"));
    let cancel = cancel.unwrap().split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    assert_eq!(parameter(&cancel, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&cancel, "state").as_deref(), Some("the-state"));

    let page = browser.sign_in(&page, "rahim@example.com", PASSWORD).await;
    for decision in ["deny", "", "Allow"] {
        let back = browser.decide(&page, decision, &[]).await;
        assert_eq!(back.parameter("error").as_deref(), Some("access_denied"), "{decision}");
    }
    let again = browser.open(&authorize("openid email", &[])).await;
    assert!(again.body.contains("name=\"decision\""), "nothing was granted");
}

#[tokio::test]
async fn a_request_may_come_as_a_form() {
    let stage = Stage::new().await;
    let query = authorize("openid", &[]);
    let (path, query) = query.split_once('?').unwrap();
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    let answer = stage.post(path, &[], &pairs).await;
    assert_eq!(answer.location(), format!("{path}?{query}"));
}
