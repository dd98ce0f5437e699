//! The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3, OpenID Connect Core section
//! 3.1.2.1), read and judged by itself; who is signed in is for `step`.

use std::collections::HashSet;

use crate::gate::Unavailable;
use crate::model::{ClientId, OauthClient, RedirectUri, ScopeSet, Secret, StoreId};
use crate::wire::parameters::{NotParameters, Parameters};

/// What clients may ask for.
pub const SCOPES: [&str; 5] = ["openid", "profile", "email", "phone", "store"];

/// Asked for by many libraries; refresh tokens are issued without it (OpenID Connect Core section 11).
const OFFLINE_ACCESS: &str = "offline_access";

/// The longest query, in bytes: it travels on through our pages.
pub(super) const MAX_QUERY: usize = 4096;

/// The longest `state` and `nonce`, in bytes.
const MAX_ECHO: usize = 1024;

/// A request that may go on.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) client: OauthClient,
    pub(super) back: Back,
    pub(super) scopes: ScopeSet,
    /// S256 of the client's verifier.
    pub(super) challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) prompt: Prompt,
    /// How old the sign-in may be, in seconds.
    pub(super) max_age: Option<i64>,
    pub(super) login_hint: Option<String>,
    pub(super) id_token_hint: Option<Secret>,
    pub(super) store: Option<StoreId>,
}

/// Where the answer goes, proved to be the client's.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub(super) uri: RedirectUri,
    pub(super) state: Option<String>,
}

/// What the person is to be asked (OpenID Connect Core section 3.1.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) none: bool,
    pub(super) login: bool,
    pub(super) consent: bool,
    pub(super) select_account: bool,
}

/// An error that the client is told at its redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) code: &'static str,
    pub(super) description: &'static str,
}

/// Why a request does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The redirect URI is not proved: the person is told, and nobody is sent anywhere (RFC 6749 section
    /// 4.1.2.1).
    Page(&'static str),
    /// The client is told.
    Redirect(Box<Back>, Error),
    /// It cannot be told whether the client is known.
    Unavailable,
}

const fn invalid(description: &'static str) -> Error {
    Error { code: "invalid_request", description }
}

/// Reads a query.
pub(super) fn read(
    query: &str,
    client: impl FnOnce(&ClientId) -> Result<Option<OauthClient>, Unavailable>,
) -> Result<Asked, Stop> {
    if query.len() > MAX_QUERY {
        return Err(Stop::Page("The request is too long."));
    }
    let (parameters, repeated) = singled_out(query)?;
    let once = |name: &str| match repeated.contains(name) {
        true => None,
        false => parameters.get(name),
    };
    let id = once("client_id")
        .ok_or(Stop::Page("The request does not say which app it comes from (client_id)."))?;
    let id = ClientId::parse(id).map_err(|_| UNKNOWN)?;
    let found = client(&id).map_err(|_| Stop::Unavailable)?;
    let client = found.ok_or(UNKNOWN)?;
    let uri = once("redirect_uri")
        .ok_or(Stop::Page("The request does not say where to return to (redirect_uri)."))?;
    let uri = client.redirect_uri(uri).ok_or(Stop::Page(
        "The request wants to return to an address that the app has not registered (redirect_uri).",
    ))?;
    // From here on the answer goes to the client.
    let state = once("state").filter(|state| is_echo(state)).map(str::to_owned);
    let back = Back { uri: uri.clone(), state };
    let rest = Rest { parameters: &parameters, repeated: &repeated, client: &client };
    match rest.read() {
        Ok(rest) => Ok(rest.with(client.clone(), back)),
        Err(error) => Err(Stop::Redirect(Box::new(back), error)),
    }
}

const UNKNOWN: Stop = Stop::Page("The app that the request names is not known here (client_id).");

/// The first value of each parameter, and the names that stand more than once.
fn singled_out(query: &str) -> Result<(Parameters, HashSet<String>), Stop> {
    const MALFORMED: Stop = Stop::Page("The request is malformed.");
    let mut seen = HashSet::new();
    let mut repeated = HashSet::new();
    let mut single = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        let (name, _) = url::form_urlencoded::parse(name.as_bytes()).next().ok_or(MALFORMED)?;
        if seen.insert(name.to_string()) {
            single.push(pair);
        } else {
            repeated.insert(name.into_owned());
        }
    }
    match Parameters::from_form(single.join("&").as_bytes()) {
        Ok(parameters) => Ok((parameters, repeated)),
        Err(NotParameters::Syntax | NotParameters::Duplicate | NotParameters::TooMany) => Err(MALFORMED),
    }
}

/// A value that is given back as it came: no control character, not too long.
fn is_echo(text: &str) -> bool {
    text.len() <= MAX_ECHO && !text.chars().any(char::is_control)
}

/// The parameters beyond client and redirect URI.
struct Rest<'r> {
    parameters: &'r Parameters,
    repeated: &'r HashSet<String>,
    client: &'r OauthClient,
}

struct Read {
    scopes: ScopeSet,
    challenge: Option<String>,
    nonce: Option<String>,
    prompt: Prompt,
    max_age: Option<i64>,
    login_hint: Option<String>,
    id_token_hint: Option<Secret>,
    store: Option<StoreId>,
}

