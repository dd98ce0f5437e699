//! Shopify's shops are told apart by the host: a token of one shop does not count at the host of another.
//!
//! An upstream that takes the shop from the host would otherwise act on a store for which nobody was
//! authorised. A host that is no shop's names no store: the token alone decides there.

use std::borrow::Cow;

use super::directory::Directory;
use super::refusal::Reason;
use super::verify::{Circumstances, Unverified, Verified};
use crate::wire::host::Authority;

/// The caller, if the host is not another store's domain.
pub(super) fn check<D: Directory>(
    verified: Verified,
    with: &Circumstances<'_, D>,
) -> Result<Verified, Unverified> {
    let host = Authority::parse(with.host.as_bytes()).map_err(|_| Reason::Host)?.host();
    let host = host.strip_suffix('.').unwrap_or(host);
    if verified.store.domain.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(host)) {
        return Ok(verified);
    }
    let host = match host.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    };
    match with.directory.store_of_domain(&host)? {
        Some(other) if other != verified.store.store_id => Err(Reason::TokenOfOtherShop.into()),
        _ => Ok(verified),
    }
}
