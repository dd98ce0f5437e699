//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, and that the gateway is alive.
//! Without a service manager (no `NOTIFY_SOCKET`) nothing is told to anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::AbortHandle;

use crate::gate::Directory as _;
use crate::model::TokenDigest;
use crate::replica::Replica;

/// What there is to tell.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// Requests are accepted, under a configuration that is whole.
    Ready(String),
    /// Another configuration is tried; `Ready` follows.
    Reloading,
    /// No new requests.
    Stopping(String),
    /// Another process serves from now on, in this one's place.
    Heir(u32),
    /// The gateway decides.
    Alive,
    /// How it is, for those who look.
    Status(String),
}

/// Tells it. That it cannot be told is not worth more than a line: the service manager notices by itself.
pub(super) async fn tell(news: News) {
    let told = tokio::task::spawn_blocking(move || match &news {
        News::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
        // Both in one message (sd_notify(3), RELOADING=1).
        News::Reloading => sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]),
        News::Stopping(status) => sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)]),
        News::Heir(pid) => sd_notify::notify(&[NotifyState::MainPid(*pid)]),
        News::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        News::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
    });
    if let Ok(Err(error)) = told.await {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}

/// By which it is known whether the gateway can decide.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) replica: Arc<Replica>,
    /// The task that accepts connections.
    pub(super) accepting: AbortHandle,
    /// Whether none are accepted any more, by intent.
    pub(super) draining: Arc<AtomicBool>,
}

impl Pulse {
    /// Looks a credential up as a request does, from the file. No token has this digest, and absence is
    /// not kept in memory.
    fn beat(&self) -> Result<(), String> {
        if self.accepting.is_finished() && !self.draining.load(Ordering::Acquire) {
            return Err("no connections are accepted".to_owned());
        }
        match self.replica.access_token(&TokenDigest([0; 32])) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.replica.health().problem.unwrap_or_else(|| "it cannot be read".to_owned())),
        }
    }
}

/// Tells again and again that the gateway is alive, if the service manager wants to know (`WATCHDOG_USEC`), and only
/// while it can decide. A task of the runtime that serves requests: where that is stuck, nothing is told.
pub(super) async fn watchdog(pulse: Pulse, status: String) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    // Half of the limit is what sd_watchdog_enabled(3) advises; a third leaves room for a busy machine.
    let mut beats = tokio::time::interval((limit / 3).max(Duration::from_millis(1)));
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut trouble = None;
    loop {
        beats.tick().await;
        let found = pulse.beat().err();
        if found.is_none() {
            tell(News::Alive).await;
        }
        if found != trouble {
            match &found {
                Some(why) => {
                    tracing::error!("the service manager is not told that the gateway is alive: {why}");
                    tell(News::Status(format!("cannot decide: {why}"))).await;
                }
                None => tell(News::Status(status.clone())).await,
            }
            trouble = found;
        }
    }
}
