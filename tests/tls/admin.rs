//! TLS of the admin listener.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::common::{Gateway, Place, RecordingUpstream, Settings, wait_until};
use crate::pki::{Authority, Pair};
use crate::secure::Secure;
use crate::server::NAME;

const SECTION: &str = "[admin.tls]\ncert = \"admin.pem\"\nkey = \"admin-key.pem\"";

fn settings(listen: &str) -> Settings {
    Settings { admin: listen.into(), rest: SECTION.into(), ..Settings::default() }
}

fn install(place: &Place, pair: &Pair) {
    place.write("admin.pem", &pair.cert);
    place.write("admin-key.pem", &pair.key);
}

fn gateway(authority: &Authority, listen: &str) -> Gateway {
    let upstream = RecordingUpstream::start();
    let place = Place::with(&settings(listen).toml(&upstream.address.to_string()));
    install(&place, &authority.server(&[NAME]));
    place.seed();
    Gateway::start_in(place, upstream)
}

fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

#[test]
fn it_may_listen_anywhere_with_a_certificate() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "0.0.0.0:0");
    assert!(gateway.admin.ip().is_unspecified());
    let token = std::fs::read_to_string(gateway.place.path("admin.token")).unwrap();
    let mut kept = Secure::connect(gateway.admin, &authority.trusted_by(&[], None)).unwrap();
    assert_eq!(kept.ask(&get("/healthz", "x")).unwrap().status, 200);
    assert_eq!(kept.ask(&get("/admin/v1/stores", token.trim())).unwrap().status, 200);
    assert_eq!(kept.ask(&get("/admin/v1/stores", "x")).unwrap().code(), "invalid_token");
    let named = format!("GET /healthz HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    assert_eq!(kept.ask(named.as_bytes()).unwrap().status, 200, "the certificate's name");
    let metrics = kept.ask(&get("/metrics", "x")).unwrap().text();
    let expiry = r#"storegate_tls_certificate_expiry_timestamp_seconds{listener="admin"} "#;
    assert!(metrics.contains(expiry), "{metrics}");

    // The commands have a port of their own, on this machine.
    let reloaded = gateway.place.json(&["reload"]);
    let local: SocketAddr = reloaded["gateways"][0]["admin"].as_str().unwrap().parse().unwrap();
    assert!(local.ip().is_loopback() && local != gateway.admin, "{local}");

    // Another authority's client, a client that speaks no TLS, one that asks for another protocol, and one
    // that says nothing.
    assert!(Secure::connect(gateway.admin, &Authority::new("other").trusted_by(&[], None)).is_err());
    let mut plain = TcpStream::connect(gateway.admin).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    assert!(Secure::connect(gateway.admin, &authority.trusted_by(&["h2"], None)).is_err());
    let mut silent = TcpStream::connect(gateway.admin).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    match silent.read(&mut [0; 16]) {
        Ok(read) => assert_eq!(read, 0, "it is closed"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }

    let pair = authority.server(&[NAME]);
    install(&gateway.place, &pair);
    let renewed = wait_until(Duration::from_secs(20), || {
        let connection = Secure::connect(gateway.admin, &authority.trusted_by(&[], None)).ok()?;
        (connection.certificate() == pair.chain()[0]).then_some(())
    });
    renewed.expect("a changed certificate is taken over");
}

#[test]
fn without_a_certificate_it_listens_on_this_machine_only() {
    let authority = Authority::new("root");
    for (listen, rest, code, word) in [
        ("0.0.0.0:0", "", 2, "other machines"),
        ("[::]:0", "", 2, "other machines"),
        ("192.0.2.1:0", "", 2, "other machines"),
        ("0.0.0.0:0", "[admin.tls]\ncert = \"admin.pem\"", 2, "admin.tls.key"),
        ("0.0.0.0:0", SECTION, 1, "admin.tls"),
    ] {
        let settings = Settings { admin: listen.into(), rest: rest.into(), ..Settings::default() };
        let place = Place::with(&settings.toml("127.0.0.1:1"));
        let done = place.run(&["run"]);
        assert_eq!((done.code, done.out.as_str()), (code, ""), "{listen} {rest}: {done:?}");
        assert!(done.err.contains(word), "{listen} {rest}: {}", done.err);
    }
    // A pair that does not belong together.
    let place = Place::with(&settings("0.0.0.0:0").toml("127.0.0.1:1"));
    let (one, other) = (authority.server(&[NAME]), authority.server(&[NAME]));
    install(&place, &Pair { cert: one.cert, key: other.key });
    let done = place.run(&["run"]);
    assert!(done.code == 1 && done.err.contains("admin-key.pem"), "{done:?}");
}
