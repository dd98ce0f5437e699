//! Certificates of clients: who gets in, and what the upstream is told.

use sha2::{Digest, Sha256};

use crate::common::world::{TOKEN, bearer};
use crate::common::{Exchange, Gateway, Response, Settings};
use crate::pki::{Authority, Pair};
use crate::secure::{Http2, Secure, block_on, request};
use crate::server::{NAME, gateway, gateway_with, tls};

const SUBJECT: &str = "x-client-cert-subject";
const FINGERPRINT: &str = "x-client-cert-fingerprint";

/// What a caller would like to be taken for, in every spelling.
const FORGED: [&str; 6] = [
    "X-Client-Cert-Subject: CN=root",
    "x_client_cert_subject: CN=root",
    "X.Client.Cert-Subject: CN=root",
    "X-Client-Cert-Fingerprint: 00",
    "x_client_cert_fingerprint: 00",
    "X-CLIENT-CERT.FINGERPRINT: 00",
];

fn fingerprint(pair: &Pair) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(&pair.chain()[0]))
}

fn get(path: &str, lines: &[String]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{lines}\r\n").into_bytes()
}

fn ask(gateway: &Gateway, authority: &Authority, identity: Option<&Pair>) -> std::io::Result<Response> {
    let config = authority.trusted_by(&["http/1.1"], identity);
    Secure::connect(gateway.address, &config)?.ask(&get("/api/apps/v1/orders", &bearer(TOKEN)))
}

/// The fields that speak of a certificate, in any spelling.
fn told(seen: &Exchange) -> Vec<(String, String)> {
    let is_told =
        |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-").starts_with("x-client-cert");
    seen.fields().into_iter().filter(|(name, _)| is_told(name)).collect()
}

#[test]
fn a_required_certificate() {
    let (authority, clients, strangers) =
        (Authority::new("root"), Authority::new("clients"), Authority::new("clients"));
    let gateway = gateway(&authority, "client_ca = \"clients.pem\"", &[("clients.pem", clients.pem())]);
    let refused = [
        None,
        Some(strangers.client("app")),
        Some(authority.client("app")),
        Some(clients.server(&["app"])), // not for clients
    ];
    for identity in refused {
        assert!(ask(&gateway, &authority, identity.as_ref()).is_err());
    }
    assert_eq!(gateway.upstream.heads(), 0);
    let app = clients.client("app, 7");
    assert_eq!(ask(&gateway, &authority, Some(&app)).unwrap().status, 200);
    let seen = gateway.upstream.one();
    assert_eq!(seen.field(SUBJECT).as_deref(), Some("CN=app\\, 7,O=Shops"));
    assert_eq!(seen.field(FINGERPRINT), Some(fingerprint(&app)));
    // A certificate is no credential.
    let config = authority.trusted_by(&["http/1.1"], Some(&app));
    let answer = Secure::connect(gateway.address, &config).unwrap().ask(&get("/tokens", &[])).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (401, "missing_token"));
}

#[test]
fn an_optional_certificate() {
    let (authority, clients, strangers) =
        (Authority::new("root"), Authority::new("clients"), Authority::new("clients"));
    let more = "client_ca = \"clients.pem\"\nclient_auth = \"optional\"";
    let gateway = gateway(&authority, more, &[("clients.pem", clients.pem())]);
    assert_eq!(ask(&gateway, &authority, None).unwrap().status, 200);
    assert_eq!(told(&gateway.upstream.one()), []);
    assert!(ask(&gateway, &authority, Some(&strangers.client("app"))).is_err(), "a bad one is no none");
    let app = clients.client("app");
    assert_eq!(ask(&gateway, &authority, Some(&app)).unwrap().status, 200);
    assert_eq!(gateway.upstream.one().field(SUBJECT).as_deref(), Some("CN=app,O=Shops"));
}

/// On every kind of route, over both versions, also where TLS sessions are resumed and where there is no TLS.
#[test]
fn forged_certificates_are_removed() {
    let (authority, clients) = (Authority::new("root"), Authority::new("clients"));
    let more = "client_ca = \"clients.pem\"\nclient_auth = \"optional\"";
    let gateway = gateway(&authority, more, &[("clients.pem", clients.pem())]);
    let app = clients.client("app");
    let lines: Vec<String> = FORGED.map(str::to_owned).into_iter().chain(bearer(TOKEN)).collect();
    let paths = ["/api/apps/v1/orders", "/public/a", "/native/a", "/free/a"];
    let expected = |identity: Option<&Pair>| match identity {
        None => Vec::new(),
        Some(pair) => vec![
            (FINGERPRINT.to_owned(), fingerprint(pair)),
            (SUBJECT.to_owned(), "CN=app,O=Shops".to_owned()),
        ],
    };
    for identity in [None, Some(&app)] {
        let config = authority.trusted_by(&["http/1.1"], identity);
        for path in paths {
            let answer = Secure::connect(gateway.address, &config).unwrap().ask(&get(path, &lines)).unwrap();
            assert_eq!(answer.status, 200, "{path}");
            let mut told = told(&gateway.upstream.one());
            told.sort();
            assert_eq!(told, expected(identity), "{path}");
        }
        let config = authority.trusted_by(&["h2"], identity);
        block_on(async {
            let connection = Http2::connect(gateway.address, &config).await;
            for path in paths {
                let answer = connection.ask(request("GET", path, &lines), b"").await.unwrap();
                assert_eq!(answer.status, 200, "{path}");
                let mut told = told(&gateway.upstream.one());
                told.sort();
                assert_eq!(told, expected(identity), "{path}");
            }
        });
    }
    let plain = Gateway::start(&Settings::default());
    for path in paths {
        assert_eq!(plain.ask(&format!("GET {path}"), &lines).status, 200);
        assert_eq!(told(&plain.upstream.one()), [], "{path}");
    }
    let nominated = plain.ask("GET /public/a", &["Connection: X-Client-Cert-Subject"]);
    assert_eq!((nominated.status, nominated.code().as_str()), (400, "invalid_request"));
}

#[test]
fn the_operator_names_the_fields() {
    let (authority, clients) = (Authority::new("root"), Authority::new("clients"));
    let rest = "[inject]\nclient_cert_subject = \"X-Peer\"\nclient_cert_fingerprint = \"X-Peer-Print\"\n";
    let server = tls("client_ca = \"clients.pem\"");
    let settings = Settings { server, rest: rest.into(), ..Settings::default() };
    let gateway = gateway_with(&authority, &settings, &[("clients.pem", clients.pem())]);
    let app = clients.client("app");
    assert_eq!(ask(&gateway, &authority, Some(&app)).unwrap().status, 200);
    let seen = gateway.upstream.one();
    assert_eq!(seen.field("x-peer").as_deref(), Some("CN=app,O=Shops"));
    assert_eq!(seen.field("x-peer-print"), Some(fingerprint(&app)));
    assert_eq!(seen.field(SUBJECT), None);
}
