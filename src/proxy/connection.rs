//! What is known of one connection, from one request to the next.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;

use crate::model::AddressList;

/// An HTTP/1 connection. HTTP/2 keeps nothing from one stream to the next.
#[derive(Debug, Default)]
pub(super) struct Connection {
    has_head: AtomicBool,
    peer: OnceLock<Peer>,
}

impl Connection {
    /// A request is to come.
    pub(super) fn expect_head(&self) {
        self.has_head.store(false, Ordering::Relaxed); // one task owns the connection
    }

    /// The head of the current request is complete.
    pub(super) fn note_head(&self) {
        self.has_head.store(true, Ordering::Relaxed);
    }

    /// Whether the head of the current request is complete.
    pub(super) fn has_head(&self) -> bool {
        self.has_head.load(Ordering::Relaxed)
    }

    /// The other end; `find` is asked once.
    pub(super) fn peer(&self, find: impl FnOnce() -> Peer) -> Peer {
        self.peer.get_or_init(find).clone()
    }
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Its address, IPv4 as such.
    pub(super) address: IpAddr,
    /// Whether what it says of others is believed.
    pub(super) is_trusted: bool,
    /// The address as text.
    pub(super) text: HeaderValue,
}

impl Peer {
    pub(super) fn new(address: IpAddr, trusted: &AddressList) -> Self {
        let address = address.to_canonical();
        let text = HeaderValue::try_from(address.to_string());
        let text = text.unwrap_or_else(|_| HeaderValue::from_static("unknown")); // an address always is one
        Self { address, is_trusted: trusted.contains(address), text }
    }

    /// Nobody in particular, until the head of a request is there.
    pub(super) fn unknown() -> Self {
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { address, is_trusted: false, text: HeaderValue::from_static("unknown") }
    }
}
