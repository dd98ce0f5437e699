//! What the templates about grants are given: what a client learns, what an app may do, and the list of both.

use askama::Template;

use super::views::{App, Person, around, store_name};
use super::{AppsPage, ConsentPage, Frame, InstallPage};
use crate::idp::request::SCOPES;
use crate::model::{Consent, ScopeSet, StoreId, Timestamp, UserKind, site};

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
    store: Option<String>,
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
        store: consent.store.map(|id| {
            let name = store_name(frame, id, &consent.store_name);
            frame.texts.for_store.replace("{name}", &name)
        }),
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
    fn days_are_written_as_everywhere() {
        assert_eq!(date(Timestamp(1_795_269_999)), "2026-11-21");
        assert_eq!(date(Timestamp(-5)), "1970-01-01");
        assert_eq!(date(Timestamp(i64::MAX)), "9999-12-31");
    }
}
