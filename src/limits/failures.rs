//! The budget of failed attempts, per address and per client.
//!
//! It makes guessing and bcrypt floods expensive for those who fail, and touches nobody else: a
//! request that succeeds is never charged, and a secret that was proved is never checked against it.
//! An address that has not failed lately may have a secret proved even when strangers have used up
//! the client's budget: otherwise they could lock the owner out after a restart.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accounts::{Accounts, block};
use super::bucket::{Bucket, Rate};
use crate::model::ClientId;

/// What a failed attempt that cost a bcrypt computation counts, in failed attempts.
const PROOF: u32 = 20;

/// Addresses and clients that are kept account of. Past it the oldest are forgiven.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// The budgets' sizes; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FailureSettings {
    /// Failed attempts of one address (an IPv6 /64 counts as one).
    pub per_address: Option<Rate>,
    /// Wrong secrets of one client that had to be computed.
    pub per_client: Option<Rate>,
}

/// The accounts.
pub struct FailureBudgets {
    settings: FailureSettings,
    began: Instant,
    addresses: Arc<Accounts<IpAddr>>,
    clients: Arc<Accounts<ClientId>>,
}

/// What was taken for a bcrypt computation, given back when the secret is proved.
#[derive(Debug)]
#[must_use = "a fee is refunded when the secret is proved, and kept when it is wrong"]
pub struct ProofFee {
    address: Option<(Arc<Bucket>, Rate)>,
    client: Option<(Arc<Bucket>, Rate)>,
}

impl FailureBudgets {
    /// Full budgets for everybody.
    pub fn new(settings: FailureSettings) -> Self {
        let (addresses, clients) = (Arc::new(Accounts::new(ACCOUNTS)), Arc::new(Accounts::new(ACCOUNTS)));
        Self { settings, began: Instant::now(), addresses, clients }
    }

    /// Budgets by new settings. What was used up of a budget that stays the same stays used up; a budget
    /// that changes is full.
    pub fn succeed(before: &Self, settings: FailureSettings) -> Self {
        let mut next = Self { began: before.began, ..Self::new(settings) };
        if settings.per_address == before.settings.per_address {
            next.addresses = Arc::clone(&before.addresses);
        }
        if settings.per_client == before.settings.per_client {
            next.clients = Arc::clone(&before.clients);
        }
        next
    }

    /// Charges a failed attempt.
    ///
    /// # Errors
    ///
    /// How long the address should wait, when its budget is used up.
    pub fn charge(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        match self.settings.per_address {
            Some(rate) => self.address(address).take(rate, 1, self.since(now)),
            None => Ok(()),
        }
    }

