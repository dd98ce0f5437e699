//! What every request must satisfy before anything is decided, whatever its credentials: Host, target,
//! framing, nominations, size, forwarded addresses (contract, section 3 and section 4, third table).

use storegate::model::AddressList;

use crate::request::{ORDERS, Request, get, orders, send};
use crate::stage::{Stage, check, judge};
use crate::world::{FENCED, FENCED_SECRET, Platform, Records, TOKEN};

const BAD: &str = "400 invalid_request";
const OK: &str = "oauth sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]";

fn good() -> Request {
    orders().bearer(TOKEN)
}

/// Refused on a protected, a public, an upstream route, and where no route is.
fn refused_everywhere(sentence: &str, request: Request, expected: &str) {
    for path in [ORDERS, "/public/x", "/dashboard/x", "/nowhere"] {
        let mut request = request.clone();
        request.target = path.into();
        assert_eq!(judge(&Platform::usual(), &request).summary, expected, "{sentence} {path}");
    }
}

#[test]
fn one_host() {
    let host = |value: &str| good().without("host").line("host", value);
    refused_everywhere("none", good().without("host"), BAD);
    refused_everywhere("two", good().line("host", "other.test"), BAD);
    refused_everywhere("two, equal", good().line("host", "api.test"), BAD);
    for value in ["", " ", "a b", "a,b", "user@a", "a/b", "a:0", "a:99999", "a:", "[::1", "a?b", "é"] {
        refused_everywhere(value, host(value), BAD);
    }
    let h2 = |authority: &str, request: Request| Request { authority: Some(authority.into()), ..request };
    check([
        ("in another case", host("API.test"), OK),
        ("with a port", host("api.test:8080"), OK),
        ("an address", host("[::1]:8080"), OK),
        (":authority alone", h2("api.test", good().without("host")), OK),
        (":authority and Host", h2("api.test", good()), OK),
        (":authority and another Host", h2("other.test", good()), BAD),
        (":authority, malformed", h2("a b", good().without("host")), BAD),
        (":authority with userinfo", h2("u@api.test", good().without("host")), BAD),
    ]);
}

#[test]
fn a_target_with_one_normal_form() {
    let rows = [
        ("dot segments", "/api/x/../apps/./v1/orders", ORDERS),
        ("encoded dot segments", "/api/%2e%2E/api/apps/v1/orders", ORDERS),
        ("unreserved characters encoded", "/api/apps/v1/%6Frders", ORDERS),
        ("triplets in lower case", "/api/apps/v1/orders/%c3%a4", "/api/apps/v1/orders/%C3%A4"),
        ("an encoded percent stays", "/api/apps/v1/orders/%252e%252e", "/api/apps/v1/orders/%252e%252e"),
        ("empty segments stay", "/api/apps/v1/orders//1", "/api/apps/v1/orders//1"),
        ("the query stays as it is", "/api/apps/v1/./orders?a=%2e%2F&b", "/api/apps/v1/orders?a=%2e%2F&b"),
        ("case stays as it is", "/API/Apps/V1/Orders/7", "/API/Apps/V1/Orders/7"),
        ("a trailing slash stays", "/api/apps/v1/orders/", "/api/apps/v1/orders/"),
        ("absolute-form", "http://api.test/api/apps/v1/orders", ORDERS),
        ("absolute-form with a query", "http://API.test:80/api/apps/v1/orders?x", "/api/apps/v1/orders?x"),
    ];
    for (sentence, target, forwarded) in rows {
        let outcome = judge(&Platform::usual(), &get(target).bearer(TOKEN));
        assert_eq!((&*outcome.summary, &*outcome.target), (OK, forwarded), "{sentence}");
    }
}

