//! `GET` and `POST {base}/authorize`: where clients send people.

use axum::http::HeaderMap;
use axum::response::Response;

use super::browser::Ticket;
use super::http::{Told, see_other};
use super::pages::Problem;
use super::request::{self, Asked, Back, Error, MAX_QUERY, Stop};
use super::session::Session;
use super::step::{self, Person, Step, Visit};
use super::{Event, Idp};
use crate::gate::Unavailable;
use crate::model::{Requester, Secret, StoreId, Subject, Timestamp, TokenDigest};
use crate::replica::NewIdentityGrant;

/// How long a code is good for, in seconds.
const CODE_LIFE: i64 = 60;

/// An error for the client that is not the person's doing.
pub(super) const UNAVAILABLE: Error = Error {
    code: "temporarily_unavailable",
    description: "This cannot be answered at the moment. Try again shortly.",
};

impl Idp {
    /// Somebody comes from a client.
    pub(super) async fn authorize(&self, query: &str, headers: &HeaderMap, caller: &Requester) -> Response {
        let asked = match self.read_request(query) {
            Ok(asked) => asked,
            Err(stop) => return self.stop(stop, caller),
        };
        let session = match self.session(headers).await {
            Ok(session) => session,
            Err(Unavailable) => return self.send_back(&asked.back, UNAVAILABLE),
        };
        let ticket = Ticket { query: query.to_owned(), began: Timestamp::now().0, target: None };
        self.go_on(&asked, &ticket, session.as_ref(), Visit::First, caller).await
    }

    /// The same as a form (OpenID Connect Core section 3.1.2.1). A browser that comes from elsewhere with a
    /// form leaves its cookies at home (SameSite), so that it comes again.
    pub(super) fn authorize_form(&self, body: &[u8], caller: &Requester) -> Response {
        let query = std::str::from_utf8(body).ok().filter(|query| {
            query.len() <= MAX_QUERY && query.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
        });
        match query {
            Some(query) => see_other(&format!("{}?{query}", self.path("/authorize"))),
            None => self.stop(Stop::Page("The request is malformed."), caller),
        }
    }

    /// The request that a ticket stands for, judged anew: the client may have changed meanwhile.
    pub(super) fn read_request(&self, query: &str) -> Result<Asked, Stop> {
        request::read(query, |id| self.replica().oauth_client(id))
    }

    /// Answers a request that does not go on.
    pub(super) fn stop(&self, stop: Stop, caller: &Requester) -> Response {
        match stop {
            Stop::Page(what) => self.pages.problem(Problem::Request(what), caller),
            Stop::Unavailable => self.pages.problem(Problem::Unavailable, caller),
            Stop::Redirect(back, error) => self.send_back(&back, error),
        }
    }

    /// Tells the client that it comes to nothing (RFC 6749 section 4.1.2.1, RFC 9207).
    pub(super) fn send_back(&self, back: &Back, error: Error) -> Response {
        let mut parameters = vec![("error", error.code), ("error_description", error.description)];
        parameters.extend(back.state.as_deref().map(|state| ("state", state)));
        parameters.push(("iss", &self.settings.issuer));
        let mut answer = see_other(&back.uri.with(&parameters));
        answer.extensions_mut().insert(Told { code: error.code, client: None });
        answer
    }

    /// Does what comes next.
    pub(super) async fn go_on(
        &self,
        asked: &Asked,
        ticket: &Ticket,
        session: Option<&Session>,
        visit: Visit,
        caller: &Requester,
    ) -> Response {
        let Ok(next) = self.next_step(asked, session, visit) else {
            return self.send_back(&asked.back, UNAVAILABLE);
        };
        match (next, session) {
            (Step::Refuse(error), _) => self.send_back(&asked.back, error),
            (Step::Issue { store }, Some(session)) => self.issue_code(asked, session, store, caller).await,
            (Step::Ask { .. }, Some(_)) => self.to_page("/authorize/consent", asked, ticket),
            (Step::SignIn { .. } | Step::Issue { .. } | Step::Ask { .. }, _) => {
                self.to_page("/login", asked, ticket)
            }
        }
    }

    /// What comes next, on the records of this moment.
    pub(super) fn next_step(
        &self,
        asked: &Asked,
        session: Option<&Session>,
        visit: Visit,
    ) -> Result<Step, Unavailable> {
        let consents = match session {
            Some(session) => self.replica().consents(session.user.subject, &asked.client)?,
            None => Vec::new(),
        };
        let hinted = match &asked.id_token_hint {
            Some(hint) => self.hinted(hint.expose())?,
            None => None,
        };
        let person = session.map(|session| Person {
            user: &session.user,
            sign_in: &session.sign_in,
            consents: &consents,
        });
        Ok(step::next(asked, hinted, person, visit, Timestamp::now()))
    }

    /// Whom an ID token of ours names, whatever its age; nobody for any other text.
    pub(super) fn hinted(&self, id_token: &str) -> Result<Option<Subject>, Unavailable> {
        let claims = self.keys()?.verified(id_token);
        let claims = claims.filter(|claims| claims["iss"] == self.settings.issuer.as_str());
        Ok(claims.and_then(|claims| Subject::parse(claims["sub"].as_str()?).ok()))
    }

    fn to_page(&self, page: &str, asked: &Asked, ticket: &Ticket) -> Response {
        match self.seal() {
            Ok(seal) => see_other(&format!("{}?request={}", self.path(page), seal.ticket(ticket))),
            Err(Unavailable) => self.send_back(&asked.back, UNAVAILABLE),
        }
    }

    /// Sends the person back with a code (RFC 6749 section 4.1.2).
    pub(super) async fn issue_code(
        &self,
        asked: &Asked,
        session: &Session,
        store: Option<StoreId>,
        caller: &Requester,
    ) -> Response {
        let Ok(code) = Secret::generate("sx_ic_") else { return self.send_back(&asked.back, UNAVAILABLE) };
        let now = Timestamp::now();
        let grant = NewIdentityGrant {
            code: TokenDigest::of(code.expose().as_bytes()),
            client: asked.client.client_id.clone(),
            subject: session.user.subject,
            store,
            scopes: asked.scopes.clone(),
            redirect_uri: asked.back.uri.as_str().to_owned(),
            code_challenge: asked.challenge.clone(),
            nonce: asked.nonce.clone(),
            auth_time: session.sign_in.auth_time,
            expires_at: now.plus(CODE_LIFE),
        };
        let added = match self.queue() {
            Ok(queue) => queue.add_identity_grant(grant, now).await,
            Err(Unavailable) => Err(Unavailable),
        };
        if added.is_err() {
            return self.send_back(&asked.back, UNAVAILABLE);
        }
        let (subject, client) = (session.user.subject, &asked.client.client_id);
        self.note(Event::CodeIssued, caller, Some(subject), Some(client));
        let mut parameters = vec![("code", code.expose())];
        parameters.extend(asked.back.state.as_deref().map(|state| ("state", state)));
        parameters.push(("iss", &self.settings.issuer));
        see_other(&asked.back.uri.with(&parameters))
    }
}
