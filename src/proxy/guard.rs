//! The guard of each connection: a deadline for the request head, and the count of requests under
//! way that a shutdown waits for.
//!
//! Pingora limits each read, not the whole head, and waits without end for the second request of a
//! connection. This wrapper is the only place that can end a connection before its head is read.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use tokio::sync::Notify;

use super::connection::Connection;

/// How long a connection may stay without a request, beyond the time for the head itself.
const IDLE: Duration = Duration::from_secs(60);

/// The number of requests under way.
#[derive(Debug, Default)]
pub struct InFlight {
    count: AtomicUsize,
    none: Notify,
}

impl InFlight {
    /// How many requests are under way now.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn enter(self: &Arc<Self>) -> InFlightRequest {
        self.count.fetch_add(1, Ordering::AcqRel);
        InFlightRequest(Arc::clone(self))
    }

    /// Returns when no request is under way.
    pub async fn drained(&self) {
        loop {
            let none = self.none.notified();
            tokio::pin!(none);
            none.as_mut().enable(); // registered before the count is read, so that no end is missed
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}

/// One request under way. Held by the request's context, so that it also ends with a panic or a
/// dropped future.
#[derive(Debug)]
pub(super) struct InFlightRequest(Arc<InFlight>);

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

/// An HTTP application behind the guard.
#[derive(Debug)]
pub struct Guarded<A> {
    inner: Arc<A>,
    header_timeout: Duration,
    options: HttpServerOptions,
}

impl<A> Guarded<A> {
    /// Guards `inner`: a new connection has `header_timeout` for its first complete head, a reused
    /// one has a minute of idleness on top.
    pub fn new(inner: A, header_timeout: Duration) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(IDLE);
        Self { inner: Arc::new(inner), header_timeout, options }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Guarded<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if session.is_http2() {
            return self.inner.process_new_http(session, shutdown).await;
        }
        let known = session.take_connection_user_context().and_then(|known| known.downcast().ok());
        let deadline = if known.is_some() { IDLE + self.header_timeout } else { self.header_timeout };
        let known: Box<Arc<Connection>> = known.unwrap_or_default();
        let connection = Arc::clone(&known);
        connection.expect_head();
        session.set_connection_user_context(Some(known));
        // Each read has the deadline too, so that a silent connection needs no timer of ours.
        session.set_keepalive(Some(deadline.as_secs().max(1)));
        let ends = Instant::now() + deadline;
        let serve = self.inner.process_new_http(session, shutdown);
        serve_head_in_time(serve, &connection, ends).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.inner.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.inner.http_cleanup().await;
    }
}

/// Runs `serve` to its end, unless the head of its request is not complete when `ends` comes.
///
/// Most heads come whole: the first poll waits for the head, the second has it. Only what is woken
/// without a complete head - by a piece of one - is worth a timer.
async fn serve_head_in_time(
    serve: impl Future<Output = Option<ReusedHttpStream>>,
    connection: &Connection,
    ends: Instant,
) -> Option<ReusedHttpStream> {
    let mut serve = pin!(serve);
    let mut waits = false;
    let mut timer = None;
    poll_fn(|task| {
        if let Poll::Ready(reused) = serve.as_mut().poll(task) {
            return Poll::Ready(reused);
        }
        if connection.has_head() || !std::mem::replace(&mut waits, true) {
            return Poll::Pending;
        }
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(ends.into())));
        timer.as_mut().poll(task).map(|()| None)
    })
    .await
}
