//! The customer token that may stand beside the bearer token on Elastic Path's routes: it tells for which
//! person the app acts, and adds what that person may do. It is no credential by itself.

use super::credential::{self, Lines};
use super::directory::Directory;
use super::refusal::Reason;
use super::verify::{Circumstances, Granted, Unverified, Verified};
use crate::model::{ScopeSet, TokenDigest};
use crate::wire::authorization::MAX_OPAQUE_BYTES;

/// Reads the customer token of a verified caller, if one was sent. One that does not count refuses the
/// request: to act without the person would be another request.
pub(super) fn join<D: Directory>(
    mut verified: Verified,
    allowed: &ScopeSet,
    with: &Circumstances<'_, D>,
) -> Result<Verified, Unverified> {
    let token = match Lines::of(with.headers, &credential::X_MOLTIN_CUSTOMER_TOKEN) {
        Lines::Absent => return Ok(verified),
        Lines::Repeated => return Err(Reason::RepeatedTokenHeader.into()),
        Lines::One(token) => token,
    };
    if token.len() > MAX_OPAQUE_BYTES || !token.iter().all(u8::is_ascii_graphic) {
        return Err(Reason::CustomerToken.into());
    }
    let digest = TokenDigest::of(token);
    let token = with.directory.customer_token(&digest)?.ok_or(Reason::CustomerToken)?;
    let counts = !token.revoked && with.now < token.expires_at && token.store_id == verified.store.store_id;
    if !counts {
        return Err(Reason::CustomerToken.into());
    }
    verified.subject = Some(token.subject.clone());
    verified.customer = Some(digest);
    // An app that acts with all its rights gains none.
    if !matches!(verified.scopes, Granted::Installation) {
        let added = verified.installation.scopes.intersection(allowed);
        verified.scopes = Granted::Both(verified.scopes().union(&added));
    }
    Ok(verified)
}
