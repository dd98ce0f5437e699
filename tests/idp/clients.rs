//! Merchants register clients.

use axum::http::Method;
use serde_json::json;

use crate::stage::{Browser, PASSWORD, Stage, basic};

const CLIENTS: &str = "/api/oauth/clients";

async fn cookie(stage: &Stage, email: &str) -> String {
    let mut browser = Browser::new(stage);
    let page = browser.open("/api/oauth/login").await;
    browser.sign_in(&page, email, PASSWORD).await;
    format!("storegate_session={}", browser.cookies["storegate_session"])
}

#[tokio::test]
async fn a_merchant_registers_a_client_that_works() {
    let stage = Stage::new().await;
    let cookie = cookie(&stage, "fatema@example.com").await;
    let body = json!({"name": "My shop", "redirect_uris": ["https://my.example/cb"]});
    let answer = stage.post_json(CLIENTS, &[("cookie", &cookie)], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = answer.json()["data"].clone();
    let (id, secret) = (data["client_id"].as_str().unwrap(), data["client_secret"].as_str().unwrap());
    assert!(id.starts_with("sx_oc_") && id.len() == 6 + 32, "{id}");
    assert!(secret.starts_with("sx_os_") && secret.len() == 6 + 64, "{secret}");
    assert_eq!((&data["client_type"], &data["name"]), (&json!("confidential"), &json!("My shop")));
    assert!(data["client_id_pk"].as_i64().unwrap() > 0);
    let answer = stage.post("/api/oauth/token", &[("authorization", &basic(id, secret))], &[]).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()), "the secret is good");

    let mut writer = stage.writer();
    let listed = writer.oauth_clients().unwrap();
    let made = listed.iter().find(|client| client.client_id == id).unwrap();
    assert_eq!((made.owner.as_deref(), made.scopes.as_str()), (Some("merchant:7"), "openid profile"));

    let body = json!({"name": "My app", "redirect_uris": ["com.example.my:/cb"], "client_type": "public",
        "allowed_scopes": ["openid", "email"]});
    let data = stage.post_json(CLIENTS, &[("cookie", &cookie)], &body).await.json()["data"].clone();
    assert_eq!((&data["client_type"], &data["client_secret"]), (&json!("public"), &json!(null)));
}

/// A secret costs a bcrypt computation before it is known whether the client can be registered.
#[tokio::test]
async fn nobody_keeps_the_machine_busy_with_registrations() {
    let stage = Stage::new().await;
    let merchant = cookie(&stage, "fatema@example.com").await;
    let in_vain = json!({"name": "a", "redirect_uris": []});
    let headers = [("cookie", merchant.as_str())];
    let (mut answers, began) = (Vec::new(), std::time::Instant::now());
    while answers.len() < 200 {
        let answer = stage.post_json(CLIENTS, &headers, &in_vain).await;
        answers.push(answer.error().1);
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
            break;
        }
    }
    let (last, before) = answers.split_last().unwrap();
    assert_eq!(last, "rate_limit_exceeded");
    // Ten a minute come back, which is many on a busy machine.
    let back = usize::try_from(began.elapsed().as_secs() / 6).unwrap() + 1;
    assert!((60..=60 + back).contains(&before.len()), "{}, and {back} came back", before.len());
    assert!(before.iter().all(|error| error == "invalid_request"), "{before:?}");
    let public = json!({"name": "a", "redirect_uris": ["https://my.example/cb"], "client_type": "public"});
    assert_eq!(
        stage.post_json(CLIENTS, &headers, &public).await.status,
        200,
        "what costs nothing still works"
    );
}

#[tokio::test]
async fn everything_else_is_refused() {
    let stage = Stage::new().await;
    let merchant = cookie(&stage, "fatema@example.com").await;
    let customer = cookie(&stage, "rahim@example.com").await;
    let good = json!({"name": "My shop", "redirect_uris": ["https://my.example/cb"]});
    let from = |cookie: &str, origin: &str| {
        let mut headers = vec![("cookie".to_owned(), cookie.to_owned())];
        if !origin.is_empty() {
            headers.push(("origin".to_owned(), origin.to_owned()));
        }
        headers
    };
    for (headers, status, error) in [
        (vec![], 401, "login_required"),
        (from("storegate_session=x", ""), 401, "login_required"),
        (from(&customer, ""), 403, "access_denied"),
        (from(&merchant, "https://evil.example"), 403, "access_denied"),
        (from(&merchant, "null"), 403, "access_denied"),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = stage.post_json(CLIENTS, &headers, &good).await;
        assert_eq!(answer.error(), (status, error.to_owned()), "{headers:?}");
        assert_eq!(answer.json()["code"], error);
    }
    let many: Vec<String> = (0..21).map(|n| format!("https://my.example/{n}")).collect();
    for body in [
        json!({}),
        json!([]),
        json!({"name": "a"}),
        json!({"redirect_uris": ["https://my.example/cb"]}),
        json!({"name": "", "redirect_uris": ["https://my.example/cb"]}),
        json!({"name": "a\u{0}", "redirect_uris": ["https://my.example/cb"]}),
        json!({"name": "a".repeat(201), "redirect_uris": ["https://my.example/cb"]}),
        json!({"name": "a", "redirect_uris": []}),
        json!({"name": "a", "redirect_uris": "https://my.example/cb"}),
        json!({"name": "a", "redirect_uris": many}),
        json!({"name": "a", "redirect_uris": ["http://my.example/cb"]}),
        json!({"name": "a", "redirect_uris": ["https://my.example/cb#f"]}),
        json!({"name": "a", "redirect_uris": ["com.example.my:/cb"]}),
        json!({"name": "a", "redirect_uris": ["javascript:alert(1)"], "client_type": "public"}),
        json!({"name": "a", "redirect_uris": ["https://my.example/cb"], "client_type": "secret"}),
        json!({"name": "a", "redirect_uris": ["https://my.example/cb"], "allowed_scopes": ["read:orders"]}),
        json!({"name": "a", "redirect_uris": ["https://my.example/cb"], "allowed_scopes": []}),
        json!({"name": "a", "redirect_uris": ["https://my.example/cb"], "owner": 8}),
    ] {
        let answer = stage.post_json(CLIENTS, &[("cookie", &merchant)], &body).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{body}");
    }
    let answer = stage.post(CLIENTS, &[("cookie", &merchant)], &[("name", "a")]).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()), "a form, which any page can send");
    assert_eq!(stage.writer().oauth_clients().unwrap().len(), 3, "none was made");
    assert_eq!(Browser::new(&stage).once(Method::GET, CLIENTS, &[]).await.status, 405);
}
