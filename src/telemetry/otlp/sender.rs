//! The thread that sends spans.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use ureq::tls::{RootCerts, TlsConfig};

use super::super::FingerprintKey;
use super::OtlpMetrics;
use super::span::Finished;
use crate::config::Otlp;

/// How often the queue is emptied. Nobody is woken per request.
const EVERY: Duration = Duration::from_millis(200);

/// Spans that are sent at once at most.
const BATCH: usize = 512;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits between the attempts; after the last one the batch is given up. Meanwhile the queue takes what comes.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// The longest answer that is read, in bytes.
const ANSWER: u64 = 64 * 1024;

/// Sends what waits.
pub(super) struct Sender {
    agent: ureq::Agent,
    url: String,
    header: Option<(HeaderName, HeaderValue)>,
    service_name: String,
    key: FingerprintKey,
    waiting: Arc<ArrayQueue<Finished>>,
    metrics: OtlpMetrics,
    end: Arc<End>,
}

/// Ends the thread, and tells that it has ended.
#[derive(Debug, Default)]
pub(super) struct End {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By when it has to be over, once it is to end.
    deadline: Option<Instant>,
    is_over: bool,
}

/// What a collector said of a batch.
enum Answer {
    /// It took all but so many.
    Taken(u64),
    /// It will not take it.
    Refused(String),
    /// It may take it later.
    NotNow(String),
}

impl Sender {
    pub(super) fn new(
        settings: &Otlp,
        key: FingerprintKey,
        waiting: Arc<ArrayQueue<Finished>>,
        metrics: OtlpMetrics,
        end: Arc<End>,
    ) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let config = config.tls_config(tls).user_agent("storegate").build();
        Self {
            agent: ureq::Agent::new_with_config(config),
            url: settings.url.clone(),
            header: settings.header.clone(),
            service_name: settings.service_name.clone(),
            key,
            waiting,
            metrics,
            end,
        }
    }

    pub(super) fn run(self) {
        let (mut batch, mut failing) = (Vec::with_capacity(BATCH), false);
        loop {
            let is_last = self.end.wait(EVERY);
            loop {
                batch.extend(
                    std::iter::from_fn(|| self.waiting.pop()).take(BATCH).map(|one| one.json(&self.key)),
                );
                if batch.is_empty() {
                    break;
                }
                let count = batch.len() as u64;
                match self.deliver(std::mem::take(&mut batch)) {
                    Ok(rejected) => {
                        self.metrics.exported.inc_by(count - rejected.min(count));
                        self.metrics.dropped.inc_by(rejected.min(count));
                        if std::mem::take(&mut failing) {
                            tracing::info!("spans are exported again");
                        }
                    }
                    Err(why) => {
                        self.metrics.dropped.inc_by(count);
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(
                                "spans cannot be exported to {}: {why}; they are dropped",
                                self.url
                            );
                        }
                    }
                }
            }
            if is_last {
                return self.end.is_over();
            }
        }
    }

    /// How many the collector rejected of a batch that it took; or why it took none.
    fn deliver(&self, spans: Vec<Value>) -> Result<u64, String> {
        let body = self.body(spans);
        for again in AGAIN.into_iter().map(Some).chain([None]) {
            match (self.attempt(&body), again) {
                (Answer::Taken(rejected), _) => return Ok(rejected),
                (Answer::Refused(why), _) | (Answer::NotNow(why), None) => return Err(why),
                (Answer::NotNow(why), Some(again)) => {
                    if self.end.wait(again) {
                        return Err(why);
                    }
                }
            }
        }
        Err("it was not tried".to_owned()) // the last attempt ends the loop
    }

    fn attempt(&self, body: &[u8]) -> Answer {
        let patience = self.end.left().map_or(PATIENCE, |left| left.min(PATIENCE));
        if patience.is_zero() {
            return Answer::NotNow("the gateway stops".to_owned());
        }
        let call = self.agent.post(&self.url).config().timeout_global(Some(patience)).build();
        let mut call = call.header("Content-Type", "application/json");
        if let Some((name, value)) = &self.header {
            call = call.header(name, value);
        }
        let mut answer = match call.send(body) {
            Ok(answer) => answer,
            Err(error) => return Answer::NotNow(error.to_string()),
        };
        let status = answer.status();
        match status.as_u16() {
            200..=299 => {
                let read = answer.body_mut().with_config().limit(ANSWER).read_to_vec();
                Answer::Taken(rejected(&read.unwrap_or_default()))
            }
            // Those that may be sent again (OTLP 1.3, "Failures").
            429 | 502..=504 => Answer::NotNow(format!("it answers {status}")),
            _ => Answer::Refused(format!("it answers {status}")),
        }
    }

    fn body(&self, spans: Vec<Value>) -> Vec<u8> {
        let version = env!("CARGO_PKG_VERSION");
        let attribute = |name: &str, value: &str| json!({ "key": name, "value": { "stringValue": value } });
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": [
                attribute("service.name", &self.service_name),
                attribute("service.version", version),
            ] },
            "scopeSpans": [{ "scope": { "name": "storegate", "version": version }, "spans": spans }],
        }] });
        body.to_string().into_bytes()
    }
}

/// Of a partial success: a number, or a string of digits.
fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let count = &answer["partialSuccess"]["rejectedSpans"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}

impl End {
    /// Has the thread send what waits and end; waits for that, but no longer than this.
    pub(super) fn within(&self, time: Duration) {
        let mut state = self.state();
        state.deadline = Some(Instant::now() + time);
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(state, time, |state| !state.is_over));
    }

    /// Waits for so long, or until it is to end; whether it is.
    fn wait(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| state.deadline.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.deadline.is_some()
    }

    /// The time that is left, once it is to end.
    fn left(&self) -> Option<Duration> {
        self.state().deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn is_over(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
