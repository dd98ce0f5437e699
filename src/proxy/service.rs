//! Pingora's phases, turned into one decision and its consequences.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use super::answer;
use super::attempt::Attempts;
use super::context::{Answered, Context, Known, Outcome, Record};
use super::engine::Engines;
use super::forwarded::{self, Origin, RequestIds};
use super::hop;
use super::in_flight::InFlight;
use super::leash::{AtDoor, LeashBook};
use super::peer::Peer;
use super::plain;
use super::tls::ClientCertificate;
use crate::gate::{Challenge, Code, Decision, Directory, Head, Pass, RawHead, Reason};
use crate::hasher::{Hasher, Verdict};
use crate::limits::{Caller, Draw, Quota};
use crate::model::{Requester, Timestamp};

/// How often a decision is taken anew when the app's record changes while its secret is proved.
const PROOF_ROUNDS: usize = 3;

/// How long a client may take for each read of its body and each write of its answer.
const CLIENT_IO: Duration = Duration::from_secs(60);

/// Header fields that are set on a forwarded request: the request id, three `X-Forwarded-*`, eight of
/// identity.
const SET_AT_MOST: usize = 12;

/// Where the record of each request goes.
pub trait Recorder: Send + Sync + 'static {
    /// Notes a request that ended. Called on a request thread: it must not wait for anything slow.
    fn record(&self, record: &Record<'_>);
}

/// The gateway as a Pingora proxy.
pub struct StoreProxy<D>(Parts<D>);

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
}

/// What becomes of a request, without borrowing it.
enum Next {
    Local(Uri, Requester),
    Forward { upstream: usize, pass: Pass },
    Prove(Challenge),
    Refuse(Reason),
}

