//! How often one client may ask a token endpoint, from one address. It is counted before anything is looked
//! up, so that a flood costs little; strangers at other addresses cannot use it up.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::accounts::{Accounts, block};
use super::bucket::Rate;
use crate::model::ClientId;

/// Accounts that are kept. Past it the oldest start anew.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// The accounts of all endpoints. Their rates are the configuration's, which may change meanwhile.
pub struct ClientAccounts {
    began: Instant,
    accounts: Accounts<(Box<str>, ClientId, IpAddr)>,
}

impl Default for ClientAccounts {
    fn default() -> Self {
        Self { began: Instant::now(), accounts: Accounts::new(ACCOUNTS) }
    }
}

impl ClientAccounts {
    /// Counts a request to the endpoint at `path`; `None`: it has no limit.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub fn draw(
        &self,
        path: &str,
        rate: Option<Rate>,
        client: &ClientId,
        address: IpAddr,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(rate) = rate else { return Ok(()) };
        let account = self.accounts.of(&(path.into(), client.clone(), block(address)));
        account.take(rate, 1, now.saturating_duration_since(self.began))
    }
}

impl std::fmt::Debug for ClientAccounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAccounts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_client_and_address_has_its_own() {
        let accounts = ClientAccounts::default();
        let rate = Some(Rate { burst: 10, per_second: 10.0 / 60.0 });
        let (one, two) = (ClientId::parse("a").unwrap(), ClientId::parse("b").unwrap());
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(accounts.draw("/t", rate, &one, here, now), Ok(()));
        }
        let wait = accounts.draw("/t", rate, &one, here, now).unwrap_err();
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(6), "{wait:?}");
        assert_eq!(accounts.draw("/u", rate, &one, here, now), Ok(()));
        assert_eq!(accounts.draw("/t", rate, &one, there, now), Ok(()));
        assert_eq!(accounts.draw("/t", rate, &two, here, now), Ok(()));
        assert_eq!(accounts.draw("/t", rate, &one, here, now + Duration::from_secs(6)), Ok(()));
        assert!(accounts.draw("/t", None, &one, here, now).is_ok());
    }
}
