//! The guard of each connection: a deadline for the request head, and the count of requests under
//! way that a shutdown waits for.
//!
//! Pingora limits each read, not the whole head, and waits without end for the second request of a
//! connection. This wrapper is the only place that can end a connection before its head is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use tokio::sync::Notify;

tokio::task_local! {
    static HEAD_SEEN: Arc<AtomicBool>;
}

/// How long a connection may stay without a request, beyond the time for the head itself.
const IDLE: Duration = Duration::from_secs(60);

/// Marks a connection that has served a request, from one session to the next.
pub(super) struct Reused;

/// Says that the head of the current request is complete.
pub(super) fn head_is_complete() {
    // HTTP/2 streams run outside the scope: their heads arrive whole or not at all.
    let _ = HEAD_SEEN.try_with(|seen| seen.store(true, Ordering::Release));
}

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
        let mark = session.take_connection_user_context();
        let deadline = if mark.is_some() { IDLE + self.header_timeout } else { self.header_timeout };
        session.set_connection_user_context(mark);
        session.set_keepalive(Some(deadline.as_secs().max(1)));
        let seen = Arc::new(AtomicBool::new(false));
        let serve = HEAD_SEEN.scope(Arc::clone(&seen), self.inner.process_new_http(session, shutdown));
        tokio::pin!(serve);
        tokio::select! {
            biased;
            reused = &mut serve => return reused,
            () = tokio::time::sleep(deadline) => {}
        }
        if seen.load(Ordering::Acquire) { serve.await } else { None }
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