impl Read {
    fn with(self, client: OauthClient, back: Back) -> Asked {
        let Self { scopes, challenge, nonce, prompt, max_age, login_hint, id_token_hint, store } = self;
        Asked { client, back, scopes, challenge, nonce, prompt, max_age, login_hint, id_token_hint, store }
    }
}

impl Rest<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)
    }

    fn read(&self) -> Result<Read, Error> {
        if !self.repeated.is_empty() {
            return Err(invalid("A parameter stands more than once."));
        }
        if self.get("state").is_some_and(|state| !is_echo(state)) {
            return Err(invalid("state has at most 1024 bytes and no control characters."));
        }
        if !self.client.is_enabled {
            return Err(Error { code: "unauthorized_client", description: "The client is disabled." });
        }
        self.check_unsupported()?;
        match self.get("response_type") {
            Some("code") => {}
            None => return Err(invalid("response_type is missing.")),
            Some(_) => {
                return Err(Error {
                    code: "unsupported_response_type",
                    description: "response_type must be code.",
                });
            }
        }
        if self.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(invalid("response_mode must be query."));
        }
        Ok(Read {
            scopes: self.scopes()?,
            challenge: self.challenge()?,
            nonce: match self.get("nonce") {
                Some(nonce) if !is_echo(nonce) => {
                    return Err(invalid("nonce has at most 1024 bytes and no control characters."));
                }
                nonce => nonce.map(str::to_owned),
            },
            prompt: self.prompt()?,
            max_age: self.max_age()?,
            login_hint: self.get("login_hint").filter(|hint| hint.len() <= 254).map(str::to_owned),
            id_token_hint: self.get("id_token_hint").map(|hint| Secret::new(hint.to_owned())),
            store: match self.get("store_id").map(|id| StoreId::parse(id.as_bytes())) {
                Some(Err(_)) => return Err(invalid("store_id is a store's number.")),
                Some(Ok(store)) => Some(store),
                None => None,
            },
        })
    }

    /// OpenID Connect Core sections 6 and 7: refused by name, so that nobody believes they counted.
    fn check_unsupported(&self) -> Result<(), Error> {
        for (name, code) in [
            ("request", "request_not_supported"),
            ("request_uri", "request_uri_not_supported"),
            ("registration", "registration_not_supported"),
        ] {
            if self.get(name).is_some() {
                return Err(Error { code, description: "Send the parameters in the query." });
            }
        }
        Ok(())
    }

    fn scopes(&self) -> Result<ScopeSet, Error> {
        let invalid = |description| Error { code: "invalid_scope", description };
        let asked = self.get("scope").ok_or(invalid("scope is missing; ask for openid at least."))?;
        let asked = ScopeSet::parse(asked).map_err(|_| invalid("scope has a malformed value."))?;
        let known: Vec<&str> = asked.iter().filter(|scope| *scope != OFFLINE_ACCESS).collect();
        if known.iter().any(|scope| !SCOPES.contains(scope)) {
            return Err(invalid("scope has a value that is not known here."));
        }
        if known.iter().any(|scope| !self.client.scopes.contains(scope)) {
            return Err(invalid("scope has a value that the client may not ask for."));
        }
        match ScopeSet::parse(&known.join(" ")) {
            Ok(scopes) if !known.is_empty() => Ok(scopes),
            _ => Err(invalid("scope is missing; ask for openid at least.")),
        }
    }

    fn challenge(&self) -> Result<Option<String>, Error> {
        let method = self.get("code_challenge_method");
        let Some(challenge) = self.get("code_challenge") else {
            return match (method, self.client.is_public()) {
                (Some(_), _) => Err(invalid("code_challenge is missing.")),
                (None, true) => {
                    Err(invalid("code_challenge is missing; public clients need PKCE with S256."))
                }
                (None, false) => Ok(None),
            };
        };
        if method != Some("S256") {
            // Absent means `plain` (RFC 7636 section 4.3).
            return Err(invalid(
                "The transform algorithm is not supported: code_challenge_method must be S256.",
            ));
        }
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        match challenge.len() == 43 && challenge.bytes().all(letter) {
            true => Ok(Some(challenge.to_owned())),
            false => Err(invalid("code_challenge is not the base64url form of a SHA-256.")),
        }
    }

    fn prompt(&self) -> Result<Prompt, Error> {
        let mut prompt = Prompt::default();
        for word in self.get("prompt").unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
            match word {
                "none" => prompt.none = true,
                "login" => prompt.login = true,
                "consent" => prompt.consent = true,
                "select_account" => prompt.select_account = true,
                _ => return Err(invalid("prompt has a value that is not known here.")),
            }
        }
        match prompt.none && (prompt.login || prompt.consent || prompt.select_account) {
            true => Err(invalid("prompt=none stands alone.")),
            false => Ok(prompt),
        }
    }

    fn max_age(&self) -> Result<Option<i64>, Error> {
        let Some(text) = self.get("max_age") else { return Ok(None) };
        let digits = text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(seconds) if digits => Ok(Some(seconds)),
            _ => Err(invalid("max_age is a number of seconds.")),
        }
    }
}
