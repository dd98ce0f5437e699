//! Bounded bcrypt workers: a fixed number of threads, a bounded queue, one computation at a time per
//! app's record and secret. What they prove is remembered in the app's record, so that bcrypt runs once per
//! record and secret and never on a request thread.
//!
//! It does not decide: after a proof the request is decided anew, on the records of that moment.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::model::{App, ProofKey, Secret, SecretHash, Timestamp, TokenDigest};

/// How long a job may wait in the queue. Past it the caller has its 503 and nobody wants the answer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// bcrypt accepts the secret; the app's record remembers it.
    Proved,
    /// No bcrypt generation accepts it.
    Wrong,
    /// The queue is full, or the job waited too long: nobody can tell now.
    Saturated,
}

/// The workers. They end when this is dropped and the queue is empty.
#[derive(Debug)]
pub struct Hasher {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    proof_key: ProofKey,
    /// Who waits for which computation. Bounded by the queue and the threads.
    flights: Mutex<HashMap<Flight, Vec<oneshot::Sender<Verdict>>>>,
}

/// One record of an app and one secret, by digest: the map outlives the request, the secret must not.
/// The record counts by its address, which the job keeps alive: a verdict on a record that was
/// replaced since must not refuse the secret of its successor.
type Flight = (usize, TokenDigest);

#[derive(Debug)]
struct Job {
    app: Arc<App>,
    secret: Secret,
    now: Timestamp,
    flight: Flight,
    queued: Instant,
}

impl Hasher {
    /// Starts `threads` workers with room for `queue` waiting jobs.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn start(threads: usize, queue: usize, proof_key: ProofKey) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let shared = Arc::new(Shared { proof_key, flights: Mutex::new(HashMap::new()) });
        for number in 0..threads {
            let (receiver, shared) = (Arc::clone(&receiver), Arc::clone(&shared));
            std::thread::Builder::new()
                .name(format!("bcrypt-{number}"))
                .spawn(move || work(&receiver, &shared))?;
        }
        Ok(Self { queue: sender, shared })
    }

    /// Has `secret` checked against the app's bcrypt generations that are in force at `now`.
    pub async fn prove(&self, app: Arc<App>, secret: Secret, now: Timestamp) -> Verdict {
        match self.enter(app, secret, now) {
            Some(answer) => answer.await.unwrap_or(Verdict::Saturated),
            None => Verdict::Saturated,
        }
    }

    /// Joins the flight of this client and secret, or starts one; `None` when the queue is full.
    fn enter(&self, app: Arc<App>, secret: Secret, now: Timestamp) -> Option<oneshot::Receiver<Verdict>> {
        let flight = (Arc::as_ptr(&app) as usize, TokenDigest::of(secret.expose().as_bytes()));
        let (sender, receiver) = oneshot::channel();
        // A worker that panicked left the map whole: it is only touched in single calls.
        let mut flights = self.shared.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = flights.get_mut(&flight) {
            waiting.push(sender);
            return Some(receiver);
        }
        let job = Job { app, secret, now, flight, queued: Instant::now() };
        match self.queue.try_send(job) {
            Ok(()) => {
                flights.insert(flight, vec![sender]);
                Some(receiver)
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}

fn work(receiver: &Mutex<Receiver<Job>>, shared: &Shared) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let verdict = if job.queued.elapsed() > LONGEST_WAIT {
            Verdict::Saturated
        } else {
            check(&job, &shared.proof_key)
        };
        let mut flights = shared.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = flights.remove(&job.flight);
        drop(flights);
        for sender in waiting.into_iter().flatten() {
            let _ = sender.send(verdict); // a caller that left needs no answer
        }
    }
}

