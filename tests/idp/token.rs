//! The token endpoint: every error of RFC 6749 section 5.2 and RFC 7636 section 4.6; rotation, reuse,
//! revocation and introspection.

use serde_json::json;

use crate::stage::{
    Browser, CALLBACK, OTHER, PHONE, PHONE_CALLBACK, SHOP, SHOP_SECRET, Stage, VERIFIER, authorize, basic,
    verified,
};
use storegate::model::{ClientId, ScopeSet, Secret, Subject, UserStatus};
use storegate::replica::Revocation;

/// Names and values: headers, or the fields of a form.
type Pairs<'a> = &'a [(&'a str, &'a str)];

const TOKEN: &str = "/api/oauth/token";

fn id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

#[tokio::test]
async fn who_the_client_is() {
    let stage = Stage::new().await;
    let good = basic(SHOP, SHOP_SECRET);
    let encoded = basic("sx%5Foc%5Fshop", &SHOP_SECRET.replace('_', "%5F"));
    let (wrong, nobody, empty) =
        (basic(SHOP, "sx_os_wrong"), basic("sx_oc_nobody", SHOP_SECRET), basic(SHOP, ""));
    let (phone, public) = (basic(PHONE, SHOP_SECRET), basic(PHONE, ""));
    let other = basic(OTHER, SHOP_SECRET);
    let long = "s".repeat(300);
    let both = [("client_id", SHOP), ("client_secret", SHOP_SECRET)];
    // What is proved is then told that the grant type is missing.
    let proved = (400, "invalid_request", "");
    let refused = (401, "invalid_client", "Basic realm=\"oauth\"");
    type Row<'r> = (Option<&'r str>, &'r [(&'r str, &'r str)], (u16, &'r str, &'r str));
    let rows: &[Row<'_>] = &[
        (Some(&good), &[], proved),
        (Some(&encoded), &[], proved),
        (Some(&other), &[], proved),
        (Some(&good), &[("client_id", SHOP)], proved),
        (None, &both, proved),
        (None, &[("client_id", PHONE)], proved),
        (Some(&public), &[], proved),
        (None, &[], refused),
        (None, &[("client_id", SHOP)], refused),
        (None, &[("client_id", SHOP), ("client_secret", "")], refused),
        (None, &[("client_id", SHOP), ("client_secret", "sx_os_wrong")], refused),
        (None, &[("client_id", SHOP), ("client_secret", &SHOP_SECRET[..69])], refused),
        (None, &[("client_id", SHOP), ("client_secret", &long)], refused),
        (None, &[("client_id", "sx_oc_nobody"), ("client_secret", SHOP_SECRET)], refused),
        (None, &[("client_id", "a b"), ("client_secret", SHOP_SECRET)], refused),
        (None, &[("client_secret", SHOP_SECRET)], refused),
        (None, &[("client_id", PHONE), ("client_secret", SHOP_SECRET)], refused),
        (None, &[("client_id", SHOP), ("client_assertion", "e.e.e")], refused),
        (Some(&wrong), &[], refused),
        (Some(&nobody), &[], refused),
        (Some(&empty), &[], refused),
        (Some(&phone), &[], refused),
        (Some("Basic"), &[], refused),
        (Some("Basic !!!"), &both, refused),
        (Some("Bearer sx_it_1"), &both, refused),
        (Some(&good), &both, (400, "invalid_request", "")),
        (Some(&good), &[("client_id", OTHER)], (400, "invalid_request", "")),
    ];
    for (header, body, (status, error, challenge)) in rows {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", *value)).collect();
        let answer = stage.post(TOKEN, &headers, body).await;
        assert_eq!(answer.error(), (*status, (*error).to_owned()), "{header:?} {body:?}");
        assert_eq!(answer.header("www-authenticate"), *challenge, "{header:?} {body:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert_eq!((&body["code"], &body["status"]), (&body["error"], &json!(status)), "in both words");
        assert_eq!(body["message"], body["error_description"]);
        assert_eq!(body["request_id"], "of-the-test");
        assert!(!answer.body.contains("sx_os_"), "no secret comes back");
    }
    let twice = [("authorization", good.as_str()), ("authorization", good.as_str())];
    assert_eq!(stage.post(TOKEN, &twice, &[]).await.error(), (400, "invalid_request".into()));
    let mut writer = stage.writer();
    let _ = writer.set_oauth_client_status(&id(SHOP), false).unwrap();
    let answer = stage.post(TOKEN, &[("authorization", &good)], &[]).await;
    assert_eq!(answer.error(), (401, "invalid_client".into()), "a disabled client");
    let _ = writer.set_oauth_client_status(&id(SHOP), true).unwrap();
    let new = crate::stage::password("sx_os_new");
    let _ = writer.set_oauth_client_secret(&id(SHOP), &new).unwrap();
    let answer = stage.post(TOKEN, &[("authorization", &good)], &[]).await;
    assert_eq!(answer.error(), (401, "invalid_client".into()), "a secret that was rotated out");
    let answer = stage.post(TOKEN, &[("authorization", &basic(SHOP, "sx_os_new"))], &[]).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()), "the new one");
}

