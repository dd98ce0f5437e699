//! The one place where access tokens of the token endpoints are made: the text and its record together, so
//! that no token is handed out that the replica does not know, and none is recorded that nobody has.

use super::Served;
use super::failure::Failure;
use super::grant::Granted;
use crate::model::{Platform, Secret, Timestamp, TokenDigest};
use crate::replica::NewAccessToken;

/// A token on its way to the client.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) access_token: Secret,
    pub(super) expires_at: Timestamp,
    /// Seconds.
    pub(super) life: i64,
}

impl Served {
    /// Makes a token of the platform's family and records it. It works on this node from the return on.
    pub(super) async fn issue(&self, granted: &Granted) -> Result<Issued, Failure> {
        let life = self.life();
        let access_token = self.token_text(self.endpoint.platform).map_err(|_| Failure::Unavailable)?;
        let issued_at = Timestamp::now();
        let expires_at = issued_at.plus(life);
        let record = NewAccessToken {
            digest: TokenDigest::of(access_token.expose().as_bytes()),
            app: granted.app.app_id,
            store: granted.store_id,
            scopes: granted.scopes.clone(),
            issued_at,
            expires_at,
            secret_generation: granted.generation,
        };
        self.authority.queue()?.record_access_token(record).await?;
        Ok(Issued { access_token, expires_at, life })
    }

    /// The families: their lengths are the platforms', their randomness is 128 bits at least.
    fn token_text(&self, platform: Platform) -> Result<Secret, getrandom::Error> {
        match platform {
            Platform::Selorax | Platform::Standard => Secret::generate(&self.access_token_prefix),
            Platform::Shopify => Secret::generate_of::<16>("shpat_"),
            Platform::ElasticPath => Secret::generate_of::<20>(""),
            Platform::Tiki => Secret::generate_of::<32>(""),
        }
    }
}
