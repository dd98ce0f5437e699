//! The budgets of wrong passwords, per account, address and browser.
//!
//! Guessing one account from many addresses and many accounts from one address are both slow, and neither
//! keeps the owner out: a browser in which they signed in before has a budget of its own, and an
//! address that has not failed lately is heard even when the account's budget is used up. Networks in
//! which somebody commands many addresses are heard as one then. Who succeeds pays nothing.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accounts::{Accounts, block, network};
use super::bucket::{Bucket, Rate};
use crate::model::TokenDigest;

/// Keys that are kept account of, of each kind. Past it the oldest are forgiven.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// The budgets' sizes, in wrong passwords.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignInSettings {
    /// Of one address (an IPv6 /64 counts as one), over all accounts.
    pub per_address: Rate,
    /// Of one account, over all addresses.
    pub per_account: Rate,
    /// Of one browser that was signed in to the account before.
    pub per_device: Rate,
    /// Of one network (an IPv4 /24, an IPv6 /48) on one account whose budget is used up, over its addresses that
    /// have not failed lately.
    pub per_network: Rate,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            per_address: Rate { burst: 30, per_second: 1.0 / 60.0 },
            per_account: Rate { burst: 10, per_second: 1.0 / 60.0 },
            per_device: Rate { burst: 10, per_second: 1.0 / 60.0 },
            per_network: Rate { burst: 5, per_second: 1.0 / 60.0 },
        }
    }
}

/// The accounts.
pub struct SignInBudgets {
    settings: SignInSettings,
    began: Instant,
    addresses: Accounts<IpAddr>,
    accounts: Accounts<TokenDigest>,
    devices: Accounts<TokenDigest>,
    networks: Accounts<(TokenDigest, IpAddr)>,
}

/// What was taken for an attempt, given back when it succeeds.
#[derive(Debug)]
#[must_use = "the price of an attempt is refunded when it succeeds, and kept when it fails"]
pub struct Attempt(Vec<(Arc<Bucket>, Rate)>);

impl SignInBudgets {
    /// Full budgets for everybody.
    pub fn new(settings: SignInSettings) -> Self {
        Self {
            settings,
            began: Instant::now(),
            addresses: Accounts::new(ACCOUNTS),
            accounts: Accounts::new(ACCOUNTS),
            devices: Accounts::new(ACCOUNTS),
            networks: Accounts::new(ACCOUNTS),
        }
    }

    /// Takes the price of an attempt on an account, which need not exist. `device` is a browser that was
    /// signed in to it before.
    ///
    /// # Errors
    ///
    /// How long to wait; nothing is taken then.
    pub fn attempt(
        &self,
        address: IpAddr,
        account: &TokenDigest,
        device: Option<&TokenDigest>,
        now: Instant,
    ) -> Result<Attempt, Duration> {
        let now = now.saturating_duration_since(self.began);
        let SignInSettings { per_address, per_account, per_device, per_network } = self.settings;
        if let Some(device) = device {
            let bucket = self.devices.of(device);
            if bucket.take(per_device, 1, now).is_ok() {
                return Ok(Attempt(vec![(bucket, per_device)]));
            }
        }
        let own = self.addresses.of(&block(address));
        let never_failed = own.is_full(now);
        own.take(per_address, 1, now)?;
        let mut attempt = Attempt(vec![(own, per_address)]);
        let bucket = self.accounts.of(account);
        let spent = match bucket.take(per_account, 1, now) {
            Ok(()) => {
                attempt.0.push((bucket, per_account));
                return Ok(attempt);
            }
            Err(wait) => wait,
        };
        let network = self.networks.of(&(*account, network(address)));
        if !never_failed || network.take(per_network, 1, now).is_err() {
            attempt.refund();
            return Err(spent);
        }
        attempt.0.push((network, per_network));
        Ok(attempt)
    }
}

impl Attempt {
    /// Gives the price back: the password was right, or was not checked.
    pub fn refund(self) {
        for (bucket, rate) in self.0 {
            bucket.refund(rate, 1);
        }
    }
}

