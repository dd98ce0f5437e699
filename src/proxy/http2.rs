//! An HTTP/2 connection before its first request. From then on Pingora's limits hold; until then it
//! would wait without end for a client that has shaken hands and says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::server::ShutdownWatch;

use super::door::DoorLimits;

/// Requests at a time on one connection.
const STREAMS: u32 = 100;

/// What HTTP/2 counts for a field beside its name and value (RFC 9113 section 6.5.2).
const FIELD: usize = 32;

/// Serves the connection, whose first request has to come in time.
pub(super) async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    inner: &Arc<A>,
    stream: Stream,
    limits: DoorLimits,
    shutdown: &ShutdownWatch,
) {
    let app = Arc::new(FirstRequest { inner: Arc::clone(inner), limits, has_come: AtomicBool::new(false) });
    let serve = app.process_new(stream, shutdown);
    tokio::pin!(serve);
    tokio::select! {
        biased;
        _ = &mut serve => return,
        () = tokio::time::sleep(limits.header_timeout) => {}
    }
    if app.has_come.load(Ordering::Acquire) {
        serve.await;
    }
}

/// An application that notes whether the connection has had a request.
struct FirstRequest<A> {
    inner: Arc<A>,
    limits: DoorLimits,
    has_come: AtomicBool,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for FirstRequest<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.has_come.store(true, Ordering::Release);
        self.inner.process_new_http(session, shutdown).await
    }

    /// What a client may send in one head over HTTP/1.1 it may send here, so that our own limit decides.
    fn h2_options(&self) -> Option<H2Options> {
        let head = self.limits.head_bytes + FIELD * self.limits.header_fields;
        let mut options = default_h2_options();
        options.max_concurrent_streams(STREAMS);
        options.max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.inner.server_options()
    }
}
