//! Host: one value, and another to compare with on a second line.

use std::net::Ipv6Addr;

use storegate::wire::host::Authority;

pub fn check(data: &[u8]) {
    let mut parts = super::lines(data);
    let (value, other) = (parts.next().unwrap_or_default(), parts.next());
    let parsed = Authority::parse(value);
    assert_eq!(parsed.is_ok(), is_authority(value), "{value:?}");
    let Ok(authority) = parsed else { return };
    let text = std::str::from_utf8(value).unwrap();
    assert_eq!(authority.as_str(), text);
    let port = authority.port().map(|port| format!(":{port}")).unwrap_or_default();
    assert_eq!(format!("{}{port}", authority.host()), text, "host and port are the whole");
    assert!(authority.agrees_with(text) && authority.agrees_with(&text.to_ascii_uppercase()));
    // What other software reads is the same host.
    let http = http::uri::Authority::try_from(value).unwrap();
    assert_eq!((http.host(), http.port_u16()), (authority.host(), authority.port()));
    if let Some(other) = other.and_then(|other| std::str::from_utf8(other).ok()) {
        let read = Authority::parse(other.as_bytes());
        assert!(
            !authority.agrees_with(other) || read.is_ok_and(|read| read.agrees_with(text)),
            "{text} {other}"
        );
    }
}

fn is_authority(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let end = if text.starts_with('[') { text.find(']').map(|at| at + 1) } else { Some(text.len()) };
    let Some(end) = end else { return false };
    let (host, port) = match text.rfind(':').filter(|&at| at >= end || !text.starts_with('[')) {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    };
    let is_port =
        |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => host.len() < 256 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label),
    };
    is_host && port.is_none_or(is_port)
}
