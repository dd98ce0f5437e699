//! What each template is given.

use askama::Template;

use super::{AppsPage, ConsentPage, Frame, InstallPage, LoginPage, Problem, SignOutPage, Trouble};
use crate::idp::request::{Asked, SCOPES};
use crate::model::{Consent, ScopeSet, StoreId, Timestamp, User, UserKind, site};

/// A client as people are shown it.
struct App<'v> {
    name: &'v str,
    site: String,
}

impl<'v> App<'v> {
    fn of(asked: &'v Asked) -> Self {
        Self { name: &asked.client.name, site: asked.back.uri.site() }
    }
}

struct Link {
    url: String,
    text: String,
}

struct Person<'v> {
    initial: String,
    name: &'v str,
    email: &'v str,
    continue_as: String,
}

impl<'v> Person<'v> {
    fn of(user: &'v User, frame: &Frame) -> Self {
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

/// One thing that a client learns.
struct Fact {
    title: &'static str,
    detail: String,
    is_new: bool,
}

struct StoreChoice {
    id: StoreId,
    name: String,
    role: String,
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentView<'v> {
    page: &'v Frame,
    app: App<'v>,
    title: String,
    title_before: &'v str,
    title_after: &'v str,
    learns_before: &'v str,
    learns_after: &'v str,
    person: Person<'v>,
    facts: Vec<Fact>,
    stores: Vec<StoreChoice>,
    must_choose: bool,
    csrf: &'v str,
    sealed: &'v str,
}

pub(super) fn consent(frame: &Frame, page: &ConsentPage<'_>) -> askama::Result<String> {
    let texts = frame.texts;
    let (title_before, title_after) = around(texts.consent_title, "{app}");
    let (learns_before, learns_after) = around(texts.will_learn, "{app}");
    let choice = |(id, name): &(StoreId, String)| {
        let role = page.user.stores.iter().find(|own| own.store_id == *id).map_or("", |own| &own.role);
        StoreChoice {
            id: *id,
            name: store_name(frame, *id, name),
            role: texts.role_in_store.replace("{name}", role),
        }
    };
    ConsentView {
        page: frame,
        app: App::of(page.asked),
        title: texts.consent_title.replace("{app}", &page.asked.client.name),
        title_before,
        title_after,
        learns_before,
        learns_after,
        person: Person::of(page.user, frame),
        facts: facts(frame, page),
        stores: match page.user.subject.kind {
            UserKind::Merchant => page.stores.iter().map(choice).collect(),
            UserKind::Customer => Vec::new(),
        },
        must_choose: page.must_choose,
        csrf: page.csrf,
        sealed: page.sealed,
    }
    .render()
}

/// What the client learns, with the values themselves where they are known: people should see what they give.
fn facts(frame: &Frame, page: &ConsentPage<'_>) -> Vec<Fact> {
    let (texts, profile) = (frame.texts, &page.user.profile);
    let store = match page.stores {
        [(id, name)] => {
            let role = page.user.stores.iter().find(|own| own.store_id == *id).map_or("", |own| &own.role);
            format!("{}, {role}", store_name(frame, *id, name))
        }
        _ => texts.store_chosen_below.to_owned(),
    };
    // What was granted before makes the rest new; without anything before, everything is.
    let marks_new = !page.granted.as_str().is_empty();
    let asked = SCOPES.iter().filter(|scope| page.asked.scopes.contains(scope));
    asked
        .map(|&scope| Fact {
            title: title(frame, scope),
            detail: match scope {
                "openid" => texts.openid_detail.replace("{brand}", &frame.brand.name),
                "profile" => profile.name.clone(),
                "email" => profile.email.as_str().to_owned(),
                "phone" => profile.phone.clone().unwrap_or_else(|| texts.phone_none.to_owned()),
                _ => store.clone(),
            },
            is_new: marks_new && !page.granted.contains(scope),
        })
        .collect()
}

fn title(frame: &Frame, scope: &str) -> &'static str {
    let texts = frame.texts;
    match scope {
        "openid" => texts.openid,
        "profile" => texts.profile,
        "email" => texts.email_scope,
        "phone" => texts.phone,
        _ => texts.store,
    }
}

/// One scope of the store API in words.
struct ScopeLine<'v> {
    name: &'v str,
    title: String,
}

