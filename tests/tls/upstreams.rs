//! TLS to upstreams: authorities of one's own, names, certificates to show.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::common::{Gateway, Place, RecordingUpstream, Response, Settings};
use crate::pki::{Authority, Pair};

/// An upstream over TLS that answers each request with 200; counts requests.
fn start(config: Arc<ServerConfig>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut byte = [0];
                while tls.read_exact(&mut byte).is_ok() {
                    seen.push(byte[0]);
                    if seen.ends_with(b"\r\n\r\n") {
                        count.fetch_add(1, Ordering::SeqCst);
                        seen.clear();
                        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    }
                }
            });
        }
    });
    (address, served)
}

/// A gateway with two upstreams at this URL: `api` with these keys, `other` with those.
fn gateway(url: &str, api: &str, other: &str, files: &[(&str, String)]) -> Gateway {
    let rest = format!(
        "[upstream.other]\nservers = [\"{url}\"]\n{other}\n\
         [[route]]\npath = \"/other/{{*rest}}\"\nupstream = \"other\"\nauth = \"public\"\n"
    );
    let settings = Settings { upstream: api.into(), rest, ..Settings::default() };
    let toml = settings.toml("PLACE").replace("http://PLACE", url);
    let place = Place::with(&toml);
    for (name, text) in files {
        place.write(name, text);
    }
    Gateway::start_in(place, RecordingUpstream::start())
}

fn status(gateway: &Gateway, path: &str) -> u16 {
    let answer: Response = gateway.ask(&format!("GET {path}"), &[""; 0]);
    assert_eq!(answer.status == 502, answer.code() == "bad_gateway", "{}", answer.text());
    answer.status
}

#[test]
fn authorities_of_ones_own() {
    let (authority, stranger) = (Authority::new("internal"), Authority::new("internal"));
    let (address, served) = start(authority.server(&["localhost"]).served(&["http/1.1"], None));
    let files = [("right.pem", authority.pem()), ("wrong.pem", stranger.pem())];
    let url = format!("https://localhost:{}", address.port());
    let gateway_ = gateway(&url, "ca = \"right.pem\"", "ca = \"wrong.pem\"", &files);
    for _ in 0..3 {
        assert_eq!(status(&gateway_, "/public/a"), 200);
        // A connection that was made with other authorities is there, and does not serve this upstream.
        assert_eq!(status(&gateway_, "/other/a"), 502);
    }
    // The system's authorities know nothing of it.
    let gateway_ = gateway(&url, "ca = \"right.pem\"", "", &files);
    assert_eq!((status(&gateway_, "/public/a"), status(&gateway_, "/other/a")), (200, 502));
    // The right authority, for another name.
    let url = format!("https://127.0.0.1:{}", address.port());
    let gateway_ = gateway(&url, "ca = \"right.pem\"", "ca = \"wrong.pem\"", &files);
    assert_eq!((status(&gateway_, "/public/a"), status(&gateway_, "/other/a")), (502, 502));
    assert_eq!(served.load(Ordering::SeqCst), 4);
}

#[test]
fn an_address_is_a_name_too_and_expired_is_expired() {
    let authority = Authority::new("internal");
    let pairs: [(Pair, u16); 2] =
        [(authority.server(&["127.0.0.1"]), 200), (authority.expired(&["127.0.0.1"]), 502)];
    for (pair, expected) in pairs {
        let (address, _) = start(pair.served(&["http/1.1"], None));
        let ca = "ca = \"ca.pem\"";
        let gateway = gateway(&format!("https://{address}"), ca, ca, &[("ca.pem", authority.pem())]);
        assert_eq!(status(&gateway, "/public/a"), expected);
    }
}

#[test]
fn a_certificate_to_show() {
    let (authority, clients) = (Authority::new("internal"), Authority::new("clients"));
    let (address, served) = start(authority.server(&["localhost"]).served(&["http/1.1"], Some(&clients)));
    let shown = clients.client("gateway");
    let files =
        [("ca.pem", authority.pem()), ("cert.pem", shown.cert.clone()), ("key.pem", shown.key.clone())];
    let with = "ca = \"ca.pem\"\nclient_cert = \"cert.pem\"\nclient_key = \"key.pem\"";
    let url = format!("https://localhost:{}", address.port());
    let gateway = gateway(&url, with, "ca = \"ca.pem\"", &files);
    for _ in 0..2 {
        assert_eq!((status(&gateway, "/public/a"), status(&gateway, "/other/a")), (200, 502));
    }
    assert_eq!(served.load(Ordering::SeqCst), 2);
    let metrics = gateway.admin("/metrics").text();
    let expiry = "storegate_upstream_certificate_expiry_timestamp_seconds{upstream=";
    let shown: Vec<&str> = metrics.lines().filter_map(|line| line.strip_prefix(expiry)).collect();
    let [one] = shown[..] else { panic!("{shown:?}") };
    let at: i64 = one.strip_prefix("\"api\"} ").unwrap().parse().unwrap();
    assert!(at > crate::common::now(), "{at}");
}
