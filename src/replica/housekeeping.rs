//! What a running gateway does for its replica by itself, off the request path: it records which
//! secrets are in use, removes tokens that expired, and ends old entries of the audit record.
//!
//! All of it can wait. A writer that is at work (an import) is never waited for, and never kept
//! waiting for longer than a step takes, some milliseconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::reader::Replica;
use super::write::{Family, WriteError, Writer};
use crate::model::{Timestamp, TokenDigest};

/// How often the uses of secrets are recorded.
const RECORD_EVERY: Duration = Duration::from_secs(30);

/// How often old entries of the audit record and old idempotency keys are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How long an expired token stays, in seconds: somebody may want to know why it is refused.
const KEPT_EXPIRED: i64 = 3600;

/// Tokens looked at in one step of a sweep.
const STEP: u32 = 2000;

/// Pause between two steps: a walk over ten million tokens takes some five minutes and a few per cent
/// of one core.
const PAUSE: Duration = Duration::from_millis(50);

/// Pause between two walks, and after one that another writer stopped.
const WALK_EVERY: Duration = Duration::from_secs(3600);
const WALK_AGAIN: Duration = Duration::from_secs(30);

/// Keeps house until `stop` is set; to be unparked then.
pub(super) fn keep(replica: &Replica, stop: &AtomicBool) {
    let mut record_at = Instant::now() + RECORD_EVERY;
    // Not at once: a start has better things to do.
    let mut step_at = replica.options().sweeps.then(|| Instant::now() + WALK_AGAIN);
    let mut walk = Walk::default();
    let mut tidy_at = Instant::now() + TIDY_EVERY;
    while !stop.load(Ordering::Acquire) {
        let next = step_at.map_or(record_at, |at| at.min(record_at)).min(tidy_at);
        let now = Instant::now();
        if now < next {
            thread::park_timeout(next - now);
            continue;
        }
        if now >= record_at {
            complain(replica.record_uses().err());
            record_at = now + RECORD_EVERY;
        }
        if now >= tidy_at {
            let (pause, error) = match tidy(replica, Timestamp::now()) {
                Ok(Walked::Part) => (PAUSE, None),
                Ok(Walked::All) => (TIDY_EVERY, None),
                Err(error) => (TIDY_EVERY, Some(error)),
            };
            complain(error);
            tidy_at = Instant::now() + pause;
        }
        if step_at.is_some_and(|at| now >= at) {
            let pause = match walk.step(replica, Timestamp::now()) {
                Ok(Walked::Part) => PAUSE,
                Ok(Walked::All) => WALK_EVERY,
                Err(error) => {
                    complain(Some(error));
                    WALK_AGAIN
                }
            };
            step_at = Some(Instant::now() + pause);
        }
    }
    complain(replica.record_uses().err());
}

/// Another writer at work is no trouble, and a replica that cannot be read is reported elsewhere.
fn complain(error: Option<WriteError>) {
    match error {
        None | Some(WriteError::Locked(_)) => {}
        Some(error) => tracing::debug!(%error, "housekeeping is put off"),
    }
}

/// One step of ending what is past its retention.
pub(super) fn tidy(replica: &Replica, now: Timestamp) -> Result<Walked, WriteError> {
    let mut writer = replica.keeper()?;
    writer.forget_calls(now)?;
    let swept = writer.sweep_audit(replica.options().retention, now)?;
    Ok(if swept == 0 { Walked::All } else { Walked::Part })
}

/// A walk over all tokens and grants, in the order of their tables.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Held from the first step to the last, so that a step prepares nothing.
    writer: Option<Writer>,
    stage: Stage,
}

/// What comes next, and after which row.
#[derive(Debug, Clone, Copy)]
enum Stage {
    AccessTokens(Option<TokenDigest>),
    Timed,
    Grants(Family, Option<i64>),
}

impl Default for Stage {
    fn default() -> Self {
        Self::AccessTokens(None)
    }
}

/// How far a walk came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walked {
    /// There is more.
    Part,
    /// The end was reached; the next step begins a new walk.
    All,
}

impl Walk {
    /// Removes those of the next tokens that expired an hour before `now` or earlier; after them
    /// customer tokens, codes, refresh tokens and sessions, and then the grants that none of these is left of.
    /// After an error the walk goes on where it was.
    pub(super) fn step(&mut self, replica: &Replica, now: Timestamp) -> Result<Walked, WriteError> {
        // Taken: after an error or the end the file may be another one the next time.
        let mut writer = self.writer.take().map_or_else(|| replica.keeper(), Ok)?;
        let before = now.plus(-KEPT_EXPIRED);
        let next = match self.stage {
            Stage::AccessTokens(from) => match writer.sweep_expired(from, STEP, before)?.next {
                Some(last) => Some(Stage::AccessTokens(Some(last))),
                None => Some(Stage::Timed),
            },
            Stage::Timed => match writer.sweep_timed(STEP, before)? {
                0 => Some(Stage::Grants(Family::App, None)),
                _ => Some(Stage::Timed),
            },
            Stage::Grants(family, from) => {
                match (writer.sweep_families(family, from, STEP, before)?.next, family) {
                    (Some(last), family) => Some(Stage::Grants(family, Some(last))),
                    (None, Family::App) => Some(Stage::Grants(Family::Identity, None)),
                    (None, Family::Identity) => None,
                }
            }
        };
        self.stage = next.unwrap_or_default();
        if next.is_none() {
            return Ok(Walked::All);
        }
        self.writer = Some(writer);
        Ok(Walked::Part)
    }
}
