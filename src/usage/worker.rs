//! The thread that counts.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::board::{Board, Busiest};
use super::book::Book;
use super::detect::{Alert, Detector, Unusual};
use super::file::File;
use super::sample::{Sample, Samples};
use super::webhook::{self, Outcomes};
use super::writer::{Batch, Failures, Writer};
use super::{Alerts, Settings};
use crate::model::{ClientId, StoreId, Timestamp, TokenDigest};

/// How often the buffers are emptied. Nobody is woken per request.
const EVERY: Duration = Duration::from_millis(50);

/// How often the file gets what was counted: so much is lost at most when the process is killed.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// How often the metrics are told.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// How often the boards are looked through, and how often the past is made to weigh less.
const SEAT_EVERY: Duration = Duration::from_secs(10);
const AGE_EVERY: Duration = Duration::from_secs(600);

/// How often what is known of credentials is kept for the next start.
const KEEP_EVERY: Duration = Duration::from_secs(300);

/// Minutes of all pairs that are counted while the file cannot be written; then all are others.
const MINUTES_IN_MEMORY: usize = 4;

/// The counting of a running gateway. Dropping it writes what waits.
#[derive(Debug)]
pub struct Usage {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// How the counting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Calls that were not counted for want of room.
    pub lost: u64,
    /// Attempts to write that failed.
    pub failures: u64,
    /// Whether the last one failed.
    pub failing: bool,
    /// Alerts of spikes.
    pub spikes: u64,
    /// Alerts of new addresses.
    pub new_addresses: u64,
    /// Alerts that the webhook took, that it did not take, and that were dropped because too many waited.
    pub webhook: [u64; 3],
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    samples: Samples,
    busiest: Mutex<Arc<Busiest>>,
    pub(super) failures: Failures,
    pub(super) webhooks: Outcomes,
    spikes: AtomicU64,
    new_addresses: AtomicU64,
    lost: AtomicU64,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Usage {
    /// Begins to count into the file at `path`. A file that cannot be used is complained about and tried
    /// again: it keeps no gateway from serving. Alerts name an access token by `fingerprint`.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(
        path: PathBuf,
        settings: Settings,
        alerts: Alerts,
        fingerprint: impl Fn(&TokenDigest) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, batches) = sync_channel(0);
        let (alarm, deliver) =
            alerts.webhook.map(|webhook| webhook::channel(webhook, Arc::clone(&shared))).unzip();
        let writer =
            Writer { path: path.clone(), settings: settings.clone(), shared: Arc::clone(&shared), batches };
        let counter = Counter {
            shared: Arc::clone(&shared),
            book: Book::new(settings.pairs.saturating_mul(MINUTES_IN_MEMORY)),
            apps: Board::new(settings.top),
            stores: Board::new(settings.top),
            detector: Detector::new(alerts.watch),
            alarm,
            fingerprint: Box::new(fingerprint),
            path,
            sender,
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let mut usage = Self { shared, threads: Vec::new() };
        usage.threads.push(thread("usage-writer").spawn(move || writer.run())?);
        if let Some(deliver) = deliver {
            usage.threads.push(thread("usage-alerts").spawn(deliver)?);
        }
        usage.threads.push(thread("usage").spawn(move || counter.run())?);
        Ok(usage)
    }

    /// Counts a request that ended. Waits for nothing.
    pub fn count(&self, sample: Sample) {
        self.shared.samples.push(sample);
    }

