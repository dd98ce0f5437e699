//! What the decision looks up, and nothing about where it is kept.

use std::sync::Arc;

use crate::model::{
    AccessToken, App, AppId, CustomerToken, Installation, InstallationId, Store, StoreId, TokenDigest,
};

/// The records of the platform. Not found is a value; "cannot tell" is the error, and becomes 503,
/// never 401.
pub trait Directory {
    /// The app with this client id.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the answer cannot be known; so for every look-up here.
    fn app(&self, client_id: &str) -> Result<Option<Arc<App>>, Unavailable>;

    /// The installation of an app in a store, whatever its status.
    fn installation(&self, app: AppId, store: StoreId) -> Result<Option<Arc<Installation>>, Unavailable>;

    /// The installation with this number, as session tokens name it (`sid`).
    fn installation_by_id(&self, id: InstallationId) -> Result<Option<Arc<Installation>>, Unavailable>;

    /// The store with this number.
    fn store(&self, id: StoreId) -> Result<Option<Arc<Store>>, Unavailable>;

    /// The opaque access token with this digest.
    fn access_token(&self, digest: &TokenDigest) -> Result<Option<Arc<AccessToken>>, Unavailable>;

    /// The customer token with this digest.
    fn customer_token(&self, digest: &TokenDigest) -> Result<Option<Arc<CustomerToken>>, Unavailable>;

    /// The store with this domain, in lower case.
    fn store_of_domain(&self, domain: &str) -> Result<Option<StoreId>, Unavailable>;
}

/// The records cannot be read, or are older than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replica cannot be read")]
pub struct Unavailable;

impl<D: Directory + ?Sized> Directory for Arc<D> {
    fn app(&self, client_id: &str) -> Result<Option<Arc<App>>, Unavailable> {
        (**self).app(client_id)
    }

    fn installation(&self, app: AppId, store: StoreId) -> Result<Option<Arc<Installation>>, Unavailable> {
        (**self).installation(app, store)
    }

    fn installation_by_id(&self, id: InstallationId) -> Result<Option<Arc<Installation>>, Unavailable> {
        (**self).installation_by_id(id)
    }

    fn store(&self, id: StoreId) -> Result<Option<Arc<Store>>, Unavailable> {
        (**self).store(id)
    }

    fn access_token(&self, digest: &TokenDigest) -> Result<Option<Arc<AccessToken>>, Unavailable> {
        (**self).access_token(digest)
    }

    fn customer_token(&self, digest: &TokenDigest) -> Result<Option<Arc<CustomerToken>>, Unavailable> {
        (**self).customer_token(digest)
    }

    fn store_of_domain(&self, domain: &str) -> Result<Option<StoreId>, Unavailable> {
        (**self).store_of_domain(domain)
    }
}
