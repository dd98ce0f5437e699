//! Signing in on the platform's own page: `login = "https://…"`.
//!
//! The person goes there with a signed challenge and comes back with a signed answer, both JWTs (HS256)
//! under a key that the two sides share. A challenge names its browser, so that an answer is good only
//! in the browser that asked: nobody can be signed in to somebody else's account by a link. Signing in
//! makes a new session id, with which the answer is used up.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::http::HeaderMap;
use axum::response::Response;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::browser::SessionId;
use super::http::{request_id, see_other};
use super::login::Target;
use super::pages::Problem;
use super::request::Error;
use super::step::{Step, Visit};
use super::{Event, Idp, Login};
use crate::model::{Requester, Subject, Timestamp, UserKind};
use crate::wire::parameters::Parameters;

/// How long somebody may take on the platform's page, in seconds.
const CHALLENGE_LIFE: i64 = 1800;

/// How long an answer is good for at most, in seconds: it is used at once.
const ANSWER_LIFE: i64 = 300;

/// How far the platform's clock may be ahead, in seconds.
const AHEAD: i64 = 10;

/// The longest challenge or answer, in bytes.
const MAX_BYTES: usize = 12 * 1024;

/// The key that challenges and answers are signed with: the text of its file, as it stands.
#[derive(Clone)]
pub(super) struct LoginKey(Hmac<Sha256>);

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoginKeyError {
    /// The file cannot be read.
    #[error("the key of the login page, {0}: {1}")]
    Io(PathBuf, io::Error),
    /// Others than its owner may use the file.
    #[error("the key of the login page {0} can be used by others than its owner; run: chmod 600 {0}")]
    Exposed(PathBuf),
    /// It is too short to be a key, or no text.
    #[error("the key of the login page {0} is not a key: expected 32 to 1024 visible characters on one line")]
    Malformed(PathBuf),
}

impl LoginKey {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`LoginKeyError`].
    pub(super) fn read(path: &Path) -> Result<Self, LoginKeyError> {
        let failed = |error| LoginKeyError::Io(path.into(), error);
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() || metadata.len() > 1025 {
            return Err(LoginKeyError::Malformed(path.into()));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(LoginKeyError::Exposed(path.into()));
        }
        let text = Zeroizing::new(std::fs::read(path).map_err(failed)?);
        let key = text.trim_ascii();
        if key.len() < 32 || !key.iter().all(u8::is_ascii_graphic) {
            return Err(LoginKeyError::Malformed(path.into()));
        }
        Ok(Self::new(key))
    }

    fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104 section 2)"))
    }

    fn sign(&self, claims: &Value) -> String {
        let header = BASE64URL_NOPAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
        let mut token = format!("{header}.{claims}");
        let mut mac = self.0.clone();
        mac.update(token.as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(&mac.finalize().into_bytes(), &mut token);
        token
    }

    /// The claims of what was signed with this key.
    fn verified(&self, token: &str) -> Option<Value> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (input, signature) = token.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        let decoded = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
        let mut mac = self.0.clone();
        mac.update(input.as_bytes());
        mac.verify_slice(&decoded(signature)?).ok()?;
        let header: Value = serde_json::from_slice(&decoded(header)?).ok()?;
        if header["alg"] != "HS256" || header.get("crit").is_some() {
            return None;
        }
        serde_json::from_slice(&decoded(claims)?).ok()
    }
}

impl std::fmt::Debug for LoginKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginKey(…)")
    }
}

/// What the platform answered.
#[derive(Debug, PartialEq, Eq)]
enum Answered {
    /// It is this person, who proved it at this time.
    Is(Subject, Timestamp),
    /// They did not want to.
    Declined,
}

/// Reads an answer to a challenge; the error says for the log what is wrong.
fn read_answer(
    challenge: &Value,
    answer: &Value,
    (issuer, url): (&str, &str),
    browser: &str,
    now: Timestamp,
) -> Result<Answered, &'static str> {
    let number = |claims: &Value, name: &str| claims[name].as_i64();
    if challenge["iss"] != issuer || challenge["aud"] != url {
        return Err("the challenge is not ours");
    }
    if number(challenge, "exp").is_none_or(|exp| exp <= now.0) {
        return Err("the challenge has expired");
    }
    if challenge["browser"] != browser {
        return Err("the challenge was made for another browser");
    }
    if answer["iss"] != url || answer["aud"] != issuer {
        return Err("the answer is not the login page's to this gateway");
    }
    if !challenge["jti"].is_string() || answer["challenge"] != challenge["jti"] {
        return Err("the answer is to another challenge");
    }
    let (Some(iat), Some(exp)) = (number(answer, "iat"), number(answer, "exp")) else {
        return Err("the answer has no iat or exp");
    };
    let lives = iat <= now.plus(AHEAD).0 && exp > now.0 && exp.saturating_sub(iat) <= ANSWER_LIFE;
    if !lives {
        return Err("the answer has expired, lives longer than 300 s, or comes from the future");
    }
    if answer.get("error").is_some() {
        return Ok(Answered::Declined);
    }
    let subject = answer["sub"].as_str().and_then(|sub| Subject::parse(sub).ok());
    let subject = subject.ok_or("the answer's sub is no customer:N or merchant:N")?;
    let auth_time = match answer.get("auth_time") {
        None => iat,
        Some(at) => at.as_i64().filter(|at| (0..=now.plus(AHEAD).0).contains(at)).ok_or("auth_time")?,
    };
    Ok(Answered::Is(subject, Timestamp(auth_time.min(now.0))))
}

