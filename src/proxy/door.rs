//! The door of the public listener: every connection comes in here. It counts connections, shakes hands
//! where TLS is spoken, receives each HTTP/1 request head under one deadline, has it checked byte by
//! byte, and only then lets Pingora read it.
//!
//! Pingora limits each read instead of the whole head, waits without end for the second request of a
//! connection, forgives line ends and blanks that others read differently, and refuses without a
//! body. HTTP/2 goes straight to it once a request has come: there, heads arrive whole, and its limits
//! are set.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::BytesMut;
use http::Method;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::alarm::Alarm;
use super::answer;
use super::context::{Outcome, Record};
use super::ending::{Ending, Endings};
use super::engine::Engines;
use super::forwarded::RequestIds;
use super::http2;
use super::leash::Leash;
use super::leashed::Leashed;
use super::peer::Peer;
use super::tls::{Handshake, NoHandshake};
use super::watch::{ClientLimits, ClientWatch};
use crate::gate::Reason;
use crate::limits::Places;
use crate::wire::head::{self, HeadError};

/// How long a connection may stay without a request.
const IDLE: Duration = Duration::from_secs(60);

/// How long the client has to take a refusal, and to stop sending after it.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is read at once, in bytes: ordinary heads come whole.
const READ: usize = 4096;

/// The limits at the door.
#[derive(Debug, Clone, Copy)]
pub struct DoorLimits {
    /// To receive a complete request head.
    pub header_timeout: Duration,
    /// The largest head, in bytes.
    pub head_bytes: usize,
    /// The most header fields.
    pub header_fields: usize,
    /// How slow and how silent a client may be after that.
    pub client: ClientLimits,
}

/// What the door works with.
pub struct DoorParts {
    /// Its limits, and where records of what is refused here go.
    pub engines: Arc<Engines>,
    /// What TLS is spoken with, if it is.
    pub handshake: Option<Handshake>,
    /// The places for connections.
    pub places: Arc<Places>,
    /// The ids of requests.
    pub request_ids: Arc<RequestIds>,
    /// Counts what is ended for slowness.
    pub endings: Arc<Endings>,
    /// When it becomes true, connections that wait for a request are closed. With a shutdown alone they have one
    /// more, and are told that it is the last.
    pub closing: ShutdownWatch,
}

/// The door, in front of an HTTP application.
pub struct Door<A> {
    inner: Arc<A>,
    parts: DoorParts,
}

/// What the door tells of a connection.
#[derive(Debug, Clone)]
pub(super) struct AtDoor {
    pub(super) peer: Peer,
    pub(super) leash: Arc<Leash>,
}

/// Why no head came.
enum NoHead {
    /// The connection ended, or was idle for too long: nobody to tell.
    Gone,
    /// What came is refused.
    Refused(Reason),
}

impl<A> Door<A> {
    /// A door to `inner`.
    pub fn new(inner: A, parts: DoorParts) -> Self {
        Self { inner: Arc::new(inner), parts }
    }

