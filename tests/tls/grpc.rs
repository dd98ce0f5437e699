//! gRPC through the gateway: HTTP/2 on both sides, trailers, and refusals that gRPC clients understand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::common::world::{MAIN, TOKEN, TOKEN_OWN_SCOPES, bearer, client};
use crate::common::{Gateway, Place, RecordingUpstream, Settings, wait_until};
use crate::pki::Authority;
use crate::secure::{Answer, Http2, PATIENCE, block_on, collect, request};
use crate::server::{NAME, install, tls};

/// Routes of a gRPC service beside the usual ones.
const ROUTES: &str = r#"
[[route]]
path = "/shop.v1.Orders/{method}"
upstream = "api"
scopes = "write:orders"

[[route]]
path = "/shop.v1.Customers/{method}"
upstream = "api"
scopes = "write:customers"

[[route]]
path = "/public/{*rest}"
upstream = "api"
auth = "public"
"#;

/// Request heads as the upstream received them.
pub(crate) type Heads = Arc<Mutex<Vec<http::request::Parts>>>;

/// A gRPC server: `Unary` echoes, `Stream` sends every message three times, `Fail` answers by trailers
/// alone, `Silent` never answers.
pub(crate) async fn start(tls: Option<Arc<ServerConfig>>) -> (SocketAddr, Heads) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Heads::default();
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, seen) = (tls.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, seen).await,
                    Some(config) => match TlsAcceptor::from(config).accept(stream).await {
                        Ok(stream) => serve(stream, seen).await,
                        Err(error) => eprintln!("upstream: {error}"),
                    },
                }
            });
        }
    });
    (address, heads)
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, heads: Heads) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let heads = Arc::clone(&heads);
        tokio::spawn(async move {
            let (head, mut incoming) = request.into_parts();
            let method = head.uri.path().rsplit('/').next().unwrap().to_owned();
            heads.lock().unwrap().push(head);
            let answer = Response::builder().header("content-type", "application/grpc");
            match method.as_str() {
                "Silent" => tokio::time::sleep(PATIENCE).await,
                "Fail" => {
                    let answer = answer.header("grpc-status", "9").header("grpc-message", "not%20now");
                    let _ = respond.send_response(answer.body(()).unwrap(), true);
                }
                "Claims" => {
                    let names = ["x-scopes", "x_store_id", "x-installation-id", "alt-svc", "x-served"];
                    let claimed = names.iter().fold(answer, |answer, name| answer.header(*name, "forged"));
                    let mut send = respond.send_response(claimed.body(()).unwrap(), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    for name in names.into_iter().chain(["x-request-id", "content-length", "trailer"]) {
                        trailers.insert(name, "1".parse().unwrap());
                    }
                    let _ = send.send_trailers(trailers);
                }
                _ => {
                    let mut send = respond.send_response(answer.body(()).unwrap(), false).unwrap();
                    let copies = if method == "Stream" { 3 } else { 1 };
                    while let Some(Ok(part)) = incoming.data().await {
                        let _ = incoming.flow_control().release_capacity(part.len());
                        for _ in 0..copies {
                            let _ = send.send_data(part.clone(), false);
                        }
                    }
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    trailers.insert("x-served", "yes".parse().unwrap());
                    let _ = send.send_trailers(trailers);
                }
            }
        });
    }
}

/// A gateway before an upstream at this URL, with these lines of it.
pub(crate) fn gateway(authority: &Authority, url: &str, upstream: &str, rest: &str) -> Gateway {
    gateway_with(authority, "", url, upstream, rest)
}

/// The same with lines of `[server]`.
fn gateway_with(authority: &Authority, server: &str, url: &str, upstream: &str, rest: &str) -> Gateway {
    let settings = Settings {
        server: format!("{server}\n{}", tls("")),
        upstream: format!("http2 = true\n{upstream}"),
        routes: ROUTES.into(),
        rest: rest.into(),
        ..Settings::default()
    };
    let place = Place::with(&settings.toml("PLACE").replace("http://PLACE", url));
    install(&place, &authority.server(&[NAME]));
    place.write("ca.pem", &authority.pem());
    place.seed();
    Gateway::start_in(place, RecordingUpstream::start())
}

pub(crate) fn call(path: &str, lines: &[String]) -> Request<()> {
    let fixed = ["content-type: application/grpc+proto", "te: trailers", "grpc-timeout: 10S"];
    let lines: Vec<String> = fixed.map(str::to_owned).into_iter().chain(lines.iter().cloned()).collect();
    request("POST", path, &lines)
}

