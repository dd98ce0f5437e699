//! The caller's address, from the socket and X-Forwarded-For.
//!
//! The field counts only as far as proxies that the operator trusts have written it: reading goes from
//! the right, where the nearest proxy appended, to the first address that nobody trusted vouches for.
//! The Forwarded field (RFC 7239) and every other address field are not read.

use std::net::{IpAddr, SocketAddr};

use super::blank::trim;
use crate::model::{AddressList, Malformed};

/// The most entries read, over all field lines: longer chains of proxies do not exist.
pub const MAX_ENTRIES: usize = 64;

/// The address of the caller. `lines` are all X-Forwarded-For field values in their order; they are
/// looked at only when `peer` is a trusted proxy. When every address is trusted, the leftmost is the
/// caller. IPv4 addresses in IPv6 form (RFC 4291 section 2.5.5.2) come back as IPv4.
///
/// # Errors
///
/// [`Malformed`] when any entry, also one left of the caller's, is not an address with or without a
/// port, or there are more than [`MAX_ENTRIES`].
pub fn caller<'h>(
    peer: IpAddr,
    lines: impl Iterator<Item = &'h [u8]>,
    trusted: &AddressList,
) -> Result<IpAddr, Malformed> {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return Ok(peer);
    }
    let mut leftmost = None;
    let mut rightmost_stranger = None;
    let entries = lines.flat_map(|line| line.split(|&byte| byte == b','));
    for (index, entry) in entries.enumerate() {
        if index == MAX_ENTRIES {
            return Err(Malformed("X-Forwarded-For has more than 64 entries"));
        }
        let address = address(trim(entry))
            .ok_or(Malformed("an entry of X-Forwarded-For is not an address"))?
            .to_canonical();
        leftmost = leftmost.or(Some(address));
        if !trusted.contains(address) {
            rightmost_stranger = Some(address);
        }
    }
    Ok(rightmost_stranger.or(leftmost).unwrap_or(peer))
}

fn address(entry: &[u8]) -> Option<IpAddr> {
    // A zone (`fe80::1%1`) means something on its own host only; `SocketAddr` would take it.
    let text = std::str::from_utf8(entry).ok().filter(|text| !text.contains('%'))?;
    text.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip())).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> AddressList {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|text| AddressList::parse_entry(text).unwrap());
        AddressList::new(networks.to_vec())
    }

    fn read(peer: &str, lines: &[&str]) -> Result<String, Malformed> {
        let lines = lines.iter().map(|line| line.as_bytes());
        caller(peer.parse().unwrap(), lines, &trusted()).map(|address| address.to_string())
    }

    #[test]
    fn the_first_stranger_from_the_right() {
        for (peer, lines, expected) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["198.51.100.1, 192.0.2.7, 10.9.9.9"], "192.0.2.7"),
            ("10.0.0.1", &["198.51.100.1", "192.0.2.7", "10.9.9.9,10.8.8.8"], "192.0.2.7"),
            ("10.0.0.1", &["192.0.2.7,\t 10.9.9.9 "], "192.0.2.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.1", &["2001:db9::1"], "2001:db9::1"),
            ("10.0.0.1", &["[2001:db9::1]:4711, [2001:db8::1]:1"], "2001:db9::1"),
            ("10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["192.0.2.7, ::ffff:10.0.0.2"], "192.0.2.7"),
            ("2001:db8::9", &["192.0.2.7"], "192.0.2.7"),
            ("::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("::ffff:10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(read(peer, lines).as_deref(), Ok(expected), "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_peer_that_nobody_trusts_is_the_caller() {
        for lines in [&["192.0.2.7"][..], &["10.0.0.1"], &["garbage"], &[""], &[]] {
            assert_eq!(read("203.0.113.1", lines).as_deref(), Ok("203.0.113.1"), "{lines:?}");
            assert_eq!(read("::ffff:203.0.113.1", lines).as_deref(), Ok("203.0.113.1"), "{lines:?}");
        }
        let nobody =
            caller("10.0.0.1".parse().unwrap(), [b"x".as_slice()].into_iter(), &AddressList::default());
        assert_eq!(nobody, Ok("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn malformed_entries_are_refused_wherever_they_stand() {
        for entry in [
            "",
            " ",
            "unknown",
            "_hidden",
            "localhost",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.007",
            "0xc0000207",
            "3221225991",
            "192.0.2.7/32",
            "192.0.2.7:",
            "192.0.2.7:65536",
            "192.0.2.7:x",
            "192.0.2.7 10.0.0.1",
            "192.0.2.7;10.0.0.1",
            "\"192.0.2.7\"",
            "for=192.0.2.7",
            "[192.0.2.7]",
            "[192.0.2.7]:80",
            "[::1",
            "::1]",
            "[::1]",
            "[::1]x",
            ":::",
            "1:2:3:4:5:6:7:8:9",
            "fe80::1%eth0",
            "fe80::1%1",
            "[fe80::1%1]:80",
            "192.0.2.7\0",
            "192.0.2.7\u{c}",
            "１９２.0.2.7",
        ] {
            assert!(read("10.0.0.1", &[entry]).is_err(), "{entry:?} was accepted");
            for line in [format!("{entry},192.0.2.7"), format!("192.0.2.7,{entry},10.0.0.2")] {
                assert!(read("10.0.0.1", &[&line]).is_err(), "{line:?} was accepted");
            }
            assert!(read("10.0.0.1", &["192.0.2.7", entry]).is_err(), "{entry:?} in a second line");
        }
        let bytes = caller("10.0.0.1".parse().unwrap(), [b"\xff".as_slice()].into_iter(), &trusted());
        assert!(bytes.is_err());
    }

    #[test]
    fn chains_are_bounded() {
        let chain = |n: usize| vec!["192.0.2.7"; n].join(",");
        assert!(read("10.0.0.1", &[&chain(64)]).is_ok());
        assert!(read("10.0.0.1", &[&chain(65)]).is_err());
        assert!(read("10.0.0.1", &[&chain(33), &chain(32)]).is_err());
        assert!(read("10.0.0.1", &[&",".repeat(100_000)]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// The rule read aloud: drop trusted addresses from the right; what is then last is the caller.
        #[test]
        fn agrees_with_the_rule(picked in proptest::collection::vec(0usize..5, 1..8), cut in 0usize..8) {
            let pool = ["10.0.0.2", "192.0.2.7", "2001:db8::2", "198.51.100.1", "2001:db9::1"];
            let chain: Vec<&str> = picked.iter().map(|&index| pool[index]).collect();
            let (one, two) = chain.split_at(cut.min(chain.len()));
            let lines: Vec<String> =
                [one, two].iter().filter(|part| !part.is_empty()).map(|part| part.join(", ")).collect();
            let mut left = chain.clone();
            while left.len() > 1 && ["10.0.0.2", "2001:db8::2"].contains(left.last().unwrap()) {
                left.pop();
            }
            let only_trusted = ["10.0.0.2", "2001:db8::2"].contains(&left[0]) && left.len() == 1;
            let expected = if only_trusted { chain[0] } else { left[left.len() - 1] };
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(read("10.0.0.1", &lines), Ok(expected.to_owned()));
        }

        #[test]
        fn nothing_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = caller("10.0.0.1".parse().unwrap(), [line.as_slice()].into_iter(), &trusted());
        }
    }
}
