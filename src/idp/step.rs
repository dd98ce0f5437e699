//! What comes next for an authorization request: somebody signs in, is asked, or is sent back. A pure
//! function of the request, the session, what was granted before, and the clock.

use super::request::{Asked, Error};
use crate::model::{ScopeSet, SignIn, StoreId, Subject, Timestamp, User, UserKind};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Somebody signs in; with `choose` whoever is signed in may go on as well.
    SignIn { choose: bool },
    /// The person is asked; a merchant of several stores chooses one of these.
    Ask { stores: Vec<StoreId> },
    /// The code is issued, for this store.
    Issue { store: Option<StoreId> },
    /// The client is told.
    Refuse(Error),
}

/// How the person came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    /// From the client.
    First,
    /// Through our sign-in page, which they reached at this time or later.
    Through { began: Timestamp },
}

/// Who is signed in, and what they granted the client before, by store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person<'p> {
    pub(super) user: &'p User,
    pub(super) sign_in: &'p SignIn,
    pub(super) consents: &'p [(Option<StoreId>, ScopeSet)],
}

const fn error(code: &'static str, description: &'static str) -> Error {
    Error { code, description }
}

const LOGIN_REQUIRED: Error = error("login_required", "Nobody is signed in, or not recently enough.");
const OTHER_ACCOUNT: Error =
    error("account_selection_required", "Another account is signed in than the one asked for.");
const NOT_THEIR_STORE: Error = error("access_denied", "The account does not belong to this store.");
const NO_STORE: Error = error("access_denied", "The account does not belong to any store.");

/// What comes next. `hinted` is whom a verified `id_token_hint` names.
pub(super) fn next(
    asked: &Asked,
    hinted: Option<Subject>,
    person: Option<Person<'_>>,
    visit: Visit,
    now: Timestamp,
) -> Step {
    let sign_in = |choose, error| match asked.prompt.none {
        true => Step::Refuse(error),
        false => Step::SignIn { choose },
    };
    let Some(Person { user, sign_in: session, consents }) = person else {
        return sign_in(false, LOGIN_REQUIRED);
    };
    let is_fresh = matches!(visit, Visit::Through { began } if session.auth_time >= began);
    let is_old = asked.max_age.is_some_and(|age| age == 0 || now.0.saturating_sub(session.auth_time.0) > age);
    if (asked.prompt.login || is_old) && !is_fresh {
        return sign_in(false, LOGIN_REQUIRED);
    }
    let first = visit == Visit::First;
    if hinted.is_some_and(|hinted| hinted != user.subject) {
        // After the page it is somebody else for good (OpenID Connect Core section 3.1.2.1).
        return if first { sign_in(false, LOGIN_REQUIRED) } else { Step::Refuse(LOGIN_REQUIRED) };
    }
    let belongs = |store| user.stores.iter().any(|membership| membership.store_id == store);
    let is_other_customer =
        user.subject.kind == UserKind::Customer && asked.store.is_some_and(|store| !belongs(store));
    let is_other_hint = asked
        .login_hint
        .as_deref()
        .is_some_and(|hint| hint.contains('@') && !hint.eq_ignore_ascii_case(user.profile.email.as_str()));
    if first && (asked.prompt.select_account || is_other_hint || is_other_customer) {
        return sign_in(!is_other_customer, OTHER_ACCOUNT);
    }
    if asked.store.is_some_and(|store| !belongs(store)) {
        return Step::Refuse(NOT_THEIR_STORE);
    }

    let stores: Vec<StoreId> = match (user.subject.kind, asked.store) {
        (_, Some(store)) => vec![store],
        (UserKind::Customer, None) => user.stores.iter().map(|one| one.store_id).collect(),
        (UserKind::Merchant, None) if asked.scopes.contains("store") => {
            user.stores.iter().map(|one| one.store_id).collect()
        }
        (UserKind::Merchant, None) => Vec::new(),
    };
    let store = match (&stores[..], asked.scopes.contains("store")) {
        ([], true) => return Step::Refuse(NO_STORE),
        ([], false) => None,
        ([store], _) => Some(*store),
        (_, _) => {
            return match asked.prompt.none {
                true => Step::Refuse(error("interaction_required", "The person has to choose a store.")),
                false => Step::Ask { stores },
            };
        }
    };
    let has_granted = |(of, scopes): &(Option<StoreId>, ScopeSet)| {
        *of == consent_store(user.subject, store) && asked.scopes.is_subset(scopes)
    };
    if asked.prompt.consent || !consents.iter().any(has_granted) {
        return match asked.prompt.none {
            true => Step::Refuse(error("consent_required", "The person has not granted this yet.")),
            false => Step::Ask { stores },
        };
    }
    Step::Issue { store }
}

