//! The timer of a connection that waits for request after request.
//!
//! To set and to cancel a timer for each request costs more than to read the request's head. This one
//! stays set: when it rings, and its time was moved on meanwhile, it is set for the rest.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// One task's timer: whoever waits for it must be the task that waited before.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Returns when it is `at`. Waiting can be given up at any time.
    pub(super) async fn rings(&mut self, at: Instant) {
        poll_fn(|task| self.poll_rings(at, task)).await;
    }

    fn poll_rings(&mut self, at: Instant, task: &mut Context<'_>) -> Poll<()> {
        // Set for an earlier time, it wakes this task then.
        if self.0.as_ref().is_some_and(|timer| !timer.is_elapsed() && timer.deadline() <= at) {
            return Poll::Pending;
        }
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().reset(at);
        timer.as_mut().poll(task)
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
                    () = alarm.rings(after(given_up)) => panic!("nobody waited"),
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
}
