//! From what was presented to who it is, through the records and the clock. The order of the checks
//! is the contract's (section 4); the first failure decides, and nothing about stores is told to a
//! caller who has not proved the secret.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderValue};

use super::credential::{self, Presented};
use super::directory::{Directory, Unavailable};
use super::kind::Kind;
use super::refusal::Reason;
use super::trail::{Step, Trail};
use super::{customer, shop, shopify_session};
use crate::model::{
    AccessToken, App, AppSecret, AppStatus, Installation, InstallationStatus, Platform, ProofKey, ScopeSet,
    Secret, SecretHash, SecretMatch, Store, StoreId, StoreStatus, Timestamp, TokenDigest,
};
use crate::wire::session_token::{self, SessionToken};

/// A caller whose credential was verified. Only this module makes one.
#[derive(Debug)]
pub struct Verified {
    pub(super) kind: Kind,
    pub(super) app: Arc<App>,
    pub(super) installation: Arc<Installation>,
    pub(super) store: Arc<Store>,
    pub(super) scopes: Granted,
    pub(super) proof: Proof,
    /// The person in whose name the app acts, where there is one.
    pub(super) subject: Option<HeaderValue>,
    /// The customer token that named them.
    pub(super) customer: Option<TokenDigest>,
}

/// What the caller proved, for as long as somebody asks whether it still counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proof {
    /// The secret at this position of the app's record.
    Secret(usize),
    /// The opaque token with this digest.
    Token(TokenDigest),
    /// A session token that ends then.
    Session(Timestamp),
    /// One that was signed with this generation of the secret, and ends then.
    SignedSecret(i64, Timestamp),
}

/// The scopes in force: a token never reaches further than its installation.
#[derive(Debug)]
pub(super) enum Granted {
    /// Those of the installation.
    Installation,
    /// Those of the token, all of which the installation has.
    Token(Arc<AccessToken>),
    /// What both have, where neither holds the other.
    Both(ScopeSet),
}

impl Verified {
    pub(super) fn scopes(&self) -> &ScopeSet {
        match &self.scopes {
            Granted::Installation => &self.installation.scopes,
            Granted::Token(token) => token.scopes.as_ref().unwrap_or(&self.installation.scopes),
            Granted::Both(scopes) => scopes,
        }
    }
}

/// A secret that only a bcrypt computation can judge. After it, the decision is taken anew.
#[derive(Debug)]
pub struct Challenge {
    /// The app whose record remembers the proof.
    pub app: Arc<App>,
    /// What was presented.
    pub secret: Secret,
}

/// Why verification ended without a verified caller.
#[derive(Debug)]
pub(super) enum Unverified {
    Refused(Reason),
    Unproved(Challenge),
}

impl From<Reason> for Unverified {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl From<Unavailable> for Unverified {
    fn from(_: Unavailable) -> Self {
        Self::Refused(Reason::ReplicaUnavailable)
    }
}

/// What verification needs besides the credential.
pub(super) struct Circumstances<'a, D> {
    pub headers: &'a HeaderMap,
    pub host: &'a str,
    pub query: Option<&'a str>,
    pub caller: IpAddr,
    pub directory: &'a D,
    pub proof_key: &'a ProofKey,
    pub platform: Platform,
    pub customer_scopes: &'a ScopeSet,
    pub now: Timestamp,
}

pub(super) fn verify<D: Directory>(
    presented: Presented<'_>,
    with: &Circumstances<'_, D>,
    trail: &mut impl Trail,
) -> Result<Verified, Unverified> {
    match presented {
        Presented::Client { id, secret } => client(id, secret, with, trail),
        Presented::Opaque(token) => {
            let verified = opaque(token, with, trail)?;
            match with.platform {
                Platform::ElasticPath => customer::join(verified, with.customer_scopes, with),
                Platform::Shopify => shop::check(verified, with),
                _ => Ok(verified),
            }
        }
        Presented::Session(token) => match with.platform {
            Platform::Shopify => shop::check(shopify_session::verify(token, with, trail)?, with),
            _ => session(token, with, trail),
        },
    }
}

/// What the secrets of unknown clients are compared with. Nothing hashes to it.
static DECOY: LazyLock<AppSecret> = LazyLock::new(|| AppSecret::new(0, SecretHash::Sha256([0; 32]), None));

