//! Who a client is (RFC 6749 section 2.3): HTTP Basic, id and secret in the body, or the id alone for a
//! public client; one of them.

use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::http::Refused;
use super::{Event, Idp};
use crate::hasher::Verdict;
use crate::model::{
    AppSecret, ClientId, OauthClient, PasswordHash, Requester, Secret, SecretHash, SecretMatch, Timestamp,
};
use crate::wire::basic::{self, BasicField};
use crate::wire::parameters::Parameters;

/// The longest secret that is compared, in bytes.
const MAX_SECRET: usize = 256;

/// What a client presented.
struct Presented {
    id: String,
    secret: Option<Secret>,
    basic: bool,
}

impl Idp {
    /// The client that sent a request, proved as far as its type allows.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
        caller: &Requester,
    ) -> Result<OauthClient, Refused> {
        let presented = presented(headers, parameters)?;
        let basic = presented.basic;
        let client = match ClientId::parse(&presented.id) {
            Ok(id) => self.replica().oauth_client(&id).map_err(|_| Refused::unavailable())?,
            Err(_) => None,
        };
        let Some(client) = client.filter(|client| client.is_enabled) else {
            return Err(self.client_refused(None, basic, caller));
        };
        match (&client.secret_hash, presented.secret) {
            (None, None) => Ok(client),
            (Some(hash), Some(secret)) => match self.proves(&client, hash, secret, caller).await? {
                true => Ok(client),
                false => Err(self.client_refused(Some(&client.client_id), basic, caller)),
            },
            (None, Some(_)) | (Some(_), None) => {
                Err(self.client_refused(Some(&client.client_id), basic, caller))
            }
        }
    }

    /// Whether a secret is the client's. bcrypt computes it once; then it is remembered for as long as the
    /// stored hash is the same.
    async fn proves(
        &self,
        client: &OauthClient,
        hash: &PasswordHash,
        secret: Secret,
        caller: &Requester,
    ) -> Result<bool, Refused> {
        if secret.expose().len() > MAX_SECRET {
            return Ok(false);
        }
        let key = (client.client_id.clone(), Box::from(hash.as_str()));
        let record = || SecretHash::parse(hash.as_str()).map(|hash| Some(AppSecret::new(1, hash, None)));
        let record = self.provider.secrets.read_through(&key, Clone::clone, record);
        let Ok(Some(record)) = record else { return Err(Refused::unavailable()) };
        match record.compare(secret.expose().as_bytes(), self.provider.authority.proof_key()) {
            SecretMatch::Equal => return Ok(true),
            SecretMatch::Different => return Ok(false),
            SecretMatch::Unproved => {}
        }
        let fee = self.limits.failures.take_fee(caller.address, &client.client_id, Instant::now());
        let fee = fee.map_err(Refused::too_many)?;
        match self.provider.authority.hasher().prove(Arc::clone(&record) as _, secret, Timestamp::now()).await
        {
            Verdict::Proved => {
                fee.refund();
                Ok(true)
            }
            Verdict::Wrong => Ok(false),
            Verdict::Saturated => {
                fee.refund();
                Err(Refused::unavailable())
            }
        }
    }

    /// Counts a failure against its address; past the budget it is answered 429.
    fn client_refused(&self, client: Option<&ClientId>, basic: bool, caller: &Requester) -> Refused {
        self.note(Event::ClientRefused, caller, None, client);
        match self.limits.failures.charge(caller.address, Instant::now()) {
            Ok(()) => Refused::client(basic),
            Err(wait) => Refused::too_many(wait),
        }
    }
}

fn presented(headers: &HeaderMap, parameters: &Parameters) -> Result<Presented, Refused> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let field = match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(line), None) => Some(basic::parse(line.as_bytes())),
        (Some(_), Some(_)) => return Err(Refused::request("Authorization may be sent only once.")),
    };
    if parameters.get("client_assertion").is_some() || parameters.get("client_assertion_type").is_some() {
        return Err(Refused::client(false));
    }
    let (id, secret) = (parameters.get("client_id"), parameters.get("client_secret"));
    match field {
        Some(BasicField::Basic(basic)) => {
            if secret.is_some() {
                return Err(Refused::request(
                    "Send the client's secret once: as HTTP Basic, or in the body.",
                ));
            }
            if id.is_some_and(|id| id != basic.id) {
                return Err(Refused::request("client_id and HTTP Basic name two clients."));
            }
            let secret = Secret::new(basic.secret.to_string());
            Ok(Presented { id: basic.id, secret: Some(secret), basic: true })
        }
        Some(BasicField::Malformed | BasicField::Other) => Err(Refused::client(true)),
        None => match id {
            Some(id) => Ok(Presented {
                id: id.to_owned(),
                secret: secret.map(|secret| Secret::new(secret.to_owned())),
                basic: false,
            }),
            None => Err(Refused::client(false)),
        },
    }
}
