//! Where a running gateway hands in changes that people wait for: one thread with one connection, which
//! takes what has come in together as one transaction. Syncing the disk is what a commit costs, and many
//! changes share it.
//!
//! Each change is all or nothing by itself (a savepoint), and is answered only when the transaction that it
//! is part of is on disk. The queue is bounded; a full one is an answer.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::file::Identity;
use super::reader::Replica;
use super::seal::Sealer;
use super::write::{Halt, WriteError, Writer};

/// Changes that wait at most.
const QUEUE: usize = 1024;

/// Changes that share a transaction at most: what one costs others is bounded.
const TOGETHER: usize = 64;

/// How long another writer (an import) is waited for. People wait here.
const PATIENCE: Duration = Duration::from_secs(3);

/// The place to hand changes in. Its thread ends when this is dropped and the queue is empty.
#[derive(Debug)]
pub struct Desk {
    queue: SyncSender<Box<dyn Job>>,
}

/// The replica as a change at the desk sees it.
pub struct Ledger<'t> {
    pub(super) conn: &'t Connection,
    writer: &'t Writer,
}

impl Ledger<'_> {
    /// Seals what is stored.
    pub(super) fn sealer(&self) -> &Sealer {
        &self.writer.sealer
    }

    /// Gives SQLite's errors the name of the file.
    pub(super) fn explained<T>(&self, done: Result<T, Halt>) -> Result<T, WriteError> {
        done.map_err(|halt| self.writer.explain(halt))
    }
}

impl std::fmt::Debug for Ledger<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Desk {
    /// Opens the desk of a replica.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn open(replica: &Arc<Replica>) -> std::io::Result<Self> {
        let (queue, handed_in) = sync_channel(QUEUE);
        let replica = Arc::downgrade(replica);
        std::thread::Builder::new().name("desk".into()).spawn(move || serve(&handed_in, &replica))?;
        Ok(Self { queue })
    }

    /// Hands a change in and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// What `work` says, [`WriteError::Busy`] when too many changes wait, or why the replica cannot be
    /// changed. Nothing of the change was made then.
    pub async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (answer, answered) = oneshot::channel();
        let task = Task { work: Some(work), done: None, answer };
        match self.queue.try_send(Box::new(task)) {
            Ok(()) => answered.await.unwrap_or(Err(WriteError::Busy)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(WriteError::Busy),
        }
    }
}

trait Job: Send {
    /// Makes the change; whether it is to be kept.
    fn run(&mut self, ledger: &Ledger<'_>) -> bool;
    /// Tells what came of it, once the transaction has ended. The one who asked may have left.
    fn tell(self: Box<Self>, committed: Result<(), WriteError>);
}

struct Task<T, F> {
    work: Option<F>,
    done: Option<Result<T, WriteError>>,
    answer: oneshot::Sender<Result<T, WriteError>>,
}

impl<T: Send, F: FnOnce(&Ledger<'_>) -> Result<T, WriteError> + Send> Job for Task<T, F> {
    fn run(&mut self, ledger: &Ledger<'_>) -> bool {
        self.done = self.work.take().map(|work| work(ledger));
        matches!(self.done, Some(Ok(_)))
    }

    fn tell(self: Box<Self>, committed: Result<(), WriteError>) {
        let told = match (self.done, committed) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(error),
            (Some(done), Ok(())) => done,
            (None, Ok(())) => Err(WriteError::Busy),
        };
        let _ = self.answer.send(told);
    }
}

fn serve(handed_in: &Receiver<Box<dyn Job>>, replica: &Weak<Replica>) {
    let mut open: Option<(Writer, Identity)> = None;
    while let Ok(first) = handed_in.recv() {
        let mut jobs = vec![first];
        while jobs.len() < TOGETHER
            && let Ok(next) = handed_in.try_recv()
        {
            jobs.push(next);
        }
        let Some(replica) = replica.upgrade() else { return };
        // A file that took the place of the former one is another replica.
        let present = Identity::of(replica.path()).ok();
        if open.as_ref().map(|(_, identity)| *identity) != present {
            open = None;
        }
        let committed = match &mut open {
            Some((writer, _)) => together(writer, &mut jobs),
            None => match writer(&replica) {
                Ok(opened) => together(&mut open.insert(opened).0, &mut jobs),
                Err(error) => Err(error),
            },
        };
        if committed.is_err() {
            open = None;
        }
        for job in jobs {
            let committed = committed.as_ref().map(|()| ()).map_err(WriteError::repeated);
            job.tell(committed);
        }
    }
}

fn writer(replica: &Arc<Replica>) -> Result<(Writer, Identity), WriteError> {
    let path = replica.path();
    let storage = |reason: String| WriteError::Storage { path: path.to_owned(), reason };
    let writer = replica.keeper()?;
    writer.conn.busy_timeout(PATIENCE).map_err(|error| storage(error.to_string()))?;
    writer.conn.set_prepared_statement_cache_capacity(64);
    let identity = Identity::of(path).map_err(|error| storage(error.to_string()))?;
    Ok((writer, identity))
}

/// Makes the changes as one transaction.
fn together(writer: &mut Writer, jobs: &mut [Box<dyn Job>]) -> Result<(), WriteError> {
    // `unchecked`: the writer's own words for errors are needed while the transaction is open.
    let done = rusqlite::Transaction::new_unchecked(&writer.conn, TransactionBehavior::Immediate)
        .map_err(Halt::from)
        .and_then(|tx| {
            let ledger = Ledger { conn: &tx, writer };
            for job in jobs {
                tx.execute_batch("SAVEPOINT change")?;
                let kept = job.run(&ledger);
                tx.execute_batch(if kept { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" })?;
            }
            tx.commit()?;
            Ok(())
        });
    done.map_err(|halt| writer.explain(halt))
}
