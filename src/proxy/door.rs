//! The door of the public listener: every connection comes in here. It counts connections, receives
//! each HTTP/1 request head under one deadline, has it checked byte by byte, and only then lets
//! Pingora read it.
//!
//! Pingora limits each read instead of the whole head, waits without end for the second request of a
//! connection, forgives line ends and blanks that others read differently, and refuses without a
//! body. HTTP/2 goes straight to it once a request has come: there, heads arrive whole, and its limits
//! are set.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::BytesMut;
use http::Method;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::alarm::Alarm;
use super::answer;
use super::context::{Outcome, Record};
use super::engine::Engines;
use super::forwarded::RequestIds;
use super::http2;
use super::leash::{AtDoor, Leash, Leashed};
use super::peer::Peer;
use crate::gate::Reason;
use crate::limits::Places;
use crate::wire::head::{self, HeadError};

/// How long a connection may stay without a request.
const IDLE: Duration = Duration::from_secs(60);

/// How long the client has to take a refusal, and to stop sending after it.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is read at once, in bytes: ordinary heads come whole.
const FIRST_READ: usize = 4096;

/// The limits at the door.
#[derive(Debug, Clone, Copy)]
pub struct DoorLimits {
    /// To receive a complete request head.
    pub header_timeout: Duration,
    /// The largest head, in bytes.
    pub head_bytes: usize,
    /// The most header fields.
    pub header_fields: usize,
}

/// The door, in front of an HTTP application.
pub struct Door<A> {
    inner: Arc<A>,
    engines: Arc<Engines>,
    places: Arc<Places>,
    request_ids: Arc<RequestIds>,
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
    pub fn new(inner: A, engines: Arc<Engines>, places: Arc<Places>, request_ids: Arc<RequestIds>) -> Self {
        Self { inner: Arc::new(inner), engines, places, request_ids }
    }

    /// The limits in force.
    fn limits(&self) -> DoorLimits {
        self.engines.glance().door
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Door<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let address = address(&stream);
        let _place = self.places.take(address)?; // no place: closed at once
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            http2::serve(&self.inner, stream, self.limits(), shutdown).await;
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
    /// Serves the requests of one HTTP/1 connection, one after the other.
    async fn serve(&self, mut stream: Stream, address: IpAddr, shutdown: &ShutdownWatch) {
        let peer = Peer::new(address);
        let leash = Arc::new(Leash::default());
        stream = Box::new(Leashed::new(stream, Arc::clone(&leash)));
        let mut settings: Option<HttpPersistentSettings> = None;
        let mut patience = self.limits().header_timeout;
        let mut alarm = Alarm::default();
        loop {
            let head = match self.receive(&mut stream, patience, &mut alarm, shutdown).await {
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
            session.set_connection_user_context(Some(at_door.boxed()));
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
        shutdown: &ShutdownWatch,
    ) -> Result<BytesMut, NoHead> {
        let mut bytes = BytesMut::with_capacity(FIRST_READ);
        let mut stopping = shutdown.clone();
        let first = tokio::select! {
            biased; // what was sent before the shutdown is served
            read = stream.read_buf(&mut bytes) => read,
            () = alarm.rings(Deadline::now() + patience) => return Err(NoHead::Gone),
            _ = stopping.wait_for(|stopping| *stopping) => return Err(NoHead::Gone),
        };
        match first {
            Ok(read) if read > 0 => {}
            _ => return Err(NoHead::Gone),
        }
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
            match timeout_at(deadline, stream.read_buf(&mut bytes)).await {
                Ok(Ok(read)) if read > 0 => {}
                _ => return Err(NoHead::Gone),
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
        let request_id = self.request_ids.next();
        let answer = answer::closing(&reason, &request_id);
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
        self.engines.current().recorder.record(&Record {
            request_id: &request_id,
            outcome: Outcome::Refused,
            status: reason.code().status().as_u16(),
            reason: Some(&reason),
            remark: None,
            method: &NO_METHOD,
            route: None,
            kind: None,
            app: None,
            store: None,
            caller: Some(address),
            total: started.elapsed(),
            upstream: None,
            bytes_in: 0,
            bytes_out: answer.len(),
        });
    }
}

/// Nothing that came is known to be a method; a hyphen is a token, and none of HTTP's.
static NO_METHOD: LazyLock<Method> = LazyLock::new(|| Method::from_bytes(b"-").unwrap_or_default());

fn address(stream: &Stream) -> IpAddr {
    let digest = stream.get_socket_digest();
    let address = digest.as_ref().and_then(|digest| digest.peer_addr()).and_then(|address| address.as_inet());
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical())
}
