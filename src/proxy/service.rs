//! Pingora's phases, turned into one decision and its consequences.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use super::answer;
use super::attempt::Attempts;
use super::context::{Answered, Asked, Context, Known, Outcome, Record};
use super::decide::Next;
use super::door::AtDoor;
use super::ending::{Ending, Endings};
use super::engine::Engines;
use super::forwarded::{self, Origin, RequestIds};
use super::http2::is_http2;
use super::in_flight::InFlight;
use super::leash::LeashBook;
use super::peer::Peer;
use super::plain;
use super::tls::ClientCertificate;
use super::{hop, trace, waiting};
use crate::gate::credential::Shown;
use crate::gate::{Directory, Pass, Reason};
use crate::hasher::Hasher;
use crate::limits::Quota;
#[cfg(feature = "otlp")]
use crate::wire::trace_context::Parent;

/// Header fields that are set on a forwarded request: the request id, three `X-Forwarded-*`, eight of
/// identity.
const SET_AT_MOST: usize = 12;

/// Where the record of each request goes.
pub trait Recorder: Send + Sync + 'static {
    /// Notes a request that ended. Called on a request thread: it must not wait for anything slow.
    fn record(&self, record: &Record<'_>);

    /// Begins the span of a request below that of its caller, where it is one that is exported.
    #[cfg(feature = "otlp")]
    fn begin_span(&self, parent: Option<Parent<'_>>) -> Option<trace::Span>;

    /// Exports the span of a request that ended. It must not wait, either.
    #[cfg(feature = "otlp")]
    fn end_span(&self, span: &trace::Span, record: &Record<'_>);
}

/// The gateway as a Pingora proxy.
pub struct StoreProxy<D>(pub(super) Parts<D>);

/// What the proxy works with, whatever the configuration.
pub struct Parts<D> {
    /// The engine in force.
    pub engines: Arc<Engines>,
    /// The records.
    pub directory: D,
    /// The bcrypt workers.
    pub hasher: Arc<Hasher>,
    /// The count of requests under way.
    pub in_flight: Arc<InFlight>,
    /// The ids of requests.
    pub request_ids: Arc<RequestIds>,
    /// The requests that may live long.
    pub leashes: Arc<LeashBook>,
    /// Counts what is ended for slowness.
    pub endings: Arc<Endings>,
}

impl<D: Directory + Send + Sync + 'static> StoreProxy<D> {
    /// Puts the parts together.
    pub fn new(parts: Parts<D>) -> Self {
        Self(parts)
    }

    /// Whether a field of an upstream's answer says what only the gateway may say.
    fn speaks_for_us(&self, name: &HeaderName, context: &Context) -> bool {
        let rationed = context.quota.is_some();
        context.pass.as_ref().is_some_and(|pass| context.engine.gate.speaks_for_us(name, pass, rationed))
    }

    /// Puts a request that may live long on its leash: an upgrade, or an answer whose end nobody has
    /// told. Others are over before a credential could end.
    fn follow_credential(&self, response: &ResponseHeader, context: &mut Context) {
        let upgraded = response.status == StatusCode::SWITCHING_PROTOCOLS;
        let endless = !response.headers.contains_key(CONTENT_LENGTH);
        let (Some(Pass::Permitted(permit)), Some(leash)) = (&context.pass, &context.leash) else { return };
        if !upgraded && !endless {
            return;
        }
        let caller = context.caller.unwrap_or(context.peer.address);
        context.on_leash = Some(self.0.leashes.enter(Arc::clone(leash), permit.tenure(), caller));
    }
}

/// The client's certificate, verified in the handshake of this connection.
fn client_certificate(session: &Session) -> Option<&ClientCertificate> {
    session.digest()?.ssl_digest.as_ref()?.extension.get()
}

#[async_trait]
impl<D: Directory + Send + Sync + 'static> ProxyHttp for StoreProxy<D> {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context {
            started: Instant::now(),
            engine: self.0.engines.current(),
            request_id: HeaderValue::from_static("-"),
            peer: Peer::unknown(),
            is_peer_trusted: false,
            leash: None,
            on_leash: None,
            caller: None,
            rewritten: None,
            upstream: 0,
            pass: None,
            quota: None,
            refused: None,
            attempts: Attempts::default(),
            sent_upstream: None,
            first_byte: None,
            answer: None,
            known: Known::default(),
            local: None,
            #[cfg(feature = "otlp")]
            span: None,
            _in_flight: self.0.in_flight.enter(),
        }
    }

    /// No compression of ours: bodies pass as they are.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> pingora::Result<()> {
        // The door watches the client: it alone knows who is waited for.
        session.set_read_timeout(None);
        session.set_write_timeout(None);
        hop::drop_stray_upgrade(session.req_header_mut());
        if is_http2(session)
            && let Some(at_door) = session.req_header_mut().extensions_mut().remove::<AtDoor>()
        {
            context.peer = at_door.peer;
            context.leash = Some(at_door.leash);
        }
        let trusted = &context.engine.gate.settings().trusted_proxies;
        context.is_peer_trusted = trusted.contains(context.peer.address);
        let sent = if context.is_peer_trusted {
            forwarded::sent_request_id(&session.req_header().headers)
        } else {
            None
        };
        context.request_id = sent.unwrap_or_else(|| self.0.request_ids.next());
        #[cfg(feature = "otlp")]
        {
            let parent = trace::parent(&session.req_header().headers);
            context.span = context.engine.recorder.begin_span(parent);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        let settled = match self.decide(session, context) {
            Next::Local(target, requester) => {
                let engine = Arc::clone(&context.engine);
                let answered = Box::pin(engine.local.answer(session, target, requester)).await;
                let remark = answered.as_ref().ok().cloned().flatten();
                context.local = Some(Box::new(Answered(remark)));
                return answered.map(|_| true);
            }
            Next::Forward { upstream, pass } => Ok((upstream, pass)),
            Next::Refuse(reason) => Err(self.charged(reason, context)),
            // Boxed, as is the refusal: what is rare should not make this future large.
            Next::Prove(challenge) => Box::pin(self.prove(challenge, session, context)).await,
        };
        // Last, so that what is refused for another reason costs its caller nothing.
        let rationed = match settled {
            Ok((upstream, pass)) => self.ration(&pass, context).await.map(|()| (upstream, pass)),
            Err(reason) => Err(reason),
        };
        match rationed {
            Ok((upstream, pass)) => {
                context.upstream = upstream;
                context.pass = Some(pass);
                plain::forget_spelling(session.req_header_mut());
                waiting::for_body(session, context);
                Ok(false)
            }
            Err(reason) => {
                // Where the end of the body is in doubt the connection is out of step.
                let keep = !matches!(
                    reason,
                    Reason::Framing | Reason::HeadTooLarge | Reason::TooManyFields | Reason::Host
                );
                let quota = context.quota.as_ref();
                let platform = context.known.platform;
                let refusal = answer::refuse(
                    session,
                    &context.engine.refusals,
                    &reason,
                    platform,
                    &context.request_id,
                    quota,
                    keep,
                );
                let answered = Box::pin(refusal).await;
                context.refused = Some(reason);
                answered.map(|()| true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> pingora::Result<Box<HttpPeer>> {
        let engine = &context.engine;
        let mut peer = engine.upstreams.next(context.upstream, &mut context.attempts, context.started);
        if let Some(peer) = peer.as_mut().filter(|_| session.is_upgrade_req()) {
            waiting::for_websocket(peer, engine.door.client.websocket_idle);
        }
        peer.map(Box::new).ok_or_else(|| Error::explain(ErrorType::ConnectNoRoute, "no address").into_up())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        // Forwarding demands a pass; without one nothing leaves.
        let Some(pass) = &context.pass else {
            return Error::e_explain(ErrorType::InternalError, "no decision was taken");
        };
        let mut head = plain::take(request);
        if let Some(uri) = &context.rewritten {
            head.uri = uri.clone();
        }
        if is_http2(session) {
            let request = session.req_header();
            hop::clean_http2_request(&mut head, &request.headers);
            // A rewritten target has no authority any more, and Host may have come in another case.
            if let Some(authority) = request.uri.authority().map(http::uri::Authority::as_str)
                && head.headers.get(HOST).is_none_or(|host| host != authority)
                && let Ok(host) = HeaderValue::from_str(authority)
            {
                head.headers.insert(HOST, host);
            }
        } else {
            hop::restore(&session.req_header().headers, &mut head.headers, context.is_peer_trusted);
        }
        for name in context.engine.gate.strip(&head.headers, pass, context.is_peer_trusted) {
            head.headers.remove(&name);
        }
        trace::clean(&mut head.headers);
        #[cfg(feature = "otlp")]
        if let Some(span) = &context.span {
            span.pass_on(&mut head.headers);
        }
        head.headers.reserve(SET_AT_MOST);
        let origin = Origin {
            peer: &context.peer,
            is_trusted: context.is_peer_trusted,
            tls: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
            request_id: &context.request_id,
        };
        forwarded::set(&mut head.headers, &origin);
        for (name, value) in context.engine.gate.identity(pass) {
            head.headers.insert(name, value);
        }
        if let Some(certificate) = client_certificate(session) {
            let names = &context.engine.gate.settings().inject;
            head.headers.insert(names.client_cert_fingerprint.clone(), certificate.fingerprint.clone());
            if let Some(subject) = &certificate.subject {
                head.headers.insert(names.client_cert_subject.clone(), subject.clone());
            }
        }
        *request = RequestHeader::from(head);
        let now = Instant::now();
        context.sent_upstream = Some(now);
        if session.is_body_empty() {
            waiting::for_answer(context, now);
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Context,
    ) -> pingora::Result<()> {
        if end_of_stream {
            waiting::body_is_complete(context);
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let now = Instant::now();
        context.first_byte = Some(now);
        waiting::answer_has_begun(response, context, now);
        self.follow_credential(response, context);
        context.engine.upstreams.answered(context.upstream, &context.attempts);
        hop::clean(response, |name| self.speaks_for_us(name, context));
        for (name, value) in context.quota.iter().flat_map(Quota::headers) {
            response.insert_header(name, value)?;
        }
        response.insert_header("X-Request-Id", context.request_id.clone())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Context,
    ) -> pingora::Result<Option<Duration>> {
        let least = context.engine.door.client.pace;
        if !end_of_stream && waiting::part_of_answer(body, context, least).is_err() {
            self.0.endings.count(Ending::UpstreamAnswer);
            return Err(Error::explain(ErrorType::ReadTimedout, "the answer comes too slowly").into_up());
        }
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        context: &mut Context,
    ) -> pingora::Result<Option<Bytes>> {
        hop::clean_trailers(trailers, |name| self.speaks_for_us(name, context));
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent: another server may be tried, each at most once.
        let upstreams = &context.engine.upstreams;
        error.set_retry(upstreams.unconnected(context.upstream, &mut context.attempts, &error));
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        context: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        if context.first_byte.is_some() {
            error.set_retry(false);
            return error;
        }
        if context.ended() == Some(Ending::UpstreamAnswer) {
            // It was noticed on the client's side.
            error = Error::explain(ErrorType::ReadTimedout, "the answer's head comes too slowly").into_up();
        }
        let repeatable =
            session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
        let upstreams = &context.engine.upstreams;
        upstreams.unanswered(context.upstream, &mut context.attempts, &mut error, reused, repeatable);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        let reason = answer::reason_of(error, context.ended());
        let mut status = 0;
        // After an interim answer there may still be a final one.
        let is_final = |head: &ResponseHeader| {
            !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS
        };
        if let Some(reason) = reason.filter(|_| !session.response_written().is_some_and(is_final)) {
            status = reason.code().status().as_u16();
            let platform = context.known.platform;
            let quota = context.quota.as_ref();
            let refusals = &context.engine.refusals;
            if let Err(error) =
                answer::refuse(session, refusals, &reason, platform, &context.request_id, quota, false).await
            {
                tracing::debug!("an error could not be answered: {error}");
            }
            context.refused = Some(reason);
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    /// Failures have their line in the access log; what an upstream did is worth a warning there.
    fn suppress_error_log(&self, _: &Session, context: &Context, error: &Error) -> bool {
        if *error.esource() == ErrorSource::Upstream {
            let id = context.request_id.to_str().unwrap_or_default();
            tracing::warn!(request_id = id, "upstream failed: {:?}", error.etype());
        }
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Context, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Context) {
        let outcome = match (&context.refused, error) {
            (Some(_), _) => Outcome::Refused,
            (None, None) if context.local.is_some() => Outcome::Local,
            (None, Some(_)) => Outcome::Broken,
            (None, None) => Outcome::Forwarded,
        };
        let upstream = match (context.sent_upstream, context.first_byte) {
            (Some(sent), Some(first)) => Some(first.saturating_duration_since(sent)),
            _ => None,
        };
        if let Some(leash) = &context.leash {
            leash.rest();
        }
        let known = &context.known;
        let trace_id = trace::parent(&session.req_header().headers).map(|parent| parent.trace_id);
        #[cfg(feature = "otlp")]
        let trace_id = trace_id.or(context.span.as_ref().map(trace::Span::trace_id));
        let record = Record {
            request_id: &context.request_id,
            outcome,
            reason: context.refused.as_ref(),
            ended: context.ended(),
            remark: context.local.as_ref().and_then(|answered| answered.0.as_ref()),
            status: session.response_written().map_or(0, |response| response.status.as_u16()),
            method: &session.req_header().method,
            route: known.route,
            kind: known.kind,
            shown: Shown::of(&session.req_header().headers),
            trace_id,
            app: known.app.as_ref(),
            store: known.store.as_deref(),
            caller: context.caller,
            total: context.started.elapsed(),
            upstream,
            bytes_in: session.body_bytes_read(),
            bytes_out: session.body_bytes_sent(),
            asked: Asked::of(session, context),
        };
        context.engine.recorder.record(&record);
        #[cfg(feature = "otlp")]
        if let Some(span) = &context.span {
            context.engine.recorder.end_span(span, &record);
        }
    }

    /// The door tells who is at the other end, once for each request.
    fn on_connection_reuse(
        &self,
        _: &mut Session,
        context: &mut Context,
        at_door: Box<dyn Any + Send + Sync>,
    ) {
        if let Ok(at_door) = at_door.downcast::<AtDoor>() {
            context.peer = at_door.peer;
            context.leash = Some(at_door.leash);
        }
    }
}