fn client<D: Directory>(
    id: &str,
    secret: Option<&[u8]>,
    with: &Circumstances<'_, D>,
    trail: &mut impl Trail,
) -> Result<Verified, Unverified> {
    let Some(app) = with.directory.app(id)? else {
        // The same work as for a wrong secret, so that time does not tell more than the message.
        std::hint::black_box(DECOY.compare(secret.unwrap_or_default(), with.proof_key));
        return Err(Reason::UnknownClient.into());
    };
    trail.step(Step::App(&app));
    if app.status == AppStatus::Disabled {
        return Err(Reason::AppDisabled.into());
    }
    check_address(&app, with)?;
    let secret = secret.ok_or(Reason::WrongSecret)?;
    let position = match app.compare_secret(secret, with.proof_key, with.now) {
        Ok(position) => position,
        Err(SecretMatch::Equal | SecretMatch::Different) => return Err(Reason::WrongSecret.into()),
        Err(SecretMatch::Unproved) => {
            let secret = Secret::new(String::from_utf8_lossy(secret).into_owned());
            return Err(Unverified::Unproved(Challenge { app, secret }));
        }
    };
    trail.step(Step::SecretEqual);
    let store_id = credential::store_of_client(with.headers, with.query)?;
    let installation = with.directory.installation(app.app_id, store_id)?;
    let installation = installation.filter(|found| found.status == InstallationStatus::Active);
    let installation = installation.ok_or(Reason::NotInstalled)?;
    trail.step(Step::Installation(&installation));
    let store = with.directory.store(store_id)?.ok_or(Reason::NotInstalled)?;
    check_store(&store, trail)?;
    let (kind, proof) = (Kind::ClientCredentials, Proof::Secret(position));
    let scopes = Granted::Installation;
    Ok(Verified { kind, app, installation, store, scopes, proof, subject: None, customer: None })
}

fn opaque<D: Directory>(
    token: &[u8],
    with: &Circumstances<'_, D>,
    trail: &mut impl Trail,
) -> Result<Verified, Unverified> {
    let digest = TokenDigest::of(token);
    trail.step(Step::Digest(&digest));
    let token = with.directory.access_token(&digest)?.ok_or(Reason::UnknownToken)?;
    trail.step(Step::Token(&token));
    if token.revoked {
        return Err(Reason::RevokedToken.into());
    }
    if with.now >= token.expires_at {
        return Err(Reason::ExpiredToken.into());
    }
    let app = with.directory.app(token.client_id.as_str())?;
    // A client id that was given to another app since does not take the token along.
    let app = app.filter(|app| app.app_id == token.app_id).ok_or(Reason::TokenWithoutInstallation)?;
    trail.step(Step::App(&app));
    if app.status == AppStatus::Disabled {
        return Err(Reason::TokenWithoutInstallation.into());
    }
    if token.secret_generation.is_some_and(|generation| !app.has_generation(generation, with.now)) {
        return Err(Reason::TokenOfEndedSecret.into());
    }
    check_address(&app, with)?;
    let installation = with.directory.installation(token.app_id, token.store_id)?;
    let installation = installation.ok_or(Reason::TokenWithoutInstallation)?;
    let (store, proof, subject) = (token.store_id, Proof::Token(digest), token.subject.clone());
    let scopes = match &token.scopes {
        None => Granted::Installation,
        Some(own) if own.is_subset(&installation.scopes) => Granted::Token(token),
        Some(own) => Granted::Both(own.intersection(&installation.scopes)),
    };
    let verified = in_store(Kind::Bearer, app, installation, store, scopes, proof, with, trail)?;
    Ok(Verified { subject, ..verified })
}

fn session<D: Directory>(
    token: &[u8],
    with: &Circumstances<'_, D>,
    trail: &mut impl Trail,
) -> Result<Verified, Unverified> {
    let token = SessionToken::parse(token).map_err(Reason::Session)?;
    let claims = &token.claims;
    let installation = with.directory.installation_by_id(claims.installation_id)?;
    let installation = installation.ok_or(Reason::SessionClaims)?;
    let app = with.directory.app(installation.client_id.as_str())?.ok_or(Reason::SessionClaims)?;
    trail.step(Step::App(&app));
    let key = app.session_key.as_ref().ok_or(Reason::SessionSignature)?;
    if !key.verify(token.signing_input, &token.signature) {
        return Err(Reason::SessionSignature.into());
    }
    trail.step(Step::SignatureEqual);
    session_token::check_times(claims, with.now).map_err(Reason::Session)?;
    let same_app = claims.app_id == installation.app_id && claims.app_id == app.app_id;
    if !same_app || claims.store_id != installation.store_id {
        return Err(Reason::SessionClaims.into());
    }
    if app.status == AppStatus::Disabled {
        return Err(Reason::TokenWithoutInstallation.into());
    }
    let (store, proof) = (claims.store_id, Proof::Session(claims.expires_at));
    in_store(Kind::Session, app, installation, store, Granted::Installation, proof, with, trail)
}

