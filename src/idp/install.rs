//! Merchants at the app install flow of the platform (`oauth::authorize`): they sign in here, and are asked here
//! whether an app may work in their store.
//!
//! The page's answer goes back to the address that the app sent the browser to, with an `agreement`: a seal over
//! that very address, the session and the time. So it counts for exactly what was shown, in this
//! browser, for some minutes, and nobody else can make one.

use std::pin::Pin;

use axum::http::HeaderMap;
use axum::response::Response;

use super::Idp;
use super::browser::Ticket;
use super::http::see_other;
use super::login::Target;
use super::pages::{InstallPage, Problem};
use super::session::Session;
use crate::model::{Requester, Subject, Timestamp, UserKind};
use crate::oauth::{Asked, Merchants};
use crate::wire::parameters::Parameters;

/// How long an agreement counts, in seconds: the browser brings it back at once.
const AGREEMENT_LIFE: i64 = 120;

const AGREEMENT: &str = "agreement";

impl Merchants for Idp {
    fn consent<'a>(
        &'a self,
        requester: &'a Requester,
        headers: &'a HeaderMap,
        asked: &'a Asked,
    ) -> Pin<Box<dyn Future<Output = Result<Subject, Response>> + Send + 'a>> {
        Box::pin(self.agreed(requester, headers, asked))
    }
}

impl Idp {
    async fn agreed(
        &self,
        caller: &Requester,
        headers: &HeaderMap,
        asked: &Asked,
    ) -> Result<Subject, Response> {
        let unavailable = || self.pages.problem(Problem::Unavailable, caller);
        let session = self.session(headers).await.map_err(|_| unavailable())?;
        let seal = self.seal().map_err(|_| unavailable())?;
        let (target, agreement) = parted(&asked.target);
        let now = Timestamp::now();
        let ticket = Ticket { query: String::new(), began: now.0, target: Some(target.clone()) };
        let sealed = seal.ticket(&ticket);
        let merchant = session.filter(|session| session.user.subject.kind == UserKind::Merchant);
        let Some(session) = merchant else {
            return Err(see_other(&format!("{}?request={sealed}", self.path("/login"))));
        };
        if !session.user.stores.iter().any(|own| own.store_id == asked.store_id) {
            return Err(self.pages.problem(Problem::Store, caller));
        }
        if agreement.is_some_and(|agreement| seal.is_agreement(&session.id, &target, &agreement, now)) {
            return Ok(session.user.subject);
        }
        let name = self.replica().app_name(&asked.client_id).map_err(|_| unavailable())?;
        let store = self.replica().store_name(asked.store_id).map_err(|_| unavailable())?;
        Err(self.pages.install(&InstallPage {
            app: name.as_deref().filter(|name| !name.is_empty()).unwrap_or(asked.client_id.as_str()),
            redirect_uri: &parameter(&target, "redirect_uri"),
            store: (asked.store_id, store.unwrap_or_default()),
            scopes: &asked.scopes,
            user: &session.user,
            csrf: &seal.form(&session.id),
            sealed: &sealed,
        }))
    }

    /// Takes the answer: `POST {base}/install`.
    pub(super) async fn install(&self, body: &[u8], headers: &HeaderMap, caller: &Requester) -> Response {
        let (form, _) = match self.form(body, headers, caller) {
            Ok(form) => form,
            Err(answer) => return *answer,
        };
        let target = match self.target(form.get("request"), caller) {
            Ok(Target::Here(target)) => target,
            Ok(Target::Client(..) | Target::Account) => return self.pages.problem(Problem::Expired, caller),
            Err(answer) => return *answer,
        };
        let (Ok(session), Ok(seal)) = (self.session(headers).await, self.seal()) else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        let Some(Session { id, .. }) = session else { return self.pages.problem(Problem::Expired, caller) };
        if form.get("decision") == Some("allow") {
            let agreement = seal.agreement(&id, &target, Timestamp::now());
            return see_other(&format!("{target}&{AGREEMENT}={agreement}"));
        }
        // The address was sealed only after its redirect URI was found to be the app's.
        let denied = [("error", "access_denied"), ("state", &parameter(&target, "state"))];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(denied);
        let back = parameter(&target, "redirect_uri");
        let mark = if back.contains('?') { '&' } else { '?' };
        see_other(&format!("{back}{mark}{}", query.finish()))
    }
}

