//! The head that the upstream receives: target, forwarding headers, identity.

use crate::common::world::{MAIN, TOKEN, bearer, client, pair};
use crate::common::{Gateway, Settings, request};

#[test]
fn the_normal_form_is_forwarded_and_the_query_is_not_touched() {
    let gateway = Gateway::start(&Settings::default());
    let rows = [
        ("/public/a", "/public/a"),
        ("/public/a?", "/public/a?"),
        ("/public/a?x=%2f%zz&y=../..&z=a+b;c[d]=1&&=", "/public/a?x=%2f%zz&y=../..&z=a+b;c[d]=1&&="),
        ("/public/a?access_token=x&store_id=22", "/public/a?access_token=x&store_id=22"),
        ("/public/./a/../b", "/public/b"),
        ("/public/a/..", "/public/"),
        ("/public/a/.", "/public/a/"),
        ("/public/%2e/a/%2E%2e/b?%2e%2E", "/public/b?%2e%2E"),
        ("/public/%7euser/%41%2D%5f", "/public/~user/A-_"),
        ("/public/caf%c3%a9", "/public/caf%C3%A9"),
        ("/public/100%25", "/public/100%25"),
        ("/public/%252e%252e/a", "/public/%252e%252e/a"),
        ("/public/a//b///", "/public/a//b///"),
        ("/public/a//../b", "/public/a/b"),
        ("/public/a;b=c,d:e@f", "/public/a;b=c,d:e@f"),
        ("/PUBLIC/a", "/PUBLIC/a"),
        ("/unknown/../public/a", "/public/a"),
        ("http://api.example.test/public/a?b", "/public/a?b"),
        ("HTTP://api.example.test/public/../public/a", "/public/a"),
    ];
    for (sent, forwarded) in rows {
        let response = gateway.ask(&format!("GET {sent}"), &[""; 0]);
        assert_eq!(response.status, 200, "{sent}: {}", response.text());
        let seen = gateway.upstream.one();
        assert_eq!(seen.line(), format!("GET {forwarded} HTTP/1.1"), "{sent}");
        assert_eq!(seen.field("host").as_deref(), Some("api.example.test"), "{sent}");
    }
}

