//! The recent decisions, taken again under another configuration: what would change.
//!
//! Both the configuration in force and the other one decide on what is remembered, so that a difference is
//! the configuration's doing, not that of a credential that was revoked meanwhile. Not replayed is what is
//! not decided by routes: rate limits, limits of heads, addresses, and what upstreams do.

use std::collections::HashMap;

use http::Method;

use crate::admin::{Change, Replayed};
use crate::gate::{Access, Again, Basis, Kind, Reason, Remembered};
use crate::model::ScopeSet;
use crate::proxy::Engine;
use crate::telemetry::{Decision, Recent};

/// The most kinds of changes that are told.
const TOLD: usize = 20;

/// Decides again what is kept.
pub(super) fn replay(recent: &Recent, before: &Engine, after: &Engine) -> Replayed {
    let prefix = |engine: &Engine| engine.gate.settings().access_token_prefix.clone();
    let prefix_changes = prefix(before) != prefix(after);
    let (mut count, mut changed, mut unknown) = (0, 0, 0);
    let mut changes: HashMap<(Method, String, String), (u64, Change)> = HashMap::new();
    for decision in recent.each().filter(|one| !one.path.is_empty() && !one.is_cut) {
        count += 1;
        let scopes = decision.scopes.as_ref().and_then(|scopes| ScopeSet::parse(scopes.to_str().ok()?).ok());
        let basis = Basis {
            method: &decision.method,
            preflight: decision.preflight.as_ref(),
            path: &decision.path,
            credential: Remembered::of(
                decision.kind,
                scopes.as_ref(),
                decision.reason.as_ref(),
                decision.shows_credential,
            ),
        };
        let was = verdict(before, &basis);
        let would_be = match prefix_changes && is_opaque(&decision) {
            true => UNKNOWN.to_owned(),
            false => verdict(after, &basis),
        };
        if was == would_be {
            continue;
        }
        if would_be == UNKNOWN {
            unknown += 1;
        } else {
            changed += 1;
        }
        let key = (decision.method.clone(), was.clone(), would_be.clone());
        // The latest stands for the others.
        let (latest, change) = changes.entry(key).or_insert_with(|| {
            let (path, request_id) = (String::new(), String::new());
            (
                0,
                Change {
                    count: 0,
                    method: decision.method.to_string(),
                    path,
                    before: was,
                    after: would_be,
                    request_id,
                },
            )
        });
        if change.count == 0 || decision.number > *latest {
            *latest = decision.number;
            change.path = decision.path;
            change.request_id = decision.request_id.to_str().unwrap_or_default().to_owned();
        }
        change.count += 1;
    }
    let mut changes: Vec<Change> = changes.into_values().map(|(_, change)| change).collect();
    changes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.request_id.cmp(&b.request_id)));
    changes.truncate(TOLD);
    Replayed { decisions: count, changed, unknown, changes }
}

const UNKNOWN: &str = "cannot be told";

fn verdict(engine: &Engine, basis: &Basis<'_>) -> String {
    match engine.gate.decide_again(basis) {
        Again::Unknown => UNKNOWN.to_owned(),
        Again::Refuse(reason) => format!("{} {}", reason.code().status().as_u16(), reason.code().name()),
        Again::Forward(route) => {
            let upstream = engine.upstreams.name(route.upstream).unwrap_or_default();
            let how = match &route.access {
                Access::Credentials(..) if basis.preflight.is_none() => "with identity",
                Access::Credentials(..) | Access::Public => "without identity",
                Access::Upstream => "with the caller's own credentials",
            };
            format!("forwarded to {upstream} {how}")
        }
    }
}

/// Whether the prefix of access tokens had a part in it.
fn is_opaque(decision: &Decision) -> bool {
    decision.kind == Some(Kind::Bearer) || decision.reason == Some(Reason::MalformedToken)
}
