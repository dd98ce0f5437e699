//! SIGUSR2: this program is started anew, from its file as it is now, to take this process's place. That is how an
//! upgrade stays within one service: the new process is a child of the old one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, id};
use std::{env, io, thread};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How this process was started.
#[derive(Debug)]
pub(super) struct Program {
    asked_for: Signal,
    /// Looked up at start: once the file was replaced, the system names the one that is gone.
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    pub(super) fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let path = called(PathBuf::from(arguments.next().unwrap_or_default()))?;
        let is_ours = |argument: &OsString| argument.to_string_lossy().starts_with("--take-over");
        let asked_for = signal(SignalKind::user_defined2())?;
        Ok(Self { asked_for, path, arguments: arguments.filter(|argument| !is_ours(argument)).collect() })
    }

    /// Waits for SIGUSR2.
    pub(super) async fn is_asked_for(&mut self) {
        if self.asked_for.recv().await.is_none() {
            std::future::pending::<()>().await; // the runtime ends
        }
    }

    /// Starts the next process. What becomes of it is said where it fails; this one goes on until it is ready.
    pub(super) fn start_next(&self) {
        let mut next = Command::new(&self.path);
        next.args(&self.arguments).arg(format!("--take-over={}", id()));
        // Meant for this process id; the next one is watched as well (sd_watchdog_enabled(3)).
        next.env_remove("WATCHDOG_PID");
        let started = next.spawn().and_then(|mut child| {
            tracing::info!(pid = child.id(), "SIGUSR2: {} is started to take over", self.path.display());
            let wait = move || match child.wait() {
                Ok(status) => tracing::warn!("the process started to take over has ended: {status}"),
                Err(error) => tracing::warn!("the process started to take over is lost: {error}"),
            };
            thread::Builder::new().name("storegate-next".to_owned()).spawn(wait)
        });
        if let Err(error) = started {
            tracing::error!(
                "SIGUSR2: {} cannot be started: {error}; this process goes on",
                self.path.display()
            );
        }
    }
}

/// The file by which this program was called, so that a link to the present version is followed anew. A name alone
/// was found in the folders of `PATH`.
fn called(name: PathBuf) -> io::Result<PathBuf> {
    if name.components().count() > 1 {
        return std::path::absolute(name);
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(&name)).find(|path| path.is_file());
    found.map_or_else(env::current_exe, std::path::absolute)
}