    /// Takes the fee of a bcrypt computation.
    ///
    /// # Errors
    ///
    /// How long to wait, when the address's or the client's budget is used up.
    pub fn take_fee(&self, address: IpAddr, client: &ClientId, now: Instant) -> Result<ProofFee, Duration> {
        let now = self.since(now);
        let mut fee = ProofFee { address: None, client: None };
        let mut never_failed = true;
        if let Some(rate) = self.settings.per_address {
            let bucket = self.address(address);
            never_failed = bucket.is_full(now);
            bucket.take(rate, PROOF.min(rate.burst), now)?;
            fee.address = Some((bucket, rate));
        }
        if let Some(rate) = self.settings.per_client {
            let bucket = self.client(client);
            match bucket.take(rate, 1, now) {
                Ok(()) => fee.client = Some((bucket, rate)),
                Err(_) if never_failed => {}
                Err(wait) => {
                    fee.refund();
                    return Err(wait);
                }
            }
        }
        Ok(fee)
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    fn address(&self, address: IpAddr) -> Arc<Bucket> {
        self.addresses.of(&block(address))
    }

    fn client(&self, client: &ClientId) -> Arc<Bucket> {
        self.clients.of(client)
    }
}

impl ProofFee {
    /// Gives the fee back: the secret was right, or was not checked.
    pub fn refund(self) {
        if let Some((bucket, rate)) = self.address {
            bucket.refund(rate, PROOF.min(rate.burst));
        }
        if let Some((bucket, rate)) = self.client {
            bucket.refund(rate, 1);
        }
    }
}

impl std::fmt::Debug for FailureBudgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FailureBudgets").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: FailureSettings = FailureSettings {
        per_address: Some(Rate { burst: 100, per_second: 1.0 }),
        per_client: Some(Rate { burst: 8, per_second: 0.01 }),
    };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(text: &str) -> ClientId {
        ClientId::parse(text).unwrap()
    }

    #[test]
    fn an_address_pays_for_its_own_failures_only() {
        let budgets = FailureBudgets::new(SETTINGS);
        let now = Instant::now();
        for _ in 0..100 {
            assert_eq!(budgets.charge(address("192.0.2.1"), now), Ok(()));
        }
        let wait = budgets.charge(address("192.0.2.1"), now).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(budgets.charge(address("192.0.2.2"), now), Ok(()));
        assert_eq!(budgets.charge(address("192.0.2.1"), now + Duration::from_secs(2)), Ok(()));
        assert!(budgets.charge(address("::ffff:192.0.2.1"), now).is_err(), "the same address, mapped");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let budgets = FailureBudgets::new(SETTINGS);
        let now = Instant::now();
        for host in 0..100 {
            assert_eq!(budgets.charge(address(&format!("2001:db8::{host:x}")), now), Ok(()));
        }
        assert!(budgets.charge(address("2001:db8::ffff:1"), now).is_err());
        assert_eq!(budgets.charge(address("2001:db8:0:1::1"), now), Ok(()));
    }

    #[test]
    fn a_proof_is_free_and_a_wrong_secret_is_dear() {
        let budgets = FailureBudgets::new(SETTINGS);
        let (now, app) = (Instant::now(), client("sx_app_1"));
        for _ in 0..1000 {
            budgets.take_fee(address("192.0.2.1"), &app, now).unwrap().refund();
        }
        for _ in 0..5 {
            let _kept = budgets.take_fee(address("192.0.2.1"), &app, now).unwrap();
        }
        assert!(budgets.take_fee(address("192.0.2.1"), &app, now).is_err(), "5 times 20 is all it had");
    }

    #[test]
    fn strangers_cannot_lock_the_owner_out() {
        let budgets = FailureBudgets::new(SETTINGS);
        let (now, app) = (Instant::now(), client("sx_app_1"));
        let stranger = |number: usize| address(&format!("198.51.100.{number}"));
        for number in 0..8 {
            let _kept = budgets.take_fee(stranger(number), &app, now).unwrap();
        }
        assert!(
            budgets.take_fee(stranger(0), &app, now).is_err(),
            "it has failed, and the client's budget is used up"
        );
        let owner = budgets.take_fee(address("192.0.2.1"), &app, now);
        owner.expect("it has not failed").refund();
        assert!(budgets.take_fee(stranger(0), &client("sx_app_2"), now).is_ok(), "another client");
    }

    #[test]
    fn a_budget_that_stays_the_same_stays_used_up() {
        let before = FailureBudgets::new(SETTINGS);
        let (now, app) = (Instant::now(), client("sx_app_1"));
        for number in 0..8 {
            let _kept = before.take_fee(address(&format!("198.51.100.{number}")), &app, now).unwrap();
        }
        while before.charge(address("192.0.2.1"), now).is_ok() {}
        let spent = |budgets: &FailureBudgets| {
            let client = budgets.take_fee(address("198.51.100.0"), &app, now).is_err();
            (budgets.charge(address("192.0.2.1"), now).is_err(), client)
        };
        assert_eq!(spent(&FailureBudgets::succeed(&before, SETTINGS)), (true, true));
        let wider = FailureSettings { per_address: Some(Rate { burst: 200, per_second: 1.0 }), ..SETTINGS };
        // Nobody has failed by the new account of addresses, so that the client's is not looked at.
        assert_eq!(spent(&FailureBudgets::succeed(&before, wider)), (false, false));
        let other = FailureSettings { per_client: None, ..SETTINGS };
        assert_eq!(spent(&FailureBudgets::succeed(&before, other)), (true, false));
    }

    #[test]
    fn no_limit_is_no_limit() {
        let budgets = FailureBudgets::new(FailureSettings { per_address: None, per_client: None });
        for _ in 0..10_000 {
            assert_eq!(budgets.charge(address("192.0.2.1"), Instant::now()), Ok(()));
        }
    }
}