/// A message with its prefix of five bytes.
pub(crate) fn message(text: &str) -> Vec<u8> {
    [&[0][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// The trailers of an answer, which are in its head when there is nothing else.
pub(crate) fn status(answer: &Answer) -> (&str, &str) {
    let from = if answer.trailers.is_empty() { &answer.headers } else { &answer.trailers };
    let text = |name| from.get(name).map_or("", |value: &http::HeaderValue| value.to_str().unwrap());
    (text("grpc-status"), text("grpc-message"))
}

async fn calls_pass(gateway: &Gateway, authority: &Authority, heads: &Heads, scheme: &str) {
    let connection = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
    let lines =
        [bearer(TOKEN), vec!["cookie: a=1".into(), "cookie: b=2".into(), "x-store_id: 9".into()]].concat();
    // A path that is not in normal form is forwarded in it, and keeps its authority.
    for path in ["/shop.v1.Orders/Unary", "/shop.v1.Orders/%55nary"] {
        let answer = connection.ask(call(path, &lines), &message("hello")).await.unwrap();
        assert_eq!((answer.status.as_u16(), status(&answer)), (200, ("0", "")), "{answer:?}");
        assert_eq!(answer.body, message("hello"));
        assert_eq!(answer.field("content-type"), Some("application/grpc"));
        assert_eq!(answer.trailers.get("x-served").unwrap(), "yes");
        let head = heads.lock().unwrap().pop().unwrap();
        assert_eq!(head.uri.path(), "/shop.v1.Orders/Unary");
        assert_eq!(head.uri.authority().unwrap().as_str(), NAME);
        assert_eq!(head.uri.scheme_str(), Some(scheme));
        let field = |name: &str| {
            let lines: Vec<_> =
                head.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect();
            lines.join("|")
        };
        for (name, value) in [
            ("te", "trailers"),
            ("grpc-timeout", "10S"),
            ("content-type", "application/grpc+proto"),
            ("x-store-id", "22"),
            ("x-client-id", MAIN.client_id),
            ("x-forwarded-host", NAME),
            ("x-forwarded-proto", "https"),
            ("cookie", "a=1; b=2"),
            ("authorization", ""),
            ("x-store_id", ""),
            ("host", ""),
        ] {
            assert_eq!(field(name), value, "{name}");
        }
    }
    let answer = connection.ask(call("/shop.v1.Orders/Fail", &lines), &message("x")).await.unwrap();
    assert_eq!((status(&answer), answer.body.len()), (("9", "not%20now"), 0));
    assert!(answer.head_alone);
    stream(&connection, &lines).await;
    // As many at a time as one connection takes.
    let many: Vec<_> = (0..60)
        .map(|n| {
            let (connection, request) = (connection.clone(), call("/shop.v1.Orders/Unary", &lines));
            tokio::spawn(async move {
                let text = message(&n.to_string());
                let answer = connection.ask(request, &text).await.unwrap();
                assert_eq!((status(&answer).0, &answer.body), ("0", &text));
            })
        })
        .collect();
    for one in many {
        one.await.unwrap();
    }
}

/// Messages come back while others are still to be sent.
async fn stream(connection: &Http2, lines: &[String]) {
    let mut send = connection.0.clone().ready().await.unwrap();
    let (answer, mut out) = send.send_request(call("/shop.v1.Orders/Stream", lines), false).unwrap();
    out.send_data(Bytes::from(message("one")), false).unwrap();
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("a head before the end").unwrap();
    let (head, mut incoming) = answer.into_parts();
    let mut first = Vec::new();
    while first.len() < 3 * message("one").len() {
        let part = tokio::time::timeout(PATIENCE, incoming.data()).await.expect("an echo").unwrap().unwrap();
        incoming.flow_control().release_capacity(part.len()).unwrap();
        first.extend_from_slice(&part);
    }
    assert_eq!(first, message("one").repeat(3));
    out.send_data(Bytes::from(message("two")), true).unwrap();
    let rest = collect(Response::from_parts(head, incoming)).await.unwrap();
    assert_eq!((rest.body.clone(), status(&rest)), (message("two").repeat(3), ("0", "")));
}

#[test]
fn grpc_passes_in_clear() {
    let authority = Authority::new("root");
    block_on(async {
        let (address, heads) = start(None).await;
        let gateway = gateway(&authority, &format!("http://{address}"), "", "");
        calls_pass(&gateway, &authority, &heads, "http").await;
    });
}

#[test]
fn grpc_passes_over_tls() {
    let authority = Authority::new("root");
    block_on(async {
        let (address, heads) = start(Some(authority.server(&["localhost"]).served(&["h2"], None))).await;
        let url = format!("https://localhost:{}", address.port());
        let gateway = gateway(&authority, &url, "ca = \"ca.pem\"", "");
        calls_pass(&gateway, &authority, &heads, "https").await;
    });
}

/// An upstream that is meant to speak HTTP/2 and does not is a bad gateway, not one that is spoken to otherwise.
#[test]
fn an_upstream_without_http2_is_unavailable() {
    let authority = Authority::new("root");
    let upstream = RecordingUpstream::start();
    let gateway = gateway(&authority, &format!("http://{}", upstream.address), "read_timeout = \"1s\"", "");
    block_on(async {
        let connection = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
        let answer = connection.ask(call("/public/a", &[]), b"").await.unwrap();
        assert!(["4", "14"].contains(&status(&answer).0), "{answer:?}");
    });
}

/// Checks speak what the server speaks.
#[test]
fn servers_are_checked_by_http2() {
    let authority = Authority::new("root");
    block_on(async {
        let (address, heads) = start(None).await;
        let health = "health = { path = \"/check/Unary\", interval = \"100ms\", timeout = \"20s\", unhealthy_after = 1 }";
        let gateway = gateway(&authority, &format!("http://{address}"), health, "");
        let checked = wait_until(PATIENCE, || (heads.lock().unwrap().len() > 3).then_some(()));
        assert!(checked.is_some());
        let head = heads.lock().unwrap().pop().unwrap();
        assert_eq!(
            (head.uri.path(), head.uri.authority().unwrap().as_str()),
            ("/check/Unary", &*address.to_string())
        );
        let metrics = gateway.admin("/metrics").text();
        assert!(metrics.contains("storegate_upstream_servers{state=\"up\",upstream=\"api\"} 1"), "{metrics}");
        assert!(!gateway.said().contains("down:"), "{}", gateway.said());
    });
}

#[test]
fn refusals_are_statuses_of_grpc() {
    let authority = Authority::new("root");
    block_on(async {
        let (address, heads) = start(None).await;
        let rest = "[limits]\naddress_failures = 3\naddress_failures_per_second = 1\n";
        let gateway = gateway(&authority, &format!("http://{address}"), "read_timeout = \"500ms\"", rest);
        let connection = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
        let orders = "/shop.v1.Orders/Unary";
        let large = [bearer(TOKEN), vec![format!("x-large: {}", "x".repeat(33_000))]].concat();
        let rows = [
            (orders, vec![], "16", "Access denied. Provide Bearer token or X-Client-Id + X-Client-Secret."),
            (orders, bearer("x"), "16", "Invalid or expired access token."),
            (orders, client(&MAIN, "23"), "16", "App is not installed for this store."),
            (orders, bearer(TOKEN_OWN_SCOPES), "7", "Insufficient scope. Required: write:orders"),
            ("/shop.v1.Customers/Unary", bearer(TOKEN), "7", "Insufficient scope. Required: write:customers"),
            (
                orders,
                client(&MAIN, "024"),
                "3",
                "Invalid store id: digits only, without sign or leading zero.",
            ),
            (
                orders,
                [bearer(TOKEN), client(&MAIN, "22")].concat(),
                "3",
                "Provide either a Bearer token or X-Client-Id + X-Client-Secret, not both.",
            ),
            ("/shop.v1.Carts/Unary", bearer(TOKEN), "12", "No such route."),
            (orders, large, "8", "The request head is too large."),
            ("/shop.v1.Orders/Silent", bearer(TOKEN), "4", "The upstream service did not answer in time."),
        ];
        for (path, lines, number, text) in rows {
            let answer = connection.ask(call(path, &lines), &message("x")).await.unwrap();
            assert_eq!((answer.status.as_u16(), status(&answer)), (200, (number, text)), "{path}");
            assert!(answer.head_alone, "{path}: trailers only");
            assert_eq!(answer.field("content-type"), Some("application/grpc"));
            assert!(answer.field("x-request-id").is_some());
        }
        // One attempt comes back per second: past the budget of three some attempt is one too many.
        let mut answer = connection.ask(call(orders, &bearer("x")), b"").await.unwrap();
        for _ in 0..20 {
            if status(&answer).0 == "8" {
                break;
            }
            answer = connection.ask(call(orders, &bearer("x")), b"").await.unwrap();
        }
        assert_eq!(status(&answer), ("8", "Too many failed attempts. Try again later."));
        // Of everything but the silent call, nothing has arrived.
        assert_eq!(heads.lock().unwrap().len(), 1);
        // What is no gRPC is answered as ever.
        for lines in [vec!["content-type: application/json".to_owned()], vec![]] {
            let answer = connection.ask(request("POST", orders, &lines), b"").await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "missing_token"));
        }
    });
}

#[test]
fn an_upstream_that_is_down_is_unavailable() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "http://127.0.0.1:1", "", "");
    block_on(async {
        let connection = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
        let answer = connection.ask(call("/shop.v1.Orders/Unary", &bearer(TOKEN)), &message("x")).await;
        assert_eq!(status(&answer.unwrap()), ("14", "The upstream service could not be reached."));
    });
}

/// A client may call and be silent; other bodies may not, on the same connection.
#[test]
fn a_quiet_call_is_not_hurried() {
    let authority = Authority::new("root");
    block_on(async {
        let (address, _) = start(None).await;
        let server = "body_timeout = \"1s\"\nmin_body_rate = 1000";
        let gateway = gateway_with(&authority, server, &format!("http://{address}"), "", "");
        let connection = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
        let mut send = connection.0.clone().ready().await.unwrap();
        let (answer, mut messages) =
            send.send_request(call("/shop.v1.Orders/Unary", &bearer(TOKEN)), false).unwrap();
        let (plain, _kept) = send.send_request(request("POST", "/public/a", &[""; 0]), false).unwrap();
        for text in ["one", "two"] {
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            messages.send_data(Bytes::from(message(text)), text == "two").unwrap();
        }
        let answer = collect(answer.await.unwrap()).await.unwrap();
        assert_eq!(answer.body, [message("one"), message("two")].concat());
        assert_eq!(status(&answer).0, "0");
        assert!(collect(plain.await.unwrap()).await.is_err(), "this upstream answers before it has the body");
    });
}
