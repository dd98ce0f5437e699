//! Alerts told to somebody else's server: a POST each, signed, one after the other by a thread of its own.
//!
//! The signature is `t=UNIX,v1=HEX`, the HMAC-SHA-256 with the shared secret over `UNIX.BODY`: who checks the time as
//! well cannot be sent an old alert again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::tls::{RootCerts, TlsConfig};

use super::detect::Alert;
use super::worker::Shared;
use crate::model::{Secret, Timestamp};

/// Alerts that wait; further ones are dropped and counted.
const QUEUE: usize = 256;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits between the attempts; after the last one the alert is given up.
const AGAIN: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

/// Where alerts are sent.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// An http or https URL.
    pub url: String,
    /// What the receiver knows as well.
    pub secret: Secret,
}

/// What became of the alerts that were to be sent.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// The way to the thread that sends.
pub(super) struct Sender(SyncSender<Alert>);

impl Sender {
    /// Leaves an alert to be sent; waits for nothing.
    pub(super) fn send(&self, alert: Alert, outcomes: &Outcomes) {
        if self.0.try_send(alert).is_err() {
            outcomes.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Gives the way in, and what the thread is to run.
pub(super) fn channel(webhook: Webhook, shared: Arc<Shared>) -> (Sender, impl FnOnce() + Send + 'static) {
    let (sender, alerts) = sync_channel(QUEUE);
    (Sender(sender), move || deliver_all(&webhook, &shared, &alerts))
}

fn deliver_all(webhook: &Webhook, shared: &Shared, alerts: &Receiver<Alert>) {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .tls_config(tls)
            .user_agent("storegate")
            .build(),
    );
    let mut last_call = None;
    while let Ok(alert) = alerts.recv() {
        // At the end the process does not wait long for a receiver that may be silent.
        if last_call.is_none() && shared.wait(Duration::ZERO) {
            last_call = Some(Instant::now() + PATIENCE);
        }
        let is_late = last_call.is_some_and(|at| Instant::now() >= at);
        let delivered = !is_late && deliver(webhook, shared, &agent, &alert);
        let counter = if delivered { &shared.webhooks.delivered } else { &shared.webhooks.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn deliver(webhook: &Webhook, shared: &Shared, agent: &ureq::Agent, alert: &Alert) -> bool {
    // Our own types: they always serialise.
    let body = serde_json::to_vec(alert).unwrap_or_default();
    for again in AGAIN.into_iter().map(Some).chain([None]) {
        let problem = match attempt(webhook, agent, &body) {
            Ok(200..=299) => return true,
            // The receiver will not have it, however often it is sent.
            Ok(status @ 400..=499) if status != 408 && status != 429 => {
                tracing::warn!(status, "the webhook refuses an alert");
                return false;
            }
            Ok(status) => format!("status {status}"),
            Err(error) => error.to_string(),
        };
        match again {
            Some(wait) if !shared.wait(wait) => {}
            _ => {
                tracing::warn!(problem, "an alert cannot be delivered to the webhook");
                break;
            }
        }
    }
    false
}

fn attempt(webhook: &Webhook, agent: &ureq::Agent, body: &[u8]) -> Result<u16, ureq::Error> {
    let signature = signature(&webhook.secret, Timestamp::now(), body);
    let call = agent.post(&webhook.url).header("Content-Type", "application/json");
    call.header("X-Storegate-Signature", signature).send(body).map(|answer| answer.status().as_u16())
}

/// The value of the signature's header.
fn signature(secret: &Secret, at: Timestamp, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes a key of any length (RFC 2104)");
    mac.update(format!("{}.", at.0).as_bytes());
    mac.update(body);
    format!("t={},v1={}", at.0, data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::usage::Unusual;

    fn alert() -> Alert {
        Alert {
            at: 1_767_323_040,
            client_id: "sx_app_1".to_owned(),
            credential: "bearer",
            store_id: Some(22),
            token: None,
            what: Unusual::Spike { calls: 500, usual: 12.5 },
            is_told: true,
        }
    }

    /// Answers each request with the next status; gives heads and bodies.
    fn receiver(answers: &'static [u16]) -> (String, std::thread::JoinHandle<Vec<(String, String)>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/alerts", listener.local_addr().unwrap());
        let serve = move || {
            let mut received = Vec::new();
            for status in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                let head = head.to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                received.push((head, String::from_utf8(body).unwrap()));
                let location = "Location: /elsewhere\r\nConnection: close\r\nContent-Length: 0";
                write!(stream, "HTTP/1.1 {status} X\r\n{location}\r\n\r\n").unwrap();
            }
            received
        };
        (url, std::thread::spawn(serve))
    }

    fn run(url: String) -> Arc<Shared> {
        let shared = Arc::new(Shared::default());
        let webhook = Webhook { url, secret: Secret::new("s".into()) };
        let (sender, deliver) = channel(webhook, Arc::clone(&shared));
        sender.send(alert(), &shared.webhooks);
        drop(sender);
        deliver();
        shared
    }

    fn outcomes(shared: &Shared) -> (u64, u64, u64) {
        let Outcomes { delivered, failed, dropped } = &shared.webhooks;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(delivered), count(failed), count(dropped))
    }

    #[test]
    fn an_alert_is_signed_and_sent_again_until_it_is_taken() {
        let (url, received) = receiver(&[500, 204]);
        assert_eq!(outcomes(&run(url)), (1, 0, 0));
        let received = received.join().unwrap();
        let (head, body) = &received[1];
        let header = head.split("x-storegate-signature: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let at = header.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(header, signature(&Secret::new("s".into()), Timestamp(at), body.as_bytes()));
        assert_ne!(header, signature(&Secret::new("other".into()), Timestamp(at), body.as_bytes()));
        let told: serde_json::Value = serde_json::from_str(body).unwrap();
        let expected = serde_json::json!({"at": 1_767_323_040, "type": "spike", "client_id": "sx_app_1",
            "credential": "bearer", "store_id": 22, "token": null, "calls": 500, "usual": 12.5});
        assert_eq!(told, expected);
    }

    #[test]
    fn what_the_receiver_refuses_is_not_sent_again() {
        let (url, received) = receiver(&[403]);
        assert_eq!(outcomes(&run(url)), (0, 1, 0));
        assert_eq!(received.join().unwrap().len(), 1);
    }

    #[test]
    fn a_full_queue_is_counted_and_an_end_is_not_held_up() {
        let shared = Arc::new(Shared::default());
        let webhook = Webhook { url: "http://127.0.0.1:1/".into(), secret: Secret::new("s".into()) };
        let (sender, deliver) = channel(webhook, Arc::clone(&shared));
        (0..QUEUE + 5).for_each(|_| sender.send(alert(), &shared.webhooks));
        drop(sender);
        shared.end();
        let start = Instant::now();
        deliver();
        assert!(start.elapsed() < PATIENCE);
        assert_eq!(outcomes(&shared), (0, QUEUE as u64, 5));
    }

    #[test]
    fn an_end_does_not_wait_for_a_silent_receiver() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let (sender, deliver) =
            channel(Webhook { url, secret: Secret::new("s".into()) }, Arc::clone(&shared));
        (0..20).for_each(|_| sender.send(alert(), &shared.webhooks));
        drop(sender);
        shared.end();
        let start = Instant::now();
        deliver();
        assert!(start.elapsed() < 4 * PATIENCE, "{:?}", start.elapsed());
        assert_eq!(outcomes(&shared), (0, 20, 0));
    }

    #[test]
    fn the_signature_is_that_of_others() {
        // printf '1.x' | openssl dgst -sha256 -hmac key
        let expected = "t=1,v1=fc4913c41a7bf793267e2a384f3261c9436ec2cd097bd745e7b0d99113f510ec";
        assert_eq!(signature(&Secret::new("key".into()), Timestamp(1), b"x"), expected);
    }
}
