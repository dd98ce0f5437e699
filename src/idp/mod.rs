//! The identity provider: OAuth 2.0 with PKCE (RFC 6749, RFC 7636) made whole as OpenID Connect Core 1.0,
//! for websites where the platform's customers and merchants sign in.
//!
//! The way of a sign-in: `authorize` reads the request (`request`) and decides what comes next (`step`);
//! `login` or `external` proves who it is; `consent` asks; `token` exchanges the code; `userinfo` tells
//! what was granted. Handlers parse, call and encode. What was issued, and whether it still works, is the
//! replica's to know, and is read from it each time, so that what was revoked is revoked.
//!
//! What this folder deliberately does not do: accept its tokens anywhere else. They read claims here, and
//! the gate knows nothing of them.

mod account;
mod authorize;
mod browser;
mod client_auth;
mod clients;
mod consent;
mod discovery;
mod event;
mod external;
mod http;
mod introspect;
mod keys;
mod login;
mod logout;
mod pages;
mod request;
mod revoke;
mod router;
mod session;
mod settings;
mod step;
mod texts;
mod token;
mod userinfo;

pub use clients::new_client_id;
pub use event::{Event, Events};
pub use external::{LoginKey, LoginKeyError};
pub use keys::new_signing_key;
pub use pages::{Logo, LogoError};
pub use request::SCOPES;
pub use settings::{Brand, Color, Login, Settings};

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cache::Cache;
use crate::gate::Unavailable;
use crate::hasher::Hasher;
use crate::limits::{Limits, SignInBudgets, SignInSettings};
use crate::model::{AppSecret, ClientId, KeyPurpose, ProofKey, Timestamp};
use crate::replica::{Replica, WriteQueue};
use browser::{Cookies, Seal};
use keys::Keyring;
use pages::Pages;

/// Secrets of clients that are remembered as proved.
const PROVED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// How often the keys are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The same while there is none, or the replica cannot be used.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the identity provider works with.
#[derive(Debug)]
pub struct Parts {
    /// What the operator chose.
    pub settings: Settings,
    /// The records.
    pub replica: Arc<Replica>,
    /// Where what is issued is recorded.
    pub queue: Arc<WriteQueue>,
    /// The bcrypt workers.
    pub hasher: Arc<Hasher>,
    /// Under which secrets that were proved are remembered.
    pub proof_key: ProofKey,
    /// The budgets of failed attempts.
    pub limits: Arc<Limits>,
    /// What answers of an external login page are verified with.
    pub login_key: Option<LoginKey>,
    /// The operator's logo.
    pub logo: Option<Logo>,
}

/// The identity provider.
pub struct Idp {
    settings: Settings,
    replica: Arc<Replica>,
    queue: Arc<WriteQueue>,
    hasher: Arc<Hasher>,
    proof_key: ProofKey,
    limits: Arc<Limits>,
    sign_ins: SignInBudgets,
    login_key: Option<LoginKey>,
    keyring: Keyring,
    seal: OnceLock<Seal>,
    cookies: Cookies,
    /// By client and stored hash: a secret that was rotated is another one.
    secrets: Cache<(ClientId, Box<str>), AppSecret>,
    pages: Pages,
    events: Events,
}

impl Idp {
    /// Puts the parts together. Keys are made by [`Idp::look_after`], which is to run beside it.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { settings, replica, queue, hasher, proof_key, limits, login_key, logo } = parts;
        let is_secure = settings.issuer.starts_with("https:");
        Arc::new(Self {
            queue,
            sign_ins: SignInBudgets::new(SignInSettings::default()),
            keyring: Keyring::new(),
            seal: OnceLock::new(),
            cookies: if is_secure { Cookies::Secure } else { Cookies::Plain },
            secrets: Cache::new(PROVED),
            pages: Pages::new(&settings, logo),
            events: Events::default(),
            settings,
            replica,
            hasher,
            proof_key,
            limits,
            login_key,
        })
    }

    /// Makes the keys that are missing, and new ones on schedule, until it is dropped.
    pub async fn look_after(self: Arc<Self>) {
        let mut was_well = true;
        loop {
            let kept =
                keys::look_after(&self.replica, &self.queue, self.settings.key_life, Timestamp::now()).await;
            if kept.is_err() && was_well {
                tracing::warn!("the keys of the identity provider cannot be looked after");
            }
            was_well = kept.is_ok();
            tokio::time::sleep(if was_well { LOOK_EVERY } else { LOOK_AGAIN }).await;
        }
    }

    /// What the operator chose.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What has happened so far.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The path of one of our endpoints.
    fn path(&self, path: &str) -> String {
        self.settings.path(path)
    }

    /// What seals tickets and forms.
    fn seal(&self) -> Result<&Seal, Unavailable> {
        if let Some(seal) = self.seal.get() {
            return Ok(seal);
        }
        let keys = self.replica.identity_keys(KeyPurpose::Pages)?;
        let key = keys.first().ok_or(Unavailable)?;
        Ok(self.seal.get_or_init(|| Seal::new(&key.private)))
    }
}

impl std::fmt::Debug for Idp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idp").field("issuer", &self.settings.issuer).finish_non_exhaustive()
    }
}
