//! The authorization code grant of the app install flow (RFC 6749 section 4.1.3), and the refresh of what it
//! gave (section 6). Code and refresh token are bound to the app, the redirect URI and the store; each
//! counts once.

use crate::model::{Remark, Requester, Secret, Timestamp, TokenDigest};
use crate::oauth::Served;
use crate::oauth::client::Authenticated;
use crate::oauth::failure::Failure;
use crate::replica::{Actor, NewPair, Redeemed};

/// How refresh tokens begin.
const REFRESH_PREFIX: &str = "sx_rt_";

/// The longest code or refresh token that is hashed, in bytes.
const LONGEST: usize = 256;

/// A pair on its way to the client.
#[derive(Debug)]
pub(in crate::oauth) struct Pair {
    pub(in crate::oauth) access_token: Secret,
    pub(in crate::oauth) refresh_token: Secret,
    pub(in crate::oauth) expires_at: Timestamp,
    pub(in crate::oauth) redeemed: Redeemed,
}

/// Exchanges a code.
pub(in crate::oauth) async fn exchange(
    served: &Served,
    client: Authenticated,
    code: &str,
    redirect_uri: &str,
    requester: &Requester,
    remark: &mut Remark,
) -> Result<Pair, Failure> {
    let digest = digest(code)?;
    let (access_token, refresh_token, pair) = new_pair(served)?;
    let request_id = requester.request_id.to_str().unwrap_or_default();
    let actor = Actor::caller(client.app.client_id.as_str(), requester.address, request_id);
    let (app, client_id) = (client.app.app_id, client.app.client_id.clone());
    let queue = served.authority.queue()?;
    let redeemed = queue.redeem_code(app, client_id, digest, redirect_uri.to_owned(), pair, actor).await?;
    settle(Pair { access_token, refresh_token, expires_at: pair.expires_at, redeemed }, remark)
}

/// Exchanges a refresh token.
pub(in crate::oauth) async fn refresh(
    served: &Served,
    client: Authenticated,
    token: &str,
    remark: &mut Remark,
) -> Result<Pair, Failure> {
    let digest = digest(token)?;
    let (access_token, refresh_token, pair) = new_pair(served)?;
    let redeemed = served.authority.queue()?.refresh(client.app.app_id, digest, pair).await?;
    settle(Pair { access_token, refresh_token, expires_at: pair.expires_at, redeemed }, remark)
}

fn settle(pair: Pair, remark: &mut Remark) -> Result<Pair, Failure> {
    match &pair.redeemed {
        Redeemed::Pair { store_id, .. } => {
            remark.store_id = Some(*store_id);
            Ok(pair)
        }
        Redeemed::Nothing => Err(Failure::Grant),
        Redeemed::NotInstalled(store) => {
            remark.store_id = Some(*store);
            Err(Failure::NotInstalled)
        }
        Redeemed::StoreSuspended(store) => {
            remark.store_id = Some(*store);
            Err(Failure::StoreSuspended)
        }
    }
}

fn digest(text: &str) -> Result<TokenDigest, Failure> {
    match text.len() {
        0..=LONGEST => Ok(TokenDigest::of(text.as_bytes())),
        _ => Err(Failure::Grant),
    }
}

fn new_pair(served: &Served) -> Result<(Secret, Secret, NewPair), Failure> {
    let make = |prefix: &str| Secret::generate(prefix).map_err(|_| Failure::Unavailable);
    let (access, refresh) = (make(&served.access_token_prefix)?, make(REFRESH_PREFIX)?);
    let issued_at = Timestamp::now();
    let pair = NewPair {
        access: TokenDigest::of(access.expose().as_bytes()),
        refresh: TokenDigest::of(refresh.expose().as_bytes()),
        issued_at,
        expires_at: issued_at.plus(served.life()),
    };
    Ok((access, refresh, pair))
}
