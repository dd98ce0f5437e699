//! The keys that ID tokens are signed with: ES256 (RFC 7518 section 3.4), published as a JWK set (RFC 7517).
//!
//! A key is published before it signs, and stays published after another took over, so that neither a
//! client that keeps the set for a while nor a token that was signed just before the change fails.

use std::sync::{Arc, RwLock};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::gate::Unavailable;
use crate::model::{KeyPurpose, Secret, StoredKey, Timestamp};
use crate::replica::{Replica, WriteQueue};

/// How long a scheduled key is published before it signs. Longer than anybody keeps the set.
const ANNOUNCED: i64 = 3600;

/// How long a key stays published after another took over. ID tokens live an hour; one that is shown for
/// signing out may be older.
const KEPT: i64 = 24 * 3600;

/// Makes a key that signs from `starts_at` on.
///
/// # Errors
///
/// When the operating system gives no randomness.
pub fn new_signing_key(starts_at: Timestamp) -> Result<StoredKey, getrandom::Error> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let pkcs8 = pkcs8.map_err(|_| getrandom::Error::UNEXPECTED)?;
    let pair = key_pair(pkcs8.as_ref()).ok_or(getrandom::Error::UNEXPECTED)?;
    Ok(StoredKey {
        kid: thumbprint(&pair),
        purpose: KeyPurpose::IdToken,
        private: Secret::new(HEXLOWER.encode(pkcs8.as_ref())),
        starts_at,
    })
}

/// Makes a key for what travels through browsers.
///
/// # Errors
///
/// As [`new_signing_key`].
pub(super) fn new_pages_key(starts_at: Timestamp) -> Result<StoredKey, getrandom::Error> {
    let kid = Secret::generate("")?.expose()[..16].to_owned();
    Ok(StoredKey { kid, purpose: KeyPurpose::Pages, private: Secret::generate("")?, starts_at })
}

/// One key.
struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
    starts_at: Timestamp,
}

/// The keys as the replica had them when they were read, newest first.
pub(super) struct KeySet {
    names: Vec<String>,
    keys: Vec<SigningKey>,
}

/// The keys in memory. Whether they are still those of the replica is asked each time, which costs a
/// look-up of their names; they are opened anew only when they changed.
pub(super) struct Keyring(RwLock<Arc<KeySet>>);

impl Keyring {
    pub(super) fn new() -> Self {
        Self(RwLock::new(Arc::new(KeySet { names: Vec::new(), keys: Vec::new() })))
    }

    pub(super) fn keys(&self, replica: &Replica) -> Result<Arc<KeySet>, Unavailable> {
        let names = replica.identity_key_names(KeyPurpose::IdToken)?;
        let loaded = Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner));
        if loaded.names == names {
            return Ok(loaded);
        }
        let stored = replica.identity_keys(KeyPurpose::IdToken)?;
        let keys = stored.iter().filter_map(|key| {
            let pkcs8 = Zeroizing::new(HEXLOWER.decode(key.private.expose().as_bytes()).ok()?);
            let pair = key_pair(&pkcs8)?;
            Some(SigningKey { kid: key.kid.clone(), pair, starts_at: key.starts_at })
        });
        let set = KeySet { names: stored.iter().map(|key| key.kid.clone()).collect(), keys: keys.collect() };
        let set = Arc::new(set);
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::clone(&set);
        Ok(set)
    }
}

impl KeySet {
    /// The JWK set (RFC 7517 section 5, RFC 7518 section 6.2.1).
    pub(super) fn jwks(&self) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|key| {
                let (x, y) = coordinates(&key.pair);
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256", "kid": key.kid})
            })
            .collect();
        json!({ "keys": keys })
    }

    /// Whether there is a key that has started.
    pub(super) fn can_sign(&self, now: Timestamp) -> bool {
        self.keys.iter().any(|key| key.starts_at <= now)
    }

    /// Signs claims as a JWT (RFC 7519); `None` when there is no key that has started.
    pub(super) fn sign(&self, claims: &Value, now: Timestamp) -> Option<String> {
        let key = self.keys.iter().find(|key| key.starts_at <= now)?;
        let header = json!({"alg": "ES256", "kid": key.kid, "typ": "JWT"});
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let mut token = format!("{}.{}", part(&header), part(claims));
        let signature = key.pair.sign(&SystemRandom::new(), token.as_bytes()).ok()?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut token);
        Some(token)
    }

    /// The claims of a token that a key of this set signed, whatever its age; `None` for anything else.
    pub(super) fn verified(&self, token: &str) -> Option<Value> {
        const LONGEST: usize = 4096;
        if token.len() > LONGEST {
            return None;
        }
        let (input, signature) = token.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        let decoded = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
        let header: Value = serde_json::from_slice(&decoded(header)?).ok()?;
        // The algorithm is the key's, never the token's to choose.
        let kid = header.get("kid")?.as_str()?;
        let key = self.keys.iter().find(|key| key.kid == kid)?;
        if header.get("alg")?.as_str()? != "ES256" || header.get("crit").is_some() {
            return None;
        }
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref());
        public.verify(input.as_bytes(), &decoded(signature)?).ok()?;
        serde_json::from_slice(&decoded(claims)?).ok()
    }
}

