//! `GET` and `POST {base}/logout` (OpenID Connect RP-Initiated Logout 1.0).
//!
//! Somebody is signed out at once when it is certain that they want it: by a form of ours, by a page of this
//! very origin, or by a client that shows an ID token of theirs. Otherwise they are asked, so that nobody
//! can be signed out by a link.

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::http::see_other;
use super::pages::{Problem, SignOutPage};
use super::session::Session;
use super::{Event, Idp};
use crate::gate::Unavailable;
use crate::model::{ClientId, RedirectUri, Requester};
use crate::wire::parameters::Parameters;

impl Idp {
    /// Signs somebody out, or asks.
    pub(super) async fn logout(
        &self,
        method: &Method,
        parameters: Parameters,
        headers: &HeaderMap,
        caller: &Requester,
    ) -> Response {
        let hint = parameters.get("id_token_hint");
        let place = match self.place_after(&parameters, hint) {
            Ok(place) => place,
            Err(problem) => return self.pages.problem(problem, caller),
        };
        let Ok(session) = self.session(headers).await else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        let Some(session) = session else { return self.after(place.as_ref(), &parameters) };
        match self.wants_it(method, &parameters, hint, headers, &session) {
            Err(Unavailable) => return self.pages.problem(Problem::Unavailable, caller),
            Ok(false) => return self.ask_to_sign_out(place.as_ref(), &parameters, &session, caller),
            Ok(true) => {}
        }
        let digest = session.id.digest();
        let done = match self.queue() {
            Ok(queue) => queue.sign_out(digest).await,
            Err(Unavailable) => Err(Unavailable),
        };
        if done.is_err() {
            return self.pages.problem(Problem::Unavailable, caller);
        }
        self.note(Event::SignedOut, caller, Some(session.user.subject), None);
        let mut answer = self.after(place.as_ref(), &parameters);
        self.cookies.forget(&mut answer);
        answer
    }

    /// Where the person goes afterwards: an address that the client registered for it.
    fn place_after(
        &self,
        parameters: &Parameters,
        hint: Option<&str>,
    ) -> Result<Option<RedirectUri>, Problem> {
        const UNKNOWN: Problem =
            Problem::Request("The request wants to continue at an address that the app has not registered.");
        let Some(uri) = parameters.get("post_logout_redirect_uri") else { return Ok(None) };
        let hinted = match hint {
            None => None,
            Some(hint) => {
                let keys = self.keys().map_err(|_| Problem::Unavailable)?;
                keys.verified(hint).and_then(|claims| claims["aud"].as_str().map(str::to_owned))
            }
        };
        let named = parameters.get("client_id");
        if let (Some(named), Some(hinted)) = (named, &hinted)
            && named != hinted
        {
            return Err(UNKNOWN);
        }
        let client = named.or(hinted.as_deref()).and_then(|id| ClientId::parse(id).ok()).ok_or(UNKNOWN)?;
        let client = self.replica().oauth_client(&client).map_err(|_| Problem::Unavailable)?;
        let client = client.filter(|client| client.is_enabled).ok_or(UNKNOWN)?;
        client.logout_uri(uri).cloned().map(Some).ok_or(UNKNOWN)
    }

    fn wants_it(
        &self,
        method: &Method,
        parameters: &Parameters,
        hint: Option<&str>,
        headers: &HeaderMap,
        session: &Session,
    ) -> Result<bool, Unavailable> {
        let seal = self.seal()?;
        if parameters.get("csrf").is_some_and(|presented| seal.is_form_of(&session.id, presented)) {
            return Ok(true);
        }
        // A browser names the origin of every POST, and no page can change it.
        let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes() == self.settings.issuer.as_bytes());
        if method == Method::POST && origin == Some(true) {
            return Ok(true);
        }
        Ok(match hint {
            Some(hint) => self.hinted(hint)? == Some(session.user.subject),
            None => false,
        })
    }

    fn ask_to_sign_out(
        &self,
        back: Option<&RedirectUri>,
        parameters: &Parameters,
        session: &Session,
        caller: &Requester,
    ) -> Response {
        let Ok(seal) = self.seal() else { return self.pages.problem(Problem::Unavailable, caller) };
        self.pages.sign_out(&SignOutPage {
            user: &session.user,
            back,
            csrf: &seal.form(&session.id),
            client_id: parameters.get("client_id").unwrap_or_default(),
            id_token_hint: parameters.get("id_token_hint").unwrap_or_default(),
            place: parameters.get("post_logout_redirect_uri").unwrap_or_default(),
            state: parameters.get("state").unwrap_or_default(),
        })
    }

    fn after(&self, place: Option<&RedirectUri>, parameters: &Parameters) -> Response {
        match place {
            Some(place) => {
                let state: Vec<_> =
                    parameters.get("state").map(|state| ("state", state)).into_iter().collect();
                match state.is_empty() {
                    true => see_other(place.as_str()),
                    false => see_other(&place.with(&state)),
                }
            }
            None => self.pages.signed_out(),
        }
    }
}
