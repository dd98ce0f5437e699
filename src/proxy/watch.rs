//! Watches one client while the gateway waits for it: the pace of its request's body and of its taking the
//! answer, the silence of a WebSocket, and the answer of the upstream, which is awaited on the client's
//! side. What takes too long is ended; who is waited for at each moment is all that matters.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use super::ending::{Ending, Endings};
use super::leash::{Awaited, Leash};
use super::pace::{LeastPace, Pace, TooSlow};

/// How slow and how silent a client may be.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// While it sends a body or takes an answer.
    pub pace: LeastPace,
    /// How long nobody may send on a WebSocket.
    pub websocket_idle: Duration,
}

/// The watch over a connection, or over a stream of one.
#[derive(Debug)]
pub(super) struct ClientWatch {
    pub(super) leash: Arc<Leash>,
    limits: ClientLimits,
    endings: Arc<Endings>,
    alarm: Alarm,
    /// The request's body.
    sending: Pace,
    /// The answer.
    taking: Pace,
    /// What the client had taken in all when the window of `taking` began.
    taken: u64,
    /// When something last passed on a WebSocket.
    last_sign: Option<Instant>,
}

impl ClientWatch {
    pub(super) fn new(leash: Arc<Leash>, limits: ClientLimits, endings: Arc<Endings>) -> Self {
        Self {
            leash,
            limits,
            endings,
            alarm: Alarm::default(),
            sending: Pace::default(),
            taking: Pace::default(),
            taken: 0,
            last_sign: None,
        }
    }

    fn end(&self, ending: Ending) {
        if self.leash.end(ending) {
            self.endings.count(ending);
        }
    }

    /// Something came from the client.
    pub(super) fn has_read(&mut self, bytes: usize) {
        match self.leash.awaited() {
            Awaited::Nothing => {}
            Awaited::WebSocket => self.last_sign = Some(Instant::now()),
            awaited @ (Awaited::Body | Awaited::BodyOnceAsked) => {
                if awaited == Awaited::BodyOnceAsked {
                    self.leash.awaits(Awaited::Body); // it did not wait to be asked
                }
                if self.sending.moves(self.limits.pace, bytes as u64) == Err(TooSlow) {
                    self.end(Ending::RequestBody);
                }
            }
        }
    }

    /// Nothing comes from the client for now. Sets the alarm; says why it is over, where it is.
    pub(super) fn waits_for_bytes(&mut self, task: &mut Context<'_>) -> Option<Ending> {
        match self.leash.awaited() {
            Awaited::Body => self.waits_for_body(task),
            Awaited::WebSocket => self.waits_for_sign(task, None),
            Awaited::Nothing | Awaited::BodyOnceAsked => {
                if let Some(by) = self.leash.answer_by()
                    && self.alarm.poll_rings(by, task).is_ready()
                {
                    self.end(Ending::UpstreamAnswer);
                }
            }
        }
        let ended = self.leash.ended();
        if ended.is_none() {
            self.leash.wake_at_end(task.waker());
        }
        ended
    }

    fn waits_for_body(&mut self, task: &mut Context<'_>) {
        let pace = self.limits.pace;
        loop {
            let until = self.sending.waits(pace, Instant::now());
            if self.alarm.poll_rings(until, task).is_pending() {
                return;
            }
            if self.sending.over(pace, Instant::now(), 0) == Err(TooSlow) {
                return self.end(Ending::RequestBody);
            }
        }
    }

    /// `delivered` is what the client has taken in all, while it is waited for to take more.
    fn waits_for_sign(&mut self, task: &mut Context<'_>, delivered: Option<&dyn Fn() -> u64>) {
        loop {
            let last = *self.last_sign.get_or_insert_with(Instant::now);
            if self.alarm.poll_rings(last + self.limits.websocket_idle, task).is_pending() {
                return;
            }
            let delivered = delivered.map_or(self.taken, |delivered| delivered());
            if std::mem::replace(&mut self.taken, delivered) == delivered {
                return self.end(Ending::WebSocketIdle);
            }
            self.last_sign = Some(Instant::now());
        }
    }

    /// The client, or the buffer before it, took so many bytes, or the last of them.
    pub(super) fn has_written(&mut self, bytes: usize) {
        let was_waiting = self.taking.is_waiting();
        if was_waiting {
            self.leash.add_not_taken(self.taking.pause());
        }
        match self.leash.awaited() {
            Awaited::WebSocket if bytes > 0 || was_waiting => self.last_sign = Some(Instant::now()),
            Awaited::BodyOnceAsked if bytes > 0 => self.leash.awaits(Awaited::Body),
            _ => {}
        }
    }

    /// The client takes nothing for now; `delivered` is what it has taken in all. Sets the alarm.
    pub(super) fn waits_for_room(
        &mut self,
        task: &mut Context<'_>,
        delivered: impl Fn() -> u64,
    ) -> Result<(), TooSlow> {
        self.sending.pause(); // it may not be able to send before it has taken this
        if self.leash.awaited() == Awaited::WebSocket {
            self.waits_for_sign(task, Some(&delivered));
        } else {
            self.waits_for_taking(task, &delivered)?;
        }
        if self.leash.ended().is_none() {
            self.leash.wake_at_end(task.waker());
        }
        Ok(())
    }

    fn waits_for_taking(
        &mut self,
        task: &mut Context<'_>,
        delivered: &dyn Fn() -> u64,
    ) -> Result<(), TooSlow> {
        let pace = self.limits.pace;
        if self.taking.is_fresh() {
            self.taken = delivered();
        }
        loop {
            let until = self.taking.waits(pace, Instant::now());
            if self.alarm.poll_rings(until, task).is_pending() {
                return Ok(());
            }
            let before = std::mem::replace(&mut self.taken, delivered());
            let moved = self.taken.saturating_sub(before);
            if self.taking.over(pace, Instant::now(), moved) == Err(TooSlow) {
                self.end(Ending::Response);
                return Err(TooSlow);
            }
        }
    }

    /// The client takes nothing of a piece of this size, for which it has had since `since`.
    pub(super) fn waits_for_piece(
        &mut self,
        task: &mut Context<'_>,
        bytes: usize,
        since: Instant,
    ) -> Result<(), TooSlow> {
        self.sending.pause();
        let until = since + self.limits.pace.time_for(bytes);
        if let Poll::Ready(()) = self.alarm.poll_rings(until, task) {
            self.end(Ending::Response);
            return Err(TooSlow);
        }
        if self.leash.ended().is_none() {
            self.leash.wake_at_end(task.waker());
        }
        Ok(())
    }
}
