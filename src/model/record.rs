//! The records of the replica as the decision needs them: checked, and with the header values that
//! the upstream receives already made, so that a request copies nothing.

use std::fmt;
use std::sync::{Arc, OnceLock};

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    AddressList, AppId, ClientId, InstallationId, LastUse, Registration, ScopeSet, StoreId, Timestamp,
};

/// A store: the tenant that requests act on.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its number.
    pub store_id: StoreId,
    /// The name under which it is reached, in lower case, where it has one.
    pub domain: Option<Box<str>>,
    /// Whether requests may act on it.
    pub status: StoreStatus,
    /// The store header of the upstream request.
    pub header: HeaderValue,
}

/// Whether requests may act on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreStatus {
    /// They may.
    Active,
    /// Every proved caller gets 403 `store_suspended`.
    Suspended,
}

/// An app (an OAuth client, RFC 6749 section 2) with its secrets.
#[derive(Debug)]
pub struct App {
    /// Its number.
    pub app_id: AppId,
    /// Its public identifier.
    pub client_id: ClientId,
    /// Whether it works at all.
    pub status: AppStatus,
    /// The generations of its client secret, newest first. Several are valid while rotating.
    pub secrets: Box<[AppSecret]>,
    /// The key of its session tokens; `None` when it has none, and then every session token fails.
    pub session_key: Option<SessionKey>,
    /// Addresses from which client credentials and opaque tokens are taken; empty: from anywhere.
    pub allowed_addresses: AddressList,
    /// What token endpoints ask of it.
    pub registration: Registration,
    /// The client header of the upstream request.
    pub header: HeaderValue,
}

/// A record with secrets that can be proved.
pub trait HoldsSecrets: fmt::Debug + Send + Sync {
    /// The generations, newest first.
    fn secrets(&self) -> &[AppSecret];
}

impl HoldsSecrets for App {
    fn secrets(&self) -> &[AppSecret] {
        &self.secrets
    }
}

impl App {
    /// The position of the generation in force at `now` that equals `presented`, whose use is noted.
    ///
    /// # Errors
    ///
    /// [`SecretMatch::Unproved`] when only a bcrypt computation can tell, else [`SecretMatch::Different`].
    pub fn compare_secret(
        &self,
        presented: &[u8],
        key: &ProofKey,
        now: Timestamp,
    ) -> Result<usize, SecretMatch> {
        let mut outcome = SecretMatch::Different;
        for (position, generation) in self.secrets.iter().enumerate() {
            if generation.is_expired(now) {
                continue;
            }
            match generation.compare(presented, key) {
                SecretMatch::Equal => {
                    generation.note_use(now);
                    return Ok(position);
                }
                SecretMatch::Unproved => outcome = SecretMatch::Unproved,
                SecretMatch::Different => {}
            }
        }
        Err(outcome)
    }

    /// Whether a generation of the secret is in force at `now`.
    pub fn has_generation(&self, generation: i64, now: Timestamp) -> bool {
        self.secrets.iter().any(|own| own.generation == generation && !own.is_expired(now))
    }
}

/// Whether an app works at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppStatus {
    /// It does.
    Enabled,
    /// Its credentials are refused as if they were unknown.
    Disabled,
}

#[cfg(test)]
thread_local! {
    /// Comparisons of secrets on this thread: the work that time could tell of.
    pub(crate) static COMPARISONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One generation of an app's client secret.
#[derive(Debug)]
pub struct AppSecret {
    /// Counts up with every rotation.
    pub generation: i64,
    /// What the replica stores.
    pub hash: SecretHash,
    /// When it stops working (now = this included); `None`: not by the clock.
    pub expires_at: Option<Timestamp>,
    /// What was proved against a bcrypt hash. It lives and dies with this record, so that a record
    /// dropped by a change takes the proof along.
    proved: OnceLock<[u8; 32]>,
    last_use: Arc<LastUse>,
}

/// A stored client secret.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretHash {
    /// SHA-256 of the secret, for those made here: 256 random bits need no slow hash.
    Sha256([u8; 32]),
    /// A bcrypt string (`$2a$`, `$2b$`, `$2y$`) taken over from an existing platform.
    Bcrypt(Box<str>),
}

