//! `GET` and `POST {base}/authorize/consent`: what the client may know.

use axum::http::HeaderMap;
use axum::response::Response;

use super::browser::Ticket;
use super::login::Target;
use super::pages::{ConsentPage, Problem};
use super::request::{Asked, Error};
use super::session::Session;
use super::step::{Step, Visit, consent_store};
use super::{Event, Idp, actor};
use crate::gate::Unavailable;
use crate::model::{Requester, ScopeSet, StoreId, Timestamp};
use crate::wire::parameters::Parameters;

const DENIED: Error = Error { code: "access_denied", description: "The person did not grant the request." };

impl Idp {
    /// Shows the page.
    pub(super) async fn consent_page(
        &self,
        query: &str,
        headers: &HeaderMap,
        caller: &Requester,
    ) -> Response {
        let query = Parameters::from_form(query.as_bytes()).ok();
        let sealed = query.as_ref().and_then(|query| query.get("request"));
        let (asked, ticket) = match self.target(sealed, caller) {
            Ok(Target::Client(asked, ticket)) => (asked, ticket),
            Ok(Target::Here(_) | Target::Account) => return self.pages.problem(Problem::Expired, caller),
            Err(answer) => return *answer,
        };
        let Ok(session) = self.session(headers).await else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        match (self.next_step(&asked, session.as_ref(), through(&ticket)), &session) {
            (Ok(Step::Ask { stores }), Some(session)) => {
                self.show_consent(&asked, sealed.unwrap_or_default(), session, &stores, false, caller)
            }
            _ => self.go_on(&asked, &ticket, session.as_ref(), through(&ticket), caller).await,
        }
    }

    /// Takes the answer.
    pub(super) async fn consent(&self, body: &[u8], headers: &HeaderMap, caller: &Requester) -> Response {
        let (form, _) = match self.form(body, headers, caller) {
            Ok(form) => form,
            Err(answer) => return *answer,
        };
        let sealed = form.get("request");
        let (asked, ticket) = match self.target(sealed, caller) {
            Ok(Target::Client(asked, ticket)) => (asked, ticket),
            Ok(Target::Here(_) | Target::Account) => return self.pages.problem(Problem::Expired, caller),
            Err(answer) => return *answer,
        };
        let Ok(session) = self.session(headers).await else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        let step = self.next_step(&asked, session.as_ref(), through(&ticket));
        let (Ok(Step::Ask { stores }), Some(session)) = (step, &session) else {
            return self.go_on(&asked, &ticket, session.as_ref(), through(&ticket), caller).await;
        };
        let (subject, client) = (session.user.subject, &asked.client.client_id);
        if form.get("decision") != Some("allow") {
            self.note(Event::ConsentDenied, caller, Some(subject), Some(client));
            return self.send_back(&asked.back, DENIED);
        }
        let chosen = form.get("store").and_then(|id| StoreId::parse(id.as_bytes()).ok());
        let store = match &stores[..] {
            [] => None,
            [store] => Some(*store),
            stores => match chosen.filter(|chosen| stores.contains(chosen)) {
                Some(store) => Some(store),
                None => {
                    let sealed = sealed.unwrap_or_default();
                    return self.show_consent(&asked, sealed, session, stores, true, caller);
                }
            },
        };
        let (for_store, scopes) = (consent_store(subject, store), asked.scopes.clone());
        let granted = match self.queue() {
            Ok(queue) => {
                let actor = actor(subject, caller);
                queue.give_consent(subject, client.clone(), for_store, scopes, actor).await
            }
            Err(Unavailable) => Err(Unavailable),
        };
        if granted.is_err() {
            return self.send_back(&asked.back, super::authorize::UNAVAILABLE);
        }
        self.note(Event::ConsentGiven, caller, Some(subject), Some(client));
        self.issue_code(&asked, session, store, caller).await
    }

    fn show_consent(
        &self,
        asked: &Asked,
        sealed: &str,
        session: &Session,
        stores: &[StoreId],
        must_choose: bool,
        caller: &Requester,
    ) -> Response {
        let unavailable = || self.pages.problem(Problem::Unavailable, caller);
        let (Ok(seal), Ok(consents)) =
            (self.seal(), self.replica().consents(session.user.subject, &asked.client))
        else {
            return unavailable();
        };
        let named: Result<Vec<(StoreId, String)>, Unavailable> = stores
            .iter()
            .map(|&store| Ok((store, self.replica().store_name(store)?.unwrap_or_default())))
            .collect();
        let Ok(named) = named else { return unavailable() };
        let granted: Vec<&str> = consents.iter().flat_map(|(_, scopes)| scopes.iter()).collect();
        let granted = ScopeSet::parse(&granted.join(" ")).unwrap_or_default();
        self.pages.consent(&ConsentPage {
            asked,
            sealed,
            csrf: &seal.form(&session.id),
            user: &session.user,
            stores: &named,
            must_choose,
            granted: &granted,
        })
    }
}

fn through(ticket: &Ticket) -> Visit {
    Visit::Through { began: Timestamp(ticket.began) }
}
