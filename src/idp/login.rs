//! `GET` and `POST {base}/login`: who it is, by email address and password.
//!
//! Whether an account exists is told by nothing: an address that nobody has is checked against a stand-in
//! hash of the same cost, and every wrong answer comes after the same time.

use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::response::Response;

use super::browser::{SessionId, Ticket};
use super::http::see_other;
use super::pages::{LoginPage, Problem, Trouble};
use super::request::Asked;
use super::session::Session;
use super::step::{Step, Visit};
use super::{Event, Idp, Login};
use crate::gate::Unavailable;
use crate::hasher::Verdict;
use crate::model::{
    Email, PasswordHash, Requester, Secret, StoreId, Subject, Timestamp, TokenDigest, User, UserKind,
    UserStatus,
};
use crate::wire::parameters::Parameters;

/// When a wrong password is answered. It covers the computations of several accounts with one address, so
/// that their number is not told either.
const WRONG_AFTER: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1000 });

/// Accounts with one address that a password is tried on. Who is a customer of more stores comes from a
/// client that names the store.
const MOST_TRIED: usize = 3;

/// Where somebody goes who has signed in.
#[derive(Debug)]
pub(super) enum Target {
    /// Back to a client.
    Client(Box<Asked>, Ticket),
    /// To another address of this gateway.
    Here(String),
    /// To the page with what they granted.
    Account,
}

/// Who it is, or why that is not known.
enum Checked {
    User(Box<User>),
    Wrong,
    /// It cannot be computed now.
    Saturated,
}

impl Idp {
    /// Shows the page, or sends the person to the platform's own.
    pub(super) async fn login_page(&self, query: &str, headers: &HeaderMap, caller: &Requester) -> Response {
        let sealed = Parameters::from_form(query.as_bytes()).ok();
        let sealed = sealed.as_ref().and_then(|parameters| parameters.get("request"));
        let target = match self.target(sealed, caller) {
            Ok(target) => target,
            Err(answer) => return *answer,
        };
        let Ok(session) = self.session(headers).await else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        let Ok(id) = self.cookies.session_of(headers).map_or_else(SessionId::random, Ok) else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        if let Login::External { url, .. } = &self.settings.login {
            return self.send_to_login(url, &target, sealed, &id, caller);
        }
        let email = match &target {
            Target::Client(asked, _) => asked.login_hint.as_deref().unwrap_or_default(),
            Target::Here(_) | Target::Account => "",
        };
        self.show_login(&target, sealed, session.as_ref(), &id, (email, None), caller)
    }

    /// Takes the form.
    pub(super) async fn login(&self, body: &[u8], headers: &HeaderMap, caller: &Requester) -> Response {
        let (form, id) = match self.form(body, headers, caller) {
            Ok(form) => form,
            Err(answer) => return *answer,
        };
        let sealed = form.get("request");
        let target = match self.target(sealed, caller) {
            Ok(target) => target,
            Err(answer) => return *answer,
        };
        if self.settings.login != Login::Builtin {
            return self.pages.problem(Problem::Expired, caller);
        }
        let Ok(session) = self.session(headers).await else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        if form.get("go_on").is_some()
            && let Some(session) = &session
        {
            return self.arrive(&target, session, caller).await;
        }
        let email = form.get("email").unwrap_or_default().trim();
        let again =
            |trouble| self.show_login(&target, sealed, session.as_ref(), &id, (email, Some(trouble)), caller);
        let Some(password) = form.get("password").filter(|_| !email.is_empty()) else {
            return again(Trouble::Incomplete);
        };
        let started = Instant::now();
        let account = TokenDigest::of(email.to_lowercase().as_bytes());
        let device = self.known_device(headers, email);
        let attempt = self.provider.sign_ins.attempt(caller.address, &account, device.as_ref(), started);
        let attempt = match attempt {
            Ok(attempt) => attempt,
            Err(wait) => {
                self.note(Event::SignInThrottled, caller, None, None);
                return again(Trouble::Throttled(wait));
            }
        };
        let store = match &target {
            Target::Client(asked, _) => asked.store,
            Target::Here(_) | Target::Account => None,
        };
        let user = match self.check_password(email, Secret::new(password.to_owned()), store).await {
            Ok(Checked::User(user)) => *user,
            Ok(Checked::Wrong) => {
                tokio::time::sleep_until((started + WRONG_AFTER).into()).await;
                self.note(Event::SignInFailed, caller, None, None);
                return again(Trouble::Wrong);
            }
            Ok(Checked::Saturated) => {
                attempt.refund();
                return again(Trouble::Busy);
            }
            Err(Unavailable) => {
                attempt.refund();
                return self.pages.problem(Problem::Unavailable, caller);
            }
        };
        attempt.refund();
        let device = self.seal().ok().and_then(|seal| seal.device(&email.to_lowercase()).ok());
        self.enter(&target, user, Timestamp::now(), headers, device, caller).await
    }

    /// Signs somebody in who has proved who they are, and sends them on.
    pub(super) async fn enter(
        &self,
        target: &Target,
        user: User,
        auth_time: Timestamp,
        headers: &HeaderMap,
        device: Option<String>,
        caller: &Requester,
    ) -> Response {
        let (id, sign_in) = match self.start_session(headers, user.subject, auth_time).await {
            Ok(started) => started,
            Err(Unavailable) => return self.pages.problem(Problem::Unavailable, caller),
        };
        self.note(Event::SignedIn, caller, Some(user.subject), None);
        let session = Session { id, sign_in, user };
        let mut answer = self.arrive(target, &session, caller).await;
        let life = u64::try_from(self.session_seconds()).unwrap_or(0);
        self.cookies.keep(&mut answer, &session.id, life);
        if let Some(device) = device {
            self.cookies.keep_device(&mut answer, &device);
        }
        answer
    }

