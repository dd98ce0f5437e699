//! X-Forwarded-For: each line of a case is a field line.

use std::net::{IpAddr, SocketAddr};

use storegate::model::AddressList;
use storegate::wire::forwarded::{MAX_ENTRIES, caller};

pub fn check(data: &[u8]) {
    let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|text| AddressList::parse_entry(text).unwrap());
    let trusted = AddressList::new(networks.to_vec());
    let stranger: IpAddr = "203.0.113.9".parse().unwrap();
    let proxy: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
    assert_eq!(caller(stranger, super::lines(data), &trusted), Ok(stranger), "strangers are not believed");
    let expected = rule(data, &trusted, proxy.to_canonical());
    assert_eq!(caller(proxy, super::lines(data), &trusted).ok(), expected);
}

/// The rule read aloud: every entry is an address; from the right, the first that nobody trusted
/// vouches for; otherwise the leftmost.
fn rule(data: &[u8], trusted: &AddressList, peer: IpAddr) -> Option<IpAddr> {
    let entries: Vec<&[u8]> = super::lines(data).flat_map(|line| line.split(|&byte| byte == b',')).collect();
    let addresses: Vec<IpAddr> = entries.into_iter().map(address).collect::<Option<_>>()?;
    if addresses.len() > MAX_ENTRIES {
        return None;
    }
    let stranger = addresses.iter().rev().find(|address| !trusted.contains(**address));
    Some(*stranger.or(addresses.first()).unwrap_or(&peer))
}

fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = String::from_utf8(super::without_blanks(entry)).ok().filter(|text| !text.contains('%'))?;
    let bare = text.parse::<IpAddr>().ok();
    bare.or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
        .map(|ip| ip.to_canonical())
}
