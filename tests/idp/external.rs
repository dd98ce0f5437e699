//! Signing in on the platform's own page.

use axum::http::Method;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use crate::stage::{
    Browser, ISSUER, LOGIN_KEY, PASSWORD, Setup, Stage, authorize, form, parameter, verified,
};
use storegate::model::Timestamp;

const PAGE: &str = "https://bazaar.example/login?from=sso";

async fn stage() -> Stage {
    Stage::with(Setup { login: Some(PAGE), ..Setup::default() }).await
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap())
        .unwrap()
}

fn sign(claims: &Value, key: &str) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let input = format!("{}.{}", part(&json!({"alg": "HS256"})), part(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
}

/// What the platform answers to a challenge.
fn answer(challenge: &str, subject: &str) -> Value {
    let now = Timestamp::now().0;
    json!({"iss": PAGE, "aud": ISSUER, "iat": now, "exp": now + 60, "challenge": claims(challenge)["jti"],
        "sub": subject})
}

fn back(challenge: &str, answer: &str) -> String {
    let query = form(&[("login_challenge", challenge), ("login_answer", answer)]);
    format!("/api/oauth/login/answer?{query}")
}

#[tokio::test]
async fn the_platform_says_who_it_is() {
    let stage = stage().await;
    let mut browser = Browser::new(&stage);
    let away =
        browser.open(&authorize("openid", &[("login_hint", "fatema@example.com"), ("store_id", "22")])).await;
    assert!(
        away.location().starts_with("https://bazaar.example/login?from=sso&login_challenge=ey"),
        "{away:?}"
    );
    let challenge = parameter(away.location(), "login_challenge").unwrap();
    let told = claims(&challenge);
    assert!(sign(&told, LOGIN_KEY).len() > 100);
    assert_eq!((&told["iss"], &told["aud"]), (&json!(ISSUER), &json!(PAGE)));
    assert_eq!(told["return_to"], format!("{ISSUER}/api/oauth/login/answer"));
    assert_eq!((&told["login_hint"], &told["store_id"]), (&json!("fatema@example.com"), &json!(22)));
    assert_eq!(told["client_id"], crate::stage::SHOP);

    let signed = sign(&answer(&challenge, "merchant:7"), LOGIN_KEY);
    let page = browser.open(&back(&challenge, &signed)).await;
    let sent = browser.decide(&page, "allow", &[]).await;
    let tokens = stage.redeem(&sent.parameter("code").unwrap()).await.json();
    assert_eq!(verified(&stage, tokens["id_token"].as_str().unwrap()).await["sub"], "merchant:7");

    // Used once more, even in this browser, it is good for nothing.
    let again = browser.open(&back(&challenge, &signed)).await;
    assert_eq!(again.status, 403, "{again:?}");
}

#[tokio::test]
async fn answers_that_are_not_good_sign_nobody_in() {
    let stage = stage().await;
    let mut browser = Browser::new(&stage);
    let away = browser.open(&authorize("openid", &[])).await;
    let challenge = parameter(away.location(), "login_challenge").unwrap();
    let mut stranger = Browser::new(&stage);
    let strange = stranger.open(&authorize("openid", &[])).await;
    let strange = parameter(strange.location(), "login_challenge").unwrap();
    let good = answer(&challenge, "merchant:7");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        sign(&claims, LOGIN_KEY)
    };
    let now = Timestamp::now().0;
    let rows = [
        (challenge.clone(), String::new()),
        (String::new(), sign(&good, LOGIN_KEY)),
        (challenge.clone(), sign(&good, "k0000000000000000000000000000000")),
        (challenge.clone(), challenge.clone()),
        (sign(&good, LOGIN_KEY), sign(&good, LOGIN_KEY)),
        (strange.clone(), sign(&answer(&strange, "merchant:7"), LOGIN_KEY)),
        (challenge.clone(), sign(&answer(&strange, "merchant:7"), LOGIN_KEY)),
        (challenge.clone(), with("iss", json!(ISSUER))),
        (challenge.clone(), with("aud", json!("https://other.example"))),
        (challenge.clone(), with("exp", json!(now - 1))),
        (challenge.clone(), with("exp", json!(now + 4000))),
        (challenge.clone(), with("iat", json!(now + 60))),
        (challenge.clone(), with("sub", json!("admin"))),
        (challenge.clone(), with("sub", json!("merchant:8"))),
    ];
    for (challenge, answer) in rows {
        let page = browser.once(Method::GET, &back(&challenge, &answer), &[]).await;
        assert_eq!((page.status, page.header("location")), (403, ""), "{answer}");
    }
    let signed = sign(&good, LOGIN_KEY);
    let page = Browser::new(&stage).once(Method::GET, &back(&challenge, &signed), &[]).await;
    assert_eq!(page.status, 400, "a browser that never asked");
    let declined = with("error", json!("access_denied"));
    let page = browser.once(Method::GET, &back(&challenge, &declined), &[]).await;
    assert_eq!(page.parameter("error").as_deref(), Some("access_denied"));
    let old = {
        let away = browser.open(&authorize("openid", &[("prompt", "login")])).await;
        let challenge = parameter(away.location(), "login_challenge").unwrap();
        assert_eq!(claims(&challenge)["login_required"], true);
        let mut old = answer(&challenge, "merchant:7");
        old["auth_time"] = json!(now - 500);
        back(&challenge, &sign(&old, LOGIN_KEY))
    };
    let page = browser.once(Method::GET, &old, &[]).await;
    assert_eq!(page.parameter("error").as_deref(), Some("login_required"), "an old sign-in is not a new one");
    // Nobody signs in by password here.
    let page = stage.get("/api/oauth/login", &[]).await;
    assert!(page.location().starts_with("https://bazaar.example/"), "{page:?}");
    let _ = PASSWORD;
}

#[tokio::test]
async fn only_merchants_come_back_to_an_installation() {
    let stage = stage().await;
    let path = crate::install::authorize("22", &[]);
    crate::install::add_app(&stage);
    let mut browser = Browser::new(&stage);
    for (subject, status) in [("customer:42", 403), ("merchant:7", 200)] {
        let away = browser.open(&path).await;
        let challenge = parameter(away.location(), "login_challenge").unwrap();
        let told = claims(&challenge);
        assert_eq!((&told["user_type"], &told["client_id"]), (&json!("merchant"), &Value::Null));
        let page = browser.open(&back(&challenge, &sign(&answer(&challenge, subject), LOGIN_KEY))).await;
        assert_eq!(page.status, status, "{subject}: {page:?}");
        assert_eq!(page.body.contains("not one of your stores"), status == 403, "{page:?}");
    }
}

#[tokio::test]
async fn without_such_a_page_there_are_no_answers() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/api/oauth/login/answer?login_challenge=a&login_answer=b", &[]).await.status, 400);
}
