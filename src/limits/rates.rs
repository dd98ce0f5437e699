//! How many valid requests a caller may make: per app and store, or per route and caller.
//!
//! Checked after a request was authorised and before it is forwarded, so that what is refused for
//! another reason costs its caller nothing. Apps and bare addresses have tables of their own: nobody
//! without a credential can push an app's account out.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accounts::{Accounts, block};
use super::bucket::{Bucket, Rate};
use super::quota::{Announced, Quota};
use super::shared::{Shared, SharedUrl};
use crate::model::{AppId, StoreId};

/// Apps in stores, on routes, that are kept account of.
const APPS: NonZeroUsize = NonZeroUsize::new(262_144).expect("not zero");

/// Addresses, on routes, that are kept account of.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// The limits, as configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateSettings {
    /// Of one app in one store, on all routes together that have no limit of their own.
    pub everywhere: Option<Rate>,
    /// Of each route, by its position.
    pub routes: Vec<RouteRate>,
    /// Where the nodes of a fleet count together.
    pub shared: Option<SharedUrl>,
}

/// What a route says of limits.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum RouteRate {
    /// Nothing: apps are counted everywhere together, and requests without identity not at all.
    #[default]
    Everywhere,
    /// Nothing is counted here.
    Unlimited,
    /// A limit of its own, for each app in each store, and for each address without identity.
    Own {
        /// The limit.
        rate: Rate,
        /// What tells the route from others on every node: methods and path.
        name: Box<str>,
    },
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// An app in a store, with whichever credential.
    App(AppId, StoreId),
    /// Nobody we know: the address, an IPv6 /64 as one.
    Address(IpAddr),
}

/// Whether one more request is within its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Draw {
    /// No limit applies.
    Unlimited,
    /// It was counted.
    Granted(Quota),
    /// It was not counted; when to come back.
    Refused(Quota, Duration),
}

/// The limits and their accounts.
pub struct RateLimits {
    began: Instant,
    everywhere: Option<Policy>,
    routes: Box<[Own]>,
    tables: Option<Arc<Tables>>,
    shared: Option<(SharedUrl, Arc<Shared>)>,
    /// The number of the next account that is opened.
    next_account: u32,
}

struct Tables {
    apps: Accounts<(u32, AppId, StoreId)>,
    addresses: Accounts<(u32, IpAddr)>,
}

enum Own {
    Everywhere,
    Unlimited,
    Limit(Policy),
}

struct Policy {
    /// Under which its callers are counted; another one for another rate or route.
    account: u32,
    /// What tells the route from others; empty for the limit that holds everywhere.
    name: Box<str>,
    rate: Rate,
    announced: Announced,
    /// What its accounts are called where the nodes count together.
    shared_name: Box<str>,
}

impl RateLimits {
    /// The limits of these settings. What callers have used up of a limit that was in force `before`, on
    /// the same route with the same rate, stays used up; all other accounts are full.
    ///
    /// Where nodes count together, tries to reach the place for a second at most, and keeps trying in the
    /// background; `on_failure` is called for each failure there.
    pub async fn start(
        settings: RateSettings,
        before: Option<&Self>,
        on_failure: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let mut limits = Self::local(&settings, before);
        if let (Some(url), true) = (settings.shared, limits.tables.is_some()) {
            let kept = before.and_then(|before| before.shared.as_ref()).filter(|(of, _)| *of == url);
            limits.shared = Some(match kept {
                Some((_, shared)) => (url, Arc::clone(shared)),
                None => (url.clone(), Arc::new(Shared::start(url, on_failure).await)),
            });
        }
        limits
    }

    fn local(settings: &RateSettings, before: Option<&Self>) -> Self {
        // Without a table nobody was counted, and the numbers can begin anew.
        let before = before.filter(|before| before.tables.is_some());
        let mut next_account = before.map_or(0, |before| before.next_account);
        let mut policy = |rate, announced, name: &str| {
            let kept = before.and_then(|before| before.account(name, rate));
            let account = kept.unwrap_or_else(|| {
                let account = next_account;
                next_account = next_account.wrapping_add(1);
                account
            });
            let announced = Announced::new(announced, rate);
            Policy { account, name: name.into(), rate, announced, shared_name: Shared::name(name) }
        };
        let everywhere = settings.everywhere.map(|rate| policy(rate, "default", ""));
        let own = |route: &RouteRate| match route {
            RouteRate::Everywhere => Own::Everywhere,
            RouteRate::Unlimited => Own::Unlimited,
            RouteRate::Own { rate, name } => Own::Limit(policy(*rate, "route", name)),
        };
        let routes: Box<[Own]> = settings.routes.iter().map(own).collect();
        let is_used = everywhere.is_some() || routes.iter().any(|own| matches!(own, Own::Limit(_)));
        let tables = is_used.then(|| match before.and_then(|before| before.tables.as_ref()) {
            Some(tables) => Arc::clone(tables),
            None => Arc::new(Tables { apps: Accounts::new(APPS), addresses: Accounts::new(ADDRESSES) }),
        });
        let began = before.map_or_else(Instant::now, |before| before.began);
        Self { began, everywhere, routes, tables, shared: None, next_account }
    }