/// The checks that both kinds of token share, once the app is known.
#[allow(clippy::too_many_arguments)] // the parts of `Verified`, each checked here for the first time
pub(super) fn in_store<D: Directory>(
    kind: Kind,
    app: Arc<App>,
    installation: Arc<Installation>,
    store_id: StoreId,
    scopes: Granted,
    proof: Proof,
    with: &Circumstances<'_, D>,
    trail: &mut impl Trail,
) -> Result<Verified, Unverified> {
    trail.step(Step::Installation(&installation));
    if installation.status != InstallationStatus::Active {
        return Err(Reason::TokenWithoutInstallation.into());
    }
    let store = with.directory.store(store_id)?.ok_or(Reason::TokenWithoutInstallation)?;
    check_store(&store, trail)?;
    match credential::sent_store(with.headers)? {
        Some(sent) if sent != store_id => Err(Reason::StoreMismatch.into()),
        _ => Ok(Verified { kind, app, installation, store, scopes, proof, subject: None, customer: None }),
    }
}

fn check_store(store: &Arc<Store>, trail: &mut impl Trail) -> Result<(), Reason> {
    trail.step(Step::Store(store));
    match store.status {
        StoreStatus::Active => Ok(()),
        StoreStatus::Suspended => Err(Reason::StoreSuspended),
    }
}

fn check_address<D>(app: &App, with: &Circumstances<'_, D>) -> Result<(), Reason> {
    if app.allowed_addresses.is_empty() || app.allowed_addresses.contains(with.caller) {
        Ok(())
    } else {
        Err(Reason::AddressNotAllowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AccessToken, AppId, COMPARISONS, ClientId, CustomerToken, InstallationId, TokenDigest,
    };

    /// One app, and nothing else.
    struct OneApp(Arc<App>);

    impl Directory for OneApp {
        fn app(&self, client_id: &str) -> Result<Option<Arc<App>>, Unavailable> {
            Ok((client_id == self.0.client_id.as_str()).then(|| Arc::clone(&self.0)))
        }

        fn installation(&self, _: AppId, _: StoreId) -> Result<Option<Arc<Installation>>, Unavailable> {
            Ok(None)
        }

        fn installation_by_id(&self, _: InstallationId) -> Result<Option<Arc<Installation>>, Unavailable> {
            Ok(None)
        }

        fn store(&self, _: StoreId) -> Result<Option<Arc<Store>>, Unavailable> {
            Ok(None)
        }

        fn access_token(&self, _: &TokenDigest) -> Result<Option<Arc<AccessToken>>, Unavailable> {
            Ok(None)
        }

        fn customer_token(&self, _: &TokenDigest) -> Result<Option<Arc<CustomerToken>>, Unavailable> {
            Ok(None)
        }

        fn store_of_domain(&self, _: &str) -> Result<Option<StoreId>, Unavailable> {
            Ok(None)
        }
    }

    /// Time must not tell which ids exist: the secret of a stranger is compared as often as a wrong one.
    #[test]
    fn an_unknown_client_costs_the_work_of_a_wrong_secret() {
        let app = App {
            app_id: AppId(1),
            client_id: ClientId::parse("sx_app_1").unwrap(),
            status: AppStatus::Enabled,
            secrets: [AppSecret::new(1, SecretHash::sha256_of("right"), None)].into(),
            session_key: None,
            allowed_addresses: Default::default(),
            registration: Default::default(),
            header: http::HeaderValue::from_static("sx_app_1"),
        };
        let (directory, proof_key) = (OneApp(Arc::new(app)), ProofKey::random().unwrap());
        let with = Circumstances {
            headers: &HeaderMap::new(),
            host: "api.test",
            query: None,
            caller: IpAddr::from([127, 0, 0, 1]),
            directory: &directory,
            proof_key: &proof_key,
            platform: Platform::default(),
            customer_scopes: &ScopeSet::default(),
            now: Timestamp(0),
        };
        for (id, secret, expected) in [
            ("sx_app_1", "wrong", Reason::WrongSecret),
            ("sx_app_2", "wrong", Reason::UnknownClient),
            ("sx_app_2", "right", Reason::UnknownClient),
            ("sx_app_2", "", Reason::UnknownClient),
        ] {
            let before = COMPARISONS.get();
            let verdict = client(id, Some(secret.as_bytes()), &with, &mut ());
            assert!(
                matches!(verdict, Err(Unverified::Refused(reason)) if reason == expected),
                "{id} {secret}"
            );
            assert_eq!(COMPARISONS.get() - before, 1, "{id} {secret}");
        }
    }
}
