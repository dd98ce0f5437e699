//! Which requests the admin listener looks at at all: those addressed to it, with a path that means one
//! thing.
//!
//! Without TLS it is bound to loop-back, where every page of a browser on the machine can send requests. A
//! page whose name is made to resolve to 127.0.0.1 (DNS rebinding) could also read the answers; but its
//! requests carry its name in Host, and the listener has none but its address and `localhost`. With TLS
//! the certificate has no such name, and may have any other.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::edge::Peer;
use super::refused::Refused;
use crate::wire::host::Authority;
use crate::wire::target::Target;

pub(super) async fn admit(request: Request, next: Next) -> Response {
    let has_tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.has_tls);
    match check(request.version(), request.uri(), request.headers(), has_tls) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

fn check(version: Version, uri: &Uri, headers: &HeaderMap, has_tls: bool) -> Result<(), Refused> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.as_bytes()),
        // Probes of load balancers speak HTTP/1.0 without Host; browsers never do.
        (None, _) if version == Version::HTTP_10 => None,
        _ => return Err(Refused::Invalid("Exactly one Host header is required.".to_owned())),
    };
    let of_target = uri.authority().map(|authority| authority.as_str().as_bytes());
    for authority in [host, of_target].into_iter().flatten() {
        let authority = Authority::parse(authority)
            .map_err(|_| Refused::Invalid("The Host header is malformed.".to_owned()))?;
        if !has_tls && !is_own(authority.host()) {
            return Err(Refused::Misdirected);
        }
    }
    // The router compares literal parts with the bytes that were sent: an odd spelling finds no
    // resource, or another one than a proxy in between took it for.
    match Target::parse(uri.path().as_bytes(), None) {
        Ok(target) if !target.is_changed() && !uri.path().contains("//") && !uri.path().contains('%') => {
            Ok(())
        }
        _ => {
            Err(Refused::Invalid("The path must be in its normal form, without percent-encoding.".to_owned()))
        }
    }
}

/// Whether a host can be this listener: an address, which no name server gives out, or `localhost`, which
/// none may (RFC 6761 section 6.3).
fn is_own(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn outcome(version: Version, target: &str, hosts: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        match check(version, &target.parse().unwrap(), &headers, false) {
            Ok(()) => 200,
            Err(refused) => refused.into_response().status().as_u16(),
        }
    }

    #[test]
    fn hosts_that_are_not_ours_are_misdirected() {
        let rows: [(&[&str], u16); 22] = [
            (&["127.0.0.1:9180"], 200),
            (&["127.0.0.1"], 200),
            (&["[::1]:9180"], 200),
            (&["192.0.2.7:80"], 200),
            (&["LocalHost:9180"], 200),
            (&["evil.example.test:9180"], 421),
            (&["evil.example.test"], 421),
            (&["localhost.evil.example.test"], 421),
            (&["evil.localhost.example.test"], 421),
            (&["notlocalhost"], 421),
            (&["127.0.0.1.evil.example.test"], 421),
            (&["127.0.0.1.nip.io"], 421),
            (&["0x7f000001"], 421),
            (&["2130706433"], 421),
            (&["127.1"], 421),
            (&["storegate"], 421),
            (&["127.0.0.1, evil.example.test"], 400),
            (&["user@127.0.0.1"], 400),
            (&["127.0.0.1/x"], 400),
            (&[""], 400),
            (&["127.0.0.1", "127.0.0.1"], 400),
            (&[], 400),
        ];
        for (hosts, expected) in rows {
            assert_eq!(outcome(Version::HTTP_11, "/metrics", hosts), expected, "{hosts:?}");
        }
        assert_eq!(outcome(Version::HTTP_10, "/healthz", &[]), 200);
        assert_eq!(outcome(Version::HTTP_10, "/healthz", &["evil.example.test"]), 421);
        let absolute = |host| outcome(Version::HTTP_11, &format!("http://{host}/metrics"), &["127.0.0.1"]);
        assert_eq!((absolute("127.0.0.1:9180"), absolute("evil.example.test")), (200, 421));
    }

    #[test]
    fn over_tls_it_may_have_a_name() {
        let over_tls = |host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            check(Version::HTTP_11, &"/metrics".parse().unwrap(), &headers, true).is_ok()
        };
        assert!(over_tls("gateway.example.test:9180") && over_tls("127.0.0.1"));
        assert!(!over_tls("") && !over_tls("a b") && !over_tls("user@127.0.0.1"));
    }

    #[test]
    fn paths_have_one_spelling() {
        for (path, expected) in [
            ("/api/apps/7/rotate-secret", 200),
            ("/metrics?x=%2e%2e/..", 200),
            ("/unknown/path", 200), // the router's to refuse
            ("/api/apps/%37/rotate-secret", 400),
            ("/api/apps/7/%72otate-secret", 400),
            ("/%61pi/apps/7/rotate-secret", 400),
            ("/api/apps/7%2frotate-secret", 400),
            ("/api/apps/7%252frotate-secret", 400),
            ("/api/apps/7%00/rotate-secret", 400),
            ("/api/apps/7/../8/rotate-secret", 400),
            ("/api/apps/./7/rotate-secret", 400),
            ("/api//apps/7/rotate-secret", 400),
            ("/api/apps/..;/rotate-secret", 400),
        ] {
            assert_eq!(outcome(Version::HTTP_11, path, &["localhost"]), expected, "{path}");
        }
    }
}
