//! Requests that the public listener answers itself: what an endpoint of ours is told, and what it tells
//! the log.

use std::net::IpAddr;

use http::HeaderValue;

use super::{ClientId, StoreId};

/// What an endpoint is told of a request, beside its head and body. The head was admitted.
#[derive(Debug, Clone)]
pub struct Requester {
    /// The caller's address: the peer, or what trusted proxies say.
    pub address: IpAddr,
    /// Host or `:authority`, validated, with its port where one was sent.
    pub host: Box<str>,
    /// Whether the caller spoke TLS, to us or to a trusted proxy.
    pub secure: bool,
    /// `X-Request-Id`.
    pub request_id: HeaderValue,
}

/// What an endpoint tells the access log and the metrics of the request that it answered; an extension of its
/// response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Whose endpoint it is, such as `shopify`.
    pub family: &'static str,
    /// What was asked for, such as `client_credentials`.
    pub action: &'static str,
    /// Why it was refused: the code that the caller is told, in the words of RFC 6749; empty where it was not.
    pub code: &'static str,
    /// The app that was named; not necessarily proved.
    pub client_id: Option<ClientId>,
    /// The store that was acted on.
    pub store_id: Option<StoreId>,
}