fn check(job: &Job, key: &ProofKey) -> Verdict {
    let presented = job.secret.expose().as_bytes();
    // bcrypt reads 72 bytes. Existing platforms hashed longer secrets with libraries that drop the
    // rest in silence, so that their hashes only verify if the rest is dropped here too.
    let read = &presented[..presented.len().min(ProofKey::BCRYPT_BYTES)];
    for generation in job.app.secrets.iter().filter(|generation| !generation.is_expired(job.now)) {
        if let SecretHash::Bcrypt(hash) = &generation.hash
            && bcrypt::verify(read, hash).unwrap_or(false)
        {
            generation.remember_proof(presented, key);
            return Verdict::Proved;
        }
    }
    Verdict::Wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AddressList, AppId, AppSecret, AppStatus, ClientId, SecretMatch};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn app(secrets: &[&str], cost: u32) -> Arc<App> {
        let hash = |secret: &&str| SecretHash::Bcrypt(bcrypt::hash(secret, cost).unwrap().into());
        let secrets = secrets.iter().map(|secret| AppSecret::new(1, hash(secret), None)).collect();
        Arc::new(App {
            app_id: AppId(1),
            client_id: ClientId::parse("sx_app_1").unwrap(),
            status: AppStatus::Enabled,
            secrets,
            session_key: None,
            allowed_addresses: AddressList::default(),
            header: http::HeaderValue::from_static("sx_app_1"),
        })
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn proofs_and_failures() {
        let key = ProofKey::random().unwrap();
        let hasher = Hasher::start(2, 8, key.clone()).unwrap();
        let app = app(&["sx_secret_new", "sx_secret_old"], 4);
        assert_eq!(app.secrets[1].compare(b"sx_secret_old", &key), SecretMatch::Unproved);
        for (text, verdict) in [
            ("sx_secret_wrong", Verdict::Wrong),
            ("", Verdict::Wrong),
            ("sx_secret_old", Verdict::Proved),
            ("sx_secret_new", Verdict::Proved),
        ] {
            assert_eq!(hasher.prove(app.clone(), secret(text), NOW).await, verdict, "{text}");
        }
        assert_eq!(app.secrets[1].compare(b"sx_secret_old", &key), SecretMatch::Equal);
        assert_eq!(app.secrets[1].compare(b"sx_secret_new", &key), SecretMatch::Different);
    }

    #[tokio::test]
    async fn one_computation_serves_all_who_ask_the_same() {
        let key = ProofKey::random().unwrap();
        let hasher = Hasher::start(1, 1, key).unwrap();
        let app = app(&["sx_secret_new"], 8);
        // Far more askers than the queue has room: they share one flight.
        let asking = (0..50).map(|_| hasher.prove(app.clone(), secret("sx_secret_new"), NOW));
        let answers: Vec<_> =
            asking.map(|asked| Box::pin(asked) as std::pin::Pin<Box<dyn Future<Output = _>>>).collect();
        for answer in join(answers).await {
            assert_eq!(answer, Verdict::Proved);
        }
    }

    #[tokio::test]
    async fn a_full_queue_is_an_answer() {
        let key = ProofKey::random().unwrap();
        let hasher = Hasher::start(1, 1, key).unwrap();
        let app = app(&["sx_secret_new"], 10);
        let asking: Vec<_> = (0..20)
            .map(|n| hasher.prove(app.clone(), secret(&format!("sx_secret_{n}")), NOW))
            .map(|asked| Box::pin(asked) as std::pin::Pin<Box<dyn Future<Output = _>>>)
            .collect();
        let answers = join(asking).await;
        let saturated = answers.iter().filter(|answer| **answer == Verdict::Saturated).count();
        assert!(saturated >= 17, "{answers:?}");
        assert!(answers.contains(&Verdict::Wrong), "{answers:?}");
    }

    /// Polls all at once, so that they overlap on one thread.
    async fn join<'a>(mut asked: Vec<std::pin::Pin<Box<dyn Future<Output = Verdict> + 'a>>>) -> Vec<Verdict> {
        let mut answers = vec![None; asked.len()];
        std::future::poll_fn(|context| {
            for (answer, asked) in answers.iter_mut().zip(&mut asked) {
                if answer.is_none()
                    && let std::task::Poll::Ready(verdict) = asked.as_mut().poll(context)
                {
                    *answer = Some(verdict);
                }
            }
            if answers.iter().all(Option::is_some) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        answers.into_iter().flatten().collect()
    }
}
