//! What a route's platform changes: the family of its tokens, the spelling of its scopes, the words of its
//! refusals. What is decided, and in which order, is the same everywhere.

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::refusal::{Code, Reason};
use super::scope_rule::ScopeText;
use crate::model::{Platform, ScopeSet};
use crate::wire::authorization::{self, Shape};

/// Tells the family of a bearer token on a route of this platform. Our own access tokens count everywhere:
/// operators issue them.
pub(super) fn shape(platform: Platform, token: &[u8], access_token_prefix: &str) -> Shape {
    let own = match platform {
        Platform::Selorax | Platform::Standard => return authorization::shape(token, access_token_prefix),
        Platform::Shopify => authorization::shape(token, "shpat_"),
        Platform::ElasticPath if is_hex(token, 40) => Shape::Opaque,
        Platform::Tiki if is_hex(token, 64) => Shape::Opaque,
        Platform::ElasticPath | Platform::Tiki => Shape::Unknown,
    };
    match own {
        Shape::Unknown if token.starts_with(access_token_prefix.as_bytes()) => {
            authorization::shape(token, access_token_prefix)
        }
        own => own,
    }
}

fn is_hex(token: &[u8], digits: usize) -> bool {
    token.len() == digits && token.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Brings the scope that a route demands into the platform's spelling: Shopify's paths end in the format
/// (`products.json`), its scopes do not.
pub(super) fn spell(platform: Platform, scope: &mut ScopeText) {
    const FORMAT: &[u8] = b".json";
    if platform == Platform::Shopify && scope.ends_with(FORMAT) {
        scope.truncate(scope.len() - FORMAT.len());
    }
}

/// Whether the scopes grant `scope`. On Shopify's routes both spellings are one (`read_orders`,
/// `read:orders`), and a right to write includes the one to read.
pub(super) fn grants(platform: Platform, scopes: &ScopeSet, scope: &str) -> bool {
    if scopes.contains(scope) {
        return true;
    }
    if platform != Platform::Shopify {
        return false;
    }
    let wanted = underscored(scope);
    let write = wanted.strip_prefix("read_").map(|thing| format!("write_{thing}")).or_else(|| {
        wanted.strip_prefix("unauthenticated_read_").map(|thing| format!("unauthenticated_write_{thing}"))
    });
    scopes.iter().map(underscored).any(|own| own == wanted || Some(&own) == write.as_ref())
}

/// A scope in the underscore spelling: `read_orders` for `read:orders`.
pub fn underscored(scope: &str) -> String {
    match scope.split_once(':') {
        Some((verb @ ("read" | "write" | "unauthenticated_read" | "unauthenticated_write"), thing)) => {
            format!("{verb}_{thing}")
        }
        _ => scope.to_owned(),
    }
}

impl Reason {
    /// The JSON body of the refusal, as clients of the platform expect it; none where they expect ours.
    pub fn body_of(&self, platform: Platform, request_id: &str) -> Option<Vec<u8>> {
        Some(match platform {
            Platform::Selorax | Platform::Standard => return None,
            Platform::Shopify => bytes(&json!({"errors": self.shopify_message()})),
            Platform::ElasticPath => {
                let status = self.code().status();
                let title = match status {
                    StatusCode::UNAUTHORIZED => "Unable to validate access token",
                    other => other.canonical_reason().unwrap_or("Error"),
                };
                bytes(&json!({"errors": [{
                    "status": status.as_u16(), "title": title, "detail": self.message(),
                    "request_id": request_id,
                }]}))
            }
            Platform::Tiki => bytes(&json!({"errors": [self.message()]})),
        })
    }

    /// Whose path it is, where no route was taken.
    pub fn platform(&self) -> Option<Platform> {
        match self {
            Self::MethodNotListed(platform, _) => Some(*platform),
            _ => None,
        }
    }

    /// The challenge of the refusal, as clients of the platform expect it.
    pub fn challenge_for(&self, platform: Platform) -> Option<HeaderValue> {
        match platform {
            Platform::Shopify if self.code().status() == StatusCode::UNAUTHORIZED => {
                Some(HeaderValue::from_static("Basic Realm=\"Shopify API Authentication\""))
            }
            _ => self.challenge(),
        }
    }

    /// Shopify's sentences, which its clients show as they are.
    fn shopify_message(&self) -> String {
        match (self, self.code()) {
            (Self::Scope(scopes), _) => {
                let scopes: Vec<String> = scopes.split(' ').map(underscored).collect();
                format!("[API] This action requires merchant approval for {} scope.", scopes.join(", "))
            }
            (Self::TwoCredentials, _) => {
                "[API] Send the access token once, as X-Shopify-Access-Token or as Bearer token".to_owned()
            }
            (_, Code::MissingToken | Code::InvalidToken | Code::InvalidClient | Code::NotInstalled) => {
                "[API] Invalid API key or access token (unrecognized login or wrong password)".to_owned()
            }
            _ => self.message().into_owned(),
        }
    }
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_apart() {
        let hex = |digits: usize| "a1".repeat(digits / 2);
        let rows = [
            (Platform::Shopify, format!("shpat_{}", hex(32)), Shape::Opaque),
            (Platform::Shopify, "shpat_".into(), Shape::Unknown),
            (Platform::Shopify, "shpca_1".into(), Shape::Unknown),
            (Platform::Shopify, "a.b.c".into(), Shape::Session),
            (Platform::Shopify, "sx_at_1".into(), Shape::Opaque),
            (Platform::Selorax, format!("shpat_{}", hex(32)), Shape::Unknown),
            (Platform::Selorax, hex(40), Shape::Unknown),
            (Platform::Standard, "sx_at_1".into(), Shape::Opaque),
            (Platform::ElasticPath, hex(40), Shape::Opaque),
            (Platform::ElasticPath, hex(38), Shape::Unknown),
            (Platform::ElasticPath, hex(42), Shape::Unknown),
            (Platform::ElasticPath, hex(40).to_uppercase(), Shape::Unknown),
            (Platform::ElasticPath, "a.b.c".into(), Shape::Unknown),
            (Platform::ElasticPath, "sx_at_1".into(), Shape::Opaque),
            (Platform::Tiki, hex(64), Shape::Opaque),
            (Platform::Tiki, hex(40), Shape::Unknown),
            (Platform::Tiki, format!("shpat_{}", hex(32)), Shape::Unknown),
            (Platform::Tiki, "sx_rt_1".into(), Shape::Unknown),
        ];
        for (platform, token, shape) in rows {
            assert_eq!(super::shape(platform, token.as_bytes(), "sx_at_"), shape, "{platform:?} {token}");
        }
    }

    #[test]
    fn writing_includes_reading_on_one_platform_only() {
        let scopes = ScopeSet::parse("write_orders read:products unauthenticated_write_carts").unwrap();
        for (scope, granted) in [
            ("write_orders", true),
            ("read_orders", true),
            ("read:orders", true),
            ("write:orders", true),
            ("read_products", true),
            ("unauthenticated_read_carts", true),
            ("write_products", false),
            ("read_carts", false),
            ("write_carts", false),
            ("read_", false),
            ("read_order", false),
            ("orders", false),
            ("", false),
        ] {
            assert_eq!(grants(Platform::Shopify, &scopes, scope), granted, "{scope}");
        }
        for platform in [Platform::Selorax, Platform::ElasticPath, Platform::Tiki, Platform::Standard] {
            assert!(!grants(platform, &scopes, "read_orders") && grants(platform, &scopes, "write_orders"));
        }
    }
}
