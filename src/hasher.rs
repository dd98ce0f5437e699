//! Bounded bcrypt workers, for the secrets of apps and the passwords of people: a fixed number of threads, a
//! bounded queue, one computation at a time per app's record and secret. What they prove of an app is remembered in
//! its record, so that bcrypt runs once per record and secret and never on a request thread.
//!
//! It does not decide: after a proof the request is decided anew, on the records of that moment.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::model::{
    HoldsSecrets, Malformed, PasswordHash, ProofKey, Secret, SecretHash, Timestamp, TokenDigest,
};

/// How long a job may wait in the queue. Past it the caller has its 503 and nobody wants the answer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a password costs to guess, as bcrypt's exponent: about a quarter of a second on one core.
const PASSWORD_COST: u32 = 12;

/// How long a password may be, in bytes. bcrypt reads no more, and one that it cuts off in silence would be
/// proved by its beginning alone.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=ProofKey::BCRYPT_BYTES;

/// Hashes a new password of a person. It computes on the calling thread: it is for commands.
///
/// # Errors
///
/// [`Malformed`] when it is shorter than 8 bytes or longer than 72, or holds a NUL.
pub fn hash_password(password: &Secret) -> Result<PasswordHash, Malformed> {
    const WHY: Malformed = Malformed("a password has 8 to 72 bytes, none of them NUL");
    let text = password.expose();
    if !PASSWORD_BYTES.contains(&text.len()) || text.contains('\0') {
        return Err(WHY);
    }
    let hash = bcrypt::hash(text, PASSWORD_COST).map_err(|_| WHY)?;
    PasswordHash::parse(&hash)
}

/// What the secret of an identity provider's client costs. It has 256 random bits, which nobody guesses at any
/// speed: the form is the platform's, and it need not be dear.
const CLIENT_SECRET_COST: u32 = 10;

/// Hashes a secret of a client that was made here. It computes on the calling thread, some fifty
/// milliseconds.
///
/// # Errors
///
/// [`Malformed`] when it is longer than 72 bytes or holds a NUL.
pub fn hash_client_secret(secret: &Secret) -> Result<PasswordHash, Malformed> {
    const WHY: Malformed = Malformed("a client secret has at most 72 bytes, none of them NUL");
    let text = secret.expose();
    if text.len() > ProofKey::BCRYPT_BYTES || text.contains('\0') {
        return Err(WHY);
    }
    let hash = bcrypt::hash(text, CLIENT_SECRET_COST).map_err(|_| WHY)?;
    PasswordHash::parse(&hash)
}

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

/// Somebody who watches how the workers keep up.
pub trait Observer: std::fmt::Debug + Send + Sync + 'static {
    /// A job waits.
    fn queued(&self);
    /// It waits no longer.
    fn taken(&self);
    /// One was not computed: the queue was full, or it waited too long.
    fn refused(&self);
    /// There is a verdict, so long after the job began to wait.
    fn judged(&self, after: Duration);
}

#[derive(Debug)]
struct Shared {
    proof_key: ProofKey,
    observer: OnceLock<Box<dyn Observer>>,
    /// Who waits for which computation. Bounded by the queue and the threads.
    flights: Mutex<HashMap<Flight, Vec<oneshot::Sender<Verdict>>>>,
}

/// One record of an app or client and one secret, by digest: the map outlives the request, the secret must not.
/// The record counts by its address, which the job keeps alive: a verdict on a record that was
/// replaced since must not refuse the secret of its successor.
type Flight = (usize, TokenDigest);

#[derive(Debug)]
struct Job {
    task: Task,
    queued: Instant,
}

#[derive(Debug)]
enum Task {
    /// The secret of an app or client; everybody who waits is in the flights.
    Proof { holder: Arc<dyn HoldsSecrets>, secret: Secret, now: Timestamp, flight: Flight },
    /// A person's password.
    Password { hash: Option<PasswordHash>, password: Secret, answer: oneshot::Sender<Verdict> },
}

/// Stands in for the password of somebody whom nobody knows, so that the answer takes as long. Of cost
/// [`PASSWORD_COST`]; what it is the hash of was thrown away.
const NOBODY: &str = "$2b$12$eImiTXuWVxfM37uY4JANjOe5XtO0rAVqvZNDtZ3mKGq1o1oFJtUtu";

