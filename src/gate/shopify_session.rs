//! Session tokens of Shopify's embedded apps: the app by `aud`, the store by `dest`, signed with the app's
//! secret or its session signing key.

use super::directory::Directory;
use super::kind::Kind;
use super::refusal::Reason;
use super::trail::{Step, Trail};
use super::verify::{Circumstances, Granted, Proof, Unverified, Verified, in_store};
use crate::model::{AppStatus, Timestamp};
use crate::wire::shopify_session::{self, ShopifySession};

pub(super) fn verify<D: Directory>(
    token: &[u8],
    with: &Circumstances<'_, D>,
    trail: &mut impl Trail,
) -> Result<Verified, Unverified> {
    let token = ShopifySession::parse(token).map_err(Reason::Session)?;
    let claims = &token.claims;
    let app = with.directory.app(claims.client_id.as_str())?.ok_or(Reason::SessionClaims)?;
    trail.step(Step::App(&app));
    let by_key =
        app.session_key.as_ref().is_some_and(|key| key.verify(token.signing_input, &token.signature));
    let by_secret = || {
        let mut in_force = app.secrets.iter().filter(|own| !own.is_expired(with.now));
        in_force.find(|own| own.signed(token.signing_input, &token.signature)).map(|own| own.generation)
    };
    let generation = match by_key {
        true => None,
        false => Some(by_secret().ok_or(Reason::SessionSignature)?),
    };
    trail.step(Step::SignatureEqual);
    shopify_session::check_times(claims, with.now).map_err(Reason::Session)?;
    if app.status == AppStatus::Disabled {
        return Err(Reason::TokenWithoutInstallation.into());
    }
    let store = with.directory.store_of_domain(&claims.domain)?.ok_or(Reason::SessionClaims)?;
    let installation = with.directory.installation(app.app_id, store)?;
    let installation = installation.ok_or(Reason::TokenWithoutInstallation)?;
    let ends = claims.expires_at.plus(shopify_session::LEEWAY);
    let proof = match generation {
        None => Proof::Session(ends),
        Some(generation) => Proof::SignedSecret(generation, ends),
    };
    let mut verified =
        in_store(Kind::Session, app, installation, store, Granted::Installation, proof, with, trail)?;
    verified.subject.clone_from(&claims.subject);
    Ok(verified)
}

/// Whether the generation that signed still counts.
pub(super) fn is_proved(app: &crate::model::App, generation: i64, ends: Timestamp, now: Timestamp) -> bool {
    now < ends && app.has_generation(generation, now)
}