impl Idp {
    /// Sends the person to the platform's page.
    pub(super) fn send_to_login(
        &self,
        url: &str,
        target: &Target,
        sealed: Option<&str>,
        id: &SessionId,
        caller: &Requester,
    ) -> Response {
        let mut jti = [0u8; 16];
        let (Some(key), Ok(())) = (&self.login_key, getrandom::fill(&mut jti)) else {
            return self.pages.problem(Problem::Unavailable, caller);
        };
        let now = Timestamp::now();
        let mut claims = json!({
            "iss": self.settings.issuer,
            "aud": url,
            "iat": now.0,
            "exp": now.plus(CHALLENGE_LIFE).0,
            "jti": HEXLOWER.encode(&jti),
            "browser": browser(id),
            "return_to": format!("{}{}", self.settings.issuer, self.path("/login/answer")),
            "request": sealed,
        });
        match target {
            Target::Client(asked, _) => {
                claims["client_id"] = json!(asked.client.client_id.as_str());
                claims["client_name"] = json!(asked.client.name);
                claims["login_required"] = json!(asked.prompt.login || asked.max_age == Some(0));
                if let Some(hint) = &asked.login_hint {
                    claims["login_hint"] = json!(hint);
                }
                if let Some(age) = asked.max_age {
                    claims["max_age"] = json!(age);
                }
                if let Some(store) = asked.store {
                    claims["store_id"] = json!(store.get());
                }
            }
            // Only merchants install apps.
            Target::Here(_) => claims["user_type"] = json!(UserKind::Merchant.name()),
            Target::Account => {}
        }
        let mark = if url.contains('?') { '&' } else { '?' };
        let mut answer = see_other(&format!("{url}{mark}login_challenge={}", key.sign(&claims)));
        let life = u64::try_from(self.session_seconds()).unwrap_or(0);
        self.cookies.keep(&mut answer, id, life);
        answer
    }

    /// Takes the person back: `GET {base}/login/answer?login_challenge=…&login_answer=…`.
    pub(super) async fn login_answer(
        &self,
        query: &str,
        headers: &HeaderMap,
        caller: &Requester,
    ) -> Response {
        let (Login::External { url, .. }, Some(key)) = (&self.settings.login, &self.login_key) else {
            return self.pages.problem(Problem::Request("Nobody signs in this way here."), caller);
        };
        let refuse = |why: &'static str| {
            tracing::info!(request_id = request_id(caller), "an answer of the login page is refused: {why}");
            self.note(Event::AnswerRefused, caller, None, None);
            self.pages.problem(Problem::Expired, caller)
        };
        let Ok(parameters) = Parameters::from_form(query.as_bytes()) else { return refuse("malformed") };
        let signed = |name| parameters.get(name).and_then(|token| key.verified(token));
        let Some(challenge) = signed("login_challenge") else { return refuse("the challenge's signature") };
        let Some(answer) = signed("login_answer") else { return refuse("the answer's signature") };
        let Some(id) = self.cookies.session_of(headers) else {
            return self.pages.problem(Problem::Cookies, caller);
        };
        let sides = (self.settings.issuer.as_str(), url.as_str());
        let answered = match read_answer(&challenge, &answer, sides, &browser(&id), Timestamp::now()) {
            Ok(answered) => answered,
            Err(why) => return refuse(why),
        };
        let target = match self.target(challenge["request"].as_str(), caller) {
            Ok(target) => target,
            Err(answer) => return *answer,
        };
        match (answered, &target) {
            (Answered::Declined, Target::Client(asked, _)) => self.send_back(
                &asked.back,
                Error { code: "access_denied", description: "The person did not sign in." },
            ),
            (Answered::Declined, Target::Here(_) | Target::Account) => {
                self.pages.problem(Problem::Expired, caller)
            }
            (Answered::Is(subject, auth_time), _) => match self.active_user(subject) {
                Err(_) => self.pages.problem(Problem::Unavailable, caller),
                Ok(None) => refuse("there is no such user, or they are disabled"),
                // Sent on, they would be sent here again, and the page would say the same.
                Ok(Some(_)) if matches!(target, Target::Here(_)) && subject.kind != UserKind::Merchant => {
                    self.pages.problem(Problem::Store, caller)
                }
                Ok(Some(user)) => {
                    // Asked for a new sign-in, the page gave an old one: asking again would never end.
                    if let Target::Client(asked, ticket) = &target {
                        let sign_in = crate::model::SignIn {
                            subject,
                            auth_time,
                            seen_at: auth_time,
                            ends_at: Timestamp(i64::MAX),
                        };
                        let session = super::session::Session { id: id.clone(), sign_in, user: user.clone() };
                        let visit = Visit::Through { began: Timestamp(ticket.began) };
                        if let Ok(Step::SignIn { .. }) = self.next_step(asked, Some(&session), visit) {
                            let description = "The person did not sign in anew.";
                            return self
                                .send_back(&asked.back, Error { code: "login_required", description });
                        }
                    }
                    self.enter(&target, user, auth_time, headers, None, caller).await
                }
            },
        }
    }
}

