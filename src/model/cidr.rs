//! Lists of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Malformed;

/// A list of networks in CIDR notation (RFC 4632); a bare address is a network of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressList(Box<[IpNet]>);

impl AddressList {
    /// A list of the given networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    /// Reads one entry: `203.0.113.0/24`, `2001:db8::/32`, or a bare address.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything else.
    pub fn parse_entry(text: &str) -> Result<IpNet, Malformed> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| Malformed("an address is written 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"))
    }

    /// Whether no network is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a network holds `address`. An IPv4 address that arrived over an IPv6 socket
    /// (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2) counts as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The networks, as they are written.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_single_addresses() {
        let list = AddressList::new(
            ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]
                .map(|text| AddressList::parse_entry(text).unwrap())
                .to_vec(),
        );
        for inside in ["10.255.0.1", "192.0.2.7", "2001:db8::1", "::ffff:10.1.2.3"] {
            assert!(list.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::ffff:11.0.0.1", "::1"] {
            assert!(!list.contains(outside.parse().unwrap()), "{outside}");
        }
        for malformed in ["", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.1:80"] {
            assert!(AddressList::parse_entry(malformed).is_err(), "{malformed:?} was accepted");
        }
    }
}
