//! How often one client may ask a token endpoint, from one address. It is counted before anything is looked
//! up, so that a flood costs little; strangers at other addresses cannot use it up.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::accounts::{Accounts, block};
use super::bucket::Rate;
use crate::model::ClientId;

/// Pairs that are kept account of. Past it the oldest start anew.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// The accounts of one endpoint.
pub struct ClientRates {
    rate: Option<Rate>,
    began: Instant,
    accounts: Accounts<(ClientId, IpAddr)>,
}

impl ClientRates {
    /// Full accounts for everybody; `None`: no limit.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, began: Instant::now(), accounts: Accounts::new(ACCOUNTS) }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub fn draw(&self, client: &ClientId, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let account = self.accounts.of(&(client.clone(), block(address)));
        account.take(rate, 1, now.saturating_duration_since(self.began))
    }
}

impl std::fmt::Debug for ClientRates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientRates").field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_and_address_has_its_own() {
        let rates = ClientRates::new(Some(Rate { burst: 10, per_second: 10.0 / 60.0 }));
        let (one, two) = (ClientId::parse("a").unwrap(), ClientId::parse("b").unwrap());
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(rates.draw(&one, here, now), Ok(()));
        }
        let wait = rates.draw(&one, here, now).unwrap_err();
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(6), "{wait:?}");
        assert_eq!(rates.draw(&one, there, now), Ok(()));
        assert_eq!(rates.draw(&two, here, now), Ok(()));
        assert_eq!(rates.draw(&one, here, now + Duration::from_secs(6)), Ok(()));
        assert!(ClientRates::new(None).draw(&one, here, now).is_ok());
    }
}
