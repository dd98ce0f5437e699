//! The recent decisions, so that one can be told afterwards (`storegate why`) and all can be decided again
//! under another configuration (`storegate reload --dry-run`).
//!
//! So many places as configured, taken in turn; the oldest decision gives way. A request takes the next
//! number and writes into the place of its own, whose texts keep their memory: no request waits for
//! another one or for a reader, and hardly one allocates. No credential is kept and no query: the path in normal
//! form, ids, the SHA-256 of access tokens, and what was found.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method};
use parking_lot::Mutex;

use super::FingerprintKey;
use crate::gate::{Kind, Reason, Steps, Told};
use crate::model::{AppStatus, InstallationId, StoreId, StoreStatus, TokenDigest};
use crate::proxy::{Ending, Outcome, Record};

/// The longest path and host that are kept, in bytes.
const LONGEST: usize = 1024;

/// The recent decisions.
#[derive(Debug)]
pub struct Recent {
    places: Box<[Mutex<Option<Box<Decision>>>]>,
    next: AtomicU64,
}

/// A route, as decisions name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteName {
    /// Its path.
    pub pattern: Box<str>,
    /// Where its requests go.
    pub upstream: Box<str>,
}

/// One decision, without any credential.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // as in `Record`
pub struct Decision {
    /// Counts decisions.
    pub number: u64,
    /// When the request ended, since 1970.
    pub at: Duration,
    pub request_id: HeaderValue,
    pub method: Method,
    /// The path in normal form; empty where none could be read.
    pub path: String,
    /// Whether a longer path was cut: it cannot be decided again.
    pub is_cut: bool,
    pub host: String,
    /// The method that a preflight asked for.
    pub preflight: Option<Method>,
    /// Whether there was any header that holds a credential.
    pub shows_credential: bool,
    pub outcome: Outcome,
    pub status: u16,
    pub reason: Option<Reason>,
    pub route: Option<Arc<RouteName>>,
    pub kind: Option<Kind>,
    pub app: Option<(String, AppStatus)>,
    pub store: Option<(StoreId, StoreStatus)>,
    pub installation: Option<InstallationId>,
    /// The scopes in force, once the caller was verified.
    pub scopes: Option<HeaderValue>,
    pub token: Option<TokenDigest>,
    pub steps: Steps,
    pub caller: Option<IpAddr>,
    pub total: Duration,
    pub upstream: Option<Duration>,
    pub ended: Option<Ending>,
}

impl Recent {
    /// With places for `most` decisions; 0: nothing is kept.
    pub fn new(most: usize) -> Self {
        Self { places: (0..most).map(|_| Mutex::new(None)).collect(), next: AtomicU64::new(0) }
    }

    /// Keeps a decision, in place of the oldest one.
    pub fn keep(&self, record: &Record<'_>, route: Option<&Arc<RouteName>>, at: Duration) {
        if self.places.is_empty() {
            return;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let index = number % self.places.len() as u64;
        // Somebody reads it, or is a whole round behind: a decision less, rather than a request that waits.
        let Some(mut place) = self.places[index as usize].try_lock() else { return };
        match &mut *place {
            Some(decision) => decision.fill(number, record, route, at),
            empty => empty.insert(Box::new(Decision::empty())).fill(number, record, route, at),
        }
    }

    /// The last decision on the request with this id.
    pub fn find(&self, request_id: &str) -> Option<Decision> {
        let is_it = |decision: &&Decision| decision.request_id.as_bytes() == request_id.as_bytes();
        let kept = self.places.iter().filter_map(|place| place.lock().as_deref().filter(is_it).cloned());
        kept.max_by_key(|decision| decision.number)
    }

    /// Each that is kept, in no order. They go on changing meanwhile.
    pub fn each(&self) -> impl Iterator<Item = Decision> {
        self.places.iter().filter_map(|place| place.lock().as_deref().cloned())
    }
}

impl Decision {
    fn empty() -> Self {
        Self {
            number: 0,
            at: Duration::ZERO,
            request_id: HeaderValue::from_static(""),
            method: Method::GET,
            path: String::new(),
            is_cut: false,
            host: String::new(),
            preflight: None,
            shows_credential: false,
            outcome: Outcome::Broken,
            status: 0,
            reason: None,
            route: None,
            kind: None,
            app: None,
            store: None,
            installation: None,
            scopes: None,
            token: None,
            steps: Steps::default(),
            caller: None,
            total: Duration::ZERO,
            upstream: None,
            ended: None,
        }
    }

    fn fill(&mut self, number: u64, record: &Record<'_>, route: Option<&Arc<RouteName>>, at: Duration) {
        self.number = number;
        self.at = at;
        self.request_id.clone_from(record.request_id);
        self.method.clone_from(record.method);
        let asked = record.asked.as_ref();
        self.is_cut = set(&mut self.path, asked.map_or("", |asked| asked.path));
        set(&mut self.host, asked.map_or("", |asked| asked.host));
        self.preflight = asked.and_then(|asked| asked.preflight.clone());
        self.shows_credential = asked.is_some_and(|asked| asked.shows_credential);
        self.outcome = record.outcome;
        self.status = record.status;
        self.reason = record.reason.cloned();
        self.route = route.cloned();
        self.kind = record.kind;
        match (record.app, &mut self.app) {
            (Some(app), Some((client_id, status))) => {
                set(client_id, app.client_id.as_str());
                *status = app.status;
            }
            (app, own) => *own = app.map(|app| (app.client_id.as_str().to_owned(), app.status)),
        }
        self.store = record.store.map(|store| (store.store_id, store.status));
        self.installation = asked.and_then(|asked| asked.installation);
        self.scopes = asked.and_then(|asked| asked.scopes).cloned();
        self.token = asked.and_then(|asked| asked.token);
        self.steps = asked.map(|asked| asked.steps).unwrap_or_default();
        self.caller = record.caller;
        self.total = record.total;
        self.upstream = record.upstream;
        self.ended = record.ended;
    }