    /// Sends somebody on who is signed in.
    async fn arrive(&self, target: &Target, session: &Session, caller: &Requester) -> Response {
        match target {
            Target::Client(asked, ticket) => {
                let visit = Visit::Through { began: Timestamp(ticket.began) };
                self.go_on(asked, ticket, Some(session), visit, caller).await
            }
            Target::Here(target) => see_other(target),
            Target::Account => see_other(&self.path("/apps")),
        }
    }

    /// Where a form or an address says that the way goes on.
    pub(super) fn target(&self, sealed: Option<&str>, caller: &Requester) -> Result<Target, Box<Response>> {
        let Some(sealed) = sealed else { return Ok(Target::Account) };
        let Ok(seal) = self.seal() else {
            return Err(Box::new(self.pages.problem(Problem::Unavailable, caller)));
        };
        let Some(ticket) = seal.open(sealed, Timestamp::now()) else {
            return Err(Box::new(self.pages.problem(Problem::Expired, caller)));
        };
        if let Some(target) = ticket.target {
            return Ok(Target::Here(target));
        }
        match self.read_request(&ticket.query) {
            Ok(asked) => Ok(Target::Client(Box::new(asked), ticket)),
            Err(stop) => Err(Box::new(self.stop(stop, caller))),
        }
    }

    /// The fields of a form that a page of ours in this very browser made.
    pub(super) fn form(
        &self,
        body: &[u8],
        headers: &HeaderMap,
        caller: &Requester,
    ) -> Result<(Parameters, SessionId), Box<Response>> {
        let refuse = |problem| Err(Box::new(self.pages.problem(problem, caller)));
        let Ok(form) = super::http::parameters(headers, body) else {
            return refuse(Problem::Request("The form is malformed."));
        };
        let Some(id) = self.cookies.session_of(headers) else { return refuse(Problem::Cookies) };
        let Ok(seal) = self.seal() else { return refuse(Problem::Unavailable) };
        match form.get("csrf").is_some_and(|presented| seal.is_form_of(&id, presented)) {
            true => Ok((form, id)),
            false => refuse(Problem::Expired),
        }
    }

    fn show_login(
        &self,
        target: &Target,
        sealed: Option<&str>,
        session: Option<&Session>,
        id: &SessionId,
        (email, trouble): (&str, Option<Trouble>),
        caller: &Requester,
    ) -> Response {
        let Ok(seal) = self.seal() else { return self.pages.problem(Problem::Unavailable, caller) };
        let asked = match target {
            Target::Client(asked, _) => Some(&**asked),
            Target::Here(_) | Target::Account => None,
        };
        // Who is signed in may go on where the request leaves the choice.
        let may_go_on = |session: &&Session| {
            let step = asked.map(|asked| self.next_step(asked, Some(session), Visit::First));
            matches!(step, Some(Ok(Step::SignIn { choose: true } | Step::Issue { .. } | Step::Ask { .. })))
        };
        let page = LoginPage {
            asked,
            sealed: sealed.unwrap_or_default(),
            csrf: &seal.form(id),
            email,
            trouble,
            signed_in: session.filter(may_go_on).map(|session| &session.user),
        };
        let mut answer = self.pages.login(&page);
        let life = u64::try_from(self.session_seconds()).unwrap_or(0);
        self.cookies.keep(&mut answer, id, life);
        answer
    }

    /// The digest of the browser's own id, if it was signed in to the account before.
    fn known_device(&self, headers: &HeaderMap, email: &str) -> Option<TokenDigest> {
        let device = self.cookies.device_of(headers)?;
        let id = self.seal().ok()?.known_device(device, &email.to_lowercase())?;
        Some(TokenDigest::of(id.as_bytes()))
    }

    /// Finds the account by what the person knows: the kind of account is never asked for.
    async fn check_password(
        &self,
        email: &str,
        password: Secret,
        store: Option<StoreId>,
    ) -> Result<Checked, Unavailable> {
        let mut users = match Email::parse(email) {
            Ok(email) => self.replica().users_by_email(&email)?,
            Err(_) => Vec::new(),
        };
        users.retain(|user| match (user.subject.kind, store) {
            (UserKind::Customer, Some(store)) => user.stores.iter().any(|own| own.store_id == store),
            (UserKind::Customer, None) | (UserKind::Merchant, _) => true,
        });
        users.truncate(MOST_TRIED);
        let mut tried: Vec<(Option<PasswordHash>, Option<User>)> =
            users.into_iter().map(|user| (Some(user.password.clone()), Some(user))).collect();
        if tried.is_empty() {
            tried.push((None, None));
        }
        for (hash, user) in tried {
            match self.provider.authority.passwords().check_password(hash, password.clone()).await {
                Verdict::Saturated => return Ok(Checked::Saturated),
                Verdict::Wrong => {}
                Verdict::Proved => {
                    if let Some(user) = user.filter(|user| user.status == UserStatus::Active) {
                        return Ok(Checked::User(Box::new(user)));
                    }
                }
            }
        }
        Ok(Checked::Wrong)
    }

    /// The account of a subject, if it may sign in.
    pub(super) fn active_user(&self, subject: Subject) -> Result<Option<User>, Unavailable> {
        Ok(self.replica().user(subject)?.filter(|user| user.status == UserStatus::Active))
    }
}
