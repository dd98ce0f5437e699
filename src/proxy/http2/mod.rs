//! An HTTP/2 connection. Pingora would wait without end for a client that has shaken hands and says
//! nothing, and for one that takes nothing of what was written; and it knows no limits for the streams.

mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::Session;
use pingora::server::ShutdownWatch;

use self::stream::LeashedStream;
use super::door::{AtDoor, DoorLimits};
use super::ending::{Ending, Endings};
use super::leash::Leash;
use super::leashed::Leashed;
use super::peer::Peer;
use super::watch::ClientWatch;

/// Requests at a time on one connection.
const STREAMS: u32 = 100;

/// What HTTP/2 counts for a field beside its name and value (RFC 9113 section 6.5.2).
const FIELD: usize = 32;

/// What is kept for each stream, in bytes, of what its client has made room for and does not take.
const SEND_BUFFER: usize = 64 * 1024;

/// Whether a request came by HTTP/2. To Pingora a stream on a leash is neither that nor HTTP/1.
pub(super) fn is_http2(session: &Session) -> bool {
    session.req_header().version == http::Version::HTTP_2
}

/// Serves the connection, which has `limits.header_timeout` for the head of its first request.
pub(super) async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    inner: &Arc<A>,
    stream: Stream,
    peer: Peer,
    limits: DoorLimits,
    endings: &Arc<Endings>,
    shutdown: &ShutdownWatch,
) {
    let app = Arc::new(Streams {
        inner: Arc::clone(inner),
        has_come: AtomicBool::new(false),
        peer,
        limits,
        endings: Arc::clone(endings),
    });
    // The connection's own leash: frames that are not taken hold up all streams.
    let watch = app.watch(Arc::default());
    let serve = app.process_new(Box::new(Leashed::new(stream, watch)), shutdown);
    tokio::pin!(serve);
    tokio::select! {
        biased;
        _ = &mut serve => return,
        () = tokio::time::sleep(limits.header_timeout) => {}
    }
    if app.has_come.load(Ordering::Acquire) {
        serve.await;
    } else {
        endings.count(Ending::RequestHead);
    }
}

/// The application, each of whose streams is on a leash of its own.
struct Streams<A> {
    inner: Arc<A>,
    /// Whether the connection has had a request.
    has_come: AtomicBool,
    peer: Peer,
    limits: DoorLimits,
    endings: Arc<Endings>,
}

impl<A> Streams<A> {
    fn watch(&self, leash: Arc<Leash>) -> ClientWatch {
        ClientWatch::new(leash, self.limits.client, Arc::clone(&self.endings))
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Streams<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.has_come.store(true, Ordering::Release);
        let ServerSession::H2(mut stream) = session else { return None }; // there is no other here
        let leash = Arc::new(Leash::default());
        let at_door = AtDoor { peer: self.peer.clone(), leash: Arc::clone(&leash) };
        stream.req_header_mut().extensions_mut().insert(at_door);
        let stream = LeashedStream::new(stream, self.watch(leash));
        self.inner.process_new_http(ServerSession::new_custom(Box::new(stream)), shutdown).await
    }

    /// What a client may send in one head over HTTP/1.1 it may send here, so that our own limit decides.
    fn h2_options(&self) -> Option<H2Options> {
        let head = self.limits.head_bytes + FIELD * self.limits.header_fields;
        let mut options = default_h2_options();
        options.max_concurrent_streams(STREAMS);
        options.max_send_buffer_size(SEND_BUFFER);
        options.max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.inner.server_options()
    }
}
