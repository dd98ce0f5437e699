//! Messages of the process, on standard error, and how many of them are written.
//!
//! A thread of their own writes them: standard error may be a pipe that nobody reads, and neither a request nor the
//! end of the process waits for it. Past what fits into memory, messages are lost.

use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Messages that wait to be written at most.
const WAITING: usize = 4096;

/// From which importance on messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)] // each is its own name
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

/// Pingora's own lines are left out: they quote what clients sent.
const QUIET: [&str; 5] = ["pingora", "pingora_core", "pingora_proxy", "pingora_http", "pingora_pool"];

type Change = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// There is one standard error, and one writer of it.
static CHANGE: OnceLock<Change> = OnceLock::new();
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

impl Level {
    /// Every level with its name.
    pub const NAMES: [(&'static str, Self); 4] =
        [("error", Self::Error), ("warn", Self::Warn), ("info", Self::Info), ("debug", Self::Debug)];

    /// Has messages written from this level on; the first call starts it. `RUST_LOG` has the last word.
    pub fn set(self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(self.name()));
        let quiet = QUIET.iter().filter_map(|target| format!("{target}=off").parse().ok());
        let filter = quiet.fold(filter, EnvFilter::add_directive);
        match CHANGE.get() {
            Some(change) => change(filter),
            None => start(filter),
        }
    }

    /// Writes what waits, for a second at most; to be called at the end of the process.
    pub fn finish() {
        drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, level)| *level == self).map_or("info", |(name, _)| name)
    }
}

fn start(filter: EnvFilter) {
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .thread_name("messages")
        .finish(std::io::stderr());
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(ansi)
        .with_writer(writer)
        .with_target(false)
        .with_env_filter(filter)
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    // Where somebody else has started it, as a test may, theirs stays in force.
    if subscriber.try_init().is_ok() {
        *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        let _ = CHANGE.set(Box::new(move |filter| {
            let _ = handle.reload(filter); // fails only where the writer is gone
        }));
    }
}
