//! Access tokens: issued, looked at by their SHA-256, revoked.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::{Call, Done};
use super::refused::{ErrorBody, Refused};
use super::words::{Nothing, client_id, digest, digest_in_path, duration, scopes, store_id};
use crate::model::{Permission, Secret, TokenDigest};
use crate::replica::{Revocation, TokenSummary, Writer};

/// An access token, without itself. Times are Unix seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    client_id: String,
    store_id: i64,
    /// Its own scopes; null: whatever the installation has.
    scopes: Option<String>,
    expires_at: i64,
    revoked_at: Option<i64>,
    created_at: i64,
}

/// A token to be issued.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToIssue {
    #[schema(pattern = "^[A-Za-z0-9._~-]{1,128}$")]
    client_id: String,
    #[schema(minimum = 1, maximum = 9007199254740991_u64)]
    store_id: u64,
    /// How long it works; `24h` by default.
    ttl: Option<String>,
    /// Fewer scopes than the installation has; whatever it has by default.
    scopes: Option<String>,
}

/// A new access token, shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Issued {
    access_token: String,
    /// Unix seconds.
    expires_at: i64,
}

/// The token to be revoked: itself, or its SHA-256.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToRevoke {
    token: Option<String>,
    /// 64 hexadecimal digits.
    #[schema(pattern = "^[0-9A-Fa-f]{64}$")]
    token_hash: Option<String>,
}

/// What became of a revocation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revoked {
    revoked: bool,
}

impl From<TokenSummary> for Token {
    fn from(found: TokenSummary) -> Self {
        let TokenSummary { client_id, store_id, scopes, expires_at, revoked_at, created_at } = found;
        Self { client_id, store_id, scopes, expires_at, revoked_at, created_at }
    }
}

/// Issues an access token.
#[utoipa::path(post, path = "/admin/v1/tokens", tag = "tokens", operation_id = "issue_token",
    request_body = ToIssue, params(super::words::Key),
    responses((status = 201, description = "The token, shown this once.", body = Issued),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn issue(call: Call) -> Result<Response, Refused> {
    call.create(Permission::IssueTokens, StatusCode::CREATED, |writer, new: ToIssue| {
        let (client_id, store_id) = (client_id(&new.client_id)?, store_id(new.store_id)?);
        let life = duration("ttl", new.ttl.as_deref().unwrap_or("24h"))?;
        let own = new.scopes.as_deref().map(scopes).transpose()?;
        let issued = writer.issue_token(&client_id, store_id, life, own.as_ref())?;
        Ok(Done::of(issued, |issued| Issued {
            access_token: issued.access_token.expose().to_owned(),
            expires_at: issued.expires_at.0,
        }))
    })
    .await
}

/// Shows a token.
#[utoipa::path(get, path = "/admin/v1/tokens/{token_hash}", tag = "tokens", operation_id = "show_token",
    params(("token_hash" = String, Path, description = "Its SHA-256, 64 hexadecimal digits.")),
    responses((status = 200, description = "The token.", body = Token),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn show(Path(hash): Path<String>, call: Call) -> Result<Json<Token>, Refused> {
    let found = call.look(Permission::ViewApps, move |writer| Ok(writer.token(&digest_in_path(&hash)?)?));
    found.await.map(|token| Json(token.into()))
}

/// Revokes a token; it is refused from the answer on.
#[utoipa::path(post, path = "/admin/v1/tokens/revoke", tag = "tokens", operation_id = "revoke_token",
    request_body = ToRevoke,
    responses((status = 200, description = "The token is revoked.", body = Revoked),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn revoke(call: Call) -> Result<Response, Refused> {
    call.change(Permission::RevokeTokens, |writer, which: ToRevoke| {
        let malformed = |why: &str| Refused::Invalid(why.to_owned());
        let digest = match (which.token, which.token_hash) {
            (Some(token), None) => TokenDigest::of(Secret::new(token).expose().as_bytes()),
            (None, Some(hash)) => {
                digest(&hash).ok_or_else(|| malformed("token_hash is malformed: 64 hexadecimal digits."))?
            }
            _ => return Err(malformed("Either token or token_hash is needed.")),
        };
        end(writer, &digest)
    })
    .await
}

/// Revokes a token by its SHA-256.
#[utoipa::path(delete, path = "/admin/v1/tokens/{token_hash}", tag = "tokens", operation_id = "revoke_token_by_hash",
    params(("token_hash" = String, Path, description = "Its SHA-256, 64 hexadecimal digits.")),
    responses((status = 200, description = "The token is revoked.", body = Revoked),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn revoke_by_hash(Path(hash): Path<String>, call: Call) -> Result<Response, Refused> {
    call.change(Permission::RevokeTokens, move |writer, _: Nothing| end(writer, &digest_in_path(&hash)?))
        .await
}

fn end(writer: &mut Writer, digest: &TokenDigest) -> Result<Done<Revoked>, Refused> {
    let ended = writer.revoke_token_by_digest(digest)?;
    match *ended.value() {
        Revocation::Revoked => Ok(Done::of(ended, |_| Revoked { revoked: true })),
        Revocation::NotFound => Err(Refused::NotFound("There is no such token.".to_owned())),
    }
}
