//! What is known of one request while it runs, and the record that is kept of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::HOST;
use http::{HeaderValue, Method};
use pingora::proxy::Session;

use super::answer_pace::AnswerPace;
use super::attempt::Attempts;
use super::ending::Ending;
use super::engine::Engine;
use super::in_flight::InFlightRequest;
use super::leash::{Leash, OnLeash};
use super::peer::Peer;
use crate::gate::credential::{self, Shown};
use crate::gate::{Kind, Pass, Reason, Step, Steps, Trail};
use crate::limits::Quota;
use crate::model::{App, InstallationId, Platform, Remark, Store, TokenDigest};

/// One request, from its head to its log line.
#[derive(Debug)]
pub struct Context {
    pub(super) started: Instant,
    /// What was in force when it started; it ends under it.
    pub(super) engine: Arc<Engine>,
    pub(super) request_id: HeaderValue,
    pub(super) peer: Peer,
    /// Whether what the peer says of others is believed.
    pub(super) is_peer_trusted: bool,
    /// `None` only until the door has told.
    pub(super) leash: Option<Arc<Leash>>,
    /// Its entry in the book, once it may live long.
    pub(super) on_leash: Option<OnLeash>,
    /// The caller's address, once the head was admitted.
    pub(super) caller: Option<IpAddr>,
    /// Path and query as they are forwarded, where that is not what came in.
    pub(super) rewritten: Option<http::Uri>,
    pub(super) upstream: usize,
    pub(super) pass: Option<Pass>,
    /// What the caller is told of its rate limit, where one applies.
    pub(super) quota: Option<Quota>,
    pub(super) refused: Option<Reason>,
    pub(super) attempts: Attempts,
    pub(super) sent_upstream: Option<Instant>,
    pub(super) first_byte: Option<Instant>,
    /// How fast the answer comes, where it has a stated length.
    pub(super) answer: Option<AnswerPace>,
    pub(super) known: Known,
    /// What an endpoint of ours told of the request that it answered; boxed, as it is rare.
    pub(super) local: Option<Box<Answered>>,
    /// Where the request is exported.
    #[cfg(feature = "otlp")]
    pub(super) span: Option<super::trace::Span>,
    /// Counts as under way until this is dropped, whatever becomes of the request.
    pub(super) _in_flight: InFlightRequest,
}

impl Context {
    /// Why the gateway ended the client's connection or stream, if it did.
    pub(super) fn ended(&self) -> Option<Ending> {
        self.leash.as_ref().and_then(|leash| leash.ended())
    }
}

/// A request that was answered by an endpoint of ours.
#[derive(Debug)]
pub(super) struct Answered(pub(super) Option<Remark>);

/// Who and what a decision came across, for the log.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) route: Option<usize>,
    pub(super) kind: Option<Kind>,
    pub(super) app: Option<Arc<App>>,
    pub(super) store: Option<Arc<Store>>,
    pub(super) installation: Option<InstallationId>,
    /// Those in force, once the caller is verified.
    pub(super) scopes: Option<HeaderValue>,
    pub(super) token: Option<TokenDigest>,
    pub(super) steps: Steps,
    /// Whose words a refusal is told in.
    pub(super) platform: Platform,
}

impl Trail for Known {
    fn step(&mut self, step: Step<'_>) {
        self.steps.note(step);
        match step {
            Step::Route(index, route) => {
                self.route = Some(index);
                self.platform = route.platform;
            }
            Step::Presented(kind) => self.kind = Some(kind),
            Step::App(app) => self.app = Some(Arc::clone(app)),
            Step::Store(store) => self.store = Some(Arc::clone(store)),
            Step::Installation(found) => self.installation = Some(found.installation_id),
            Step::Scopes(scopes) => self.scopes = Some(scopes.header().clone()),
            Step::Digest(digest) => self.token = Some(*digest),
            _ => {}
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream's answer was passed on.
    Forwarded,
    /// The gateway answered itself, with this reason.
    Refused,
    /// An endpoint of ours answered, whatever it said.
    Local,
    /// The client or the upstream broke off after the answer had begun, or before any could be sent.
    Broken,
}

impl Outcome {
    /// Its name in the access log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Refused => "refused",
            Self::Local => "local",
            Self::Broken => "broken",
        }
    }
}