impl std::fmt::Debug for SignInBudgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignInBudgets").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn key(text: &str) -> TokenDigest {
        TokenDigest::of(text.as_bytes())
    }

    fn budgets() -> SignInBudgets {
        SignInBudgets::new(SignInSettings::default())
    }

    #[test]
    fn guessing_one_account_ends() {
        let (budgets, now) = (budgets(), Instant::now());
        let attacker = address("198.51.100.1");
        let mut tried = 0;
        while let Ok(attempt) = budgets.attempt(attacker, &key("rahim"), None, now) {
            drop(attempt); // wrong: the price is kept
            tried += 1;
        }
        assert_eq!(tried, 10);
        assert!(budgets.attempt(attacker, &key("karim"), None, now).is_ok(), "another account");
        let later = now + Duration::from_secs(61);
        assert!(budgets.attempt(attacker, &key("rahim"), None, later).is_ok(), "one a minute");
        assert!(budgets.attempt(attacker, &key("rahim"), None, later).is_err());
    }

    #[test]
    fn trying_one_password_on_many_accounts_ends() {
        let (budgets, now) = (budgets(), Instant::now());
        let tried = (0..100)
            .filter(|n| budgets.attempt(address("198.51.100.1"), &key(&n.to_string()), None, now).is_ok())
            .count();
        assert_eq!(tried, 30);
        assert!(budgets.attempt(address("198.51.100.2"), &key("0"), None, now).is_ok());
    }

    #[test]
    fn the_owner_is_never_kept_out() {
        let (budgets, now) = (budgets(), Instant::now());
        for stranger in 0..10 {
            let _kept = budgets.attempt(address(&format!("198.51.100.{stranger}")), &key("rahim"), None, now);
        }
        let again = budgets.attempt(address("198.51.100.0"), &key("rahim"), None, now);
        assert!(again.is_err(), "the account's budget is used up");
        let home = address("192.0.2.1");
        budgets.attempt(home, &key("rahim"), None, now).expect("an address that has not failed").refund();
        // Behind the same address as the attacker, in their own browser.
        let shared = address("198.51.100.0");
        let own = budgets.attempt(shared, &key("rahim"), Some(&key("their browser")), now);
        own.expect("a browser that was signed in before").refund();
    }

    #[test]
    fn many_addresses_of_one_network_are_heard_as_one() {
        let (budgets, now) = (budgets(), Instant::now());
        for stranger in 0..10 {
            let _kept = budgets.attempt(address(&format!("198.51.100.{stranger}")), &key("rahim"), None, now);
        }
        let guesses = |addresses: &mut dyn Iterator<Item = String>, at: Instant| {
            let heard = |text: String| budgets.attempt(address(&text), &key("rahim"), None, at).is_ok();
            addresses.filter(|text| heard(text.clone())).count()
        };
        assert_eq!(guesses(&mut (0..200).map(|n| format!("203.0.113.{n}")), now), 5);
        assert_eq!(guesses(&mut (0..2000).map(|n| format!("2001:db8:1:{n:x}::1")), now), 5);
        assert_eq!(guesses(&mut (0..2000).map(|n| format!("2001:db8:2:{n:x}::1")), now), 5);
        let later = now + Duration::from_secs(61);
        let again = guesses(&mut (2000..4000).map(|n| format!("2001:db8:1:{n:x}::1")), later);
        assert_eq!(again, 2, "one a minute, and one of the account's own");
        budgets.attempt(address("2001:db8:3::1"), &key("rahim"), None, now).expect("the owner's").refund();
        let other = budgets.attempt(address("203.0.113.7"), &key("karim"), None, later);
        other.expect("another account").refund();
    }

    #[test]
    fn a_known_browser_guesses_no_faster() {
        let (budgets, now) = (budgets(), Instant::now());
        let try_it = || {
            let (home, device) = (address("192.0.2.1"), key("stolen laptop"));
            budgets.attempt(home, &key("rahim"), Some(&device), now).is_ok()
        };
        assert_eq!((0..100).filter(|_| try_it()).count(), 10 + 10, "its own budget, and then the account's");
    }

    #[test]
    fn who_succeeds_pays_nothing() {
        let (budgets, now) = (budgets(), Instant::now());
        for _ in 0..1000 {
            budgets.attempt(address("192.0.2.1"), &key("rahim"), None, now).unwrap().refund();
        }
    }
}