    /// The account of the limit with this name and rate.
    fn account(&self, name: &str, rate: Rate) -> Option<u32> {
        let own = self.routes.iter().filter_map(|own| match own {
            Own::Limit(policy) => Some(policy),
            Own::Everywhere | Own::Unlimited => None,
        });
        let mut all = self.everywhere.iter().chain(own);
        all.find(|policy| *policy.name == *name && policy.rate == rate).map(|policy| policy.account)
    }

    /// Counts one request at the time `now`, unless it is one too many.
    pub async fn draw(&self, route: usize, caller: Caller, now: Instant) -> Draw {
        let (Some(policy), Some(tables)) = (self.policy(route, caller), &self.tables) else {
            return Draw::Unlimited;
        };
        let bucket = tables.bucket(policy.account, caller);
        let drawn =
            match (bucket.draw(policy.rate, 1, now.saturating_duration_since(self.began)), &self.shared) {
                // What one node granted is a part of what all granted: past its own limit nobody else needs
                // to be asked, so that a flood ends here. Boxed: who counts alone should not carry the
                // room that asking takes.
                (Ok(full_in), Some((_, shared))) => {
                    match Box::pin(shared.draw(&policy.shared_name, policy.rate, caller)).await {
                        Some(Ok(full_in)) => Ok(full_in),
                        Some(Err(wait)) => {
                            bucket.refund(policy.rate, 1);
                            Err(wait)
                        }
                        None => Ok(full_in),
                    }
                }
                (local, _) => local,
            };
        match drawn {
            Ok(full_in) => Draw::Granted(policy.announced.quota(full_in)),
            Err(wait) => {
                let full_in = wait + policy.rate.window().saturating_sub(policy.rate.time(1));
                Draw::Refused(policy.announced.quota(full_in), wait)
            }
        }
    }

    fn policy(&self, route: usize, caller: Caller) -> Option<&Policy> {
        match (self.routes.get(route)?, caller) {
            (Own::Limit(policy), _) => Some(policy),
            (Own::Everywhere, Caller::App(..)) => self.everywhere.as_ref(),
            (Own::Everywhere, Caller::Address(_)) | (Own::Unlimited, _) => None,
        }
    }
}

impl Tables {
    fn bucket(&self, account: u32, caller: Caller) -> Arc<Bucket> {
        match caller {
            Caller::App(app, store) => self.apps.of(&(account, app, store)),
            Caller::Address(address) => self.addresses.of(&(account, block(address))),
        }
    }
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimits").field("routes", &self.routes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Rate = Rate { burst: 2, per_second: 2.0 };
    const LARGE: Rate = Rate { burst: 5, per_second: 5.0 };

    fn app(app: i64, store: u64) -> Caller {
        Caller::App(AppId(app), StoreId::new(store).unwrap())
    }

    fn address(text: &str) -> Caller {
        Caller::Address(text.parse().unwrap())
    }

    fn own(rate: Rate, name: &str) -> RouteRate {
        RouteRate::Own { rate, name: name.into() }
    }

    /// Routes 0 and 1 have nothing of their own, 2 and 3 have, 4 is free.
    fn limits() -> RateLimits {
        let routes = vec![
            RouteRate::Everywhere,
            RouteRate::Everywhere,
            own(LARGE, "GET /two"),
            own(LARGE, "GET /three"),
            RouteRate::Unlimited,
        ];
        RateLimits::local(&RateSettings { everywhere: Some(SMALL), routes, shared: None }, None)
    }

    /// How many of 10 requests are granted at this moment.
    async fn granted(limits: &RateLimits, route: usize, caller: Caller, now: Instant) -> u32 {
        let mut count = 0;
        for _ in 0..10 {
            count += u32::from(!matches!(limits.draw(route, caller, now).await, Draw::Refused(..)));
        }
        count
    }

