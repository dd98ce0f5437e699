//! A bounded table of buckets. A key that is not in it has a full bucket.

use std::convert::Infallible;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::bucket::Bucket;
use crate::cache::Cache;

/// The buckets by key. Past the capacity the oldest that are not in use start anew.
pub(super) struct Accounts<K>(Cache<K, Bucket>);

impl<K: Clone + Eq + Hash> Accounts<K> {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self(Cache::new(capacity))
    }

    /// The bucket of `key`, opened where there is none.
    pub(super) fn of(&self, key: &K) -> Arc<Bucket> {
        match self.0.read_through(key, K::clone, || Ok::<_, Infallible>(Some(Bucket::default()))) {
            Ok(bucket) => bucket.unwrap_or_default(),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What one party often commands as a whole: an IPv4 /24, an IPv6 /48 (RFC 6177 section 2).
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) & !0xff).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 80)).into()),
    }
}

/// What counts as one address: an IPv6 caller commands a whole /64 (RFC 6177).
pub(super) fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(prefix.into())
        }
        v4 => v4,
    }
}