/// The address without its agreement, and that.
fn parted(target: &str) -> (String, Option<String>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_agreement = |pair: &&str| pair.split('=').next() == Some(AGREEMENT);
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_agreement(pair)).collect();
    let agreement = query.split('&').find(is_agreement).and_then(|pair| pair.split_once('='));
    (format!("{path}?{}", rest.join("&")), agreement.map(|(_, value)| value.to_owned()))
}

fn parameter(target: &str, name: &str) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let parameters = Parameters::from_form(query.as_bytes()).ok();
    parameters.and_then(|parameters| parameters.get(name).map(str::to_owned)).unwrap_or_default()
}

impl super::browser::Seal {
    /// What says that somebody agreed to what stands at `target`, at this time in this session.
    fn agreement(&self, session: &super::browser::SessionId, target: &str, now: Timestamp) -> String {
        format!("{}.{}", now.0, self.over("agreement", &[session.text(), target, &now.0.to_string()]))
    }

    fn is_agreement(
        &self,
        session: &super::browser::SessionId,
        target: &str,
        presented: &str,
        now: Timestamp,
    ) -> bool {
        let at = presented.split_once('.').and_then(|(at, _)| at.parse().ok()).map(Timestamp);
        at.is_some_and(|at| {
            let is_fresh = (0..AGREEMENT_LIFE).contains(&now.0.saturating_sub(at.0));
            let own = self.agreement(session, target, at);
            is_fresh && bool::from(subtle::ConstantTimeEq::ct_eq(own.as_bytes(), presented.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idp::browser::{Seal, SessionId};
    use crate::model::Secret;

    #[test]
    fn an_agreement_is_for_one_address_session_and_moment() {
        let seal = Seal::new(&Secret::new("key".into()));
        let (session, other) = (SessionId::random().unwrap(), SessionId::random().unwrap());
        let now = Timestamp(1000);
        let agreement = seal.agreement(&session, "/a?client_id=1", now);
        let counts = |session: &SessionId, target: &str, text: &str, at: i64| {
            seal.is_agreement(session, target, text, Timestamp(at))
        };
        assert!(counts(&session, "/a?client_id=1", &agreement, 1000));
        assert!(counts(&session, "/a?client_id=1", &agreement, 1119));
        assert!(!counts(&session, "/a?client_id=1", &agreement, 1120), "too old");
        assert!(!counts(&session, "/a?client_id=1", &agreement, 999), "from the future");
        assert!(!counts(&other, "/a?client_id=1", &agreement, 1000), "another session");
        assert!(!counts(&session, "/a?client_id=2", &agreement, 1000), "another address");
        let later = agreement.replacen("1000", "1100", 1);
        for forged in ["", ".", "1000", "1000.", "x.y", later.as_str(), &agreement[1..]] {
            assert!(!counts(&session, "/a?client_id=1", forged, 1100), "{forged}");
        }
    }

    #[test]
    fn the_agreement_is_taken_out_of_the_address() {
        for (target, rest, agreement) in [
            ("/a?b=1", "/a?b=1", None),
            ("/a?b=1&agreement=x.y", "/a?b=1", Some("x.y")),
            ("/a?agreement=x&b=1&agreement=y", "/a?b=1", Some("x")),
            ("/a?agreement=x", "/a?", Some("x")),
            ("/a", "/a?", None),
        ] {
            assert_eq!(parted(target), (rest.to_owned(), agreement.map(str::to_owned)), "{target}");
        }
    }
}
