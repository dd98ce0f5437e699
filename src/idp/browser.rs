//! What a browser keeps for us, and how it is known again.
//!
//! One cookie holds the id of the session: 256 random bits, of which the replica has the digest once
//! somebody signed in. Before that it tells browsers apart, nothing more; signing in always makes a new
//! one, so that an id that somebody else knows or chose never becomes a session (fixation). A second
//! cookie says that somebody has signed in here before, see [`crate::limits::SignInBudgets`].

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::model::{Secret, Timestamp, TokenDigest};

/// How long the cookie of a known browser lives, in seconds.
const DEVICE_LIFE: u64 = 400 * 24 * 3600;

/// How long a page may lie open before it is sent, in seconds.
const PAGE_LIFE: i64 = 3600;

/// The names of our cookies. `__Host-` binds them to this host and to TLS (RFC 6265bis section 4.1.3.2);
/// without TLS, on a loop-back address, browsers refuse such names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookies {
    Secure,
    Plain,
}

impl Cookies {
    fn session(self) -> &'static str {
        match self {
            Self::Secure => "__Host-storegate_session",
            Self::Plain => "storegate_session",
        }
    }

    fn device(self) -> &'static str {
        match self {
            Self::Secure => "__Host-storegate_device",
            Self::Plain => "storegate_device",
        }
    }

    /// The session id that a browser sent, if it has the form of one.
    pub(super) fn session_of(self, headers: &HeaderMap) -> Option<SessionId> {
        let value = cookie(headers, self.session())?;
        let decoded = BASE64URL_NOPAD.decode(value.as_bytes()).ok()?;
        (decoded.len() == 32).then(|| SessionId(Secret::new(value.to_owned())))
    }

    /// What it sent to be known again.
    pub(super) fn device_of(self, headers: &HeaderMap) -> Option<&str> {
        cookie(headers, self.device())
    }

    /// Has the browser keep a session id for `life` seconds.
    pub(super) fn keep(self, response: &mut Response, session: &SessionId, life: u64) {
        self.set(response, self.session(), session.0.expose(), life);
    }

    /// Has the browser be known again.
    pub(super) fn keep_device(self, response: &mut Response, device: &str) {
        self.set(response, self.device(), device, DEVICE_LIFE);
    }

    /// Has the browser forget its session.
    pub(super) fn forget(self, response: &mut Response) {
        self.set(response, self.session(), "", 0);
    }

    fn set(self, response: &mut Response, name: &str, value: &str, life: u64) {
        let secure = match self {
            Self::Secure => "; Secure",
            Self::Plain => "",
        };
        let cookie = format!("{name}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite=Lax{secure}");
        if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
            cookie.set_sensitive(true);
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

/// The first cookie of this name (RFC 6265 section 4.2.1).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// The id of a browser's session.
#[derive(Debug, Clone)]
pub(super) struct SessionId(Secret);

impl SessionId {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the operating system gives no randomness.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
        getrandom::fill(bytes.as_mut())?;
        Ok(Self(Secret::new(BASE64URL_NOPAD.encode(bytes.as_ref()))))
    }

    /// The id itself.
    pub(super) fn text(&self) -> &str {
        self.0.expose()
    }

    /// What the replica knows it by.
    pub(super) fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0.expose().as_bytes())
    }
}

/// A request for authorization on its way through our pages: it travels in their addresses and forms, sealed,
/// so that the gateway keeps nothing for people who never come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ticket {
    /// The query of the authorization request, as it came.
    #[serde(rename = "q")]
    pub(super) query: String,
    /// When it came, in Unix seconds.
    #[serde(rename = "t")]
    pub(super) began: i64,
    /// Another address of this gateway to come back to after signing in, in place of such a request.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
}

/// Seals what goes through browsers and comes back. Each use has a word of its own in front of what is
/// sealed, so that nothing passes for another thing.
#[derive(Clone)]
pub(super) struct Seal(Hmac<Sha256>);

impl Seal {
    pub(super) fn new(key: &Secret) -> Self {
        let mac = Hmac::new_from_slice(key.expose().as_bytes());
        Self(mac.expect("HMAC takes a key of any length (RFC 2104 section 2)"))
    }

    /// The sealed form of a ticket.
    pub(super) fn ticket(&self, ticket: &Ticket) -> String {
        let body = BASE64URL_NOPAD.encode(serde_json::to_string(ticket).unwrap_or_default().as_bytes());
        let seal = self.mac("ticket", &[&body]);
        format!("{body}.{seal}")
    }

    /// The ticket in a sealed form that is ours and not too old.
    pub(super) fn open(&self, sealed: &str, now: Timestamp) -> Option<Ticket> {
        let (body, seal) = sealed.split_once('.')?;
        if !same(&self.mac("ticket", &[body]), seal) {
            return None;
        }
        let ticket: Ticket = serde_json::from_slice(&BASE64URL_NOPAD.decode(body.as_bytes()).ok()?).ok()?;
        (now.0.saturating_sub(ticket.began) < PAGE_LIFE).then_some(ticket)
    }