#[test]
fn a_target_without_one() {
    let refused: [&[u8]; 37] = [
        b"",
        b"*",
        b"api/apps/v1/orders",
        b"?x",
        b"api.test:80",
        b"/api/apps/v1/orders%2F1",
        b"/api/apps/v1/orders%2f1",
        b"/api/apps/v1/orders%5C1",
        b"/api/apps/v1/orders%5c..",
        b"/api/apps/v1/orders\\1",
        b"/api/apps/v1/orders%00",
        b"/api/apps/v1/orders%0a",
        b"/api/apps/v1/orders%1F",
        b"/api/apps/v1/orders%7f",
        b"/api/apps/v1/orders%",
        b"/api/apps/v1/orders%2",
        b"/api/apps/v1/orders%zz",
        b"/api/apps/v1/orders%u002e",
        b"/..",
        b"/../x",
        b"/%2e%2e/x",
        b"/api/../../x",
        b"/api/apps/v1/orders#x",
        b"/api/apps/v1/orders?a#b",
        b"/api/apps/v1/\xc3\xa4",
        b"/api/apps/v1/\xff",
        b"/api/apps/v1/orders?\xff",
        b"/api/apps/v1/or ders",
        b"/api/apps/v1/or\tders",
        b"/api/apps/v1/or\0ders",
        b"/api/apps/v1/or\"ders",
        b"/api/apps/v1/or<ders",
        b"/api/apps/v1/or|ders",
        b"/api/apps/v1/or^ders",
        b"/api/apps/v1/or`ders",
        b"/api/apps/v1/or\x7fders",
        b"/api/apps/v1/or\r\nders",
    ];
    for target in refused {
        let shown = String::from_utf8_lossy(target);
        for method in ["GET", "POST", "OPTIONS"] {
            let request = send(method, target).bearer(TOKEN).preflight();
            assert_eq!(judge(&Platform::usual(), &request).summary, BAD, "{method} {shown:?}");
        }
    }
    for target in [
        "http://other.test/api/apps/v1/orders",
        "http://api.test:81/api/apps/v1/orders",
        "http://u@api.test/api/apps/v1/orders",
        "ftp://api.test/api/apps/v1/orders",
        "http:///api/apps/v1/orders",
        "http:/api/apps/v1/orders",
        "https://api.test:80/x#y",
    ] {
        assert_eq!(judge(&Platform::usual(), &get(target).bearer(TOKEN)).summary, BAD, "{target}");
    }
    // Two slashes at the start are an empty segment, never an authority.
    assert_eq!(
        judge(&Platform::usual(), &get("//api.test/api/apps/v1/orders").bearer(TOKEN)).summary,
        "404 not_found"
    );
    let long = format!("{ORDERS}?{}", "x".repeat(20_000));
    assert_eq!(judge(&Platform::usual(), &get(long)).summary, "431 invalid_request");
}

#[test]
fn one_length_of_the_body() {
    let length = |value: &str| good().line("content-length", value);
    for (sentence, request) in [
        ("with Transfer-Encoding", length("5").line("transfer-encoding", "chunked")),
        ("with an empty Transfer-Encoding", length("5").line("transfer-encoding", "")),
        ("twice, different", length("5").line("content-length", "6")),
        ("twice, equal", length("5").line("content-length", "5")),
        ("a list", length("5, 5")),
        ("a sign", length("+5")),
        ("negative", length("-5")),
        ("hexadecimal", length("0x5")),
        ("empty", length("")),
        ("a blank inside", length("5 5")),
    ] {
        refused_everywhere(sentence, request, BAD);
    }
    check([("one", length("5"), OK), ("chunked", good().line("transfer-encoding", "chunked"), OK)]);
}

#[test]
fn connection_names_nothing_of_ours() {
    let nominate = |value: &str| good().line("connection", value);
    for name in [
        "authorization",
        "X-Client-Id",
        "x-client-secret",
        "X-STORE-ID",
        "x-scopes",
        "x-installation-id",
        "x-auth-method",
        "x-subject",
        "x_store_id",
        "X.Scopes",
        "x-session-token",
        "x-request-id",
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "forwarded",
        "x-real-ip",
        "X_Forwarded_For",
        "x-forwarded.prefix",
        "x-original-url",
        "X-Rewrite-URL",
        "true-client-ip",
        "cf-connecting-ip",
        "x-http-method-override",
        "X-Client-Cert-Subject",
        "x-client-cert-fingerprint",
        "Host",
        "hOsT",
        "via",
        "Cookie",
        "content-length",
        "Content_Length",
        "Transfer-Encoding",
        "transfer.encoding",
    ] {
        refused_everywhere(name, nominate(name), BAD);
        refused_everywhere(name, nominate(&format!("keep-alive ,\t{name} ,")), BAD);
        refused_everywhere(name, nominate("close").line("connection", name), BAD);
        let preflight = send("OPTIONS", ORDERS).preflight().line("connection", name);
        assert_eq!(judge(&Platform::usual(), &preflight).summary, BAD, "{name}");
    }
    for malformed in [
        "\"x-store-id\"",
        "x store",
        "(close)",
        ":authority",
        "close; x",
        "x-store-id\t",
        "a b, close",
        "a=b",
    ] {
        let verdict = judge(&Platform::usual(), &nominate(malformed)).summary;
        assert_eq!(verdict, BAD, "{malformed}");
    }
    let many = |count: usize| nominate(&vec!["x-a"; count].join(","));
    refused_everywhere("ten members", many(10), BAD);
    refused_everywhere("on two lines", many(5).line("connection", "a, b, c, d, e"), BAD);
    refused_everywhere("no text", good().line("connection", b"\xff"), BAD);
    check([
        ("keep-alive", nominate("keep-alive"), OK),
        ("an upgrade", nominate("Upgrade").line("upgrade", "websocket"), OK),
        ("a header of the client's own", nominate("x-custom, TE, ,"), OK),
        ("nothing", nominate(""), OK),
        ("nine members", many(9), OK),
        ("a name within another", nominate("x-store-id-2, ax-store-id"), OK),
    ]);
}

