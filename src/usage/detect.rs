//! What leaves a credential's own pattern: many more calls than ever at this hour, or calls from where it
//! never came from. Platforms ask their operators to watch for secrets that leaked; this is that watch.
//!
//! Only calls whose credential was proved are looked at: what strangers claim says nothing. A credential is
//! told by app, kind and, for access tokens, store: tokens come and go, the pattern of their holder stays. Nothing
//! is said of a credential in its first days (`learning`), or of few calls. Everything is bounded: so many credentials,
//! of each so many networks, and so many alerts a minute.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::sample::Sample;
use crate::gate::Kind;

/// Credentials whose pattern is known at most.
const MOST: usize = 10_000;

/// Networks that are known of one credential.
const NETWORKS: usize = 64;

/// Weight of the last minute in the mean: an hour is remembered.
const WEIGHT: f64 = 1.0 / 60.0;

/// What is left of the busiest minute of an hour after a day: a job that runs once a week is still expected.
const FADING: f64 = 0.9;

/// So many mean deviations above the mean are within the pattern.
const DEVIATIONS: f64 = 8.0;

/// Seconds for which nothing more is said of a credential's spike.
const QUIET: i64 = 3600;

/// Alerts that are told in a minute; further ones are only counted.
const TOLD_PER_MINUTE: u32 = 60;

const HOUR: i64 = 3600;

/// When something is unusual.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// Seconds for which a credential is only watched.
    pub learning: i64,
    /// So many times what is usual is a spike.
    pub factor: f64,
    /// Fewer calls in a minute never are.
    pub calls: u32,
}

/// Something unusual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// Unix seconds.
    pub at: i64,
    /// Whose credential.
    pub client_id: String,
    /// `bearer`, `session` or `client_credentials`.
    pub credential: &'static str,
    /// The store, of access tokens.
    pub store_id: Option<u64>,
    /// The fingerprint of the access token that was shown, as in the access log.
    pub token: Option<String>,
    /// What is unusual.
    #[serde(flatten)]
    pub what: Unusual,
    /// Whether it is told, and not only counted.
    #[serde(skip)]
    pub is_told: bool,
}

/// What is unusual.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Unusual {
    /// Many more calls than usual.
    Spike {
        /// Calls in this minute so far.
        calls: u32,
        /// Calls in a busy minute of this time of day.
        usual: f64,
    },
    /// Calls from a network that this credential never came from.
    NewAddress {
        /// The network: /24 of IPv4, /48 of IPv6.
        network: IpNet,
    },
}

/// The patterns of all credentials.
#[derive(Debug)]
pub(super) struct Detector {
    watch: Watch,
    patterns: Patterns,
    /// Alerts told in this minute.
    told: (i64, u32),
}

/// What is known, as it outlives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Patterns {
    calls: Vec<(Key, Calls)>,
    places: Vec<(Key, Places)>,
    #[serde(skip)]
    calls_of: HashMap<Key, Calls, foldhash::quality::RandomState>,
    #[serde(skip)]
    places_of: HashMap<Key, Places, foldhash::quality::RandomState>,
}

/// A credential: app id, position of the kind, store id or 0.
type Key = (i64, u8, u64);

/// The calls of a credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Calls {
    since: i64,
    /// The minute that is counted.
    minute: i64,
    count: u32,
    mean: f64,
    deviation: f64,
    /// The busiest minute of each hour of the day, fading.
    hours: [f64; 24],
    /// Of the present hour.
    peak: f64,
    told: i64,
}

/// Where a credential comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Places {
    since: i64,
    last: i64,
    networks: Vec<(IpNet, i64)>,
    /// It comes from so many networks that a new one says nothing, until then.
    roams_until: i64,
}

impl Detector {
    pub(super) fn new(watch: Watch) -> Self {
        Self { watch, patterns: Patterns::default(), told: (0, 0) }
    }

    /// Takes over what was known before a restart; what cannot be read is learned anew.
    pub(super) fn remember(&mut self, text: &str) {
        match serde_json::from_str::<Patterns>(text) {
            Ok(mut patterns) => {
                patterns.calls.truncate(MOST);
                patterns.places.truncate(MOST);
                patterns.places.iter_mut().for_each(|(_, places)| places.networks.truncate(NETWORKS));
                patterns.calls_of = patterns.calls.drain(..).collect();
                patterns.places_of = patterns.places.drain(..).collect();
                self.patterns = patterns;
            }
            Err(error) => tracing::warn!("the patterns of credentials are learned anew: {error}"),
        }
    }

    /// What [`Detector::remember`] takes.
    pub(super) fn text(&self) -> String {
        let calls: Vec<_> = self.patterns.calls_of.iter().collect();
        let places: Vec<_> = self.patterns.places_of.iter().collect();
        // Our own types: they always serialise.
        serde_json::to_string(&serde_json::json!({ "calls": calls, "places": places })).unwrap_or_default()
    }

    /// Looks at a call; gives what is unusual about it.
    pub(super) fn look(&mut self, now: i64, sample: &Sample, mut found: impl FnMut(Alert)) {
        let (Some(app), Some(kind), true) = (&sample.app, sample.kind, sample.proved) else { return };
        let store = sample.store.map_or(0, |store| store.get());
        let client_id = app.client_id.as_str();
        let tell = |what| Alert {
            at: now,
            client_id: client_id.to_owned(),
            credential: kind.name(),
            store_id: (kind == Kind::Bearer && store > 0).then_some(store),
            token: None, // whoever has the key fills it in
            what,
            is_told: false,
        };
        let own_store = if kind == Kind::Bearer { store } else { 0 };
        let calls = entry(
            &mut self.patterns.calls_of,
            (app.app_id.0, kind as u8, own_store),
            || Calls::new(now),
            |calls| calls.minute,
        );
        let spike = calls.count(now, &self.watch).map(tell);
        // Session tokens live in browsers, which are everywhere.
        let caller = sample.caller.filter(|_| kind != Kind::Session);
        let place = caller.and_then(|caller| {
            let places = entry(
                &mut self.patterns.places_of,
                (app.app_id.0, kind as u8, 0),
                || Places::new(now),
                |places| places.last,
            );
            places.see(now, network(caller), &self.watch).map(tell)
        });
        for mut alert in spike.into_iter().chain(place) {
            alert.is_told = self.may_tell(now);
            found(alert);
        }
    }

