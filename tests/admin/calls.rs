//! What the API does, and that the gateway decides by it when the answer comes.

use serde_json::json;

use crate::common::world::{self, MAIN, OTHER, TOKEN};
use crate::common::{Gateway, Settings};
use crate::{admin, call, done, operator_with};

#[test]
fn from_nothing_to_a_request_and_back() {
    let gateway = Gateway::start(&Settings::default());
    let admin = admin(&gateway);
    let ask =
        |status, line: &str, body: serde_json::Value| done(&gateway, status, line, &admin, &body.to_string());

    let store = ask(
        201,
        "POST /admin/v1/stores",
        json!({"store_id": 31, "name": "Padma", "domain": "Padma.Example"}),
    );
    assert_eq!((&store["domain"], &store["status"]), (&json!("padma.example"), &json!("active")));
    let app = ask(201, "POST /admin/v1/apps", json!({"name": "Sync", "scopes": "read:orders write:orders"}));
    let id = app["client_id"].as_str().unwrap();
    let installation = ask(
        201,
        "POST /admin/v1/installations",
        json!({"client_id": id, "store_id": 31, "scopes": "read:orders"}),
    );
    let number = installation["installation_id"].as_i64().unwrap();
    let mut lines = world::pair(id, app["client_secret"].as_str().unwrap());
    lines.push("X-Store-Id: 31".into());
    assert_eq!(gateway.orders(&lines), 200);

    let issued = ask(201, "POST /admin/v1/tokens", json!({"client_id": id, "store_id": 31, "ttl": "1h"}));
    let token = issued["access_token"].as_str().unwrap();
    let bearer = [format!("Authorization: Bearer {token}")];
    assert_eq!(gateway.orders(&bearer), 200);
    let shown = ask(200, &format!("GET /admin/v1/tokens/{}", world::sha256(token)), json!({}));
    assert_eq!((&shown["client_id"], &shown["revoked_at"]), (&json!(id), &json!(null)));

    assert_eq!(ask(200, "POST /admin/v1/stores/31/suspend", json!({}))["status"], "suspended");
    assert_eq!(gateway.orders_code(&bearer), (403, "store_suspended".into()));
    assert_eq!(ask(200, "POST /admin/v1/stores/31/resume", json!({}))["status"], "active");
    assert_eq!(gateway.orders(&bearer), 200);

    assert_eq!(ask(200, &format!("POST /admin/v1/apps/{id}/disable"), json!({}))["status"], "disabled");
    assert_eq!(gateway.orders_code(&lines), (401, "invalid_client".into()));
    ask(200, &format!("POST /admin/v1/apps/{id}/enable"), json!({}));
    let bound = ask(200, &format!("PUT /admin/v1/apps/{id}/allow-ip"), json!({"allow_ip": ["192.0.2.0/24"]}));
    assert_eq!(bound["allowed_addresses"], json!(["192.0.2.0/24"]));
    assert_eq!(gateway.orders_code(&lines), (403, "ip_not_allowed".into()));
    ask(200, &format!("PUT /admin/v1/apps/{id}/allow-ip"), json!({"allow_ip": []}));
    assert_eq!(gateway.orders(&lines), 200);

    let rotated = ask(200, &format!("POST /admin/v1/apps/{id}/rotate-secret"), json!({"overlap": "1h"}));
    assert_eq!(gateway.orders(&lines), 200, "the old one, for an hour");
    let mut new = world::pair(id, rotated["client_secret"].as_str().unwrap());
    new.push("X-Store-Id: 31".into());
    assert_eq!(gateway.orders(&new), 200);
    ask(200, &format!("POST /admin/v1/apps/{id}/rotate-secret"), json!({}));
    assert_eq!(gateway.orders_code(&new), (401, "invalid_client".into()));
    let key = ask(200, &format!("POST /admin/v1/apps/{id}/rotate-signing-key"), json!({}));
    assert_eq!(key["session_signing_key"].as_str().unwrap().len(), 64);
    let detail = ask(200, &format!("GET /admin/v1/apps/{id}"), json!({}));
    assert_eq!(detail["secrets"].as_array().unwrap().len(), 1);

    assert_eq!(ask(200, "POST /admin/v1/tokens/revoke", json!({"token": token})), json!({"revoked": true}));
    assert_eq!(gateway.orders_code(&bearer), (401, "invalid_token".into()));
    assert!(
        ask(200, &format!("GET /admin/v1/tokens/{}", world::sha256(token)), json!({}))["revoked_at"].is_i64()
    );
    for way in [
        "POST /admin/v1/tokens/revoke".to_owned(),
        format!("DELETE /admin/v1/tokens/{}", world::sha256(TOKEN)),
    ] {
        let body =
            if way.starts_with("POST") { json!({"token_hash": world::sha256(TOKEN)}) } else { json!({}) };
        ask(200, &way, body);
        assert_eq!(
            gateway.orders_code(&[format!("Authorization: Bearer {TOKEN}")]),
            (401, "invalid_token".into())
        );
    }

    let ended = ask(200, &format!("DELETE /admin/v1/installations/{number}"), json!({}));
    assert_eq!(ended["status"], "uninstalled");
    assert_eq!(
        ask(200, &format!("GET /admin/v1/installations/{number}"), json!({}))["status"],
        "uninstalled"
    );
    let shown = gateway.place.json(&["app", "show", id]);
    assert_eq!(shown["installations"][0]["status"], "uninstalled", "commands see the same");
}

