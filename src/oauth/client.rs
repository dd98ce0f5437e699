//! Client authentication (RFC 6749 section 2.3), by the same records, in the same order and within the same
//! budgets as on a proxied request. Nothing about stores is told before the secret is proved.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use super::Served;
use super::failure::Failure;
use crate::gate::Directory;
use crate::gate::credential::MAX_SECRET_BYTES;
use crate::hasher::Verdict;
use crate::model::{
    App, AppSecret, AppStatus, ClientId, Remark, Requester, Secret, SecretHash, SecretMatch, Timestamp,
    TokenAuth,
};

/// How often a secret is proved anew when the app's record changes meanwhile.
const PROOF_ROUNDS: usize = 3;

/// What the secrets of unknown clients are compared with. Nothing hashes to it.
static DECOY: LazyLock<AppSecret> = LazyLock::new(|| AppSecret::new(0, SecretHash::Sha256([0; 32]), None));

/// What the client says it is. It has no `Debug`: it holds a secret.
pub(super) struct Presented {
    pub(super) id: String,
    pub(super) secret: Option<(Secret, TokenAuth)>,
}

/// A client that proved its secret.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) app: Arc<App>,
    /// The generation that it proved: what is issued now ends with it.
    pub(super) generation: i64,
}

impl Served {
    /// Proves the client's secret.
    pub(super) async fn authenticate(
        &self,
        presented: Presented,
        requester: &Requester,
        remark: &mut Remark,
    ) -> Result<Authenticated, Failure> {
        let Some((secret, method)) = presented.secret else { return Err(Failure::MissingClient) };
        for _ in 0..PROOF_ROUNDS {
            let now = Timestamp::now();
            let app = match self.identify(&presented.id, requester, remark) {
                Err(Failure::UnknownClient) => {
                    // The same work as for a wrong secret.
                    std::hint::black_box(DECOY.compare(secret.expose().as_bytes(), self.proof_key()));
                    return Err(Failure::UnknownClient);
                }
                other => other?,
            };
            if app.registration.token_auth.is_some_and(|registered| registered != method) {
                return Err(Failure::WrongSecret);
            }
            let text = secret.expose().as_bytes();
            if text.len() > MAX_SECRET_BYTES || !text.iter().all(u8::is_ascii_graphic) {
                return Err(Failure::WrongSecret);
            }
            match app.compare_secret(text, self.proof_key(), now) {
                Ok(position) => {
                    let generation = app.secrets[position].generation;
                    return Ok(Authenticated { app, generation });
                }
                Err(SecretMatch::Unproved) => self.prove(app, secret.clone(), requester, now).await?,
                Err(SecretMatch::Equal | SecretMatch::Different) => return Err(Failure::WrongSecret),
            }
        }
        Err(Failure::Saturated) // the record changed faster than it could be proved
    }

    /// The enabled app with this id, for a caller at an address that it allows; nothing is proved.
    pub(super) fn identify(
        &self,
        id: &str,
        requester: &Requester,
        remark: &mut Remark,
    ) -> Result<Arc<App>, Failure> {
        let id = ClientId::parse(id).map_err(|_| Failure::UnknownClient)?;
        if remark.client_id.is_none() {
            // Once a request, and before anything is looked up.
            let accounts = &self.authority.accounts;
            let drawn = accounts.draw(&self.endpoint.path, self.rate, &id, requester.address, Instant::now());
            remark.client_id = Some(id.clone());
            drawn.map_err(Failure::TooMany)?;
        }
        let app = self.authority.replica.app(id.as_str())?.ok_or(Failure::UnknownClient)?;
        if app.status == AppStatus::Disabled {
            return Err(Failure::UnknownClient);
        }
        let allowed = &app.allowed_addresses;
        if !allowed.is_empty() && !allowed.contains(requester.address) {
            return Err(Failure::AddressNotAllowed);
        }
        Ok(app)
    }

    async fn prove(
        &self,
        app: Arc<App>,
        secret: Secret,
        requester: &Requester,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let failures = &self.limits.failures;
        let fee = failures.take_fee(requester.address, &app.client_id, Instant::now());
        let fee = fee.map_err(Failure::TooMany)?;
        match self.authority.hasher.prove(app, secret, now).await {
            Verdict::Proved => {
                fee.refund();
                Ok(())
            }
            Verdict::Wrong => Err(Failure::WrongSecret),
            Verdict::Saturated => {
                fee.refund();
                Err(Failure::Saturated)
            }
        }
    }

    fn proof_key(&self) -> &crate::model::ProofKey {
        &self.authority.proof_key
    }
}