    /// What a form carries to show that a page of ours in this very browser made it.
    pub(super) fn form(&self, session: &SessionId) -> String {
        self.mac("form", &[session.0.expose()])
    }

    /// Whether a form was made in the browser with this session.
    pub(super) fn is_form_of(&self, session: &SessionId, presented: &str) -> bool {
        same(&self.form(session), presented)
    }

    /// What a browser keeps after somebody signed in to `account`.
    ///
    /// # Errors
    ///
    /// When the operating system gives no randomness.
    pub(super) fn device(&self, account: &str) -> Result<String, getrandom::Error> {
        let id = SessionId::random()?;
        let id = id.0.expose();
        Ok(format!("{id}.{}", self.mac("device", &[id, account])))
    }

    /// The id of the browser, if it was signed in to `account` before.
    pub(super) fn known_device<'d>(&self, device: &'d str, account: &str) -> Option<&'d str> {
        let (id, seal) = device.split_once('.')?;
        same(&self.mac("device", &[id, account]), seal).then_some(id)
    }

    /// A seal over these parts, for one use.
    pub(super) fn over(&self, word: &str, parts: &[&str]) -> String {
        self.mac(word, parts)
    }

    fn mac(&self, word: &str, parts: &[&str]) -> String {
        let mut mac = self.0.clone();
        mac.update(word.as_bytes());
        for part in parts {
            // The length in front: parts cannot be cut differently.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        BASE64URL_NOPAD.encode(&mac.finalize().into_bytes())
    }
}

fn same(one: &str, other: &str) -> bool {
    bool::from(one.as_bytes().ct_eq(other.as_bytes()))
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &str) -> Seal {
        Seal::new(&Secret::new(key.to_owned()))
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn tickets_come_back_whole_or_not_at_all() {
        let ticket = Ticket { query: "client_id=a&scope=openid%20email".into(), began: 1000, target: None };
        let sealed = seal("one").ticket(&ticket);
        assert_eq!(seal("one").open(&sealed, Timestamp(1000 + PAGE_LIFE - 1)), Some(ticket.clone()));
        assert_eq!(seal("one").open(&sealed, Timestamp(1000 + PAGE_LIFE)), None, "too old");
        assert_eq!(seal("two").open(&sealed, Timestamp(1000)), None, "another key");
        let (body, mac) = sealed.split_once('.').unwrap();
        let other = Ticket { began: 2000, ..ticket };
        let forged = BASE64URL_NOPAD.encode(serde_json::to_string(&other).unwrap().as_bytes());
        for text in ["", ".", body, &format!("{body}."), &format!("{forged}.{mac}"), &sealed[1..]] {
            assert_eq!(seal("one").open(text, Timestamp(1000)), None, "{text}");
        }
    }

    #[test]
    fn seals_of_one_use_are_good_for_no_other() {
        let (seal, session) = (seal("one"), SessionId::random().unwrap());
        let form = seal.form(&session);
        assert!(seal.is_form_of(&session, &form));
        assert!(!seal.is_form_of(&SessionId::random().unwrap(), &form));
        assert!(!seal.is_form_of(&session, "") && !seal.is_form_of(&session, &form[1..]));
        let device = seal.device("merchant:7").unwrap();
        assert!(seal.known_device(&device, "merchant:7").is_some());
        assert_eq!(seal.known_device(&device, "merchant:8"), None);
        let (id, _) = device.split_once('.').unwrap();
        assert_eq!(seal.known_device(&format!("{id}.{form}"), "merchant:7"), None);
        let body = "e30"; // {}
        assert_eq!(seal.open(&format!("{body}.{}", seal.mac("form", &[body])), Timestamp(0)), None);
    }

    #[test]
    fn cookies_are_read_by_their_whole_name() {
        let id = SessionId::random().unwrap();
        let value = id.0.expose();
        for (lines, found) in [
            (vec![format!("storegate_session={value}")], true),
            (vec![format!("a=1; storegate_session={value}; b=2")], true),
            (vec!["a=1".into(), format!("storegate_session={value}")], true),
            (vec![format!("storegate_session={value}; storegate_session=x")], true),
            (vec![format!("xstoregate_session={value}")], false),
            (vec![format!("storegate_session_={value}")], false),
            (vec![format!("storegate_session={}", &value[1..])], false),
            (vec!["storegate_session=".into()], false),
            (vec![format!("__Host-storegate_session={value}")], false),
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let read = Cookies::Plain.session_of(&headers(&lines));
            assert_eq!(read.is_some(), found, "{lines:?}");
            assert!(read.is_none_or(|read| read.digest() == id.digest()));
        }
    }

    #[test]
    fn cookies_are_bound_to_host_and_tls() {
        let mut response = Response::default();
        Cookies::Secure.keep(&mut response, &SessionId::random().unwrap(), 60);
        Cookies::Plain.forget(&mut response);
        let set: Vec<&str> =
            response.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
        assert!(set[0].starts_with("__Host-storegate_session="), "{set:?}");
        assert!(set[0].ends_with("; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"), "{set:?}");
        assert_eq!(set[1], "storegate_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }
}
