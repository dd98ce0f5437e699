//! `[inject]`: the names under which the upstream learns who is calling.

use std::collections::BTreeMap;

use http::HeaderName;

use super::raw;
use super::report::{Finding, Report};
use crate::gate::InjectNames;

/// The names of the injected headers: canonical, and distinct even for upstreams that take `_` and
/// `.` for `-`.
pub(super) fn check(raw: &raw::Inject<'_>, report: &Report) -> InjectNames {
    // By folded name: the keys that have it.
    let mut taken: BTreeMap<String, &'static str> = BTreeMap::new();
    let given = [
        ("store", &raw.store, "x-store-id"),
        ("scopes", &raw.scopes, "x-scopes"),
        ("client", &raw.client, "x-client-id"),
        ("installation", &raw.installation, "x-installation-id"),
        ("method", &raw.method, "x-auth-method"),
        ("subject", &raw.subject, "x-subject"),
        ("client_cert_subject", &raw.client_cert_subject, "x-client-cert-subject"),
        ("client_cert_fingerprint", &raw.client_cert_fingerprint, "x-client-cert-fingerprint"),
    ];
    for (key, _, default) in given.iter().filter(|(_, given, _)| given.is_none()) {
        taken.insert((*default).to_owned(), key);
    }
    let names = given.map(|(key, given, default)| {
        report.holds_by_default(given.key, display(default));
        let Some(given) = given.as_ref() else { return HeaderName::from_static(default) };
        match header(key, given.get_ref()) {
            Err(message) => {
                report.push(
                    Finding::error(given.span(), message)
                        .expected(format!("a header name of its own, such as \"{}\"", display(default))),
                );
                HeaderName::from_static(default)
            }
            Ok(name) => {
                if let Some(other) = taken.insert(fold(name.as_str()), key) {
                    report.push(
                        Finding::error(given.span(), format!("`inject.{other}` has this name already"))
                            .expected("another name; case does not count, and `_` and `.` count as `-`"),
                    );
                }
                name
            }
        }
    });
    let [store, scopes, client, installation, method, subject, client_cert_subject, client_cert_fingerprint] =
        names;
    InjectNames {
        store,
        scopes,
        client,
        installation,
        method,
        subject,
        client_cert_subject,
        client_cert_fingerprint,
    }
}

/// Headers that mean something to the gateway, to HTTP or to the upstream's framework (RFC 9110
/// sections 7, 8, 11, 12; RFC 6265): overwriting them with an identity breaks the request or lets
/// one pass for the other.
const OWNED: [&str; 30] = [
    "accept",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
    "x-client-secret",
    "x-real-ip",
    "x-request-id",
];
const OWNED_FAMILIES: [&str; 9] = [
    "accept-",
    "access-control-",
    "content-",
    "if-",
    "proxy-",
    "sec-",
    "x-forwarded",
    "x-original-",
    "x-rewrite-",
];
const LONGEST: usize = 64;

fn header(key: &str, text: &str) -> Result<HeaderName, &'static str> {
    if text.len() > LONGEST {
        return Err("this header name is longer than 64 bytes");
    }
    let name = HeaderName::try_from(text).map_err(|_| "this is not a header name")?;
    let folded = fold(name.as_str());
    let owned = OWNED.contains(&folded.as_str())
        || OWNED_FAMILIES.iter().any(|family| folded.starts_with(family))
        || (folded == "x-client-id" && key != "client")
        || (folded == "x-store-id" && key != "store");
    if owned { Err("this header has another meaning") } else { Ok(name) }
}

/// The name that upstreams may take it for: CGI and its heirs do not tell `-` from `_` (RFC 3875
/// section 4.1.18), and some not from `.`.
fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

fn display(name: &str) -> String {
    let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}