    fn may_tell(&mut self, now: i64) -> bool {
        if self.told.0 != now / 60 {
            self.told = (now / 60, 0);
        }
        self.told.1 = self.told.1.saturating_add(1);
        self.told.1 <= TOLD_PER_MINUTE
    }
}

/// The entry of a credential. Where there are too many, those that were longest not used go, many at a time.
fn entry<V>(
    map: &mut HashMap<Key, V, foldhash::quality::RandomState>,
    key: Key,
    new: impl FnOnce() -> V,
    used: impl Fn(&V) -> i64,
) -> &mut V {
    if map.len() >= MOST && !map.contains_key(&key) {
        let mut times: Vec<i64> = map.values().map(&used).collect();
        times.sort_unstable();
        let oldest = times[times.len() / 10];
        let mut left = MOST / 10 + 1; // many may be of one time
        map.retain(|_, value| {
            let goes = left > 0 && used(value) <= oldest;
            left -= usize::from(goes);
            !goes
        });
    }
    map.entry(key).or_insert_with(new)
}

/// Callers that count as one: whom an operator of a server or a site can be.
fn network(caller: IpAddr) -> IpNet {
    let length = if caller.is_ipv4() { 24 } else { 48 };
    IpNet::new(caller, length).map_or_else(|_| caller.into(), |network| network.trunc())
}

impl Calls {
    fn new(now: i64) -> Self {
        Self {
            since: now,
            minute: now / 60,
            count: 0,
            mean: 0.0,
            deviation: 0.0,
            hours: [0.0; 24],
            peak: 0.0,
            told: i64::MIN / 2,
        }
    }

    fn count(&mut self, now: i64, watch: &Watch) -> Option<Unusual> {
        self.turn_to(now / 60, watch);
        self.count = self.count.saturating_add(1);
        let usual = self.usual();
        let is_spike = f64::from(self.count) > self.most(watch)
            && now.saturating_sub(self.since) >= watch.learning
            && now.saturating_sub(self.told) >= QUIET;
        if !is_spike {
            return None;
        }
        self.told = now;
        Some(Unusual::Spike { calls: self.count, usual: (usual * 10.0).round() / 10.0 })
    }

    /// Calls of a busy minute at this time of day.
    fn usual(&self) -> f64 {
        let hour = (self.minute.rem_euclid(24 * 60) / 60) as usize;
        // A job may be late.
        let around = [hour + 23, hour, hour + 1].map(|hour| self.hours[hour % 24]);
        around.into_iter().fold(self.mean.max(self.peak), f64::max)
    }

    /// More calls in a minute are a spike.
    fn most(&self, watch: &Watch) -> f64 {
        let by_factor = watch.factor * self.usual();
        by_factor.max(self.mean + DEVIATIONS * self.deviation).max(f64::from(watch.calls))
    }

    /// Ends the minute that was counted, where another one has begun.
    fn turn_to(&mut self, minute: i64, watch: &Watch) {
        if minute <= self.minute {
            return; // clocks go backwards, too
        }
        // A spike moves the pattern no further than the pattern reaches.
        let count = f64::from(self.count).min(self.most(watch));
        self.learn(count);
        self.peak = self.peak.max(count);
        let (hour, next) = (self.minute / 60, minute / 60);
        if hour != next {
            let own = hour.rem_euclid(24) as usize;
            self.hours[own] = self.peak.max(self.hours[own] * FADING);
            self.peak = 0.0;
            // Hours without a call fade as well.
            for passed in (hour + 1..next).take(24 * 30) {
                self.hours[passed.rem_euclid(24) as usize] *= FADING;
            }
        }
        (0..(minute - self.minute - 1).min(600)).for_each(|_| self.learn(0.0));
        self.minute = minute;
        self.count = 0;
    }

    fn learn(&mut self, count: f64) {
        self.deviation += WEIGHT * ((count - self.mean).abs() - self.deviation);
        self.mean += WEIGHT * (count - self.mean);
    }
}

impl Places {
    fn new(now: i64) -> Self {
        Self { since: now, last: now, networks: Vec::new(), roams_until: i64::MIN / 2 }
    }

    fn see(&mut self, now: i64, network: IpNet, watch: &Watch) -> Option<Unusual> {
        self.last = now;
        if let Some((_, seen)) = self.networks.iter_mut().find(|(known, _)| *known == network) {
            *seen = now;
            return None;
        }
        if self.networks.len() >= NETWORKS {
            let oldest = (0..NETWORKS).min_by_key(|&at| self.networks[at].1).unwrap_or(0);
            let (_, seen) = self.networks.swap_remove(oldest);
            if now.saturating_sub(seen) < watch.learning.max(HOUR) {
                self.roams_until = now + watch.learning.max(HOUR);
            }
        }
        self.networks.push((network, now));
        let knows = now.saturating_sub(self.since) >= watch.learning && now >= self.roams_until;
        knows.then_some(Unusual::NewAddress { network })
    }
}

#[cfg(test)]
#[path = "tests/detect.rs"]
mod tests;