impl<D: Directory + Send + Sync + 'static> StoreProxy<D> {
    /// Puts the parts together.
    pub fn new(parts: Parts<D>) -> Self {
        Self(parts)
    }

    /// Admits and decides on the records of this moment.
    fn decide(&self, session: &Session, context: &mut Context) -> Next {
        let request = session.req_header();
        // `:authority` replaces Host in HTTP/2; in HTTP/1 only Host counts.
        let authority = match request.version {
            http::Version::HTTP_2 => request.uri.authority().map(http::uri::Authority::as_str),
            _ => None,
        };
        if session.is_http2()
            && let Err(error) = hop::check_http2_request(request)
        {
            return Next::Refuse(Reason::Syntax(error));
        }
        let raw = RawHead {
            method: &request.method,
            target: request.raw_path(),
            authority,
            headers: &request.headers,
            peer: context.peer.address,
        };
        let head = match context.engine.gate.admit(&raw) {
            Ok(head) => head,
            Err(reason) => return Next::Refuse(reason),
        };
        context.caller = Some(head.caller);
        if head.target.is_changed() {
            // Not as a URI reference, in which a path that begins with two slashes is a host.
            match http::uri::PathAndQuery::try_from(&*head.target.path_and_query()) {
                Ok(target) => context.rewritten = Some(target.into()),
                Err(_) => return Next::Refuse(Reason::Target(crate::wire::target::TargetError::RawByte)),
            }
        }
        if context.engine.local.serves(head.target.path()) {
            let Ok(target) = head.target.path_and_query().parse() else {
                return Next::Refuse(Reason::Target(crate::wire::target::TargetError::RawByte));
            };
            let requester = requester(session, &head, context);
            return Next::Local(target, requester);
        }
        context.known = Known::default();
        let now = Timestamp::now();
        match context.engine.gate.decide(&head, &self.0.directory, now, &mut context.known) {
            Decision::Forward(route, pass) => Next::Forward { upstream: route.upstream, pass },
            Decision::Prove(challenge) => Next::Prove(challenge),
            Decision::Refuse(reason) => Next::Refuse(reason),
        }
    }

    /// Has a secret proved and decides anew.
    async fn prove(
        &self,
        mut challenge: Challenge,
        session: &Session,
        context: &mut Context,
    ) -> Result<(usize, Pass), Reason> {
        for _ in 0..PROOF_ROUNDS {
            let address = context.caller.unwrap_or(context.peer.address);
            let failures = &context.engine.limits.failures;
            let fee = failures.take_fee(address, &challenge.app.client_id, Instant::now());
            let fee = fee.map_err(Reason::TooManyFailures)?;
            match self.0.hasher.prove(challenge.app, challenge.secret, Timestamp::now()).await {
                Verdict::Proved => fee.refund(),
                Verdict::Wrong => return Err(Reason::WrongSecret),
                Verdict::Saturated => {
                    fee.refund();
                    return Err(Reason::Saturated);
                }
            }
            challenge = match self.decide(session, context) {
                Next::Forward { upstream, pass } => return Ok((upstream, pass)),
                Next::Refuse(reason) => return Err(self.charged(reason, context)),
                Next::Prove(challenge) => challenge,
                Next::Local(..) => return Err(Reason::NoRoute), // what was routed stays routed
            };
        }
        Err(Reason::Saturated) // the record changed faster than it could be proved
    }

    /// Whether a field of an upstream's answer says what only the gateway may say.
    fn speaks_for_us(&self, name: &HeaderName, context: &Context) -> bool {
        let rationed = context.quota.is_some();
        context.pass.as_ref().is_some_and(|pass| context.engine.gate.speaks_for_us(name, pass, rationed))
    }

    /// Counts a request that is about to be forwarded against its caller's rate limit.
    async fn ration(&self, pass: &Pass, context: &mut Context) -> Result<(), Reason> {
        let Some(route) = context.known.route else { return Ok(()) };
        let caller = match pass {
            Pass::Permitted(permit) => Caller::App(permit.app().app_id, permit.store().store_id),
            Pass::Anonymous | Pass::Upstream => {
                Caller::Address(context.caller.unwrap_or(context.peer.address))
            }
        };
        match context.engine.limits.rates.draw(route, caller, Instant::now()).await {
            Draw::Unlimited => Ok(()),
            Draw::Granted(quota) => {
                context.quota = Some(quota);
                Ok(())
            }
            Draw::Refused(quota, wait) => {
                context.quota = Some(quota);
                Err(Reason::RateLimited(wait))
            }
        }
    }

    /// Puts a request that may live long on its leash: an upgrade, or an answer whose end nobody has
    /// told. Others are over before a credential could end.
    fn follow_credential(&self, response: &ResponseHeader, context: &mut Context) {
        let upgraded = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
        let endless = !response.headers.contains_key(http::header::CONTENT_LENGTH);
        let (Some(Pass::Permitted(permit)), Some(leash)) = (&context.pass, &context.leash) else { return };
        if !upgraded && !endless {
            return;
        }
        if upgraded {
            leash.note_websocket();
        }
        let caller = context.caller.unwrap_or(context.peer.address);
        context.on_leash = Some(self.0.leashes.enter(Arc::clone(leash), permit.tenure(), caller));
    }

    /// A failed attempt counts against its address; past the budget it is answered 429.
    fn charged(&self, reason: Reason, context: &Context) -> Reason {
        let failed = matches!(reason.code(), Code::InvalidToken | Code::InvalidClient);
        let charge = |caller| context.engine.limits.failures.charge(caller, Instant::now());
        match context.caller.filter(|_| failed).map(charge) {
            Some(Err(wait)) => Reason::TooManyFailures(wait),
            _ => reason,
        }
    }
}

/// Who asks an endpoint of ours.
fn requester(session: &Session, head: &Head<'_>, context: &Context) -> Requester {
    let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    Requester {
        address: head.caller,
        host: head.host.into(),
        secure: forwarded::is_secure(tls, context.is_peer_trusted, head.headers),
        request_id: context.request_id.clone(),
    }
}

