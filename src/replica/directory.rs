//! What the gate looks up: from memory, or from the file and then kept.

use std::sync::Arc;

use super::read;
use super::reader::Replica;
use super::write::{OperatorSummary, by_token};
use crate::gate::{Directory, Unavailable};
use crate::model::{
    AccessToken, App, AppId, ClientId, CustomerToken, Installation, InstallationId, Store, StoreId,
    TokenDigest,
};

impl Directory for Replica {
    fn app(&self, client_id: &str) -> Result<Option<Arc<App>>, Unavailable> {
        // A text that is no client id cannot be in the table, nor become a key.
        if !ClientId::is_well_formed(client_id.as_bytes()) {
            return Ok(None);
        }
        let own = |id: &str| ClientId::parse(id).expect("it was found well-formed above");
        let read = || self.look_up(|conn| read::app(conn, client_id, self.sealer(), self.uses()));
        self.caches.apps.read_through(client_id, own, read)
    }

    fn installation(&self, app: AppId, store: StoreId) -> Result<Option<Arc<Installation>>, Unavailable> {
        let read = || self.look_up(|conn| read::installation(conn, app, store));
        self.caches.installations.read_through(&(app, store), |key| *key, read)
    }

    fn installation_by_id(&self, id: InstallationId) -> Result<Option<Arc<Installation>>, Unavailable> {
        let read = || self.look_up(|conn| read::installation_by_id(conn, id));
        self.caches.installations_by_id.read_through(&id, |key| *key, read)
    }

    fn store(&self, id: StoreId) -> Result<Option<Arc<Store>>, Unavailable> {
        let read = || self.look_up(|conn| read::store(conn, id));
        self.caches.stores.read_through(&id, |key| *key, read)
    }

    fn access_token(&self, digest: &TokenDigest) -> Result<Option<Arc<AccessToken>>, Unavailable> {
        let read = || self.look_up(|conn| read::access_token(conn, digest));
        self.caches.access_tokens.read_through(digest, |key| *key, read)
    }

    fn customer_token(&self, digest: &TokenDigest) -> Result<Option<Arc<CustomerToken>>, Unavailable> {
        let read = || self.look_up(|conn| read::customer_token(conn, digest));
        self.caches.customer_tokens.read_through(digest, |key| *key, read)
    }

    fn store_of_domain(&self, domain: &str) -> Result<Option<StoreId>, Unavailable> {
        let read = || self.look_up(|conn| read::store_of_domain(conn, domain)).map(Some);
        let kept = self.caches.domains.read_through(domain, |host| Box::from(host), read)?;
        Ok(kept.and_then(|store| *store))
    }
}

impl Replica {
    /// The operator with this token, from the file: who is one is not cached.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when it cannot be known.
    pub fn operator(&self, token: &TokenDigest) -> Result<Option<OperatorSummary>, Unavailable> {
        self.look_up(|conn| Ok(by_token(conn, token)?))
    }
}