/// The record of one request that ended, for metrics and the access log.
#[derive(Debug)]
pub struct Record<'r> {
    /// `X-Request-Id`.
    pub request_id: &'r HeaderValue,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was refused.
    pub reason: Option<&'r Reason>,
    /// Why the gateway ended it before it was over.
    pub ended: Option<Ending>,
    /// What an endpoint of ours told of it.
    pub remark: Option<&'r Remark>,
    /// The status sent to the client; 0 when none was.
    pub status: u16,
    /// The method.
    pub method: &'r Method,
    /// The position of the route.
    pub route: Option<usize>,
    /// The kind of credential presented.
    pub kind: Option<Kind>,
    /// The secret part of a credential, whether or not it was good.
    pub shown: Option<Shown<'r>>,
    /// The trace that it belongs to, where the caller told of one.
    pub trace_id: Option<&'r str>,
    /// The app that was found; not necessarily proved.
    pub app: Option<&'r Arc<App>>,
    /// The store that the request acted on.
    pub store: Option<&'r Store>,
    /// The caller's address.
    pub caller: Option<IpAddr>,
    /// From the complete head to the end of the answer.
    pub total: Duration,
    /// From the request sent upstream to the first byte of its answer.
    pub upstream: Option<Duration>,
    /// Body bytes received from the client.
    pub bytes_in: usize,
    /// Body bytes sent to the client.
    pub bytes_out: usize,
    /// What else is known of the decision; `None` where the head could not be read.
    pub asked: Option<Asked<'r>>,
}

impl<'r> Record<'r> {
    /// The record of a request of which nothing else is known.
    pub fn of(request_id: &'r HeaderValue, method: &'r Method) -> Self {
        Self {
            request_id,
            outcome: Outcome::Broken,
            reason: None,
            ended: None,
            remark: None,
            status: 0,
            method,
            route: None,
            kind: None,
            shown: None,
            trace_id: None,
            app: None,
            store: None,
            caller: None,
            total: Duration::ZERO,
            upstream: None,
            bytes_in: 0,
            bytes_out: 0,
            asked: None,
        }
    }
}

/// What was asked, and what came of it: enough to tell the decision, and to take it again.
#[derive(Debug)]
pub struct Asked<'r> {
    /// The path in normal form.
    pub path: &'r str,
    /// The host.
    pub host: &'r str,
    /// The method that a CORS preflight asked for.
    pub preflight: Option<http::Method>,
    /// Whether there was any header that holds a credential.
    pub shows_credential: bool,
    /// The installation that was found.
    pub installation: Option<InstallationId>,
    /// The scopes in force, once the caller was verified.
    pub scopes: Option<&'r HeaderValue>,
    /// Of the access token that was presented.
    pub token: Option<TokenDigest>,
    /// The steps that were taken.
    pub steps: Steps,
}

impl<'r> Asked<'r> {
    /// Of a request whose head was admitted.
    pub(super) fn of(session: &'r Session, context: &'r Context) -> Option<Self> {
        context.caller?;
        let (request, known) = (session.req_header(), &context.known);
        let raw = std::str::from_utf8(request.raw_path()).unwrap_or_default();
        let raw = raw.split('?').next().unwrap_or_default();
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
        Some(Self {
            path: context.rewritten.as_ref().map_or(raw, http::Uri::path),
            host: host.or_else(|| request.uri.host()).unwrap_or_default(),
            preflight: credential::preflight(&request.method, &request.headers),
            // Where one was read its kind is known.
            shows_credential: known.kind.is_some() || credential::is_shown(&request.headers),
            installation: known.installation,
            scopes: known.scopes.as_ref(),
            token: known.token,
            steps: known.steps,
        })
    }
}
