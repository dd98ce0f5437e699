//! The platforms whose dialects are spoken.

use std::time::Duration;

use super::ScopeSet;

/// A platform: where a token is read, how errors look, how scopes are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Platform {
    /// SeloraX, our own.
    #[default]
    Selorax,
    /// Shopify.
    Shopify,
    /// Elastic Path Commerce Cloud, formerly Moltin.
    ElasticPath,
    /// Tiki.
    Tiki,
    /// The RFCs and nothing else.
    Standard,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 5] = [Self::Selorax, Self::Shopify, Self::ElasticPath, Self::Tiki, Self::Standard];

    /// Its name in the configuration, in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selorax => "selorax",
            Self::Shopify => "shopify",
            Self::ElasticPath => "elasticpath",
            Self::Tiki => "tiki",
            Self::Standard => "standard",
        }
    }

    /// How long its access tokens live.
    pub fn token_life(self) -> Duration {
        Duration::from_secs(match self {
            Self::Shopify => 86_399,
            Self::Selorax | Self::Tiki => 86_400,
            Self::ElasticPath | Self::Standard => 3600,
        })
    }
}

/// How an app authenticates at a token endpoint (RFC 7591 section 2, `token_endpoint_auth_method`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAuth {
    /// `client_secret_basic`: HTTP Basic.
    Basic,
    /// `client_secret_post`: in the body.
    Post,
}

impl TokenAuth {
    /// Its name in the replica and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Post => "post",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`Malformed`](super::Malformed) for another word.
    pub fn parse(text: &str) -> Result<Self, super::Malformed> {
        let known = [Self::Basic, Self::Post].into_iter().find(|method| method.name() == text);
        known.ok_or(super::Malformed("the method is basic or post"))
    }
}

/// What an app was registered with, beyond what a proxied request asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// The organization that owns it.
    pub organization: Option<Box<str>>,
    /// The only way in which it may authenticate at token endpoints; `None`: either.
    pub token_auth: Option<TokenAuth>,
    /// Where the browser may be sent with a code, compared byte for byte (RFC 9700 section 2.1).
    pub redirect_uris: Box<[Box<str>]>,
    /// What it asks merchants for.
    pub scopes: ScopeSet,
}