impl Hasher {
    /// Starts `threads` workers with room for `queue` waiting jobs.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn start(threads: usize, queue: usize, proof_key: ProofKey) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let shared =
            Arc::new(Shared { proof_key, observer: OnceLock::new(), flights: Mutex::new(HashMap::new()) });
        for number in 0..threads {
            let (receiver, shared) = (Arc::clone(&receiver), Arc::clone(&shared));
            std::thread::Builder::new()
                .name(format!("bcrypt-{number}"))
                .spawn(move || work(&receiver, &shared))?;
        }
        Ok(Self { queue: sender, shared })
    }

    /// Has somebody watch; to be called before the first job. Only the first one counts.
    pub fn observe(&self, observer: impl Observer) {
        let _ = self.shared.observer.set(Box::new(observer));
    }

    /// Has `secret` checked against the record's bcrypt generations that are in force at `now`.
    pub async fn prove(&self, holder: Arc<dyn HoldsSecrets>, secret: Secret, now: Timestamp) -> Verdict {
        match self.enter(holder, secret, now) {
            Some(answer) => answer.await.unwrap_or(Verdict::Saturated),
            None => Verdict::Saturated,
        }
    }

    /// Has a person's password checked; `None` for somebody who does not exist, which is as slow and always
    /// wrong. Nothing is remembered: every sign-in is computed.
    pub async fn check_password(&self, hash: Option<PasswordHash>, password: Secret) -> Verdict {
        let (answer, answered) = oneshot::channel();
        let job = Job { task: Task::Password { hash, password, answer }, queued: Instant::now() };
        match self.leave(job) {
            true => answered.await.unwrap_or(Verdict::Saturated),
            false => Verdict::Saturated,
        }
    }

    /// Puts a job into the queue; false when it is full.
    fn leave(&self, job: Job) -> bool {
        // Before a worker can take it.
        self.shared.tell(|observer| observer.queued());
        let is_left = self.queue.try_send(job).is_ok();
        if !is_left {
            self.shared.tell(|observer| {
                observer.taken();
                observer.refused();
            });
        }
        is_left
    }

    /// Joins the flight of this client and secret, or starts one; `None` when the queue is full.
    fn enter(
        &self,
        holder: Arc<dyn HoldsSecrets>,
        secret: Secret,
        now: Timestamp,
    ) -> Option<oneshot::Receiver<Verdict>> {
        let flight =
            (Arc::as_ptr(&holder).cast::<()>() as usize, TokenDigest::of(secret.expose().as_bytes()));
        let (sender, receiver) = oneshot::channel();
        // A worker that panicked left the map whole: it is only touched in single calls.
        let mut flights = self.shared.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = flights.get_mut(&flight) {
            waiting.push(sender);
            return Some(receiver);
        }
        let job = Job { task: Task::Proof { holder, secret, now, flight }, queued: Instant::now() };
        if !self.leave(job) {
            return None;
        }
        flights.insert(flight, vec![sender]);
        Some(receiver)
    }
}

/// How far the workers step back behind other threads: at 5 they get a quarter of a core that both want
/// (setpriority(2)). A computation of a quarter of a second must not delay a request of microseconds.
const NICENESS: i32 = 5;

fn work(receiver: &Mutex<Receiver<Job>>, shared: &Shared) {
    // On Linux it is the thread's own. Where it is refused, nothing but speed is lost.
    let _ = rustix::process::nice(NICENESS);
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        shared.tell(|observer| observer.taken());
        let is_late = job.queued.elapsed() > LONGEST_WAIT;
        // A caller that left needs no answer: sending to one may fail.
        match job.task {
            Task::Proof { holder, secret, now, flight } => {
                let verdict = match is_late {
                    true => Verdict::Saturated,
                    false => prove(&*holder, &secret, now, &shared.proof_key),
                };
                shared.judged(job.queued, is_late);
                let mut flights = shared.flights.lock().unwrap_or_else(PoisonError::into_inner);
                let waiting = flights.remove(&flight);
                drop(flights);
                for sender in waiting.into_iter().flatten() {
                    let _ = sender.send(verdict);
                }
            }
            Task::Password { hash, password, answer } => {
                let verdict = match is_late {
                    true => Verdict::Saturated,
                    false => check(hash.as_ref(), &password),
                };
                shared.judged(job.queued, is_late);
                let _ = answer.send(verdict);
            }
        }
    }
}

