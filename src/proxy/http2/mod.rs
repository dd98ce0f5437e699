//! An HTTP/2 connection before its first request. From then on Pingora's limits hold; until then it
//! would wait without end for a client that has shaken hands and says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;

/// Serves the connection, which has `patience` for the head of its first request.
pub(super) async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    inner: &Arc<A>,
    stream: Stream,
    patience: Duration,
    shutdown: &ShutdownWatch,
) {
    let app = Arc::new(FirstRequest { inner: Arc::clone(inner), has_come: AtomicBool::new(false) });
    let serve = app.process_new(stream, shutdown);
    tokio::pin!(serve);
    tokio::select! {
        biased;
        _ = &mut serve => return,
        () = tokio::time::sleep(patience) => {}
    }
    if app.has_come.load(Ordering::Acquire) {
        serve.await;
    }
}

/// An application that notes whether the connection has had a request.
struct FirstRequest<A> {
    inner: Arc<A>,
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

    fn h2_options(&self) -> Option<H2Options> {
        self.inner.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.inner.server_options()
    }
}
