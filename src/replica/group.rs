//! Changes of the token endpoints, many in one transaction.
//!
//! Each transaction is on disk before it is answered, which costs the same for one change as for hundreds.
//! One thread takes whatever waits, commits it together and then answers each: under load the batches
//! grow and the throughput with them, alone a change waits for nobody. A change that is refused takes
//! back only itself.
//!
//! They are not in the audit record: they are what clients do, thousands a minute, and the access log has
//! them.
//!
//! The queue is bounded. A full one is an answer: the caller gets its 503.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::Transaction;
use tokio::sync::oneshot;

use super::audit::Actor;
use super::file::Identity;
use super::journal;
use super::reader::Replica;
use super::write::{Halt, WriteError, Writer};
use crate::gate::Unavailable;

/// Changes that wait, at most: about a second's worth.
const WAITING: usize = 2048;

/// Changes in one transaction, at most: other writers wait for it, some ten milliseconds.
const BATCH: usize = 256;

/// What came of a change, to be told once it is on disk and in force.
type Told = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&Transaction<'_>) -> Result<Told, Halt> + Send>;

/// The way in. The thread ends when this is dropped and the queue is empty.
#[derive(Debug)]
pub struct WriteQueue(SyncSender<Job>);

impl WriteQueue {
    /// Starts the thread. The file is opened when the first change comes, and anew when another one has
    /// taken its place.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn start(replica: &Arc<Replica>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let clerk = Clerk { replica: Arc::clone(replica), open: None };
        std::thread::Builder::new().name("tokens".into()).spawn(move || clerk.work(&receiver))?;
        Ok(Self(sender))
    }

    /// Makes one change, and waits until it is on disk and in force on this machine.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the queue is full or the change could not be made; then nothing of it was.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, Halt> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let value = body(tx)?;
            // A caller that left needs no answer.
            Ok(Box::new(move || drop(answer.send(value))) as Told)
        });
        self.0.try_send(job).map_err(|_| Unavailable)?;
        answered.await.map_err(|_| Unavailable)
    }
}

/// Who writes.
struct Clerk {
    replica: Arc<Replica>,
    /// The connection, and the file that it was opened on.
    open: Option<(Writer, Identity)>,
}

impl Clerk {
    fn work(mut self, receiver: &Receiver<Job>) {
        while let Ok(first) = receiver.recv() {
            let mut jobs = vec![first];
            while jobs.len() < BATCH
                && let Ok(next) = receiver.try_recv()
            {
                jobs.push(next);
            }
            // Jobs that are dropped untold are answered: their callers hear that nothing was made.
            match catch_unwind(AssertUnwindSafe(|| self.commit(jobs))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("token requests could not be recorded: {error}"),
                Err(_) => self.open = None, // what panicked has been told where it did
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) -> Result<(), String> {
        let identity = Identity::of(self.replica.path()).map_err(|error| error.to_string())?;
        if self.open.as_ref().is_none_or(|(_, opened)| *opened != identity) {
            let writer = self.replica.writer(Actor::gateway()).map_err(|error| error.to_string())?;
            self.open = Some((writer, identity));
        }
        let Some((writer, _)) = &mut self.open else { return Ok(()) };
        commit(writer, jobs).map_err(|error| error.to_string())
    }
}

/// Commits the jobs together and tells each. Those that are not told were not made.
fn commit(writer: &mut Writer, jobs: Vec<Job>) -> Result<(), WriteError> {
    let committed = writer.upkeep(|tx, _, _| {
        let before = journal::newest(tx)?.position;
        let mut told = Vec::with_capacity(jobs.len());
        for job in jobs {
            tx.prepare_cached("SAVEPOINT job")?.execute([])?;
            match job(tx) {
                Ok(answer) => told.push(answer),
                Err(halt) => {
                    tx.prepare_cached("ROLLBACK TO job")?.execute([])?;
                    complain(halt);
                }
            }
            tx.prepare_cached("RELEASE job")?.execute([])?;
        }
        // New tokens are not journalled: nobody has to be told of them.
        Ok((told, journal::newest(tx)?.position > before))
    })?;
    let (told, enforced) = match committed.value().1 {
        true => committed.acknowledge(),
        false => (committed.unannounced(), Ok(())),
    };
    if let Err(error) = &enforced {
        tracing::warn!("{error}");
    }
    told.0.into_iter().for_each(|told| told());
    Ok(())
}

/// A job that failed is not told, so that its caller gets a 503; why is for the log.
fn complain(halt: Halt) {
    match halt {
        Halt::Refused(error) => tracing::warn!("a token request could not be recorded: {error}"),
        Halt::Sqlite(error) => tracing::warn!("a token request could not be recorded: {error}"),
    }
}
