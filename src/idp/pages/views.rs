//! What the templates about signing in and out are given, and what all have in common.

use askama::Template;

use super::{Frame, LoginPage, Problem, SignOutPage, Trouble};
use crate::idp::request::Asked;
use crate::model::{StoreId, User};

/// A client as people are shown it.
pub(super) struct App<'v> {
    pub(super) name: &'v str,
    pub(super) site: String,
}

impl<'v> App<'v> {
    pub(super) fn of(asked: &'v Asked) -> Self {
        Self { name: &asked.client.name, site: asked.back.uri.site() }
    }
}

struct Link {
    url: String,
    text: String,
}

pub(super) struct Person<'v> {
    pub(super) initial: String,
    pub(super) name: &'v str,
    pub(super) email: &'v str,
    pub(super) continue_as: String,
}

impl<'v> Person<'v> {
    pub(super) fn of(user: &'v User, frame: &Frame) -> Self {
        let name = &user.profile.name;
        Self {
            initial: initial(name),
            name,
            email: user.profile.email.as_str(),
            continue_as: frame.texts.continue_as.replace("{name}", name),
        }
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'v> {
    page: &'v Frame,
    app: Option<App<'v>>,
    to_before: &'v str,
    to_after: &'v str,
    to_account: String,
    trouble: Option<String>,
    is_wrong: bool,
    signed_in: Option<Person<'v>>,
    csrf: &'v str,
    sealed: &'v str,
    email: &'v str,
    focus_email: bool,
    focus_password: bool,
    cancel: Option<Link>,
}

pub(super) fn login(frame: &Frame, issuer: &str, page: &LoginPage<'_>) -> askama::Result<String> {
    let texts = frame.texts;
    let (to_before, to_after) = around(texts.to_continue_to, "{app}");
    let cancel = page.asked.map(|asked| {
        let state = asked.back.state.as_deref().map(|state| ("state", state));
        let error = [("error", "access_denied"), ("error_description", "The person did not sign in.")];
        let parameters: Vec<_> = error.into_iter().chain(state).chain([("iss", issuer)]).collect();
        Link {
            url: asked.back.uri.with(&parameters),
            text: texts.cancel_to.replace("{app}", &asked.client.name),
        }
    });
    Login {
        page: frame,
        app: page.asked.map(App::of),
        to_before,
        to_after,
        to_account: texts.to_your_account.replace("{brand}", &frame.brand.name),
        trouble: page.trouble.map(|trouble| said(frame, trouble)),
        is_wrong: matches!(page.trouble, Some(Trouble::Wrong | Trouble::Incomplete)),
        signed_in: page.signed_in.map(|user| Person::of(user, frame)),
        csrf: page.csrf,
        sealed: page.sealed,
        email: page.email,
        // Whoever may go on finds the button for that first.
        focus_email: page.email.is_empty() && (page.signed_in.is_none() || page.trouble.is_some()),
        focus_password: !page.email.is_empty() && (page.signed_in.is_none() || page.trouble.is_some()),
        cancel,
    }
    .render()
}

fn said(frame: &Frame, trouble: Trouble) -> String {
    let texts = frame.texts;
    match trouble {
        Trouble::Wrong => texts.wrong.to_owned(),
        Trouble::Incomplete => texts.incomplete.to_owned(),
        Trouble::Busy => texts.busy.to_owned(),
        Trouble::Throttled(wait) => {
            let seconds = wait.as_secs() + 1;
            match seconds {
                ..=90 => texts.throttled_seconds.replace("{n}", &seconds.to_string()),
                _ => texts.throttled_minutes.replace("{n}", &seconds.div_ceil(60).to_string()),
            }
        }
    }
}

#[derive(Template)]
#[template(path = "sign_out.html")]
struct SignOut<'v> {
    page: &'v Frame,
    detail: String,
    person: Person<'v>,
    csrf: &'v str,
    /// What the form carries on.
    carried: Vec<(&'static str, &'v str)>,
}

pub(super) fn sign_out(frame: &Frame, page: &SignOutPage<'_>) -> askama::Result<String> {
    let carried = [
        ("client_id", page.client_id),
        ("id_token_hint", page.id_token_hint),
        ("post_logout_redirect_uri", page.place),
        ("state", page.state),
    ];
    SignOut {
        page: frame,
        detail: frame.texts.sign_out_detail.replace("{brand}", &frame.brand.name),
        person: Person::of(page.user, frame),
        csrf: page.csrf,
        carried: carried.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
    }
    .render()
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'v> {
    page: &'v Frame,
    title: &'v str,
    detail: &'v str,
    what: Option<&'v str>,
    reference: Option<&'v str>,
    link: Option<Link>,
}

pub(super) fn signed_out(frame: &Frame) -> askama::Result<String> {
    let texts = frame.texts;
    let link = Link { url: format!("{}/login", frame.base), text: texts.sign_in_again.to_owned() };
    let (title, detail) = (texts.signed_out_title, texts.signed_out_detail);
    Notice { page: frame, title, detail, what: None, reference: None, link: Some(link) }.render()
}

pub(super) fn problem(frame: &Frame, problem: Problem, request_id: &str) -> askama::Result<String> {
    let texts = frame.texts;
    let (title, detail, what) = match problem {
        Problem::Request(what) => (texts.request_title, texts.request_detail, Some(what)),
        Problem::Expired => (texts.expired_title, texts.expired_detail, None),
        Problem::Cookies => (texts.cookies_title, texts.cookies_detail, None),
        Problem::Store => (texts.store_title, texts.store_problem, None),
        Problem::Unavailable => (texts.unavailable_title, texts.unavailable_detail, None),
    };
    Notice { page: frame, title, detail, what, reference: Some(request_id), link: None }.render()
}

pub(super) fn store_name(frame: &Frame, id: StoreId, name: &str) -> String {
    match name {
        "" => frame.texts.store_number.replace("{n}", &id.to_string()),
        name => name.to_owned(),
    }
}

/// The first letter of a name, as a sign for it.
pub(super) fn initial(name: &str) -> String {
    let first = name.chars().find(|character| character.is_alphanumeric());
    first.into_iter().flat_map(char::to_uppercase).collect()
}

/// What stands before and after a placeholder.
pub(super) fn around(text: &'static str, placeholder: &str) -> (&'static str, &'static str) {
    text.split_once(placeholder).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials() {
        for (name, sign) in [("rahim", "R"), (" (Éclair)", "É"), ("রহিম", "র"), ("", ""), ("…", "")]
        {
            assert_eq!(initial(name), sign, "{name}");
        }
    }
}
