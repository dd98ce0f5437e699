//! Files that cannot be used: nothing starts, and the file is named.

use crate::common::{Place, Settings};
use crate::pki::Authority;
use crate::server::{NAME, install, tls};

const NOTHING: &str = "127.0.0.1:1";

/// Runs `storegate run` where it cannot start.
fn refuses_to_start(place: &Place, named: &str) {
    let done = place.run(&["run"]);
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{named}: {done:?}");
    assert!(done.err.contains(named), "{named}: {}", done.err);
    assert!(!done.err.contains("panicked"), "{}", done.err);
    assert!(!done.err.contains("PRIVATE KEY--") && done.err.len() < 1000, "{}", done.err);
}

#[test]
fn a_listener_with_bad_files_does_not_start() {
    let authority = Authority::new("root");
    let (good, other) = (authority.server(&[NAME]), authority.server(&[NAME]));
    let settings = Settings { server: tls("client_ca = \"clients.pem\""), ..Settings::default() };
    let place = Place::with(&settings.toml(NOTHING));
    let cut = &good.cert[..good.cert.len() / 2];
    let not_base64 = good.cert.replacen("MI", "!!", 1);
    let not_der = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let not_a_key = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let large = "#".repeat(2 << 20);
    let rows = [
        ("cert.pem", ""),
        ("cert.pem", "hello"),
        ("cert.pem", cut),
        ("cert.pem", &not_base64),
        ("cert.pem", not_der),
        ("cert.pem", &good.key),
        ("cert.pem", &large),
        ("key.pem", ""),
        ("key.pem", "hello"),
        ("key.pem", &encrypted),
        ("key.pem", not_a_key),
        ("key.pem", &good.cert),
        ("key.pem", &other.key),
        ("clients.pem", ""),
        ("clients.pem", not_der),
        ("clients.pem", &good.key),
    ];
    for (file, text) in rows {
        install(&place, &good);
        place.write("clients.pem", &authority.pem());
        place.write(file, text);
        refuses_to_start(&place, file);
    }
    for file in ["cert.pem", "key.pem", "clients.pem"] {
        install(&place, &good);
        place.write("clients.pem", &authority.pem());
        std::fs::remove_file(place.path(file)).unwrap();
        refuses_to_start(&place, file);
        std::fs::create_dir(place.path(file)).unwrap();
        refuses_to_start(&place, file);
        std::fs::remove_dir(place.path(file)).unwrap();
    }
}

#[test]
fn an_upstream_with_bad_files_does_not_start() {
    let authority = Authority::new("root");
    let (good, other) = (authority.client("gateway"), authority.client("other"));
    let files = "ca = \"ca.pem\"\nclient_cert = \"client.pem\"\nclient_key = \"client-key.pem\"";
    let settings = Settings { upstream: files.into(), ..Settings::default() };
    let place = Place::with(&settings.toml(NOTHING).replace("http://", "https://"));
    let not_der = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let rows = [
        ("ca.pem", ""),
        ("ca.pem", not_der),
        ("client.pem", "hello"),
        ("client.pem", not_der),
        ("client-key.pem", ""),
        ("client-key.pem", &good.cert),
        ("client-key.pem", &other.key),
    ];
    for (file, text) in rows {
        place.write("ca.pem", &authority.pem());
        place.write("client.pem", &good.cert);
        place.write("client-key.pem", &good.key);
        place.write(file, text);
        refuses_to_start(&place, file);
    }
}