    /// The busiest apps and stores.
    pub fn busiest(&self) -> Arc<Busiest> {
        Arc::clone(&self.shared.busiest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the counting goes.
    pub fn health(&self) -> Health {
        let (failures, webhooks) = (&self.shared.failures, &self.shared.webhooks);
        Health {
            lost: self.shared.samples.dropped() + self.shared.lost.load(Ordering::Relaxed),
            failures: failures.count.load(Ordering::Relaxed),
            failing: failures.failing.load(Ordering::Relaxed),
            spikes: self.shared.spikes.load(Ordering::Relaxed),
            new_addresses: self.shared.new_addresses.load(Ordering::Relaxed),
            webhook: [&webhooks.delivered, &webhooks.failed, &webhooks.dropped]
                .map(|count| count.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        self.shared.end();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // one that panicked has nothing left to write
        }
    }
}

impl Shared {
    /// Wakes whoever waits.
    pub(super) fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.notify_all();
    }

    /// Counts what is unusual, and tells it.
    fn alert(&self, alert: Alert, alarm: Option<&webhook::Sender>) {
        let counter = match alert.what {
            Unusual::Spike { .. } => &self.spikes,
            Unusual::NewAddress { .. } => &self.new_addresses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !alert.is_told {
            return;
        }
        let Alert { client_id, credential, store_id, token, .. } = &alert;
        match &alert.what {
            Unusual::Spike { calls, usual } => {
                tracing::warn!(
                    client_id,
                    credential,
                    store_id,
                    token,
                    calls,
                    usual,
                    "many more calls than usual with a credential"
                );
            }
            Unusual::NewAddress { network } => {
                tracing::warn!(client_id, credential, store_id, token, %network, "a credential is used from where it never was");
            }
        }
        if let Some(alarm) = alarm {
            alarm.send(alert, &self.webhooks);
        }
    }

    /// Waits for so long, or for the end; whether it has come.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.end.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

struct Counter {
    shared: Arc<Shared>,
    book: Book,
    apps: Board<ClientId>,
    stores: Board<StoreId>,
    detector: Detector,
    alarm: Option<webhook::Sender>,
    fingerprint: Box<dyn Fn(&TokenDigest) -> String + Send>,
    /// Of the file.
    path: PathBuf,
    sender: SyncSender<Batch>,
}

impl Counter {
    fn run(mut self) {
        let mut room = Vec::new();
        let mut batch = Batch::default();
        self.remember();
        let (mut written, mut shown) = (Instant::now(), Instant::now());
        let (mut seated, mut aged, mut kept) = (shown, shown, shown);
        loop {
            let ended = self.shared.wait(EVERY);
            let now = Timestamp::now().0;
            let minute = now - now.rem_euclid(60);
            let shared = Arc::clone(&self.shared);
            shared.samples.take(&mut room, |sample| self.count(now, minute, sample));
            if due(&mut seated, SEAT_EVERY) {
                self.apps.seat();
                self.stores.seat();
            }
            if due(&mut aged, AGE_EVERY) {
                self.apps.age();
                self.stores.age();
            }
            if ended || due(&mut shown, SHOW_EVERY) {
                self.show();
            }
            if ended {
                batch.entries.append(&mut self.book.take());
                batch.patterns = Some(self.detector.text());
                let _ = self.sender.send(batch); // the writer has ended where it cannot write
                return;
            }
            if due(&mut written, WRITE_EVERY) && batch.is_empty() && !self.book.is_empty() {
                batch.entries = self.book.take();
                batch.patterns = due(&mut kept, KEEP_EVERY).then(|| self.detector.text());
            }
            batch = self.offer(batch);
        }
    }

    fn remember(&mut self) {
        match File::patterns(&self.path) {
            Ok(Some(text)) => self.detector.remember(&text),
            Ok(None) => {}
            Err(error) => tracing::warn!("the patterns of credentials are learned anew: {error}"),
        }
    }

    fn count(&mut self, now: i64, minute: i64, sample: &Sample) {
        self.book.count(minute, sample);
        self.apps.count(sample.app.as_ref().map(|app| &app.client_id), sample.verdict);
        self.stores.count(sample.store.as_ref(), sample.verdict);
        let (shared, alarm, fingerprint) = (&self.shared, &self.alarm, &self.fingerprint);
        self.detector.look(now, sample, |mut alert| {
            alert.token = sample.token.as_ref().map(fingerprint);
            shared.alert(alert, alarm.as_ref());
        });
    }

    /// Gives the batch to the writer if it has nothing to do; gives it back otherwise.
    fn offer(&self, batch: Batch) -> Batch {
        if batch.is_empty() {
            return batch;
        }
        match self.sender.try_send(batch) {
            Ok(()) => Batch::default(),
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => batch,
        }
    }

    fn show(&self) {
        fn named<K: ToString>(board: impl Iterator<Item = (K, super::Shown)>) -> Vec<(String, super::Shown)> {
            board.map(|(key, shown)| (key.to_string(), shown)).collect()
        }
        let busiest = Busiest {
            apps: named(self.apps.shown()),
            other_apps: self.apps.others(),
            stores: named(self.stores.shown()),
            other_stores: self.stores.others(),
        };
        *self.shared.busiest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(busiest);
        self.shared.lost.store(self.book.lost(), Ordering::Relaxed);
    }
}

/// Whether it is time again.
fn due(last: &mut Instant, every: Duration) -> bool {
    let is_due = last.elapsed() >= every;
    if is_due {
        *last = Instant::now();
    }
    is_due
}