#[derive(Template)]
#[template(path = "install.html")]
struct Install<'v> {
    page: &'v Frame,
    app: &'v str,
    site: String,
    title: String,
    title_before: &'v str,
    title_after: &'v str,
    may: String,
    person: Person<'v>,
    scopes: Vec<ScopeLine<'v>>,
    csrf: &'v str,
    sealed: &'v str,
}

pub(super) fn install(frame: &Frame, page: &InstallPage<'_>) -> askama::Result<String> {
    let texts = frame.texts;
    let (title_before, title_after) = around(texts.install_title, "{app}");
    let line = |name| {
        let words = [("read:", texts.install_read), ("write:", texts.install_write)];
        let known = words
            .iter()
            .find_map(|(verb, text)| str::strip_prefix(name, verb).map(|what| text.replace("{name}", what)));
        ScopeLine { name, title: known.unwrap_or_else(|| name.to_owned()) }
    };
    Install {
        page: frame,
        app: page.app,
        site: site(page.redirect_uri),
        title: texts.install_title.replace("{app}", page.app),
        title_before,
        title_after,
        may: texts.install_may.replace("{name}", &store_name(frame, page.store.0, &page.store.1)),
        person: Person::of(page.user, frame),
        scopes: page.scopes.iter().map(line).collect(),
        csrf: page.csrf,
        sealed: page.sealed,
    }
    .render()
}

/// One client with all that was granted to it.
struct GrantedApp<'v> {
    client_id: &'v str,
    name: &'v str,
    site: &'v str,
    withdraw_from: String,
    grants: Vec<Granted>,
}

struct Granted {
    store: Option<StoreId>,
    facts: String,
    since: String,
}

#[derive(Template)]
#[template(path = "apps.html")]
struct Apps<'v> {
    page: &'v Frame,
    intro: String,
    person: Person<'v>,
    apps: Vec<GrantedApp<'v>>,
    csrf: &'v str,
}

pub(super) fn apps(frame: &Frame, page: &AppsPage<'_>) -> askama::Result<String> {
    let by_client = page.consents.chunk_by(|one, other| one.client == other.client);
    let apps = by_client.filter_map(|consents| {
        let first = consents.first()?;
        Some(GrantedApp {
            client_id: first.client.as_str(),
            name: &first.client_name,
            site: &first.client_site,
            withdraw_from: frame.texts.withdraw_from.replace("{app}", &first.client_name),
            grants: consents.iter().map(|consent| granted(frame, consent)).collect(),
        })
    });
    Apps {
        page: frame,
        intro: frame.texts.apps_intro.replace("{brand}", &frame.brand.name),
        person: Person::of(page.user, frame),
        apps: apps.collect(),
        csrf: page.csrf,
    }
    .render()
}

fn granted(frame: &Frame, consent: &Consent) -> Granted {
    Granted {
        store: consent.store,
        facts: in_a_sentence(frame, &consent.scopes),
        since: date(consent.given_at),
    }
}

/// The titles one after the other, the first letters of all but the first made small.
fn in_a_sentence(frame: &Frame, scopes: &ScopeSet) -> String {
    let titles = SCOPES.iter().filter(|scope| scopes.contains(scope)).map(|scope| title(frame, scope));
    let small = |text: &str| {
        let mut characters = text.chars();
        characters.next().into_iter().flat_map(char::to_lowercase).chain(characters).collect::<String>()
    };
    titles.map(small).collect::<Vec<_>>().join(", ")
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

fn store_name(frame: &Frame, id: StoreId, name: &str) -> String {
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
fn around(text: &'static str, placeholder: &str) -> (&'static str, &'static str) {
    text.split_once(placeholder).unwrap_or((text, ""))
}

/// The day, as ISO 8601 writes it: the same in every language.
fn date(at: Timestamp) -> String {
    const END_OF_9999: i64 = 253_402_300_799;
    let seconds = at.0.clamp(0, END_OF_9999);
    let since = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let text = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string();
    text.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_initials() {
        assert_eq!(date(Timestamp(1_795_269_999)), "2026-11-21");
        assert_eq!(date(Timestamp(-5)), "1970-01-01");
        assert_eq!(date(Timestamp(i64::MAX)), "9999-12-31");
        for (name, sign) in [("rahim", "R"), (" (Éclair)", "É"), ("রহিম", "র"), ("", ""), ("…", "")]
        {
            assert_eq!(initial(name), sign, "{name}");
        }
    }
}
