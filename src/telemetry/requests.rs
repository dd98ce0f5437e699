//! `storegate_requests_total`: one series for each route, kind of method and ending that has come about. Their number
//! depends on the configuration and not on callers; a request finds its counter without a lock.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use http::Method;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::metrics::label;
use crate::gate::Code;
use crate::proxy::{Outcome, Record};

/// The route of requests that came to none. Patterns begin with a slash.
const NONE: &str = "none";

/// Kinds of methods; all others are the last one.
const METHODS: [&str; 3] = ["read", "write", "other"];

/// Outcomes without a code.
const OUTCOMES: [&str; 3] = ["forwarded", "local", "broken"];

/// All ways in which a request can end: the outcomes, then the codes of refusals.
const ENDINGS: usize = OUTCOMES.len() + Code::ALL.len();

/// The counters of all routes.
#[derive(Debug)]
pub(super) struct Requests {
    all: IntCounterVec,
    unrouted: OfRoute,
}

/// The counters of one route. Those of what has not happened yet are made when it does.
#[derive(Debug)]
pub(super) struct OfRoute {
    all: IntCounterVec,
    route: Box<str>,
    /// By method, then by ending.
    counters: Box<[OnceLock<IntCounter>]>,
}

impl Requests {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let all = IntCounterVec::new(
            Opts::new(
                "storegate_requests_total",
                "Requests, by the route's path, kind of method, outcome, and the code that refusals carry.",
            ),
            &["route", "method", "outcome", "code"],
        )?;
        registry.register(Box::new(all.clone()))?;
        let unrouted = OfRoute::new(&all, NONE);
        // There before the first one, so that an increase can be alarmed on.
        for ending in OUTCOMES.len()..ENDINGS {
            unrouted.counter(0, ending);
        }
        Ok(Self { all, unrouted })
    }

    /// Those of the route with this path.
    pub(super) fn of(&self, route: &str) -> OfRoute {
        let counters = OfRoute::new(&self.all, route);
        for method in 0..2 {
            counters.counter(method, 0);
        }
        counters
    }

    /// Counts a request that ended, on this route.
    pub(super) fn count(&self, record: &Record<'_>, route: Option<&OfRoute>) {
        route.unwrap_or(&self.unrouted).counter(method(record.method), ending(record)).inc();
    }

    /// Forgets the routes that are not to be kept.
    pub(super) fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        let families = self.all.collect();
        let labels = families.iter().flat_map(|family| family.get_metric()).map(|metric| metric.get_label());
        let value = |labels: &[prometheus::proto::LabelPair], name: &str| {
            let found = labels.iter().find(|label| label.name() == name);
            found.map(|label| label.value().to_owned()).unwrap_or_default()
        };
        let all: BTreeSet<_> = labels
            .map(|labels| ["route", "method", "outcome", "code"].map(|name| value(labels, name)))
            .collect();
        for [route, method, outcome, code] in all {
            if route != NONE && !is_kept(&route) {
                // Of another thread that forgot it meanwhile, nothing is left to do.
                let _ = self.all.remove_label_values(&[&route, &method, &outcome, &code]);
            }
        }
    }
}

impl OfRoute {
    fn new(all: &IntCounterVec, route: &str) -> Self {
        let counters = (0..METHODS.len() * ENDINGS).map(|_| OnceLock::new()).collect();
        Self { all: all.clone(), route: route.into(), counters }
    }

    fn counter(&self, method: usize, ending: usize) -> &IntCounter {
        self.counters[method * ENDINGS + ending].get_or_init(|| {
            let (outcome, code) = match OUTCOMES.get(ending) {
                Some(outcome) => (*outcome, ""),
                None => ("refused", label(Code::ALL[ending - OUTCOMES.len()])),
            };
            self.all.with_label_values(&[&*self.route, METHODS[method], outcome, code])
        })
    }
}

/// The position of a method's kind.
fn method(method: &Method) -> usize {
    match *method {
        Method::GET | Method::HEAD => 0,
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE => 1,
        _ => 2,
    }
}

/// The position of an ending.
fn ending(record: &Record<'_>) -> usize {
    match (record.outcome, record.reason) {
        (Outcome::Refused, Some(reason)) => OUTCOMES.len() + reason.code() as usize,
        (Outcome::Forwarded, _) => 0,
        (Outcome::Local, _) => 1,
        (Outcome::Broken | Outcome::Refused, _) => 2,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::gate::Reason;

    fn shown(registry: &Registry) -> BTreeSet<String> {
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("storegate_requests_total"));
        lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
    }

    fn count(requests: &Requests, method: &Method, ended: Result<Outcome, Reason>, route: Option<&OfRoute>) {
        let id = HeaderValue::from_static("1");
        let record = Record {
            outcome: *ended.as_ref().unwrap_or(&Outcome::Refused),
            reason: ended.as_ref().err(),
            ..Record::of(&id, method)
        };
        requests.count(&record, route);
    }

    #[test]
    fn each_way_to_end_has_its_series() {
        let registry = Registry::new();
        let requests = Requests::new(&registry).unwrap();
        let (one, other) = (requests.of("/a/{b}"), requests.of("/c"));
        for position in 0..ENDINGS {
            assert!(one.counters[position].get().is_some() == (position == 0), "{position}");
        }
        let strange = Method::from_bytes(b"FROBNICATE").unwrap();
        for (method, ended, route, expected) in [
            (
                &Method::GET,
                Ok(Outcome::Forwarded),
                Some(&one),
                r#"{code="",method="read",outcome="forwarded",route="/a/{b}"} 1"#,
            ),
            (
                &Method::HEAD,
                Ok(Outcome::Forwarded),
                Some(&one),
                r#"{code="",method="read",outcome="forwarded",route="/a/{b}"} 2"#,
            ),
            (
                &Method::DELETE,
                Ok(Outcome::Broken),
                Some(&one),
                r#"{code="",method="write",outcome="broken",route="/a/{b}"} 1"#,
            ),
            (
                &Method::PATCH,
                Err(Reason::UnknownToken),
                Some(&other),
                r#"{code="invalid_token",method="write",outcome="refused",route="/c"} 1"#,
            ),
            (
                &Method::OPTIONS,
                Err(Reason::NoRoute),
                None,
                r#"{code="not_found",method="other",outcome="refused",route="none"} 1"#,
            ),
            (
                &strange,
                Err(Reason::HeadTooLarge),
                None,
                r#"{code="head_too_large",method="other",outcome="refused",route="none"} 1"#,
            ),
            (
                &Method::POST,
                Ok(Outcome::Local),
                None,
                r#"{code="",method="write",outcome="local",route="none"} 1"#,
            ),
        ] {
            count(&requests, method, ended, route);
            assert!(shown(&registry).contains(expected), "{expected}: {:?}", shown(&registry));
        }
        assert_eq!(shown(&registry).len(), 6);

        // The same route of the next configuration counts on; one that is gone leaves nothing.
        count(&requests, &Method::GET, Ok(Outcome::Forwarded), Some(&requests.of("/a/{b}")));
        requests.keep(|route| route == "/a/{b}");
        let left = shown(&registry);
        assert!(left.contains(r#"{code="",method="read",outcome="forwarded",route="/a/{b}"} 3"#), "{left:?}");
        assert!(!left.iter().any(|line| line.contains("\"/c\"")) && left.len() == 5, "{left:?}");
    }
}