#[test]
fn a_stranger_cannot_say_who_called() {
    let gateway = Gateway::start(&Settings::default());
    let lies = [
        "X-Forwarded-For: 6.6.6.6, 7.7.7.7",
        "X-Forwarded-For: not an address",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example.test",
        "X-Forwarded-Port: evil",
        "X-Forwarded-Client-Cert: evil",
        "X_Forwarded_Proto: evil",
        "X.Real.IP: 6.6.6.6",
        "X-Request-Id: evil",
        "X_Request_Id: evil",
        "Forwarded: for=6.6.6.6",
        "X-Original-Host: evil",
        "X-HTTP-Method-Override: evil",
        "X_Method_Override: evil",
        "CF-Connecting-IP: 6.6.6.6",
        "True-Client-IP: 6.6.6.6",
        "Content_Length: 7.7.7.7",
        "Transfer.Encoding: evil",
    ];
    let response =
        gateway.ask("GET /api/apps/v1/orders", &[bearer(TOKEN), lies.map(str::to_owned).to_vec()].concat());
    assert_eq!(response.status, 200);
    let seen = gateway.upstream.one();
    assert_eq!(seen.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(seen.field("x-forwarded-host").as_deref(), Some("api.example.test"));
    assert!(seen.field("x-request-id").is_some_and(|id| id.len() >= 16 && id != "evil"));
    let bytes = String::from_utf8_lossy(&seen.head).into_owned();
    for lie in ["6.6.6.6", "7.7.7.7", "evil"] {
        assert!(!bytes.contains(lie), "{bytes}");
    }
}

#[test]
fn request_ids_differ() {
    let gateway = Gateway::start(&Settings::default());
    let mut client = gateway.connect();
    let ids: std::collections::BTreeSet<_> = (0..50)
        .map(|n| {
            let path = ["GET /public/a", "GET /unknown"][n % 2];
            client.ask(request(path, &["X-Request-Id: mine"])).field("x-request-id").unwrap()
        })
        .collect();
    assert_eq!(ids.len(), 50);
    assert!(!ids.contains("mine"));
}

pub(crate) fn trusting() -> Settings {
    Settings { server: "trusted_proxies = [\"127.0.0.0/8\"]".into(), ..Settings::default() }
}

#[test]
fn a_trusted_proxy_is_believed() {
    let gateway = Gateway::start(&trusting());
    let rows: [(&[&str], &str); 6] = [
        (&[], "127.0.0.1"),
        (&["X-Forwarded-For: 192.0.2.7"], "192.0.2.7, 127.0.0.1"),
        (&["X-Forwarded-For: 6.6.6.6, 192.0.2.7"], "6.6.6.6, 192.0.2.7, 127.0.0.1"),
        (&["X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 127.0.0.9"], "192.0.2.7, 127.0.0.9, 127.0.0.1"),
        (&["X-Forwarded-For: 2001:db8::1"], "2001:db8::1, 127.0.0.1"),
        (&["X-Forwarded-For:  192.0.2.7 ,192.0.2.8 "], "192.0.2.7 ,192.0.2.8, 127.0.0.1"),
    ];
    for (lines, expected) in rows {
        let known = [
            lines.to_vec(),
            vec!["X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example.test", "X-Request-Id: Ab-9_c.1"],
        ]
        .concat();
        let response = gateway.ask("GET /public/a", &known);
        assert_eq!(response.status, 200, "{lines:?}: {}", response.text());
        assert_eq!(response.field("x-request-id").as_deref(), Some("Ab-9_c.1"));
        let seen = gateway.upstream.one();
        let lines = seen.fields();
        let of = |name: &str| {
            let mut values = lines.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
            (values.next().map(|(_, value)| value.clone()), values.count())
        };
        assert_eq!(of("x-forwarded-for"), (Some(expected.to_owned()), 0));
        assert_eq!(of("x-forwarded-proto"), (Some("https".into()), 0));
        assert_eq!(of("x-forwarded-host"), (Some("shop.example.test".into()), 0));
        assert_eq!(of("x-request-id"), (Some("Ab-9_c.1".into()), 0));
    }
}

#[test]
fn what_a_trusted_proxy_passes_on_of_its_client_must_be_well_formed() {
    let gateway = Gateway::start(&trusting());
    let rows = [
        ("X-Forwarded-Proto: HTTPS, http", "x-forwarded-proto", "HTTPS, http"),
        ("X-Forwarded-Proto: javascript", "x-forwarded-proto", "http"),
        ("X-Forwarded-Proto: https,", "x-forwarded-proto", "http"),
        ("X-Forwarded-Proto:", "x-forwarded-proto", "http"),
        ("X-Forwarded-Host: shop.example.test:8443", "x-forwarded-host", "shop.example.test:8443"),
        ("X-Forwarded-Host: evil/x", "x-forwarded-host", "api.example.test"),
        ("X-Forwarded-Host: a.test, \"<b>\"", "x-forwarded-host", "api.example.test"),
        ("X-Forwarded-Host: user@a.test", "x-forwarded-host", "api.example.test"),
    ];
    for (line, name, expected) in rows {
        assert_eq!(gateway.ask("GET /public/a", &[line]).status, 200, "{line}");
        assert_eq!(gateway.upstream.one().field(name).as_deref(), Some(expected), "{line}");
    }
}

#[test]
fn a_request_id_of_a_trusted_proxy_is_kept_where_it_is_plain() {
    let gateway = Gateway::start(&trusting());
    let long = "a".repeat(129);
    for (sent, kept) in [
        ("req-1", true),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
        (&long[1..], true),
        (&long, false),
        ("a b", false),
        ("\"x\"", false),
        ("<script>", false),
        ("é", false),
        ("", false),
    ] {
        for path in ["/public/a", "/unknown"] {
            let response = gateway.ask(&format!("GET {path}"), &[format!("X-Request-Id: {sent}")]);
            let id = response.field("x-request-id").unwrap();
            assert_eq!(id == sent, kept, "{sent:?}: {id}");
            assert!(!id.is_empty());
            if path == "/unknown" {
                assert_eq!(response.json()["request_id"], id.as_str());
            } else {
                assert_eq!(gateway.upstream.one().field("x-request-id"), Some(id));
            }
        }
    }
}

#[test]
fn a_trusted_proxy_must_send_addresses() {
    let gateway = Gateway::start(&trusting());
    let malformed = [
        "unknown",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.7,",
        ",192.0.2.7",
        "192.0.2.7,,192.0.2.8",
        "192.0.2.7 192.0.2.8",
        "_hidden",
        "192.0.2.7/32",
        "[2001:db8::1",
        "localhost",
        "é",
        "for=192.0.2.7",
        "192.0.2.7:99999",
    ];
    for value in malformed {
        let line = format!("X-Forwarded-For: {value}");
        for path in ["/public/a", "/api/apps/v1/orders", "/unknown"] {
            let response = gateway.ask(&format!("GET {path}"), &[&line]);
            assert_eq!(
                (response.status, response.code().as_str()),
                (400, "invalid_request"),
                "{line} {path}"
            );
        }
    }
    assert_eq!(gateway.upstream.heads(), 0);
}

#[test]
fn the_caller_behind_trusted_proxies_is_held_to_the_address_list() {
    let gateway = Gateway::start(&trusting());
    gateway.place.ok(&["app", "allow-ip", MAIN.client_id, "192.0.2.0/24"]);
    let rows = [
        (vec!["X-Forwarded-For: 192.0.2.7"], 200),
        (vec!["X-Forwarded-For: 6.6.6.6, 192.0.2.7"], 200),
        (vec!["X-Forwarded-For: 192.0.2.7, 127.0.0.5"], 200),
        (vec!["X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 127.0.0.5, 127.0.0.6"], 200),
        (vec!["X-Forwarded-For: 192.0.2.7, 6.6.6.6"], 403),
        (vec!["X-Forwarded-For: 192.0.3.7"], 403),
        (vec!["X-Real-IP: 192.0.2.7"], 403),
        (vec!["Forwarded: for=192.0.2.7"], 403),
        (vec![], 403),
    ];
    for (lines, status) in rows {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(gateway.orders(&[client(&MAIN, "22"), lines].concat()), status);
    }
}

#[test]
fn an_upstream_that_authenticates_by_itself_gets_the_credentials() {
    let gateway = Gateway::start(&Settings::default());
    let lines = [
        bearer("whatever it may be"),
        pair("any id", "any secret"),
        vec!["X-Store-Id: not ours".into(), "X-Scopes: admin".into(), "X-Auth-Method: root".into()],
        vec!["X-Installation-Id: 9".into(), "X-Subject: merchant:1".into(), "x_scopes: admin".into()],
        vec!["X_Store_Id: 9".into(), "X_Client_Id: 9".into()],
    ]
    .concat();
    assert_eq!(gateway.ask("POST /native/a", &lines).status, 200);
    let seen = gateway.upstream.one();
    for (name, value) in [
        ("authorization", "Bearer whatever it may be"),
        ("x-client-id", "any id"),
        ("x-client-secret", "any secret"),
        ("x-store-id", "not ours"),
    ] {
        assert_eq!(seen.field(name).as_deref(), Some(value));
    }
    for gone in [
        "x-scopes",
        "x_scopes",
        "x-auth-method",
        "x-installation-id",
        "x-subject",
        "x_store_id",
        "x_client_id",
    ] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
}

#[test]
fn other_names_may_be_injected() {
    let rest = "[inject]\nstore = \"X-Shop\"\nscopes = \"X-Granted\"\nclient = \"X-App\"\n\
                installation = \"X-Install\"\nmethod = \"X-Proof\"\nsubject = \"X-User\"\n";
    let gateway = Gateway::start(&Settings { rest: rest.into(), ..Settings::default() });
    let spoofs =
        ["X-Shop: 9", "x_shop: 9", "X.Granted: 9", "X-User: 9", "X-Store-Id: 22"].map(str::to_owned).to_vec();
    assert_eq!(gateway.orders(&[bearer(TOKEN), spoofs].concat()), 200);
    let seen = gateway.upstream.one();
    for (name, value) in
        [("x-shop", "22"), ("x-app", MAIN.client_id), ("x-install", "501"), ("x-proof", "oauth")]
    {
        assert_eq!(seen.field(name).as_deref(), Some(value));
    }
    for gone in ["x_shop", "x.granted", "x-user", "x-store-id", "x-client-id", "authorization"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
}