    /// The steps in their order, as sentences; an access token by its fingerprint.
    pub fn told(&self, key: &FingerprintKey) -> Vec<Told> {
        let steps = self.steps;
        let mut told = Vec::new();
        told.extend(self.route.as_ref().map(|route| Told::Route(route.pattern.to_string())));
        told.extend(steps.was_preflight().then_some(Told::Preflight));
        told.extend(self.kind.map(Told::Presented));
        told.extend(self.token.map(|digest| Told::Digest(Some(key.of_token(&digest)))));
        told.extend(steps.found_token().then_some(Told::Token));
        told.extend(self.app.clone().map(|(client_id, status)| Told::App(client_id, status)));
        told.extend(steps.proved_secret().then_some(Told::SecretEqual));
        told.extend(steps.proved_signature().then_some(Told::SignatureEqual));
        told.extend(self.installation.map(Told::Installation));
        told.extend(self.store.map(|(id, status)| Told::Store(id, status)));
        let scopes = self.scopes.as_ref().and_then(|scopes| scopes.to_str().ok());
        told.extend(scopes.map(|scopes| Told::Scopes(scopes.to_owned())));
        let granted = steps.granted_scope() && !matches!(self.reason, Some(Reason::Scope(_)));
        told.extend(granted.then_some(Told::AllScopes));
        told
    }
}

/// Copies a text as far as it is kept; whether it was cut.
fn set(own: &mut String, text: &str) -> bool {
    own.clear();
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    own.push_str(&text[..end]);
    end < text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Asked;

    fn record<'r>(request_id: &'r HeaderValue, path: &'r str, reason: Option<&'r Reason>) -> Record<'r> {
        Record {
            outcome: if reason.is_some() { Outcome::Refused } else { Outcome::Forwarded },
            reason,
            status: 200,
            asked: Some(Asked {
                path,
                host: "a",
                preflight: None,
                shows_credential: false,
                installation: None,
                scopes: None,
                token: None,
                steps: Steps::default(),
            }),
            ..Record::of(request_id, &Method::GET)
        }
    }

    fn keep(recent: &Recent, id: &str, path: &str) {
        recent.keep(&record(&HeaderValue::try_from(id).unwrap(), path, None), None, Duration::ZERO);
    }

    #[test]
    fn the_oldest_gives_way_and_leaves_nothing_behind() {
        let recent = Recent::new(3);
        let reason = Reason::Scope("a:b".into());
        let id = HeaderValue::from_static("0");
        recent.keep(&record(&id, "/a/long/path", Some(&reason)), None, Duration::ZERO);
        assert_eq!(recent.find("0").unwrap().reason, Some(reason));
        for number in 1..5 {
            keep(&recent, &number.to_string(), "/");
        }
        let mut ids: Vec<_> = recent.each().map(|one| one.request_id.to_str().unwrap().to_owned()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["2", "3", "4"]);
        assert!(recent.find("0").is_none());
        let in_its_place = recent.find("3").unwrap();
        assert_eq!((&*in_its_place.path, in_its_place.reason), ("/", None));
        keep(&recent, "4", "/later");
        assert_eq!(recent.find("4").unwrap().path, "/later", "the last one of an id that came twice");
    }

    #[test]
    fn long_texts_are_cut_and_none_is_kept_where_none_may_be() {
        let recent = Recent::new(1);
        keep(&recent, "1", &"/é".repeat(LONGEST));
        let cut = recent.find("1").unwrap();
        assert!(cut.is_cut && cut.path.len() <= LONGEST && cut.path.ends_with('/'), "{}", cut.path.len());
        keep(&recent, "2", "/short");
        assert!(!recent.find("2").unwrap().is_cut);
        let none = Recent::new(0);
        keep(&none, "1", "/");
        assert!(none.find("1").is_none() && none.each().next().is_none());
    }

    #[test]
    fn a_reader_keeps_no_request_waiting() {
        let recent = Recent::new(1);
        keep(&recent, "1", "/");
        let reading = recent.places[0].lock();
        keep(&recent, "2", "/"); // would never return
        drop(reading);
        assert!(recent.find("2").is_none());
        keep(&recent, "3", "/");
        assert!(recent.find("3").is_some());
    }

    #[test]
    fn threads_lose_nothing_while_there_is_room() {
        let recent = Recent::new(400);
        std::thread::scope(|threads| {
            for thread in 0..4 {
                let recent = &recent;
                threads.spawn(move || (0..100).for_each(|n| keep(recent, &format!("{thread}-{n}"), "/")));
            }
        });
        assert_eq!(recent.each().count(), 400);
    }
}