#[test]
fn what_is_made_has_the_configured_prefixes() {
    let prefixes = "[credentials]\nclient_id_prefix = \"acme_app_\"\nclient_secret_prefix = \"acme_key_\"\n\
        access_token_prefix = \"acme_at_\"";
    let gateway = Gateway::start(&Settings { rest: prefixes.into(), ..Settings::default() });
    let admin = admin(&gateway);
    let app = done(&gateway, 201, "POST /admin/v1/apps", &admin, r#"{"name":"x"}"#);
    assert!(app["client_id"].as_str().unwrap().starts_with("acme_app_"));
    assert!(app["client_secret"].as_str().unwrap().starts_with("acme_key_"));
    let line = format!("POST /api/apps/{}/rotate-secret", app["app_id"]);
    done(&gateway, 200, &line, &admin, "null");
    let rotated = done(&gateway, 200, &line, &admin, "");
    assert!(rotated["data"]["client_secret"].as_str().unwrap().starts_with("acme_key_"));
    let body = format!(r#"{{"client_id":"{}","store_id":22}}"#, MAIN.client_id);
    let token = done(&gateway, 201, "POST /admin/v1/tokens", &admin, &body);
    assert!(token["access_token"].as_str().unwrap().starts_with("acme_at_"));
}

/// Every list, in parts of two: all records, each once.
#[test]
fn lists_come_in_parts() {
    let gateway = Gateway::start(&Settings::default());
    let admin = admin(&gateway);
    for name in ["ada", "bob", "eve"] {
        operator_with(&gateway, name, &["apps__view_apps"]);
    }
    let main = MAIN.client_id;
    let lists = [
        ("stores", String::new(), "store_id", vec![22, 23, 24, 25]),
        ("apps", String::new(), "app_id", vec![7, 8, 9, 10, 11]),
        ("installations", String::new(), "installation_id", vec![501, 502, 503, 504, 505, 506, 507]),
        ("installations", "&store_id=22".into(), "installation_id", vec![501, 504, 505, 507]),
        ("installations", format!("&client_id={main}"), "store_id", vec![22, 23, 24]),
        ("installations", format!("&client_id={main}&store_id=24"), "installation_id", vec![502]),
        ("installations", "&client_id=sx_app_none".into(), "installation_id", vec![]),
        ("installations", "&store_id=99".into(), "installation_id", vec![]),
        ("operators", String::new(), "operator_id", vec![2, 3, 4]),
        ("audit", String::new(), "seq", vec![4, 3, 2, 1]),
        ("audit", "&subject=operator:bob".into(), "seq", vec![3]),
        ("audit", "&since=99999999999".into(), "seq", vec![]),
    ];
    for (list, filter, key, expected) in lists {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("GET /admin/v1/{list}?limit=2{filter}{cursor}");
            let part = done(&gateway, 200, &path, &admin, "");
            let data = part["data"].as_array().unwrap();
            assert!(data.len() <= 2, "{path}");
            seen.extend(data.iter().map(|record| record[key].as_i64().unwrap()));
            match part["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{list}{filter}");
    }
    let rows = gateway.place.json(&["store", "list", "--limit", "2", "--after", "22"]);
    let ids: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["store_id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [23, 24]);
}

/// A lead hands out a part of what it may do, and never more.
#[test]
fn operators_give_what_they_have() {
    let gateway = Gateway::start(&Settings::default());
    let lead = operator_with(&gateway, "lead", &["operators__manage_operators", "apps__manage_apps"]);
    operator_with(&gateway, "chief", &["operators__manage_operators", "audit__view_audit"]);
    let body = r#"{"name":"helper","permissions":["apps__view_apps"]}"#;
    let helper = done(&gateway, 201, "POST /admin/v1/operators", &lead, body);
    let number = helper["operator_id"].as_i64().unwrap();
    let token = format!("Authorization: Bearer {}", helper["token"].as_str().unwrap());
    done(&gateway, 200, "GET /admin/v1/apps", &token, "");
    assert_eq!(call(&gateway, "POST /admin/v1/apps", &[&token], r#"{"name":"x"}"#).status, 403);

    let set = |operator: i64, permission: &str| {
        let line = format!("PUT /admin/v1/operators/{operator}/permissions");
        call(&gateway, &line, &[&lead], &format!(r#"{{"permissions":["{permission}"]}}"#))
    };
    assert_eq!(set(number, "apps__manage_apps").status, 200);
    done(&gateway, 201, "POST /admin/v1/apps", &token, r#"{"name":"x"}"#);
    let listed = done(&gateway, 200, "GET /admin/v1/operators", &lead, "");
    let number_of = |name: &str| {
        let all = listed["data"].as_array().unwrap().iter();
        all.clone().find(|operator| operator["name"] == name).unwrap()["operator_id"].as_i64().unwrap()
    };
    let (own, chief) = (number_of("lead"), number_of("chief"));
    let refused = [
        (number, "audit__view_audit"),
        (number, "stores__view_stores"),
        (own, "apps__manage_apps"),
        (own, "operators__manage_operators"),
        (chief, "apps__view_apps"),
    ];
    for (operator, permission) in refused {
        let answer = set(operator, permission);
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{operator} {permission}");
    }
    for operator in [own, chief] {
        let answer = call(&gateway, &format!("DELETE /admin/v1/operators/{operator}"), &[&lead], "");
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{operator}");
    }
    let body = r#"{"name":"x","permissions":["apps__view_apps","tokens__issue_tokens"]}"#;
    assert_eq!(call(&gateway, "POST /admin/v1/operators", &[&lead], body).status, 403);

    done(&gateway, 200, &format!("DELETE /admin/v1/operators/{number}"), &lead, "");
    assert_eq!(call(&gateway, "GET /admin/v1/apps", &[&token], "").code(), "invalid_token");
    let names = gateway.place.ok(&["operator", "list"]);
    assert!(names.contains("lead") && names.contains("chief") && !names.contains("helper"), "{names}");
    assert_eq!(gateway.orders(&world::client(&OTHER, "23")), 200);
}