impl SecretHash {
    /// Reads the stored form: `sha256:<64 hex digits>` or a bcrypt string.
    ///
    /// # Errors
    ///
    /// [`Malformed`](super::Malformed) for anything else.
    pub fn parse(text: &str) -> Result<Self, super::Malformed> {
        const WHY: super::Malformed =
            super::Malformed("a secret hash is sha256:<64 hex digits> or a bcrypt string ($2a$, $2b$, $2y$)");
        if let Some(hex) = text.strip_prefix("sha256:") {
            let mut digest = [0u8; 32];
            let written = data_encoding::HEXLOWER_PERMISSIVE
                .decode_len(hex.len())
                .ok()
                .filter(|&length| length == 32)
                .and_then(|_| {
                    data_encoding::HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut digest).ok()
                });
            return written.map(|_| Self::Sha256(digest)).ok_or(WHY);
        }
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|version| text.strip_prefix(version));
        let Some((cost, body)) = rest.and_then(|rest| rest.split_once('$')) else { return Err(WHY) };
        let cost_is_sane = cost.len() == 2 && cost.parse::<u32>().is_ok_and(|cost| (4..=16).contains(&cost));
        let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'/';
        let is_whole =
            |body: &[u8]| body.len() == 53 && ends_in_zeros(body[21], 4) && ends_in_zeros(body[52], 2);
        if cost_is_sane && body.bytes().all(alphabet) && is_whole(body.as_bytes()) {
            Ok(Self::Bcrypt(text.into()))
        } else {
            Err(WHY)
        }
    }

    /// The hash of a secret made here.
    pub fn sha256_of(secret: &str) -> Self {
        Self::Sha256(Sha256::digest(secret.as_bytes()).into())
    }

    /// The stored form, which [`SecretHash::parse`] reads.
    pub fn to_stored(&self) -> String {
        match self {
            Self::Sha256(digest) => format!("sha256:{}", data_encoding::HEXLOWER.encode(digest)),
            Self::Bcrypt(text) => text.to_string(),
        }
    }
}

/// Whether the lowest `bits` of a digit of bcrypt's base 64 are zero. The last digits of the salt (16
/// bytes) and of the digest (23 bytes) have bits to spare; a text that uses them verifies nothing.
fn ends_in_zeros(digit: u8, bits: u32) -> bool {
    const DIGITS: &[u8] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let value = DIGITS.iter().position(|&own| own == digit);
    value.is_some_and(|value| value.trailing_zeros() >= bits)
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "sha256:…",
            Self::Bcrypt(_) => "bcrypt:…",
        })
    }
}

/// What a presented secret is to one stored generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretMatch {
    /// It is the secret.
    Equal,
    /// It is not.
    Different,
    /// Only a bcrypt computation can tell.
    Unproved,
}

impl AppSecret {
    /// A generation as the replica stores it. Its uses are noted for nobody but itself.
    pub fn new(generation: i64, hash: SecretHash, expires_at: Option<Timestamp>) -> Self {
        Self { generation, hash, expires_at, proved: OnceLock::new(), last_use: Arc::default() }
    }

    /// The same generation, noting its uses where others see them.
    pub fn noting(self, last_use: Arc<LastUse>) -> Self {
        Self { last_use, ..self }
    }

    /// Compares `presented` in constant time, without ever computing bcrypt: a bcrypt secret that
    /// was proved once costs one HMAC. bcrypt reads 72 bytes and no more, so that after a proof the
    /// answer is exact in both directions.
    pub fn compare(&self, presented: &[u8], key: &ProofKey) -> SecretMatch {
        #[cfg(test)]
        COMPARISONS.with(|count| count.set(count.get() + 1));
        let equal = match &self.hash {
            SecretHash::Sha256(digest) => Sha256::digest(presented).ct_eq(digest),
            SecretHash::Bcrypt(_) => match self.proved.get() {
                Some(proof) => key.mac(presented).ct_eq(proof),
                None => return SecretMatch::Unproved,
            },
        };
        if bool::from(equal) { SecretMatch::Equal } else { SecretMatch::Different }
    }

    /// Whether `signature` is the HMAC-SHA256 of `signing_input` under this secret, as far as its hash can tell.
    ///
    /// HMAC hashes a key that is longer than its block of 64 bytes (RFC 2104 section 2), so that the SHA-256 of
    /// a secret made here, which has 74, verifies like the secret itself. Shorter secrets and bcrypt hashes
    /// verify nothing.
    pub fn signed(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        let SecretHash::Sha256(digest) = &self.hash else { return false };
        let mut mac = keyed(digest);
        mac.update(signing_input);
        bool::from(mac.finalize().into_bytes().as_slice().ct_eq(signature))
    }

    /// Remembers that bcrypt accepted `presented`.
    pub fn remember_proof(&self, presented: &[u8], key: &ProofKey) {
        // A second proof is of the same 72 bytes: whichever came first may stay.
        let _ = self.proved.set(key.mac(presented));
    }

    /// Whether it has stopped working by the clock.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    /// Notes a use.
    pub fn note_use(&self, now: Timestamp) {
        self.last_use.note(now);
    }

    /// The last noted use, to the minute.
    pub fn last_used(&self) -> Option<Timestamp> {
        self.last_use.at()
    }
}

/// The random key of this process under which proved bcrypt secrets are remembered. It is never
/// stored: a memory dump of another process, or the replica, says nothing about it.
#[derive(Clone)]
pub struct ProofKey(Hmac<Sha256>);

impl ProofKey {
    /// How much of a secret bcrypt reads.
    pub const BCRYPT_BYTES: usize = 72;

    /// A new key.
    ///
    /// # Errors
    ///
    /// The operating system's error when it has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut key = zeroize::Zeroizing::new([0u8; 32]);
        getrandom::fill(key.as_mut())?;
        Ok(Self(keyed(key.as_ref())))
    }

    fn mac(&self, secret: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(&secret[..secret.len().min(Self::BCRYPT_BYTES)]);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey(…)")
    }
}