    /// The limits in force.
    fn limits(&self) -> DoorLimits {
        self.parts.engines.glance().door
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Door<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let address = address(&stream);
        let _place = self.parts.places.take(address)?; // no place: closed at once
        let stream = self.shake_hands(stream).await?;
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            let (peer, endings) = (Peer::new(address), &self.parts.endings);
            http2::serve(&self.inner, stream, peer, self.limits(), endings, shutdown).await;
            return None;
        }
        self.serve(stream, address, shutdown).await;
        None
    }

    async fn cleanup(&self) {
        self.inner.http_cleanup().await;
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Door<A> {
    /// Shakes hands where TLS is spoken; `None` when that fails.
    async fn shake_hands(&self, stream: Stream) -> Option<Stream> {
        let Some(handshake) = &self.parts.handshake else { return Some(stream) };
        match handshake.shake(stream, self.limits().header_timeout).await {
            Ok(stream) => Some(stream),
            Err(NoHandshake::TooSlow) => {
                self.parts.endings.count(Ending::TlsHandshake);
                None
            }
            // Anybody can have as many of these as they like.
            Err(NoHandshake::Failed(error)) => {
                self.parts.endings.count_failed_handshake();
                tracing::debug!("a TLS handshake failed: {error}");
                None
            }
        }
    }

    /// Serves the requests of one HTTP/1 connection, one after the other.
    async fn serve(&self, mut stream: Stream, address: IpAddr, shutdown: &ShutdownWatch) {
        let peer = Peer::new(address);
        let limits = self.limits();
        let endings = &self.parts.endings;
        let leash = Arc::new(Leash::default());
        let watch = ClientWatch::new(Arc::clone(&leash), limits.client, Arc::clone(endings));
        stream = Box::new(Leashed::new(stream, watch));
        let mut settings: Option<HttpPersistentSettings> = None;
        let mut patience = limits.header_timeout;
        let mut alarm = Alarm::default();
        loop {
            let head = match self.receive(&mut stream, patience, &mut alarm).await {
                Ok(head) => head,
                Err(NoHead::Gone) => return,
                Err(NoHead::Refused(reason)) => return self.refuse(stream, address, reason).await,
            };
            let mut session = ServerSession::new_http1(stream);
            match settings.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                None => session.set_keepalive(Some(IDLE.as_secs())),
            }
            if *shutdown.borrow() {
                session.set_keepalive(None);
            }
            let at_door = AtDoor { peer: peer.clone(), leash: Arc::clone(&leash) };
            session.set_connection_user_context(Some(Box::new(at_door)));
            // Pingora parses what is there before it reads on.
            session.set_pipelined_prefix(head);
            let Some(reused) = self.inner.process_new_http(session, shutdown).await else { return };
            (stream, settings) = reused.consume();
            patience = IDLE;
        }
    }

    /// Receives a head and checks it. What came behind it stays behind it.
    async fn receive(
        &self,
        stream: &mut Stream,
        patience: Duration,
        alarm: &mut Alarm,
    ) -> Result<BytesMut, NoHead> {
        let mut closing = self.parts.closing.clone();
        let first = tokio::select! {
            biased; // what was sent before is served
            read = first_read(stream) => read,
            () = alarm.rings(Deadline::now() + patience) => return Err(NoHead::Gone),
            _ = closing.wait_for(|closing| *closing) => return Err(NoHead::Gone),
        };
        let mut bytes = match first {
            Ok(bytes) if !bytes.is_empty() => bytes,
            _ => return Err(NoHead::Gone),
        };
        let limits = self.limits();
        let deadline = Deadline::now() + limits.header_timeout;
        let mut searched = 0;
        loop {
            if searched == 0 {
                let blank = head::leading_blank_lines(&bytes);
                let _ = bytes.split_to(blank);
            }
            if let Some(end) = head::end(&bytes, searched) {
                return self.check(bytes, end);
            }
            if bytes.len() > limits.head_bytes {
                return Err(NoHead::Refused(Reason::HeadTooLarge));
            }
            if head::has_bare_line_feed(&bytes, searched) {
                return Err(NoHead::Refused(Reason::Syntax(HeadError::LineEnd)));
            }
            searched = bytes.len();
            bytes.reserve(READ);
            match timeout_at(deadline, stream.read_buf(&mut bytes)).await {
                Ok(Ok(read)) if read > 0 => {}
                Ok(_) => return Err(NoHead::Gone),
                Err(_) => {
                    self.parts.endings.count(Ending::RequestHead);
                    return Err(NoHead::Gone);
                }
            }
        }
    }

    fn check(&self, mut bytes: BytesMut, end: usize) -> Result<BytesMut, NoHead> {
        let refused = |error| match error {
            HeadError::TooManyFields => Reason::TooManyFields,
            HeadError::Method => Reason::Method,
            HeadError::Host => Reason::Host,
            HeadError::Length => Reason::Framing,
            HeadError::Target(why) => Reason::Target(why),
            error => Reason::Syntax(error),
        };
        let checked = head::check(&bytes[..end]).map_err(|error| NoHead::Refused(refused(error)))?;
        if let Some(origin_form) = checked.origin_form {
            let target = checked.target;
            let mut rewritten = BytesMut::with_capacity(bytes.len());
            rewritten.extend_from_slice(&bytes[..target.start]);
            rewritten.extend_from_slice(origin_form.as_bytes());
            rewritten.extend_from_slice(&bytes[target.end..]);
            bytes = rewritten;
        }
        Ok(bytes)
    }

    /// Answers what Pingora never sees, and closes.
    async fn refuse(&self, mut stream: Stream, address: IpAddr, reason: Reason) {
        let started = Instant::now();
        let request_id = self.parts.request_ids.next();
        let answer = answer::closing(&self.parts.engines.current().refusals, &reason, &request_id);
        let sent = timeout(FAREWELL, async {
            stream.write_all(&answer).await?;
            stream.flush().await?;
            AsyncWriteExt::shutdown(&mut stream).await
        })
        .await;
        if matches!(sent, Ok(Ok(()))) {
            // Closing on unread bytes would reset the connection, and the answer with it.
            let mut rest = [0; 1024];
            let drain = async { while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {} };
            let _ = timeout(FAREWELL, drain).await;
        }
        self.parts.engines.current().recorder.record(&Record {
            outcome: Outcome::Refused,
            status: reason.code().status().as_u16(),
            reason: Some(&reason),
            caller: Some(address),
            total: started.elapsed(),
            bytes_out: answer.len(),
            ..Record::of(&request_id, &NO_METHOD)
        });
    }
}

/// Nothing that came is known to be a method; a hyphen is a token, and none of HTTP's.
static NO_METHOD: LazyLock<Method> = LazyLock::new(|| Method::from_bytes(b"-").unwrap_or_default());

/// What comes first. Memory for it is taken when it is there: most connections rest most of the time.
async fn first_read(stream: &mut Stream) -> io::Result<BytesMut> {
    poll_fn(|task| {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(task, &mut buffer))?;
        Poll::Ready(Ok(BytesMut::from(buffer.filled())))
    })
    .await
}

fn address(stream: &Stream) -> IpAddr {
    let digest = stream.get_socket_digest();
    let address = digest.as_ref().and_then(|digest| digest.peer_addr()).and_then(|address| address.as_inet());
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical())
}