fn peer(session: &Session) -> IpAddr {
    let address = session.client_addr().and_then(|address| address.as_inet());
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip())
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
            known: Known::default(),
            local: None,
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
        session.set_read_timeout(Some(CLIENT_IO));
        session.set_write_timeout(Some(CLIENT_IO));
        hop::drop_stray_upgrade(session.req_header_mut());
        if session.is_http2() {
            // The door sees connections, not streams.
            context.peer = Peer::new(peer(session));
        }
        let trusted = &context.engine.gate.settings().trusted_proxies;
        context.is_peer_trusted = trusted.contains(context.peer.address);
        let sent = if context.is_peer_trusted {
            forwarded::sent_request_id(&session.req_header().headers)
        } else {
            None
        };
        context.request_id = sent.unwrap_or_else(|| self.0.request_ids.next());
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
                let refusal = answer::refuse(session, &reason, platform, &context.request_id, quota, keep);
                let answered = Box::pin(refusal).await;
                context.refused = Some(reason);
                answered.map(|()| true)
            }
        }
    }

    async fn upstream_peer(&self, _: &mut Session, context: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        let peer = context.engine.upstreams.next(context.upstream, &mut context.attempts, context.started);
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
        if session.is_http2() {
            hop::clean_http2_request(&mut head.headers);
            let authority = session.req_header().uri.authority();
            if let (false, Some(host)) = (head.headers.contains_key(HOST), authority)
                && let Ok(host) = HeaderValue::from_str(host.as_str())
            {
                head.headers.insert(HOST, host); // a rewritten target has no authority any more
            }
        } else {
            hop::restore(&session.req_header().headers, &mut head.headers, context.is_peer_trusted);
        }
        for name in context.engine.gate.strip(&head.headers, pass, context.is_peer_trusted) {
            head.headers.remove(&name);
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
        context.sent_upstream = Some(Instant::now());
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        context.first_byte = Some(Instant::now());
        self.follow_credential(response, context);
        context.engine.upstreams.answered(context.upstream, &context.attempts);
        hop::clean(response, |name| self.speaks_for_us(name, context));
        for (name, value) in context.quota.iter().flat_map(Quota::headers) {
            response.insert_header(name, value)?;
        }
        response.insert_header("X-Request-Id", context.request_id.clone())
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
        let reason = match (error.esource(), error.etype()) {
            (
                ErrorSource::Upstream,
                ErrorType::ConnectTimedout
                | ErrorType::TLSHandshakeTimedout
                | ErrorType::ReadTimedout
                | ErrorType::WriteTimedout,
            ) => Some(Reason::UpstreamTimeout),
            (ErrorSource::Upstream, _) => Some(Reason::UpstreamUnreachable),
            (
                ErrorSource::Downstream,
                ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed,
            ) => {
                None // nobody is there to be answered
            }
            (ErrorSource::Downstream, _) => Some(Reason::Body),
            (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Reason::UpstreamUnreachable),
        };
        let mut status = 0;
        if let Some(reason) = reason.filter(|_| session.response_written().is_none()) {
            status = reason.code().status().as_u16();
            let platform = context.known.platform;
            let quota = context.quota.as_ref();
            if let Err(error) =
                answer::refuse(session, &reason, platform, &context.request_id, quota, false).await
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
        let known = &context.known;
        context.engine.recorder.record(&Record {
            request_id: &context.request_id,
            outcome,
            reason: context.refused.as_ref(),
            remark: context.local.as_ref().and_then(|answered| answered.0.as_ref()),
            status: session.response_written().map_or(0, |response| response.status.as_u16()),
            method: &session.req_header().method,
            route: known.route,
            kind: known.kind,
            app: known.app.as_deref(),
            store: known.store.as_deref(),
            caller: context.caller,
            total: context.started.elapsed(),
            upstream,
            bytes_in: session.body_bytes_read(),
            bytes_out: session.body_bytes_sent(),
        });
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
