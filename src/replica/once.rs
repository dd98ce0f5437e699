//! Calls that are carried out once, however often they are sent (draft-ietf-httpapi-idempotency-key-header).
//!
//! The key is taken in the transaction of the change, so that two calls with one key never both change
//! something. The answer, which may hold new secrets, is kept for some minutes, encrypted under a key that
//! is derived from what the caller sent (its token and its idempotency key) and is stored nowhere: nobody
//! but that caller can read it. An answer that was lost or is too old is not made up again.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit as _};
use chacha20poly1305::{Key, XChaCha20Poly1305};
use hmac::{Hmac, Mac};
use rusqlite::{OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::write::{Halt, WriteError, Writer};
use crate::model::{Secret, Timestamp};

/// How long a key is remembered, in seconds.
const KEPT: i64 = 86_400;

/// How long its answer is, in seconds.
const ANSWER_KEPT: i64 = 600;

/// The most keys that are remembered. Beyond it calls with a new key are refused: forgetting one could
/// mean to do a thing twice.
const MOST: i64 = if cfg!(test) { 20 } else { 100_000 };

/// Forgotten in one step.
const STEP: i64 = 1000;

const NONCE: usize = 24;

/// One call that shall be carried out once.
#[derive(Clone)]
pub struct Once {
    key: [u8; 32],
    call: [u8; 32],
    cipher: XChaCha20Poly1305,
}

/// A call with the same key was carried out before.
#[derive(Clone, PartialEq, Eq)]
pub struct Repeated {
    /// What it was done to, as in the audit record.
    pub subject: String,
    /// Its answer, where that is still kept.
    pub answer: Option<Secret>,
}

impl Once {
    /// `bearer` is the caller's token, `key` what it calls the call; `call` is everything that makes it
    /// the same call: method, path, body.
    pub fn new(bearer: &Secret, key: &str, call: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in call {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let derive = |purpose: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(bearer.expose().as_bytes())
                .expect("HMAC takes a key of any length (RFC 2104 section 2)");
            mac.update(purpose);
            mac.update(key.as_bytes());
            Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()))
        };
        let sealing = derive(b"storegate idempotency answer\0");
        Self {
            key: *derive(b"storegate idempotency key\0"),
            call: digest.finalize().into(),
            cipher: XChaCha20Poly1305::new(&Key::from(*sealing)),
        }
    }

    /// Makes sure that nothing was done under this key.
    pub(super) fn claim(&self, tx: &Transaction<'_>, now: Timestamp) -> Result<(), Halt> {
        forget(tx, now)?;
        let sql = "SELECT at, call_hash, subject, answer FROM idempotency_keys WHERE key_hash = ?1";
        let found = tx.prepare_cached(sql)?.query_row([&self.key[..]], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?, row.get(2)?, row.get(3)?))
        });
        if let Some((at, call, subject, sealed)) = found.optional()? {
            if at <= now.0 - KEPT {
                tx.execute("DELETE FROM idempotency_keys WHERE key_hash = ?1", [&self.key[..]])?;
            } else if call != self.call {
                return Err(WriteError::KeyReused.into());
            } else {
                let sealed: Option<Vec<u8>> = sealed;
                let fresh = sealed.filter(|_| at > now.0 - ANSWER_KEPT);
                let answer = fresh.and_then(|sealed| self.open(&sealed));
                return Err(WriteError::Repeated(Box::new(Repeated { subject, answer })).into());
            }
        }
        let span = "SELECT coalesce(max(seq) - min(seq) + 1, 0) FROM idempotency_keys";
        match tx.prepare_cached(span)?.query_row([], |row| row.get::<_, i64>(0))? {
            taken if taken >= MOST => Err(WriteError::TooManyKeys.into()),
            _ => Ok(()),
        }
    }

    /// Remembers that it was done.
    pub(super) fn note(&self, tx: &Transaction<'_>, subject: &str, now: Timestamp) -> rusqlite::Result<()> {
        let mut insert = tx.prepare_cached(
            "INSERT INTO idempotency_keys (key_hash, call_hash, subject, at) VALUES (?1, ?2, ?3, ?4)",
        )?;
        insert.execute(params![&self.key[..], &self.call[..], subject, now.0]).map(drop)
    }

    fn seal(&self, answer: &Secret) -> Result<Vec<u8>, WriteError> {
        let mut nonce = [0u8; NONCE];
        getrandom::fill(&mut nonce)?;
        let sealed = self.cipher.encrypt(&nonce.into(), answer.expose().as_bytes());
        let sealed = sealed.expect("an answer is far below the cipher's limit of 256 GiB");
        Ok([&nonce[..], &sealed].concat())
    }

    fn open(&self, sealed: &[u8]) -> Option<Secret> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let text = Zeroizing::new(self.cipher.decrypt(&(*nonce).into(), sealed).ok()?);
        std::str::from_utf8(&text).ok().map(|text| Secret::new(text.to_owned()))
    }
}

/// Removes keys, and answers, that are old enough. The oldest come first.
fn forget(tx: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let mut keys = tx.prepare_cached(
        "DELETE FROM idempotency_keys WHERE at <= ?1
         AND seq IN (SELECT seq FROM idempotency_keys ORDER BY seq LIMIT ?2)",
    )?;
    keys.execute([now.0 - KEPT, STEP])?;
    let mut answers =
        tx.prepare_cached("UPDATE idempotency_keys SET answer = NULL WHERE answer IS NOT NULL AND at <= ?1")?;
    answers.execute([now.0 - ANSWER_KEPT]).map(drop)
}

impl Writer {
    /// The same writer, making its change only if that was not made before: see [`Once`].
    pub fn once(mut self, once: Once) -> Self {
        self.once = Some(once);
        self
    }

    /// Keeps the answer of the call that this writer has carried out, for its repetition.
    ///
    /// # Errors
    ///
    /// The replica cannot be changed; a repetition is told that its answer is lost, then.
    pub fn keep_answer(&mut self, answer: &Secret) -> Result<(), WriteError> {
        let Some(once) = self.once.take() else { return Ok(()) };
        let sealed = once.seal(answer)?;
        let kept = self.upkeep(|tx, _, _| {
            let sql = "UPDATE idempotency_keys SET answer = ?2 WHERE key_hash = ?1";
            Ok(tx.execute(sql, params![&once.key[..], sealed]).map(drop)?)
        });
        kept.map(drop) // nothing that a decision reads has changed, so that nobody has to be told
    }

    /// Forgets what is old enough, so that no answer stays because nobody calls any more. Takes no write
    /// lock where there is nothing to forget.
    ///
    /// # Errors
    ///
    /// The replica cannot be read or changed.
    pub fn forget_calls(&mut self, now: Timestamp) -> Result<(), WriteError> {
        let due = self.look(|conn, _| {
            let sql = "SELECT EXISTS (SELECT 1 FROM idempotency_keys WHERE answer IS NOT NULL AND at <= ?1)
                OR EXISTS (SELECT 1 FROM (SELECT at FROM idempotency_keys ORDER BY seq LIMIT 1) WHERE at <= ?2)";
            let mut statement = conn.prepare_cached(sql)?;
            Ok(statement.query_row([now.0 - ANSWER_KEPT, now.0 - KEPT], |row| row.get::<_, bool>(0))?)
        })?;
        if !due {
            return Ok(());
        }
        self.upkeep(|tx, _, _| Ok(forget(tx, now)?)).map(drop)
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once(…)")
    }
}

impl fmt::Debug for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeated").field("subject", &self.subject).finish_non_exhaustive()
    }
}
