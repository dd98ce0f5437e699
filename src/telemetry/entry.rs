//! What a line of the access log says of a request.
//!
//! It names the route, never the path or the query: those may carry what callers should have kept to
//! themselves. No part of a credential is ever in it.

use std::time::Duration;

use super::fingerprint::DIGITS;
use super::line::{Format, Line, Written, name};
use crate::proxy::Record;

/// Adds the line of a request that ended `now`, since 1970. Gives the place of its credential's fingerprint, which is
/// put there later; `None` where there was no credential.
pub(super) fn write(
    format: Format,
    now: Duration,
    record: &Record<'_>,
    route: Option<&Written>,
    lines: &mut Vec<u8>,
) -> Option<usize> {
    let mut line = Line::begin(format, lines, now);
    line.plain(name!("request_id"), record.request_id.to_str().unwrap_or_default());
    if let Some(trace_id) = record.trace_id {
        line.plain(name!("trace_id"), trace_id);
    }
    line.plain(name!("method"), record.method.as_str());
    if let Some(route) = route {
        line.written(name!("route"), route);
    }
    line.plain(name!("outcome"), record.outcome.name());
    line.number(name!("status"), record.status.into());
    if let Some(reason) = record.reason {
        line.plain(name!("code"), reason.code().name());
        line.text(name!("reason"), &reason.to_string());
    }
    if let Some(ended) = record.ended {
        line.plain(name!("ended"), ended.name());
    }
    if let Some(remark) = record.remark {
        line.plain(name!("endpoint"), remark.family);
        line.plain(name!("action"), remark.action);
        if !remark.code.is_empty() {
            line.plain(name!("code"), remark.code);
        }
        if let Some(client_id) = &remark.client_id {
            line.plain(name!("client_id"), client_id.as_str());
        }
        if let Some(store_id) = remark.store_id {
            line.number(name!("store_id"), store_id.get());
        }
    }
    if let Some(kind) = record.kind {
        line.plain(name!("credential"), kind.name());
    }
    let fingerprint = record.shown.map(|_| line.room::<DIGITS>(name!("fingerprint")));
    if let Some(app) = record.app {
        line.plain(name!("client_id"), app.client_id.as_str());
    }
    if let Some(store) = record.store {
        line.number(name!("store_id"), store.store_id.get());
    }
    if let Some(caller) = record.caller {
        line.address(name!("caller"), caller);
    }
    line.number(name!("total_us"), micros(record.total));
    if let Some(upstream) = record.upstream {
        line.number(name!("upstream_us"), micros(upstream));
    }
    line.number(name!("bytes_in"), record.bytes_in as u64);
    line.number(name!("bytes_out"), record.bytes_out as u64);
    line.end();
    fingerprint
}

fn micros(time: Duration) -> u64 {
    time.as_secs() * 1_000_000 + u64::from(time.subsec_micros())
}