#[tokio::test]
async fn what_is_asked_for() {
    let stage = Stage::new().await;
    let good = basic(SHOP, SHOP_SECRET);
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[], "invalid_request"),
        (&[("grant_type", "")], "invalid_request"),
        (&[("grant_type", "password")], "unsupported_grant_type"),
        (&[("grant_type", "client_credentials")], "unsupported_grant_type"),
        (&[("grant_type", "Authorization_code")], "unsupported_grant_type"),
        (&[("grant_type", "authorization_code")], "invalid_request"),
        (&[("grant_type", "refresh_token")], "invalid_request"),
        (&[("grant_type", "refresh_token"), ("grant_type", "refresh_token")], "invalid_request"),
        (&[("grant_type", "authorization_code"), ("code", "sx_ic_unknown")], "invalid_grant"),
        (&[("grant_type", "authorization_code"), ("code", "unknown")], "invalid_grant"),
        (&[("grant_type", "refresh_token"), ("refresh_token", "sx_ir_unknown")], "invalid_grant"),
        (&[("grant_type", "refresh_token"), ("refresh_token", "sx_it_unknown")], "invalid_grant"),
        (&[("grant_type", "refresh_token"), ("refresh_token", "sx_ir_1"), ("scope", "\"")], "invalid_scope"),
        (
            &[("grant_type", "authorization_code"), ("code", "sx_ic_1"), ("code_verifier", "short")],
            "invalid_request",
        ),
    ];
    for (body, error) in rows {
        let answer = stage.post(TOKEN, &[("authorization", &good)], body).await;
        assert_eq!(answer.error(), (400, (*error).to_owned()), "{body:?}");
    }
    for (content_type, body) in [
        ("text/plain", "grant_type=refresh_token"),
        ("application/json", "grant_type=refresh_token"),
        ("application/json", "[]"),
        ("application/json", "{\"grant_type\":1,\"grant_type\":2}"),
        ("application/x-www-form-urlencoded", "grant_type=%zz"),
        ("multipart/form-data; boundary=x", "--x--"),
    ] {
        let headers = [("authorization", good.as_str()), ("content-type", content_type)];
        let answer = stage.post_text(TOKEN, &headers, body).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{content_type} {body}");
    }
    let form = "application/x-www-form-urlencoded";
    let twice =
        [("authorization", good.as_str()), ("content-type", form), ("content-type", "application/json")];
    let answer = stage.post_text(TOKEN, &twice, "grant_type=password").await;
    assert_eq!(answer.error(), (400, "invalid_request".into()), "a type that stands twice");
    let answer = stage.get(TOKEN, &[]).await;
    assert_eq!(answer.error(), (405, "method_not_allowed".into()), "no token by GET");
    assert!(answer.header("allow").contains("POST"), "{answer:?}");
    let body = json!({"grant_type": "refresh_token", "client_id": SHOP, "client_secret": SHOP_SECRET,
        "refresh_token": "sx_ir_unknown"});
    assert_eq!(stage.post_json(TOKEN, &[], &body).await.error().1, "invalid_grant", "JSON is read");
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_address_and_verifier() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    browser.code("rahim@example.com", "openid").await;
    let shop = basic(SHOP, SHOP_SECRET);
    let other = basic(OTHER, SHOP_SECRET);
    let long = "v".repeat(43);
    type Row<'r> = (&'r str, &'r [(&'r str, &'r str)], &'r str);
    let rows: &[Row<'_>] = &[
        (&other, &[("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)], "invalid_grant"),
        (&shop, &[("redirect_uri", "https://evil.example"), ("code_verifier", VERIFIER)], "invalid_grant"),
        (
            &shop,
            &[("redirect_uri", "https://shop.example/callback/"), ("code_verifier", VERIFIER)],
            "invalid_grant",
        ),
        (&shop, &[("redirect_uri", CALLBACK)], "invalid_grant"),
        (&shop, &[("redirect_uri", CALLBACK), ("code_verifier", &long)], "invalid_grant"),
        (&shop, &[("redirect_uri", CALLBACK), ("code_verifier", "x")], "invalid_request"),
        (&shop, &[("redirect_uri", CALLBACK), ("code_verifier", crate::stage::CHALLENGE)], "invalid_grant"),
        (&shop, &[("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)], ""),
        (&shop, &[("code_verifier", VERIFIER)], ""),
    ];
    for (client, more, error) in rows {
        let code = browser.code_at_once("openid").await;
        let body = [&[("grant_type", "authorization_code"), ("code", code.as_str())], *more].concat();
        let answer = stage.post(TOKEN, &[("authorization", client)], &body).await;
        let status = if error.is_empty() { 200 } else { 400 };
        assert_eq!(answer.error(), (status, (*error).to_owned()), "{more:?}");
        if *client == shop && *error == "invalid_grant" {
            assert_eq!(stage.redeem(&code).await.error().1, "invalid_grant", "it was used up: {more:?}");
        }
        if *client == other {
            assert_eq!(stage.redeem(&code).await.status, 200, "a stranger does not use it up");
        }
    }
    // Without PKCE: the redirect URI has to be said, and no verifier counts.
    let plain = authorize("openid", &[]).replace("code_challenge", "x").replace("x_method", "y");
    for (more, error) in [
        (&[("redirect_uri", CALLBACK)][..], ""),
        (&[], "invalid_grant"),
        (&[("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)], "invalid_grant"),
    ] {
        let code = browser.open(&plain).await.parameter("code").unwrap();
        let body = [&[("grant_type", "authorization_code"), ("code", code.as_str())], more].concat();
        let answer = stage.post(TOKEN, &[("authorization", &shop)], &body).await;
        assert_eq!(answer.error().1, error, "without PKCE: {more:?}");
    }
    let _ = PHONE_CALLBACK;
}

#[tokio::test]
async fn a_code_that_is_used_twice_ends_what_came_of_it() {
    let stage = Stage::new().await;
    let code = Browser::new(&stage).code("rahim@example.com", "openid").await;
    let tokens = stage.redeem(&code).await.json();
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let newer = stage.refresh(refresh).await.json();
    assert_eq!(stage.userinfo(access).await.status, 200);
    assert_eq!(stage.redeem(&code).await.error(), (400, "invalid_grant".into()));
    for token in [access, newer["access_token"].as_str().unwrap()] {
        assert_eq!(stage.userinfo(token).await.status, 401);
    }
    let answer = stage.refresh(newer["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn of_two_who_come_at_once_one_gets_tokens() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    browser.code("rahim@example.com", "openid").await;
    for _ in 0..10 {
        let code = browser.code_at_once("openid").await;
        let (one, two, three) = tokio::join!(stage.redeem(&code), stage.redeem(&code), stage.redeem(&code));
        let statuses = [one.status, two.status, three.status];
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    }
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_ends_the_family() {
    let stage = Stage::new().await;
    let tokens = stage.tokens("rahim@example.com", "openid email").await;
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    let second = stage.refresh(&first).await;
    assert_eq!(second.status, 200);
    let second = second.json();
    assert_ne!(second["refresh_token"], tokens["refresh_token"]);
    assert_eq!(second["scope"], "email openid");
    let claims = verified(&stage, second["id_token"].as_str().unwrap()).await;
    let before = verified(&stage, tokens["id_token"].as_str().unwrap()).await;
    assert_eq!((&claims["sub"], &claims["auth_time"]), (&before["sub"], &before["auth_time"]));
    assert!(claims.get("nonce").is_none(), "{claims}");

    // Another client cannot use it, and does not end it.
    let body =
        [("grant_type", "refresh_token"), ("refresh_token", second["refresh_token"].as_str().unwrap())];
    let answer = stage.post(TOKEN, &[("authorization", &basic(OTHER, SHOP_SECRET))], &body).await;
    assert_eq!(answer.error(), (400, "invalid_grant".into()));
    let third = stage.refresh(second["refresh_token"].as_str().unwrap()).await.json();
    let access = third["access_token"].as_str().unwrap();
    assert_eq!(stage.userinfo(access).await.status, 200);

    assert_eq!(stage.refresh(&first).await.error(), (400, "invalid_grant".into()), "used twice");
    assert_eq!(stage.userinfo(access).await.status, 401, "the family has ended");
    let answer = stage.refresh(third["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.error(), (400, "invalid_grant".into()), "all of it");
}

#[tokio::test]
async fn scopes_at_refresh() {
    let stage = Stage::new().await;
    let tokens = stage.tokens("rahim@example.com", "openid email phone").await;
    let refresh = async |token: &str, scope: &str| {
        let body = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        stage.post(TOKEN, &[("authorization", &basic(SHOP, SHOP_SECRET))], &body).await
    };
    let first = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(refresh(first, "openid store").await.error(), (400, "invalid_scope".into()));
    let narrow = refresh(first, "openid").await.json();
    assert_eq!(narrow["scope"], "openid", "the refusal before did not use it up");
    let told = stage.userinfo(narrow["access_token"].as_str().unwrap()).await.json();
    assert_eq!(told, json!({"sub": "customer:42"}));
    let wide = stage.refresh(narrow["refresh_token"].as_str().unwrap()).await.json();
    assert_eq!(wide["scope"], "email openid phone", "what was granted is not lost by narrowing once");

    let mut writer = stage.writer();
    let scopes = |text: &str| ScopeSet::parse(text).unwrap();
    let _ = writer.set_oauth_client_scopes(&id(SHOP), &scopes("openid email")).unwrap();
    let less = stage.refresh(wide["refresh_token"].as_str().unwrap()).await.json();
    assert_eq!(less["scope"], "email openid", "what the client may no longer ask for is gone");
    let _ = writer.set_oauth_client_scopes(&id(SHOP), &scopes("store")).unwrap();
    let none = stage.refresh(less["refresh_token"].as_str().unwrap()).await;
    assert_eq!(none.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn revocation_ends_the_pair_at_once() {
    let stage = Stage::new().await;
    let good = basic(SHOP, SHOP_SECRET);
    for which in ["access_token", "refresh_token"] {
        let tokens = stage.tokens("rahim@example.com", "openid").await;
        let token = tokens[which].as_str().unwrap();
        let (access, refresh) =
            (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
        let wrong = basic(SHOP, "sx_os_wrong");
        let other = basic(OTHER, SHOP_SECRET);
        let no_revocations: &[(Pairs<'_>, Pairs<'_>)] = &[
            (&[], &[("token", token)]),
            (&[("authorization", &wrong)], &[("token", token)]),
            (&[("authorization", &other)], &[("token", token)]),
            (&[], &[("token", token), ("client_id", SHOP)]),
            (&[("authorization", &good)], &[]),
            (&[("authorization", &good)], &[("token", "sx_it_unknown")]),
            (&[("authorization", &good)], &[("token", "rubbish")]),
        ];
        for (headers, body) in no_revocations {
            let answer = stage.post("/api/oauth/revoke", headers, body).await;
            assert_eq!((answer.status, answer.json()), (200, json!({"message": "OK", "status": 200})));
            assert_eq!(stage.userinfo(access).await.status, 200, "{headers:?} {body:?}");
        }
        let body = json!({"token": token, "token_type_hint": which, "client_id": SHOP,
            "client_secret": SHOP_SECRET});
        let answer = match which {
            "access_token" => stage.post_json("/api/oauth/revoke", &[], &body).await,
            _ => stage.post("/api/oauth/revoke", &[("authorization", &good)], &[("token", token)]).await,
        };
        assert_eq!(answer.status, 200);
        assert_eq!(stage.userinfo(access).await.status, 401);
        assert_eq!(stage.refresh(refresh).await.error(), (400, "invalid_grant".into()));
        let again = stage.post("/api/oauth/revoke", &[("authorization", &good)], &[("token", token)]).await;
        assert_eq!(again.status, 200, "twice is fine");
    }
    // A pair that was refreshed: revoking the old one leaves the new one.
    let tokens = stage.tokens("rahim@example.com", "openid").await;
    let newer = stage.refresh(tokens["refresh_token"].as_str().unwrap()).await.json();
    let old = [("token", tokens["access_token"].as_str().unwrap())];
    stage.post("/api/oauth/revoke", &[("authorization", &good)], &old).await;
    assert_eq!(stage.userinfo(tokens["access_token"].as_str().unwrap()).await.status, 401);
    assert_eq!(stage.userinfo(newer["access_token"].as_str().unwrap()).await.status, 200);
}

/// RFC 7009 section 2.1: with a refresh token every access token of the same grant.
#[tokio::test]
async fn revoking_a_refresh_token_ends_all_that_came_of_the_grant() {
    let stage = Stage::new().await;
    let good = basic(SHOP, SHOP_SECRET);
    for newest in [true, false] {
        let first = stage.tokens("rahim@example.com", "openid").await;
        let second = stage.refresh(first["refresh_token"].as_str().unwrap()).await.json();
        let other = stage.tokens("rahim@example.com", "openid").await;
        let revoked = if newest { &second } else { &first };
        let body = [("token", revoked["refresh_token"].as_str().unwrap())];
        stage.post("/api/oauth/revoke", &[("authorization", &good)], &body).await;
        for (tokens, status) in [(&first, 401), (&second, 401), (&other, 200)] {
            let access = tokens["access_token"].as_str().unwrap();
            assert_eq!(stage.userinfo(access).await.status, status, "newest: {newest}");
        }
        assert_eq!(stage.refresh(second["refresh_token"].as_str().unwrap()).await.status, 400);
    }
}

/// `storegate token revoke` ends tokens of every kind.
#[tokio::test]
async fn an_operator_revokes_what_leaked() {
    let stage = Stage::new().await;
    for which in ["access_token", "refresh_token"] {
        let tokens = stage.tokens("rahim@example.com", "openid").await;
        let leaked = Secret::new(tokens[which].as_str().unwrap().to_owned());
        let revoked = stage.writer().revoke_token(&leaked).unwrap();
        assert_eq!(*revoked.value(), Revocation::Revoked, "{which}");
        assert_eq!(stage.userinfo(tokens["access_token"].as_str().unwrap()).await.status, 401, "{which}");
        assert_eq!(stage.refresh(tokens["refresh_token"].as_str().unwrap()).await.status, 400, "{which}");
    }
    let unknown = stage.writer().revoke_token(&Secret::new("sx_it_unknown".into())).unwrap();
    assert_eq!(*unknown.value(), Revocation::NotFound);
}

#[tokio::test]
async fn introspection_is_for_the_owner_of_the_token() {
    let stage = Stage::new().await;
    let tokens = stage.tokens("fatema@example.com", "openid store").await;
    let good = basic(SHOP, SHOP_SECRET);
    let ask = async |header: Option<&str>, body: &[(&str, &str)]| {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", *value)).collect();
        stage.post("/api/oauth/introspect", &headers, body).await
    };
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let told = ask(Some(&good), &[("token", access)]).await.json();
    let shown =
        ["active", "scope", "client_id", "sub", "token_type", "iss", "store_id"].map(|name| &told[name]);
    let expected = [
        &json!(true),
        &json!("openid store"),
        &json!(SHOP),
        &json!("merchant:7"),
        &json!("Bearer"),
        &json!(crate::stage::ISSUER),
        &json!(22),
    ];
    assert_eq!(shown, expected);
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 3600);
    let told = ask(Some(&good), &[("token", refresh), ("token_type_hint", "access_token")]).await.json();
    assert_eq!((&told["active"], &told["token_type"]), (&json!(true), &json!("refresh_token")));
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 30 * 86_400);

    let other = basic(OTHER, SHOP_SECRET);
    for (header, token) in
        [(&other, access), (&good, "sx_it_unknown"), (&good, "rubbish"), (&good, "sx_ic_1")]
    {
        let answer = ask(Some(header), &[("token", token)]).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"active": false})), "{token}");
    }
    assert_eq!(ask(Some(&good), &[]).await.error(), (400, "invalid_request".into()));
    for (header, body) in [
        (None, &[("token", access)][..]),
        (None, &[("token", access), ("client_id", SHOP)]),
        (None, &[("token", access), ("client_id", PHONE)]),
        (Some("Bearer x"), &[("token", access)]),
    ] {
        assert_eq!(ask(header, body).await.error(), (401, "invalid_client".into()), "{header:?} {body:?}");
    }
    // A refresh token that was used is no longer one.
    stage.refresh(refresh).await;
    assert_eq!(ask(Some(&good), &[("token", refresh)]).await.json(), json!({"active": false}));
    assert_eq!(ask(Some(&good), &[("token", access)]).await.json()["active"], true);
}

#[tokio::test]
async fn tokens_end_with_the_account_and_the_client() {
    let stage = Stage::new().await;
    let subject = Subject::parse("customer:42").unwrap();
    let tokens = stage.tokens("rahim@example.com", "openid").await;
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let mut writer = stage.writer();
    let _ = writer.set_oauth_client_status(&id(SHOP), false).unwrap();
    assert_eq!(stage.userinfo(access).await.status, 401, "the client is disabled");
    let _ = writer.set_oauth_client_status(&id(SHOP), true).unwrap();
    assert_eq!(stage.userinfo(access).await.status, 200, "and enabled");
    let _ = writer.set_user_status(subject, UserStatus::Disabled).unwrap();
    assert_eq!(stage.userinfo(access).await.status, 401, "the account is disabled");
    let _ = writer.set_user_status(subject, UserStatus::Active).unwrap();
    assert_eq!(stage.userinfo(access).await.status, 401, "what has ended stays ended");
    assert_eq!(stage.refresh(refresh).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn nothing_is_stored_in_clear() {
    let stage = Stage::new().await;
    let mut browser = Browser::new(&stage);
    let code = browser.code("rahim@example.com", "openid").await;
    let tokens = stage.redeem(&code).await.json();
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(stage.folder.path()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("storegate.db") && entry.path().is_file() {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    let session = browser.cookies.get("storegate_session").unwrap().clone();
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    for secret in [code.as_str(), access, refresh, &session, SHOP_SECRET, crate::stage::PASSWORD] {
        let there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!there, "{} is in the replica", &secret[..6]);
    }
}