/// The store that a consent is remembered for: a customer has one anyway.
pub(super) fn consent_store(subject: Subject, store: Option<StoreId>) -> Option<StoreId> {
    store.filter(|_| subject.kind == UserKind::Merchant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idp::request::{self, MAX_QUERY};
    use crate::model::{
        ClientId, ClientType, Email, Membership, OauthClient, PasswordHash, Profile, RedirectUri, UserStatus,
    };

    const NOW: Timestamp = Timestamp(10_000);
    const HASH: &str = "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm";

    fn client() -> OauthClient {
        OauthClient {
            number: 1,
            client_id: ClientId::parse("sx_oc_1").unwrap(),
            name: "Shop".into(),
            secret_hash: Some(PasswordHash::parse(HASH).unwrap()),
            redirect_uris: [RedirectUri::parse("https://shop.example/cb", ClientType::Confidential).unwrap()]
                .into(),
            logout_uris: Box::default(),
            scopes: scopes("openid profile email store"),
            is_enabled: true,
        }
    }

    fn scopes(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    fn store(id: u64) -> StoreId {
        StoreId::new(id).unwrap()
    }

    fn asked(more: &str) -> Asked {
        let query = format!(
            "client_id=sx_oc_1&redirect_uri=https://shop.example/cb&response_type=code&scope=openid+email{more}"
        );
        assert!(query.len() < MAX_QUERY);
        request::read(&query, |_| Ok(Some(client()))).unwrap()
    }

    fn user(subject: &str, stores: &[u64]) -> User {
        let role = |id: &u64| Membership { store_id: store(*id), role: "owner".into() };
        User {
            subject: Subject::parse(subject).unwrap(),
            profile: Profile {
                name: "Rahim".into(),
                email: Email::parse("rahim@example.com").unwrap(),
                email_verified: true,
                picture: None,
                phone: None,
                phone_verified: false,
                locale: None,
            },
            password: PasswordHash::parse("$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm")
                .unwrap(),
            status: UserStatus::Active,
            stores: stores.iter().map(role).collect(),
        }
    }

    fn code_of(step: &Step) -> String {
        match step {
            Step::SignIn { choose: false } => "sign in".into(),
            Step::SignIn { choose: true } => "sign in or go on".into(),
            Step::Ask { stores } => format!("ask {}", stores.len()),
            Step::Issue { store: None } => "issue".into(),
            Step::Issue { store: Some(store) } => format!("issue {store}"),
            Step::Refuse(error) => error.code.into(),
        }
    }

    /// A row: what is added to the request; who is signed in (kind, stores, seconds ago); what they granted;
    /// what comes next, first, and after the sign-in page.
    type Row<'r> =
        (&'r str, Option<(&'r str, &'r [u64], i64)>, &'r [(Option<u64>, &'r str)], &'r str, &'r str);

    #[test]
    fn what_comes_next() {
        let granted: &[(Option<u64>, &str)] = &[(None, "openid email")];
        let customer = Some(("customer:42", &[22_u64][..], 100));
        let merchant = Some(("merchant:7", &[22_u64, 23][..], 100));
        let single = Some(("merchant:7", &[22_u64][..], 100));
        let homeless = Some(("merchant:7", &[][..], 100));
        let rows: &[Row<'_>] = &[
            ("", None, &[], "sign in", "sign in"),
            ("", customer, &[], "ask 1", "ask 1"),
            ("", customer, granted, "issue 22", "issue 22"),
            ("", merchant, granted, "issue", "issue"),
            ("", customer, &[(None, "openid")], "ask 1", "ask 1"),
            ("&prompt=consent", customer, granted, "ask 1", "ask 1"),
            ("&prompt=login", customer, granted, "sign in", "sign in"),
            ("&max_age=99", customer, granted, "sign in", "sign in"),
            ("&max_age=100", customer, granted, "issue 22", "issue 22"),
            ("&max_age=0", customer, granted, "sign in", "sign in"),
            ("&prompt=select_account", customer, granted, "sign in or go on", "issue 22"),
            ("&login_hint=other@example.com", customer, granted, "sign in or go on", "issue 22"),
            ("&login_hint=Rahim@example.com", customer, granted, "issue 22", "issue 22"),
            ("&login_hint=rahim", customer, granted, "issue 22", "issue 22"),
            // Stores.
            ("&store_id=22", customer, granted, "issue 22", "issue 22"),
            ("&store_id=23", customer, granted, "sign in", "access_denied"),
            ("&store_id=23", merchant, &[(Some(23), "openid email")], "issue 23", "issue 23"),
            ("&store_id=23", merchant, &[(Some(22), "openid email")], "ask 1", "ask 1"),
            ("&store_id=24", merchant, granted, "access_denied", "access_denied"),
            ("+store", merchant, &[(Some(22), "openid email store")], "ask 2", "ask 2"),
            ("+store", single, &[(Some(22), "openid email store")], "issue 22", "issue 22"),
            ("+store", single, &[(None, "openid email store")], "ask 1", "ask 1"),
            ("+store", homeless, granted, "access_denied", "access_denied"),
            ("+store", customer, &[(None, "openid email store")], "issue 22", "issue 22"),
            // Nobody may be asked.
            ("&prompt=none", None, &[], "login_required", "login_required"),
            ("&prompt=none", customer, granted, "issue 22", "issue 22"),
            ("&prompt=none", customer, &[], "consent_required", "consent_required"),
            ("&prompt=none&max_age=99", customer, granted, "login_required", "login_required"),
            (
                "&prompt=none&login_hint=o@example.com",
                customer,
                granted,
                "account_selection_required",
                "issue 22",
            ),
            ("&prompt=none&store_id=23", customer, granted, "account_selection_required", "access_denied"),
            ("+store&prompt=none", merchant, granted, "interaction_required", "interaction_required"),
        ];
        for (more, person, consents, first, after) in rows {
            let asked = asked(more);
            let who = person.map(|(subject, stores, ago)| {
                let user = user(subject, stores);
                let at = NOW.plus(-ago);
                (SignIn { subject: user.subject, auth_time: at, seen_at: at, ends_at: NOW.plus(1) }, user)
            });
            let consents: Vec<_> = consents.iter().map(|(of, text)| (of.map(store), scopes(text))).collect();
            let person = who.as_ref().map(|(sign_in, user)| Person { user, sign_in, consents: &consents });
            let step = |visit| code_of(&next(&asked, None, person, visit, NOW));
            assert_eq!(step(Visit::First), *first, "{more} {who:?}");
            // Signed in before the page was reached: the page changed nothing.
            let through = Visit::Through { began: NOW };
            assert_eq!(step(through), *after, "after the page: {more} {who:?}");
        }
    }

    #[test]
    fn signing_in_anew_satisfies_the_request() {
        let user = user("customer:42", &[22]);
        let consents = [(None, scopes("openid email"))];
        let sign_in =
            SignIn { subject: user.subject, auth_time: NOW.plus(-5), seen_at: NOW, ends_at: NOW.plus(9) };
        let person = Some(Person { user: &user, sign_in: &sign_in, consents: &consents });
        for more in ["&prompt=login", "&max_age=0", "&max_age=1"] {
            let through = |began: i64| {
                let visit = Visit::Through { began: NOW.plus(began) };
                code_of(&next(&asked(more), None, person, visit, NOW))
            };
            assert_eq!(through(-5), "issue 22", "{more}");
            assert_eq!(through(-4), "sign in", "{more}: they signed in before");
        }
    }

    #[test]
    fn a_hint_names_who_it_must_be() {
        let user = user("customer:42", &[22]);
        let consents = [(None, scopes("openid email"))];
        let sign_in = SignIn { subject: user.subject, auth_time: NOW, seen_at: NOW, ends_at: NOW.plus(9) };
        let person = Some(Person { user: &user, sign_in: &sign_in, consents: &consents });
        let step = |more: &str, hint: &str, visit| {
            code_of(&next(&asked(more), Some(Subject::parse(hint).unwrap()), person, visit, NOW))
        };
        let through = Visit::Through { began: NOW };
        assert_eq!(step("", "customer:42", Visit::First), "issue 22");
        assert_eq!(step("", "customer:43", Visit::First), "sign in");
        assert_eq!(step("", "customer:43", through), "login_required");
        assert_eq!(step("&prompt=none", "customer:43", Visit::First), "login_required");
    }
}
