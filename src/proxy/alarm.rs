//! The timer of a connection that waits for request after request.
//!
//! To set and to cancel a timer for each request costs more than to read the request's head. This one
//! stays set: when it rings, and its time was moved on meanwhile, it is set for the rest.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// One task's timer: whoever waits for it must be the task that waited before.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Returns when it is `at`. Waiting can be given up at any time.
    pub(super) async fn rings(&mut self, at: Instant) {
        poll_fn(|task| self.poll_rings(at, task)).await;
    }

    pub(super) fn poll_rings(&mut self, at: Instant, task: &mut Context<'_>) -> Poll<()> {
        // Set for an earlier time, it wakes this task then.
        if self.0.as_ref().is_some_and(|timer| !timer.is_elapsed() && timer.deadline() <= at) {
            return Poll::Pending;
        }
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().reset(at);
        // A task that has used up its turn would be told to come again, and not be in the timer's list.
        pin!(unconstrained(timer.as_mut())).poll(task)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_rings_at_the_time_asked_for_last() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut alarm = Alarm::default();
            let start = Instant::now();
            let after = |ms| start + Duration::from_millis(ms);
            // Given up, then moved on, over the ring of the first; then moved forward.
            for given_up in [10, 3_600_000, 20] {
                tokio::select! {
                    biased;
                    // On a busy machine the time may have come.
                    () = alarm.rings(after(given_up)) => assert!(Instant::now() >= after(given_up)),
                    () = std::future::ready(()) => {}
                }
            }
            alarm.rings(after(40)).await;
            assert!(Instant::now() >= after(40));
            alarm.rings(after(30)).await; // past
            alarm.rings(after(60)).await;
            assert!((after(60)..after(3_600_000)).contains(&Instant::now()));
        });
    }

    #[test]
    fn it_rings_for_a_task_that_was_busy_when_it_was_set() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        (0..10_000).for_each(|number| send.send(number).unwrap());
        let mut alarm = Alarm::default();
        let rung = runtime.block_on(runtime.spawn(async move {
            let at = Instant::now() + Duration::from_millis(20);
            let rings = poll_fn(|task| {
                let mut taken = 0;
                while taken < 1000 && receive.poll_recv(task).is_ready() {
                    taken += 1;
                }
                assert!(taken < 1000, "a task's turn is longer than this test thought");
                alarm.poll_rings(at, task)
            });
            let _ = tokio::time::timeout(Duration::from_secs(5), rings).await;
            at.elapsed()
        }));
        assert!(rung.unwrap() < Duration::from_secs(4));
    }
}