#[test]
fn a_bounded_head() {
    let mut many = good();
    for number in 0..64 {
        many = many.line(&format!("x-{number}"), "1");
    }
    refused_everywhere("65 and more fields", many, "431 invalid_request");
    refused_everywhere("a long value", good().line("x-long", "x".repeat(16_384)), "431 invalid_request");
    let mut sum = good();
    for number in 0..20 {
        sum = sum.line(&format!("x-{number}"), "x".repeat(1000));
    }
    refused_everywhere("many values", sum, "431 invalid_request");
    refused_everywhere(
        "too large and wrong otherwise",
        good().without("host").line("x", "x".repeat(20_000)),
        "431 invalid_request",
    );
    check([("a kilobyte of cookies", good().line("cookie", "x".repeat(1000)), OK)]);
}

#[test]
fn methods_that_are_never_forwarded() {
    for method in ["TRACE", "CONNECT"] {
        for path in [ORDERS, "/public/x", "/dashboard/x"] {
            assert_eq!(
                judge(&Platform::usual(), &send(method, path).bearer(TOKEN)).summary,
                "405 method_not_allowed"
            );
        }
    }
}

#[test]
fn the_callers_address_by_trusted_proxies() {
    let stage = Stage::new(|settings| {
        let entry = AddressList::parse_entry("10.0.0.0/8").unwrap();
        settings.trusted_proxies = AddressList::new(vec![entry]);
    });
    let records = Records::new(&Platform::usual());
    let through = |lines: &[&str]| {
        let start = orders().client(FENCED, FENCED_SECRET).store("22").from("10.0.0.1");
        lines.iter().fold(start, |request, line| request.line("x-forwarded-for", line))
    };
    let ok = "client_credentials sx_app_fenced in store 22 as 521 [read:orders]";
    for (sentence, request, expected) in [
        ("the caller is on the list", through(&["203.0.113.9"]), ok),
        ("behind two proxies", through(&["203.0.113.9, 10.0.0.2"]), ok),
        ("over two lines", through(&["203.0.113.9", "10.0.0.2"]), ok),
        ("the caller's own line is not believed", through(&["203.0.113.9, 192.0.2.1"]), "403 ip_not_allowed"),
        ("nor one of a stranger", through(&["203.0.113.9"]).from("192.0.2.1"), "403 ip_not_allowed"),
        ("no line", through(&[]), "403 ip_not_allowed"),
        ("other headers are not read", through(&[]).line("x-real-ip", "203.0.113.9"), "403 ip_not_allowed"),
        ("malformed", through(&["nonsense"]), BAD),
        ("malformed left of the caller", through(&["nonsense, 203.0.113.9"]), BAD),
        ("empty", through(&[""]), BAD),
        ("malformed by a stranger is not looked at", through(&["nonsense"]).from("203.0.113.9"), ok),
    ] {
        assert_eq!(stage.judge(&records, &request).summary, expected, "{sentence}");
    }
    // Malformed forwarding is refused whatever the route asks for.
    for path in ["/public/x", "/dashboard/x", "/nowhere"] {
        assert_eq!(stage.judge(&records, &through(&["nonsense"]).to("GET", path)).summary, BAD, "{path}");
    }
}
