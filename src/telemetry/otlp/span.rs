//! A span as it is exported. Names are those of OpenTelemetry's conventions for HTTP where there are any; the others
//! are those of the access log, below `storegate.`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::super::{FingerprintKey, RouteName};
use crate::gate::{Kind, Reason};
use crate::model::{App, Remark, StoreId, TokenDigest};
use crate::proxy::{Ending, Outcome, Record, Span};

/// Kind of span and status of it (opentelemetry/proto/trace/v1/trace.proto).
const SERVER: u8 = 2;
const UNSET: u8 = 0;
const ERROR: u8 = 2;

/// The span of a request that ended: copies of a few words and shared records.
#[derive(Debug)]
pub(super) struct Finished {
    span: Span,
    /// Since 1970.
    ended_at: Duration,
    total: Duration,
    upstream: Option<Duration>,
    request_id: HeaderValue,
    method: Method,
    route: Option<Arc<RouteName>>,
    outcome: Outcome,
    status: u16,
    /// Code and reason of a refusal.
    refusal: Option<(&'static str, &'static str)>,
    ended: Option<Ending>,
    remark: Option<Box<Remark>>,
    kind: Option<Kind>,
    token: Option<TokenDigest>,
    app: Option<Arc<App>>,
    store: Option<StoreId>,
}

impl Finished {
    pub(super) fn of(
        span: &Span,
        record: &Record<'_>,
        route: Option<&Arc<RouteName>>,
        ended_at: Duration,
    ) -> Self {
        let refusal = |reason: &Reason| (reason.code().name(), reason.label());
        Self {
            span: span.clone(),
            ended_at,
            total: record.total,
            upstream: record.upstream,
            request_id: record.request_id.clone(),
            method: record.method.clone(),
            route: route.cloned(),
            outcome: record.outcome,
            status: record.status,
            refusal: record.reason.map(refusal),
            ended: record.ended,
            remark: record.remark.cloned().map(Box::new),
            kind: record.kind,
            token: record.asked.as_ref().and_then(|asked| asked.token),
            app: record.app.cloned(),
            store: record.store.map(|store| store.store_id),
        }
    }

    /// As OTLP writes it in JSON: ids in hexadecimal, 64-bit numbers as strings.
    pub(super) fn json(&self, key: &FingerprintKey) -> Value {
        let method = known(&self.method);
        let name = match (&self.route, method) {
            (Some(route), Some(method)) => format!("{method} {}", route.pattern),
            (Some(route), None) => format!("HTTP {}", route.pattern),
            (None, method) => method.unwrap_or("HTTP").to_owned(),
        };
        let is_error = self.status >= 500 || self.outcome == Outcome::Broken;
        let mut span = json!({
            "traceId": self.span.trace_id(),
            "spanId": self.span.span_id(),
            "name": name,
            "kind": SERVER,
            "startTimeUnixNano": self.ended_at.saturating_sub(self.total).as_nanos().to_string(),
            "endTimeUnixNano": self.ended_at.as_nanos().to_string(),
            "attributes": self.attributes(key),
            "status": { "code": if is_error { ERROR } else { UNSET } },
        });
        if let Some(parent) = self.span.parent_id() {
            span["parentSpanId"] = parent.into();
        }
        span
    }

    fn attributes(&self, key: &FingerprintKey) -> Vec<Value> {
        let mut all = Vec::new();
        let mut add = |name: &str, value: Value| all.push(json!({ "key": name, "value": value }));
        let text = |text: &str| json!({ "stringValue": text });
        let number = |number: u128| json!({ "intValue": number.to_string() });
        add("http.request.method", text(known(&self.method).unwrap_or("_OTHER")));
        if let Some(route) = &self.route {
            add("http.route", text(&route.pattern));
        }
        if self.status > 0 {
            add("http.response.status_code", number(self.status.into()));
        }
        add("storegate.request_id", text(self.request_id.to_str().unwrap_or_default()));
        add("storegate.outcome", text(self.outcome.name()));
        if let Some((code, reason)) = self.refusal {
            add("storegate.code", text(code));
            add("storegate.reason", text(reason));
        }
        if let Some(ended) = self.ended {
            add("storegate.ended", text(ended.name()));
        }
        if let Some(remark) = &self.remark {
            add("storegate.endpoint", text(remark.family));
            add("storegate.action", text(remark.action));
            if !remark.code.is_empty() {
                add("storegate.code", text(remark.code));
            }
        }
        if let Some(kind) = self.kind {
            add("storegate.credential", text(kind.name()));
        }
        if let Some(token) = &self.token {
            add("storegate.fingerprint", text(&key.of_token(token)));
        }
        let named = self.remark.as_ref().and_then(|remark| remark.client_id.as_ref());
        if let Some(client_id) = self.app.as_ref().map(|app| &app.client_id).or(named) {
            add("storegate.client_id", text(client_id.as_str()));
        }
        let named = self.remark.as_ref().and_then(|remark| remark.store_id);
        if let Some(store) = self.store.or(named) {
            add("storegate.store_id", number(store.get().into()));
        }
        // As the metrics split it: the upstream's time is that to its first byte.
        let gateway = self.total.saturating_sub(self.upstream.unwrap_or_default());
        add("storegate.gateway_us", number(gateway.as_micros()));
        if let Some(upstream) = self.upstream {
            add("storegate.upstream_us", number(upstream.as_micros()));
        }
        all
    }
}

/// The name of a method that is one of HTTP's (RFC 9110 and 5789): others are the caller's invention.
fn known(method: &Method) -> Option<&str> {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    known.contains(method).then(|| method.as_str())
}