/// An app's `session_signing_key`, ready to verify: the HMAC key is the text's bytes, never the
/// decoded hexadecimal.
#[derive(Clone)]
pub struct SessionKey(Hmac<Sha256>);

impl SessionKey {
    /// Prepares the key from its text.
    pub fn new(text: &str) -> Self {
        Self(keyed(text.as_bytes()))
    }

    /// HMAC-SHA256 of the signing input (RFC 7515 section 5.1), for tokens minted here.
    pub fn sign(&self, signing_input: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(signing_input);
        mac.finalize().into_bytes().into()
    }

    /// Whether `signature` is the HMAC-SHA256 of `signing_input`, in constant time.
    pub fn verify(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        bool::from(self.sign(signing_input).ct_eq(signature))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104 section 2)")
}

/// One app in one store.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Its number.
    pub installation_id: InstallationId,
    /// The app.
    pub app_id: AppId,
    /// The app's public identifier, by which its record is looked up.
    pub client_id: ClientId,
    /// The store.
    pub store_id: StoreId,
    /// What the merchant granted.
    pub scopes: ScopeSet,
    /// Whether it is in force.
    pub status: InstallationStatus,
    /// The installation header of the upstream request.
    pub header: HeaderValue,
}

/// Whether an installation is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallationStatus {
    /// It is.
    Active,
    /// It was ended.
    Uninstalled,
}

/// An opaque access token, known by its digest only.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The app that it was issued to.
    pub app_id: AppId,
    /// The app's public identifier, by which its record is looked up.
    pub client_id: ClientId,
    /// The store that it acts on.
    pub store_id: StoreId,
    /// Its own scopes; `None`: whatever the installation has.
    pub scopes: Option<ScopeSet>,
    /// When it stops working (now = this included).
    pub expires_at: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
    /// The generation of the app's secret that it was obtained with, and with which it ends; `None`: it was not
    /// obtained with a secret alone.
    pub secret_generation: Option<i64>,
    /// The person who granted it: the subject header of the upstream request.
    pub subject: Option<HeaderValue>,
}

/// A person's token, which stands beside an app's and tells for whom it acts.
#[derive(Debug, Clone)]
pub struct CustomerToken {
    /// The person: the subject header of the upstream request.
    pub subject: HeaderValue,
    /// The store in which they are a customer.
    pub store_id: StoreId,
    /// When it stops working (now = this included).
    pub expires_at: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm";

    #[test]
    fn hashes_are_read_strictly() {
        let made = SecretHash::sha256_of("sx_secret_1");
        assert_eq!(SecretHash::parse(&made.to_stored()), Ok(made));
        assert_eq!(SecretHash::parse(BCRYPT).unwrap().to_stored(), BCRYPT);
        let refused = [
            "",
            "sha256:",
            "sha256:00",
            "sha256:zz",
            &format!("sha256:{}", "0".repeat(66)),
            "$2x$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm",
            "$2b$31$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm",
            "$2b$4$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm",
            "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YE",
            "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3Y m",
            "$2b$04$cVWp4XaNU8a4v1uMRum2SP026BWLIoQMD/TXg5uZV.0P.uO8m3YEm",
            "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEn",
            "sx_secret_in_clear",
        ];
        for text in refused {
            assert!(SecretHash::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_proof_covers_what_bcrypt_reads() {
        let key = ProofKey::random().unwrap();
        let secret = AppSecret::new(1, SecretHash::parse(BCRYPT).unwrap(), None);
        let long = "s".repeat(80);
        assert_eq!(secret.compare(long.as_bytes(), &key), SecretMatch::Unproved);
        secret.remember_proof(long.as_bytes(), &key);
        assert_eq!(secret.compare(&long.as_bytes()[..72], &key), SecretMatch::Equal);
        assert_eq!(secret.compare(&long.as_bytes()[..71], &key), SecretMatch::Different);
        let other_process = ProofKey::random().unwrap();
        assert_eq!(secret.compare(long.as_bytes(), &other_process), SecretMatch::Different);
    }

    #[test]
    fn sha256_secrets_compare_exactly() {
        let key = ProofKey::random().unwrap();
        let secret = AppSecret::new(1, SecretHash::sha256_of("sx_secret_1"), Some(Timestamp(100)));
        assert_eq!(secret.compare(b"sx_secret_1", &key), SecretMatch::Equal);
        for wrong in ["", "sx_secret_", "sx_secret_12", "SX_SECRET_1"] {
            assert_eq!(secret.compare(wrong.as_bytes(), &key), SecretMatch::Different);
        }
        assert!(!secret.is_expired(Timestamp(99)) && secret.is_expired(Timestamp(100)));
    }

    #[test]
    fn no_debug_shows_a_secret_or_hash() {
        let secret = AppSecret::new(1, SecretHash::parse(BCRYPT).unwrap(), None);
        let shown = format!("{secret:?} {:?} {:?}", SessionKey::new("k"), ProofKey::random().unwrap());
        assert!(!shown.contains("cVWp"), "{shown}");
    }
}