/// Sees to it that there are keys: one of each purpose at first, the next to sign when the one in use grows
/// old; those that nobody needs any more go.
pub(super) async fn look_after(
    replica: &Replica,
    queue: &WriteQueue,
    life: i64,
    now: Timestamp,
) -> Result<(), Unavailable> {
    if replica.identity_key_names(KeyPurpose::Pages)?.is_empty() {
        let key = new_pages_key(now).map_err(|_| Unavailable)?;
        queue.add_identity_key(replica, key, Timestamp(0)).await?;
    }
    let keys = replica.identity_keys(KeyPurpose::IdToken)?;
    let next = match keys.first() {
        None => Some((now, Timestamp(0))),
        // The start of the next one, unless somebody else has made it.
        Some(newest) => {
            let due = newest.starts_at.plus(life);
            let starts_at = due.max(now.plus(ANNOUNCED));
            (due.plus(-ANNOUNCED) <= now).then_some((starts_at, newest.starts_at.plus(1)))
        }
    };
    if let Some((starts_at, unless_from)) = next {
        let key = new_signing_key(starts_at).map_err(|_| Unavailable)?;
        tracing::info!(kid = key.kid, starts_at = starts_at.0, "a new key for ID tokens");
        queue.add_identity_key(replica, key, unless_from).await?;
    }
    if keys.iter().filter(|key| key.starts_at <= now.plus(-KEPT)).count() > 1 {
        queue.drop_old_identity_keys(KeyPurpose::IdToken, now.plus(-KEPT)).await?;
    }
    Ok(())
}

fn key_pair(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).ok()
}

/// Both coordinates of the public point, base64url; it is stored as 04, x, y (SEC 1 section 2.3.3).
fn coordinates(pair: &EcdsaKeyPair) -> (String, String) {
    let point = pair.public_key().as_ref();
    let part = |range| BASE64URL_NOPAD.encode(point.get(range).unwrap_or_default());
    (part(1..33), part(33..65))
}

/// RFC 7638 section 3.
fn thumbprint(pair: &EcdsaKeyPair) -> String {
    let (x, y) = coordinates(pair);
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    BASE64URL_NOPAD.encode(&Sha256::digest(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(starts: &[i64]) -> KeySet {
        let keys: Vec<SigningKey> = starts
            .iter()
            .map(|&at| {
                let stored = new_signing_key(Timestamp(at)).unwrap();
                let pkcs8 = HEXLOWER.decode(stored.private.expose().as_bytes()).unwrap();
                SigningKey { kid: stored.kid, pair: key_pair(&pkcs8).unwrap(), starts_at: stored.starts_at }
            })
            .collect();
        KeySet { names: keys.iter().map(|key| key.kid.clone()).collect(), keys }
    }

    #[test]
    fn the_newest_that_has_started_signs() {
        let keys = set(&[200, 100]);
        let kid = |now| {
            let token = keys.sign(&json!({"sub": "customer:42"}), Timestamp(now)).unwrap();
            let header = BASE64URL_NOPAD.decode(token.split('.').next().unwrap().as_bytes()).unwrap();
            let header: Value = serde_json::from_slice(&header).unwrap();
            header["kid"].as_str().unwrap().to_owned()
        };
        assert_eq!(keys.sign(&json!({}), Timestamp(99)), None);
        assert_eq!((kid(100), kid(199)), (keys.keys[1].kid.clone(), keys.keys[1].kid.clone()));
        assert_eq!(kid(200), keys.keys[0].kid);
        assert_eq!(keys.jwks()["keys"].as_array().unwrap().len(), 2, "both are published");
    }

    #[test]
    fn only_what_a_key_signed_is_verified() {
        let keys = set(&[100]);
        let token = keys.sign(&json!({"sub": "customer:42"}), Timestamp(100)).unwrap();
        assert_eq!(keys.verified(&token).unwrap()["sub"], "customer:42");
        assert_eq!(set(&[100]).verified(&token), None, "another set of keys");

        let parts: Vec<&str> = token.split('.').collect();
        let header = |text: &str| BASE64URL_NOPAD.encode(text.replace("KID", &keys.keys[0].kid).as_bytes());
        let claims = BASE64URL_NOPAD.encode(b"{\"sub\":\"merchant:7\"}");
        for forged in [
            String::new(),
            "..".into(),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{claims}.{}", parts[0], parts[2]),
            format!("{}.{}.{}", header(r#"{"alg":"none","kid":"KID"}"#), parts[1], parts[2]),
            format!("{}.{}.{}", header(r#"{"alg":"HS256","kid":"KID"}"#), parts[1], parts[2]),
            format!("{}.{}.{}", header(r#"{"alg":"ES256","kid":"other"}"#), parts[1], parts[2]),
            format!("{}.{}.{}", header(r#"{"alg":"ES256"}"#), parts[1], parts[2]),
            format!("{token}="),
            format!("{token}.{}", parts[2]),
            "a".repeat(5000),
        ] {
            assert_eq!(keys.verified(&forged), None, "{forged}");
        }
    }

    #[test]
    fn debug_of_a_stored_key_shows_no_key() {
        let key = new_signing_key(Timestamp(1)).unwrap();
        assert!(!format!("{key:?}").contains(key.private.expose()));
    }
}