impl Shared {
    fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = self.observer.get() {
            what(&**observer);
        }
    }

    fn judged(&self, queued: Instant, is_late: bool) {
        self.tell(|observer| match is_late {
            true => observer.refused(),
            false => observer.judged(queued.elapsed()),
        });
    }
}

fn prove(holder: &dyn HoldsSecrets, secret: &Secret, now: Timestamp, key: &ProofKey) -> Verdict {
    let presented = secret.expose().as_bytes();
    // bcrypt reads 72 bytes. Existing platforms hashed longer secrets with libraries that drop the
    // rest in silence, so that their hashes only verify if the rest is dropped here too.
    let read = &presented[..presented.len().min(ProofKey::BCRYPT_BYTES)];
    for generation in holder.secrets().iter().filter(|generation| !generation.is_expired(now)) {
        if let SecretHash::Bcrypt(hash) = &generation.hash
            && bcrypt::verify(read, hash).unwrap_or(false)
        {
            generation.remember_proof(presented, key);
            return Verdict::Proved;
        }
    }
    Verdict::Wrong
}

fn check(hash: Option<&PasswordHash>, password: &Secret) -> Verdict {
    let read = password.expose().as_bytes();
    // Longer than any password can be: it is somebody else's as far as bcrypt can tell.
    let hash = hash.filter(|_| read.len() <= ProofKey::BCRYPT_BYTES);
    let read = &read[..read.len().min(ProofKey::BCRYPT_BYTES)];
    let matches = bcrypt::verify(read, hash.map_or(NOBODY, PasswordHash::as_str)).unwrap_or(false);
    if matches && hash.is_some() { Verdict::Proved } else { Verdict::Wrong }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AddressList, App, AppId, AppSecret, AppStatus, ClientId, Registration, SecretMatch};

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
            registration: Registration::default(),
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
        let app = app(&["sx_secret_new"], 13); // each of half a second: hardly one ends while all ask
        let asking: Vec<_> = (0..20)
            .map(|n| hasher.prove(app.clone(), secret(&format!("sx_secret_{n}")), NOW))
            .map(|asked| Box::pin(asked) as std::pin::Pin<Box<dyn Future<Output = _>>>)
            .collect();
        let answers = join(asking).await;
        let saturated = answers.iter().filter(|answer| **answer == Verdict::Saturated).count();
        assert!(saturated >= 14, "{answers:?}");
        assert!(answers.contains(&Verdict::Wrong), "{answers:?}");
    }

    #[tokio::test]
    async fn passwords_of_people() {
        let hasher = Hasher::start(2, 8, ProofKey::random().unwrap()).unwrap();
        let of = |text: &str, cost| Some(PasswordHash::parse(&bcrypt::hash(text, cost).unwrap()).unwrap());
        let longest = "p".repeat(72);
        let rows = [
            (of("battery staple", 4), "battery staple", Verdict::Proved),
            (of("battery staple", 4), "battery stapl", Verdict::Wrong),
            (of("battery staple", 4), "", Verdict::Wrong),
            (of(&longest, 4), &longest, Verdict::Proved),
            (of(&longest, 4), &format!("{longest}p"), Verdict::Wrong),
            (None, "battery staple", Verdict::Wrong),
        ];
        for (hash, text, verdict) in rows {
            assert_eq!(hasher.check_password(hash, secret(text)).await, verdict, "{text}");
        }
    }

    #[test]
    fn nobody_takes_as_long_as_somebody() {
        assert_eq!(PasswordHash::parse(NOBODY).unwrap().as_str()[4..6], PASSWORD_COST.to_string());
        let made = hash_password(&secret("battery staple")).unwrap();
        assert_eq!(made.as_str()[4..6], PASSWORD_COST.to_string());
        for text in ["", "1234567", &"p".repeat(73), "battery\0staple"] {
            assert!(hash_password(&secret(text)).is_err(), "{text:?}");
        }
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
