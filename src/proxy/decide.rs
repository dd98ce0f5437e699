//! From a request to what becomes of it: admitted, routed, decided on, proved, and counted against limits.

use std::time::Instant;

use http::Uri;
use pingora::proxy::Session;

use super::context::{Context, Known};
use super::forwarded;
use super::hop;
use super::http2::is_http2;
use super::service::StoreProxy;
use crate::gate::{Challenge, Code, Decision, Directory, Head, Pass, RawHead, Reason};
use crate::hasher::Verdict;
use crate::limits::{Caller, Draw};
use crate::model::{Requester, Timestamp};

/// How often a decision is taken anew when the app's record changes while its secret is proved.
const PROOF_ROUNDS: usize = 3;

/// What becomes of a request, without borrowing it.
pub(super) enum Next {
    Local(Uri, Requester),
    Forward { upstream: usize, pass: Pass },
    Prove(Challenge),
    Refuse(Reason),
}

impl<D: Directory + Send + Sync + 'static> StoreProxy<D> {
    /// Admits and decides on the records of this moment.
    pub(super) fn decide(&self, session: &Session, context: &mut Context) -> Next {
        let request = session.req_header();
        // `:authority` replaces Host in HTTP/2; in HTTP/1 only Host counts.
        let authority = match request.version {
            http::Version::HTTP_2 => request.uri.authority().map(http::uri::Authority::as_str),
            _ => None,
        };
        if is_http2(session)
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
        if let Some(path) = context.engine.local.find(head.target.path()) {
            let target =
                head.target.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
            let Ok(target) = target.parse() else {
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
    pub(super) async fn prove(
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

    /// Counts a request that is about to be forwarded against its caller's rate limit.
    pub(super) async fn ration(&self, pass: &Pass, context: &mut Context) -> Result<(), Reason> {
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

    /// A failed attempt counts against its address; past the budget it is answered 429.
    pub(super) fn charged(&self, reason: Reason, context: &Context) -> Reason {
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
