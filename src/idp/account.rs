//! `GET {base}/apps`: where somebody signed in, and what they granted, with the means to withdraw it.

use axum::http::HeaderMap;
use axum::response::Response;

use super::http::see_other;
use super::pages::{AppsPage, Problem};
use super::session::Session;
use super::{Event, Idp, actor};
use crate::gate::Unavailable;
use crate::model::{ClientId, Requester};

impl Idp {
    /// Shows the page.
    pub(super) async fn apps_page(&self, headers: &HeaderMap, caller: &Requester) -> Response {
        let session = match self.session(headers).await {
            Ok(Some(session)) => session,
            Ok(None) => return see_other(&self.path("/login")),
            Err(_) => return self.pages.problem(Problem::Unavailable, caller),
        };
        let consents = self.replica().all_consents(session.user.subject);
        let (Ok(consents), Ok(seal)) = (consents, self.seal()) else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        let csrf = seal.form(&session.id);
        self.pages.apps(&AppsPage { user: &session.user, csrf: &csrf, consents: &consents })
    }

    /// Withdraws what was granted to one client.
    pub(super) async fn withdraw(&self, body: &[u8], headers: &HeaderMap, caller: &Requester) -> Response {
        let (form, session) = match self.own_form(body, headers, caller).await {
            Ok(both) => both,
            Err(answer) => return *answer,
        };
        let Some(client) = form.get("client_id").and_then(|id| ClientId::parse(id).ok()) else {
            return self.pages.problem(Problem::Request("The form names no app."), caller);
        };
        let subject = session.user.subject;
        let done = match self.queue() {
            Ok(queue) => queue.withdraw_consent(subject, client.clone(), actor(subject, caller)).await,
            Err(Unavailable) => Err(Unavailable),
        };
        if done.is_err() {
            return self.pages.problem(Problem::Unavailable, caller);
        }
        self.note(Event::ConsentWithdrawn, caller, Some(subject), Some(&client));
        see_other(&self.path("/apps"))
    }

    /// Ends every session of the person, this one included.
    pub(super) async fn sign_out_everywhere(
        &self,
        body: &[u8],
        headers: &HeaderMap,
        caller: &Requester,
    ) -> Response {
        let session = match self.own_form(body, headers, caller).await {
            Ok((_, session)) => session,
            Err(answer) => return *answer,
        };
        let subject = session.user.subject;
        let done = match self.queue() {
            Ok(queue) => queue.sign_out_everywhere(subject, actor(subject, caller)).await,
            Err(Unavailable) => Err(Unavailable),
        };
        if done.is_err() {
            return self.pages.problem(Problem::Unavailable, caller);
        }
        self.note(Event::SignedOutEverywhere, caller, Some(subject), None);
        let mut answer = self.pages.signed_out();
        self.cookies.forget(&mut answer);
        answer
    }

    /// A form of ours, and who sent it.
    async fn own_form(
        &self,
        body: &[u8],
        headers: &HeaderMap,
        caller: &Requester,
    ) -> Result<(crate::wire::parameters::Parameters, Session), Box<Response>> {
        let (form, _) = self.form(body, headers, caller)?;
        match self.session(headers).await {
            Ok(Some(session)) => Ok((form, session)),
            Ok(None) => Err(Box::new(see_other(&self.path("/login")))),
            Err(_) => Err(Box::new(self.pages.problem(Problem::Unavailable, caller))),
        }
    }
}
