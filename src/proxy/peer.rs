//! The other end of a connection, worked out once.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderValue;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Its address, IPv4 as such.
    pub(super) address: IpAddr,
    /// The address as text.
    pub(super) text: HeaderValue,
}

impl Peer {
    pub(super) fn new(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let text = HeaderValue::try_from(address.to_string());
        let text = text.unwrap_or_else(|_| HeaderValue::from_static("unknown")); // an address always is one
        Self { address, text }
    }

    /// Nobody in particular, until the head of a request is there.
    pub(super) fn unknown() -> Self {
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { address, text: HeaderValue::from_static("unknown") }
    }
}
