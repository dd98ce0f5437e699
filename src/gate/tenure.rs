//! Whether what was permitted would still be: for requests that live long, such as a WebSocket.

use std::net::IpAddr;
use std::sync::Arc;

use super::directory::{Directory, Unavailable};
use super::kind::Kind;
use super::shopify_session;
use super::verify::{Proof, Verified};
use crate::model::{
    AccessToken, App, AppStatus, Installation, InstallationStatus, ScopeSet, StoreStatus, Timestamp,
    TokenDigest,
};

/// What a permit rests on, without the request that it was given for.
#[derive(Debug, Clone)]
pub struct Tenure {
    kind: Kind,
    proof: Proof,
    app: Arc<App>,
    installation: Arc<Installation>,
    scopes: ScopeSet,
    customer: Option<TokenDigest>,
}

impl Tenure {
    pub(super) fn new(verified: &Verified) -> Self {
        Self {
            kind: verified.kind,
            proof: verified.proof,
            app: Arc::clone(&verified.app),
            installation: Arc::clone(&verified.installation),
            scopes: verified.scopes().clone(),
            customer: verified.customer,
        }
    }

    /// Whether the credential, its app, installation and store still carry the scopes that were
    /// granted, for a caller at `caller`.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when that cannot be known now.
    pub fn holds(
        &self,
        directory: &impl Directory,
        caller: IpAddr,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let Some(app) = directory.app(self.app.client_id.as_str())? else { return Ok(false) };
        if app.app_id != self.app.app_id || app.status != AppStatus::Enabled || !self.is_proved(&app, now) {
            return Ok(false);
        }
        let elsewhere = !app.allowed_addresses.is_empty() && !app.allowed_addresses.contains(caller);
        if elsewhere && self.kind != Kind::Session {
            return Ok(false);
        }
        if let Proof::Token(digest) = &self.proof {
            let token = directory.access_token(digest)?;
            let ended = |token: &AccessToken| {
                let mut generation = token.secret_generation.iter();
                token.revoked
                    || now >= token.expires_at
                    || generation.any(|generation| !app.has_generation(*generation, now))
            };
            if token.is_none_or(|token| ended(&token)) {
                return Ok(false);
            }
        }
        if let Some(digest) = &self.customer {
            let token = directory.customer_token(digest)?;
            if token.is_none_or(|token| token.revoked || now >= token.expires_at) {
                return Ok(false);
            }
        }
        let store = self.installation.store_id;
        let installation = directory.installation(app.app_id, store)?;
        let granted = installation.is_some_and(|found| {
            found.status == InstallationStatus::Active && self.scopes.is_subset(&found.scopes)
        });
        Ok(granted && directory.store(store)?.is_some_and(|store| store.status == StoreStatus::Active))
    }

    /// Whether the app's record still has what was proved; tokens are looked up elsewhere.
    fn is_proved(&self, app: &App, now: Timestamp) -> bool {
        match self.proof {
            Proof::Token(_) => true,
            Proof::SignedSecret(generation, ends) => shopify_session::is_proved(app, generation, ends, now),
            Proof::Secret(position) => self.app.secrets.get(position).is_some_and(|proved| {
                let same = |own: &&crate::model::AppSecret| {
                    own.generation == proved.generation && own.hash == proved.hash
                };
                app.secrets.iter().find(same).is_some_and(|own| !own.is_expired(now))
            }),
            // The keys themselves are not kept: two that sign alike are one.
            Proof::Session(ends) => {
                let mark = |app: &App| app.session_key.as_ref().map(|key| key.sign(b"storegate tenure"));
                now < ends && mark(app).is_some_and(|own| Some(own) == mark(&self.app))
            }
        }
    }
}
