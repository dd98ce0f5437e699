//! The UserInfo endpoint: how a token may come, and what is refused.

use serde_json::json;

use crate::stage::{OTHER, SHOP, SHOP_SECRET, Stage};

const USERINFO: &str = "/api/oauth/userinfo";

#[tokio::test]
async fn a_token_comes_in_one_way() {
    let stage = Stage::new().await;
    let tokens = stage.tokens("rahim@example.com", "openid email").await;
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let told = json!({"sub": "customer:42", "email": "rahim@example.com", "email_verified": true});
    let bearer = format!("Bearer {access}");

    let answers = [
        stage.get(USERINFO, &[("authorization", &bearer)]).await,
        stage.get(USERINFO, &[("authorization", &bearer.replace("Bearer", "bearer "))]).await,
        stage.post(USERINFO, &[("authorization", &bearer)], &[]).await,
        stage.post(USERINFO, &[], &[("access_token", access)]).await,
        stage.post_json(USERINFO, &[], &json!({"access_token": access})).await,
        stage
            .post_json(
                USERINFO,
                &[],
                &json!({"client_id": SHOP, "client_secret": SHOP_SECRET, "access_token": access}),
            )
            .await,
    ];
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!((answer.status, answer.json()), (200, told.clone()), "way {at}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }

    let refused = [
        (stage.get(USERINFO, &[]).await, 401, "missing_token"),
        (stage.get(&format!("{USERINFO}?access_token={access}"), &[]).await, 401, "missing_token"),
        (stage.get(USERINFO, &[("authorization", "Bearer")]).await, 401, "missing_token"),
        (stage.get(USERINFO, &[("authorization", "Basic e30=")]).await, 401, "missing_token"),
        (stage.get(USERINFO, &[("authorization", &format!("{bearer}0"))]).await, 401, "invalid_token"),
        (stage.get(USERINFO, &[("authorization", &bearer[..bearer.len() - 1])]).await, 401, "invalid_token"),
        (stage.userinfo(refresh).await, 401, "invalid_token"),
        (stage.userinfo(tokens["id_token"].as_str().unwrap()).await, 401, "invalid_token"),
        (stage.userinfo("sx_at_1").await, 401, "invalid_token"),
        (
            stage.get(USERINFO, &[("authorization", &bearer), ("authorization", &bearer)]).await,
            400,
            "invalid_request",
        ),
        (
            stage.post(USERINFO, &[("authorization", &bearer)], &[("access_token", access)]).await,
            400,
            "invalid_request",
        ),
        (
            stage
                .post_json(
                    USERINFO,
                    &[],
                    &json!({"client_id": OTHER, "client_secret": SHOP_SECRET, "access_token": access}),
                )
                .await,
            401,
            "invalid_token",
        ),
        (
            stage
                .post_json(
                    USERINFO,
                    &[],
                    &json!({"client_id": SHOP, "client_secret": "sx_os_wrong", "access_token": access}),
                )
                .await,
            401,
            "invalid_client",
        ),
        (
            stage.post_json(USERINFO, &[], &json!({"client_id": SHOP, "access_token": access})).await,
            401,
            "invalid_client",
        ),
    ];
    for (at, (answer, status, error)) in refused.iter().enumerate() {
        assert_eq!(answer.error(), (*status, (*error).to_owned()), "row {at}");
        match *error {
            "missing_token" => assert_eq!(answer.header("www-authenticate"), "Bearer"),
            "invalid_token" => {
                assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn claims_follow_the_scopes() {
    let stage = Stage::new().await;
    for (scope, told) in [
        ("openid", json!({"sub": "customer:42"})),
        ("profile", json!({"name": "Person customer:42"})),
        (
            "openid phone",
            json!({"sub": "customer:42", "phone_number": "+8801712345678", "phone_number_verified": true}),
        ),
        (
            "openid store",
            json!({"sub": "customer:42", "store_id": 22, "store_name": "Nakshi Home", "role": "customer"}),
        ),
    ] {
        let tokens = stage.tokens("rahim@example.com", scope).await;
        assert_eq!(stage.userinfo(tokens["access_token"].as_str().unwrap()).await.json(), told, "{scope}");
        assert_eq!(tokens.get("id_token").is_some(), scope.contains("openid"), "{scope}");
    }
    for (email, scope, told) in [
        ("karim@example.com", "openid phone", json!({"sub": "customer:43"})),
        ("salma@example.com", "store", json!({"store_id": 25, "role": "customer"})),
    ] {
        let tokens = stage.tokens(email, scope).await;
        let answer = stage.userinfo(tokens["access_token"].as_str().unwrap()).await;
        assert_eq!(answer.json(), told, "what is not known is left out");
    }
}
