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
mod install;
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
use external::LoginKey;
pub use external::LoginKeyError;
pub use keys::new_signing_key;
pub use pages::LogoError;
pub use request::SCOPES;
pub use settings::{Brand, Color, Login, Settings};

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::cache::Cache;
use crate::gate::Unavailable;
use crate::limits::{Limits, RegistrationBudgets, SignInBudgets, SignInSettings};
use crate::model::{AppSecret, ClientId, KeyPurpose, Requester, Subject, Timestamp};
use crate::oauth::Authority;
use crate::replica::{Actor, Replica, WriteQueue};
use browser::{Cookies, Seal};
use keys::{KeySet, Keyring};
use pages::{Logo, Pages};

/// Secrets of clients that are remembered as proved.
const PROVED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// How often the keys are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The same while there is none, or the replica cannot be used.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What outlives a configuration: who tried what, what was proved, the keys, and what has happened.
pub struct Provider {
    authority: Arc<Authority>,
    sign_ins: SignInBudgets,
    registrations: RegistrationBudgets,
    /// One secret of a new client is hashed at a time.
    registering: Semaphore,
    keyring: Keyring,
    seal: OnceLock<Seal>,
    /// By client and stored hash: a secret that was rotated is another one.
    secrets: Cache<(ClientId, Box<str>), AppSecret>,
    events: Events,
    /// How long a key signs, in seconds; 0: there is no identity provider.
    key_life: AtomicI64,
    /// Told when that changed.
    wanted: Notify,
}

impl Provider {
    /// A provider on the records of this authority, without a configuration yet.
    pub fn new(authority: Arc<Authority>) -> Arc<Self> {
        Arc::new(Self {
            authority,
            sign_ins: SignInBudgets::new(SignInSettings::default()),
            registrations: RegistrationBudgets::default(),
            registering: Semaphore::new(1),
            keyring: Keyring::new(),
            seal: OnceLock::new(),
            secrets: Cache::new(PROVED),
            events: Events::default(),
            key_life: AtomicI64::new(0),
            wanted: Notify::new(),
        })
    }

    /// Makes the keys that are missing, and new ones on schedule, while there is a configuration that needs
    /// them. Never ends by itself.
    pub async fn look_after(self: Arc<Self>) {
        let mut was_well = true;
        loop {
            let life = self.key_life.load(Ordering::Relaxed);
            let kept = match (life, self.authority.queue()) {
                (0, _) => Ok(()),
                (life, Ok(queue)) => {
                    keys::look_after(self.authority.replica(), queue, life, Timestamp::now()).await
                }
                (_, Err(Unavailable)) => Err(Unavailable),
            };
            if kept.is_err() && was_well {
                tracing::warn!("the keys of the identity provider cannot be looked after");
            }
            was_well = kept.is_ok();
            let pause = if was_well { LOOK_EVERY } else { LOOK_AGAIN };
            let _ = tokio::time::timeout(pause, self.wanted.notified()).await;
        }
    }

    /// Says how long keys sign under the configuration that is in force; `None`: it has no identity provider,
    /// and no key is made.
    pub fn rotate_keys_every(&self, life: Option<Duration>) {
        let seconds = life.map_or(0, |life| i64::try_from(life.as_secs()).unwrap_or(i64::MAX).max(1));
        self.key_life.store(seconds, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    /// What has happened so far.
    pub fn events(&self) -> &Events {
        &self.events
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("events", &self.events).finish_non_exhaustive()
    }
}

/// The identity provider under one configuration.
pub struct Idp {
    provider: Arc<Provider>,
    settings: Settings,
    limits: Arc<Limits>,
    login_key: Option<LoginKey>,
    cookies: Cookies,
    pages: Pages,
}

impl Idp {
    /// Reads the files that the settings name. `limits` has the budgets of failed attempts.
    ///
    /// # Errors
    ///
    /// A file cannot be used.
    pub fn open(
        provider: &Arc<Provider>,
        limits: &Arc<Limits>,
        settings: Settings,
    ) -> Result<Self, FileError> {
        let login_key = match &settings.login {
            Login::Builtin => None,
            Login::External { key_file, .. } => Some(LoginKey::read(key_file)?),
        };
        let logo = settings.brand.logo.as_deref().map(Logo::read).transpose()?;
        let is_secure = settings.issuer.starts_with("https:");
        Ok(Self {
            provider: Arc::clone(provider),
            limits: Arc::clone(limits),
            login_key,
            cookies: if is_secure { Cookies::Secure } else { Cookies::Plain },
            pages: Pages::new(&settings, logo),
            settings,
        })
    }

    /// What the operator chose.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The path of one of our endpoints.
    fn path(&self, path: &str) -> String {
        self.settings.path(path)
    }

    fn replica(&self) -> &Replica {
        self.provider.authority.replica()
    }

    fn queue(&self) -> Result<&WriteQueue, Unavailable> {
        self.provider.authority.queue()
    }

    fn keys(&self) -> Result<Arc<KeySet>, Unavailable> {
        self.provider.keyring.keys(self.replica())
    }

    fn note(&self, event: Event, caller: &Requester, subject: Option<Subject>, client: Option<&ClientId>) {
        self.provider.events.note(event, caller, subject, client);
    }

    /// What seals tickets and forms.
    fn seal(&self) -> Result<&Seal, Unavailable> {
        if let Some(seal) = self.provider.seal.get() {
            return Ok(seal);
        }
        let keys = self.replica().identity_keys(KeyPurpose::Pages)?;
        let key = keys.first().ok_or(Unavailable)?;
        Ok(self.provider.seal.get_or_init(|| Seal::new(&key.private)))
    }
}

/// A person, as the audit record names whoever does something.
fn actor(subject: Subject, caller: &Requester) -> Actor {
    Actor::caller(&subject.to_string(), caller.address, http::request_id(caller))
}

/// A file that the settings name, and why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The key that is shared with the platform's login page.
    #[error("idp.login_key_file: {0}")]
    LoginKey(#[from] LoginKeyError),
    /// The logo of the pages.
    #[error("idp.brand.logo: {0}")]
    Logo(#[from] LogoError),
}

impl std::fmt::Debug for Idp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idp").field("issuer", &self.settings.issuer).finish_non_exhaustive()
    }
}