/// What a browser is called in a challenge: its session id cannot be found from it.
fn browser(id: &SessionId) -> String {
    BASE64URL_NOPAD.encode(&id.digest().0[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const SIDES: (&str, &str) = ("https://id.example", "https://shop.example/login");

    fn challenge() -> Value {
        json!({"iss": SIDES.0, "aud": SIDES.1, "exp": NOW.0 + 9, "jti": "j1", "browser": "b1"})
    }

    fn answer() -> Value {
        json!({"iss": SIDES.1, "aud": SIDES.0, "iat": NOW.0, "exp": NOW.0 + 60, "challenge": "j1",
            "sub": "merchant:7"})
    }

    fn with(mut claims: Value, name: &str, value: Value) -> Value {
        claims[name] = value;
        claims
    }

    #[test]
    fn a_good_answer_says_who_it_is() {
        let merchant = Subject::parse("merchant:7").unwrap();
        let read = |challenge: &Value, answer: &Value| read_answer(challenge, answer, SIDES, "b1", NOW);
        assert_eq!(read(&challenge(), &answer()), Ok(Answered::Is(merchant, NOW)));
        let earlier = with(answer(), "auth_time", json!(NOW.0 - 500));
        assert_eq!(read(&challenge(), &earlier), Ok(Answered::Is(merchant, NOW.plus(-500))));
        let declined = with(answer(), "error", json!("access_denied"));
        assert_eq!(read(&challenge(), &declined), Ok(Answered::Declined));
    }

    #[test]
    fn everything_else_is_refused() {
        let refused = [
            (with(challenge(), "iss", json!("https://other.example")), answer()),
            (with(challenge(), "aud", json!("https://other.example")), answer()),
            (with(challenge(), "exp", json!(NOW.0)), answer()),
            (with(challenge(), "exp", json!("x")), answer()),
            (with(challenge(), "browser", json!("b2")), answer()),
            (with(challenge(), "jti", json!("j2")), answer()),
            (with(challenge(), "jti", Value::Null), with(answer(), "challenge", Value::Null)),
            (challenge(), with(answer(), "iss", json!(SIDES.0))),
            (challenge(), with(answer(), "aud", json!(SIDES.1))),
            (challenge(), with(answer(), "challenge", json!("j2"))),
            (challenge(), with(answer(), "iat", Value::Null)),
            (challenge(), with(answer(), "iat", json!(NOW.0 + 11))),
            (challenge(), with(answer(), "exp", json!(NOW.0))),
            (challenge(), with(answer(), "exp", json!(NOW.0 + 301))),
            (challenge(), with(answer(), "exp", json!(i64::MAX))),
            (challenge(), with(answer(), "iat", json!(i64::MIN))),
            (challenge(), with(answer(), "sub", json!("admin:1"))),
            (challenge(), with(answer(), "sub", json!(7))),
            (challenge(), with(answer(), "auth_time", json!(NOW.0 + 11))),
            (challenge(), with(answer(), "auth_time", json!("now"))),
            (challenge(), challenge()),
            (answer(), answer()),
        ];
        for (challenge, answer) in refused {
            let read = read_answer(&challenge, &answer, SIDES, "b1", NOW);
            assert!(read.is_err(), "{challenge} {answer}");
        }
    }

    #[test]
    fn only_the_shared_key_signs() {
        let key = LoginKey::new(&[b'k'; 32]);
        let token = key.sign(&answer());
        assert_eq!(key.verified(&token), Some(answer()));
        assert_eq!(LoginKey::new(&[b'o'; 32]).verified(&token), None);
        let parts: Vec<&str> = token.split('.').collect();
        let none = BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
        for forged in [
            String::new(),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], BASE64URL_NOPAD.encode(b"{}"), parts[2]),
            format!("{token}.x"),
            "a".repeat(MAX_BYTES + 1),
        ] {
            assert_eq!(key.verified(&forged), None, "{forged}");
        }
    }

    #[test]
    fn a_key_file_is_long_enough_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.key");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            LoginKey::read(&path)
        };
        assert!(matches!(LoginKey::read(&path), Err(LoginKeyError::Io(..))));
        write(&format!("{}\n", "k".repeat(32)), 0o600).unwrap();
        assert!(matches!(write(&"k".repeat(32), 0o640), Err(LoginKeyError::Exposed(_))));
        for text in ["", &"k".repeat(31), &"k".repeat(1026), &format!("{} k", "k".repeat(32))] {
            assert!(matches!(write(text, 0o600), Err(LoginKeyError::Malformed(_))), "{text}");
        }
        assert!(matches!(LoginKey::read(folder.path()), Err(LoginKeyError::Malformed(_))));
    }
}