    #[tokio::test]
    async fn who_is_counted_with_whom() {
        let (limits, now) = (limits(), Instant::now());
        // One row after the other, at one moment.
        let rows = [
            ("an app in a store", 0, app(1, 22), 2),
            ("another store", 0, app(1, 23), 2),
            ("another app", 0, app(2, 22), 2),
            ("another route that shares the limit", 1, app(1, 22), 0),
            ("a route with a limit of its own", 2, app(1, 22), 5),
            ("another of them", 3, app(1, 22), 5),
            ("there in another store", 2, app(1, 23), 5),
            ("there without identity", 2, address("192.0.2.1"), 5),
            ("another address", 2, address("192.0.2.2"), 5),
            ("the same address, mapped", 2, address("::ffff:192.0.2.1"), 0),
            ("an IPv6 network", 2, address("2001:db8::1"), 5),
            ("another host in it", 2, address("2001:db8::2:1"), 0),
            ("another network", 2, address("2001:db8:0:1::1"), 5),
            ("no identity and no limit", 0, address("192.0.2.1"), 10),
            ("a free route", 4, app(1, 22), 10),
            ("no such route", 9, app(1, 22), 10),
        ];
        for (sentence, route, caller, expected) in rows {
            assert_eq!(granted(&limits, route, caller, now).await, expected, "{sentence}");
        }
        let later = now + Duration::from_millis(500);
        assert_eq!(granted(&limits, 1, app(1, 22), later).await, 1, "two come back per second");
    }

    #[tokio::test]
    async fn a_refusal_says_when_to_come_back_and_costs_nothing() {
        let (limits, now) = (limits(), Instant::now());
        assert_eq!(granted(&limits, 0, app(1, 22), now).await, 2);
        let Draw::Refused(quota, wait) = limits.draw(0, app(1, 22), now).await else { panic!("granted") };
        assert_eq!(wait, Duration::from_millis(500));
        let texts = quota.headers().map(|(_, value)| value.to_str().unwrap().to_owned());
        assert_eq!(texts, ["\"default\";q=2;w=1", "\"default\";r=0;t=1"]);
        let draw = limits.draw(0, app(1, 22), now + wait).await;
        assert!(matches!(draw, Draw::Granted(_)), "{draw:?}");
    }

    #[tokio::test]
    async fn the_tables_are_bounded_and_apart() {
        let (limits, now) = (limits(), Instant::now());
        assert_eq!(granted(&limits, 2, app(1, 22), now).await, 5);
        for number in 0..100_000u32 {
            limits.draw(2, Caller::Address(IpAddr::V4(number.into())), now).await;
        }
        let tables = limits.tables.as_ref().unwrap();
        assert!(tables.addresses.len() <= ADDRESSES.get(), "{}", tables.addresses.len());
        assert_eq!(granted(&limits, 2, app(1, 22), now).await, 0, "strangers do not reset an app");
        for number in 0..300_000 {
            limits.draw(2, app(number, 22), now).await;
        }
        assert!(tables.apps.len() <= APPS.get(), "{}", tables.apps.len());
    }

    #[tokio::test]
    async fn a_limit_that_stays_the_same_stays_used_up() {
        let (before, now) = (limits(), Instant::now());
        for (route, used) in [(0, 2), (2, 5), (3, 5)] {
            assert_eq!(granted(&before, route, app(1, 22), now).await, used);
        }
        // Another order, another rate of /three, and a route that was not there.
        let routes = vec![own(SMALL, "GET /three"), own(LARGE, "GET /new"), own(LARGE, "GET /two")];
        let routes = [routes, vec![RouteRate::Everywhere]].concat();
        let settings = RateSettings { everywhere: Some(SMALL), routes, shared: None };
        let after = RateLimits::local(&settings, Some(&before));
        let rows =
            [("another rate", 0, 2), ("a new route", 1, 5), ("the same route", 2, 0), ("everywhere", 3, 0)];
        for (sentence, route, expected) in rows {
            assert_eq!(granted(&after, route, app(1, 22), now).await, expected, "{sentence}");
        }
        let settings = RateSettings { everywhere: Some(LARGE), ..settings };
        let later = RateLimits::local(&settings, Some(&after));
        assert_eq!(granted(&later, 3, app(1, 22), now).await, 5, "another rate everywhere");
        assert_eq!(granted(&later, 1, app(1, 22), now).await, 0, "an account that was opened later");
        let none = RateSettings { routes: vec![RouteRate::Everywhere], ..Default::default() };
        let none = RateLimits::local(&none, Some(&later));
        assert_eq!(granted(&none, 0, app(1, 22), now).await, 10);
        assert_eq!(granted(&RateLimits::local(&settings, Some(&none)), 3, app(1, 22), now).await, 5);
    }

    #[tokio::test]
    async fn no_limit_no_table() {
        let settings =
            RateSettings { routes: vec![RouteRate::Everywhere, RouteRate::Unlimited], ..Default::default() };
        let limits = RateLimits::start(settings, None, || panic!("nothing is shared")).await;
        assert!(limits.tables.is_none());
        assert_eq!(granted(&limits, 0, app(1, 22), Instant::now()).await, 10);
    }
}
