//! The attempts of one request: which servers it has been to, and what each attempt says of its server.
//!
//! A request is repeated in two cases only. No connection could be opened: nothing was sent, and another
//! server may be tried. Or a kept connection turned out to be closed before any byte of the answer, and
//! the method is idempotent (RFC 9110 section 9.2.2): once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use super::balance::Turn;
use super::upstream::{Prepared, Server, Upstreams};

/// The most servers that one request is tried on. Bounds the time a caller waits where all are silent.
pub const MOST_ATTEMPTS: usize = 8;

/// The attempts of one request so far.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    made: usize,
    /// A bit for each position in the list of servers. When a new resolution changes the list meanwhile, a
    /// server may be tried twice or not at all, which harms nobody.
    tried: u64,
    repeated: bool,
    current: Option<Attempt>,
}

/// A request at a server; it counts there until this is dropped.
#[derive(Debug)]
struct Attempt {
    server: Arc<Server>,
    turn: Turn,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.server.standing.leave();
    }
}

impl Upstreams {
    /// Where the next attempt goes; `None` while no name of the upstream can be resolved.
    pub(super) fn next(&self, upstream: usize, attempts: &mut Attempts, now: Instant) -> Option<HttpPeer> {
        attempts.current = None; // the last one is over before the next is counted
        let one = self.all().get(upstream)?;
        let (index, server, turn) = one.choose(attempts.tried, self.clock(now))?;
        if attempts.made > 0 {
            one.counts.retries.fetch_add(1, Ordering::Relaxed);
        }
        attempts.made += 1;
        attempts.tried |= 1 << index;
        server.standing.enter();
        let peer = server.peer.clone();
        attempts.current = Some(Attempt { server, turn });
        Some(peer)
    }

    /// No connection could be opened; says whether another server may be tried.
    pub(super) fn unconnected(&self, upstream: usize, attempts: &mut Attempts, error: &Error) -> bool {
        let Some(one) = self.all().get(upstream) else { return false };
        one.counts.connect_failures.fetch_add(1, Ordering::Relaxed);
        // What this machine lacks (descriptors, ports) is no server's fault.
        if *error.etype() != ErrorType::InternalError {
            self.blame(one, attempts);
        }
        attempts.made < MOST_ATTEMPTS && (attempts.tried.count_ones() as usize) < one.size()
    }

    /// A connection was there and an error came before any byte of the answer. Decides whether the
    /// request is repeated, which Pingora's error and the method must allow.
    pub(super) fn unanswered(
        &self,
        upstream: usize,
        attempts: &mut Attempts,
        error: &mut Error,
        reused: bool,
        repeatable: bool,
    ) {
        if repeatable && !attempts.repeated {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        attempts.repeated |= error.retry();
        // Servers close connections that they kept for long: on a reused one only silence is a failure.
        let fault = match error.etype() {
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => true,
            _ => !reused,
        };
        if fault
            && *error.esource() == ErrorSource::Upstream
            && let Some(one) = self.all().get(upstream)
        {
            self.blame(one, attempts);
        }
    }

    /// The answer has begun.
    pub(super) fn answered(&self, upstream: usize, attempts: &Attempts) {
        if let (Some(one), Some(attempt)) = (self.all().get(upstream), &attempts.current) {
            one.answered(&attempt.server, attempt.turn);
        }
    }

    fn blame(&self, one: &Prepared, attempts: &Attempts) {
        if let Some(attempt) = &attempts.current {
            one.failed(&attempt.server, attempt.turn, self.clock(Instant::now()));
        }
    }
}
