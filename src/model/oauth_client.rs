//! The clients of the identity provider: websites and programs that let people sign in (RFC 6749
//! section 2). Apps, which call the store API, are another kind and have other credentials.

use std::fmt;

use url::{Host, Url};

use super::{AppSecret, ClientId, Malformed, PasswordHash, ScopeSet};

/// A client with what deciding on its requests needs.
#[derive(Debug, Clone)]
pub struct OauthClient {
    /// Its number, by which other rows name it.
    pub number: i64,
    /// Its public identifier.
    pub client_id: ClientId,
    /// What people are shown.
    pub name: String,
    /// What is stored of its secret; `None`: a public client (RFC 6749 section 2.1).
    pub secret_hash: Option<PasswordHash>,
    /// Where it may have people sent back to; at least one.
    pub redirect_uris: Box<[RedirectUri]>,
    /// Where it may have people sent after they signed out.
    pub logout_uris: Box<[RedirectUri]>,
    /// What it may ask for.
    pub scopes: ScopeSet,
    /// Whether it works at all.
    pub is_enabled: bool,
}

impl OauthClient {
    /// Whether it has no secret, so that only PKCE protects its codes.
    pub fn is_public(&self) -> bool {
        self.secret_hash.is_none()
    }

    /// The registered redirect URI that is this very text (RFC 6749 section 3.1.2.3, RFC 9700 section
    /// 4.1.3: simple string comparison).
    pub fn redirect_uri(&self, text: &str) -> Option<&RedirectUri> {
        self.redirect_uris.iter().find(|uri| uri.as_str() == text)
    }

    /// The registered place after signing out that is this very text.
    pub fn logout_uri(&self, text: &str) -> Option<&RedirectUri> {
        self.logout_uris.iter().find(|uri| uri.as_str() == text)
    }
}

/// The secret of a client as one generation, which the bcrypt workers take.
impl super::HoldsSecrets for AppSecret {
    fn secrets(&self) -> &[AppSecret] {
        std::slice::from_ref(self)
    }
}

/// Whether a client can keep a secret (RFC 6749 section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientType {
    /// It can: a server.
    Confidential,
    /// It cannot: a program on somebody's device, or in a browser.
    Public,
}

/// Where a client has people sent back to: an absolute URI without a fragment, compared as a text.
#[derive(Clone, PartialEq, Eq)]
pub struct RedirectUri(Box<str>);

impl RedirectUri {
    /// The longest, in bytes.
    pub const MAX_BYTES: usize = 2048;

    /// Takes one over. Allowed are `https`, `http` on this machine (`127.0.0.1`, `[::1]`,
    /// `localhost`; RFC 8252 section 7.3) and, for public clients, schemes of their own in reverse
    /// domain form such as `com.example.app` (RFC 8252 section 7.1).
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything else, with what is allowed.
    pub fn parse(text: &str, client: ClientType) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed(
            "a redirect URI is absolute, at most 2048 visible ASCII characters, without fragment, user and `*`",
        );
        const SCHEME: Malformed = Malformed(
            "a redirect URI begins with https://, with http:// on 127.0.0.1, [::1] or localhost, \
             or for a public client with a scheme of its own such as com.example.app:/",
        );
        let visible = text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}*#".contains(&b));
        if text.is_empty() || text.len() > Self::MAX_BYTES || !visible {
            return Err(FORM);
        }
        let url = Url::parse(text).map_err(|_| FORM)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FORM);
        }
        // A URL may hold more in its host; it would end up in the pages' Content-Security-Policy.
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let allowed = match url.scheme() {
            "https" => match url.host() {
                Some(Host::Domain(name)) => plain(name),
                host => host.is_some(),
            },
            "http" => match url.host() {
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                Some(Host::Domain(name)) => name == "localhost",
                None => false,
            },
            scheme => client == ClientType::Public && scheme.contains('.'),
        };
        // `https:/host` is repaired by browsers, and is another text than what they send back.
        let written = !matches!(url.scheme(), "http" | "https")
            || text.get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://"));
        if allowed && written { Ok(Self(text.into())) } else { Err(SCHEME) }
    }

    /// The text, as it was registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With these query parameters added, and an existing query kept (RFC 6749 section 3.1.2).
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let mark = match self.0.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        format!("{}{mark}{}", self.0, query.finish())
    }

    /// As [`site`].
    pub fn site(&self) -> String {
        site(&self.0)
    }

    /// As [`csp_source`].
    pub fn csp_source(&self) -> String {
        csp_source(&self.0)
    }
}

/// What a Content-Security-Policy calls the place of a URI: its origin, or the scheme alone where an origin
/// cannot be written there (addresses of IPv6, schemes of programs).
pub fn csp_source(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_))) && is_web(&url) => {
            url.origin().ascii_serialization()
        }
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => "'self'".to_owned(),
    }
}

/// The place as people know it: the host, or the scheme of a program on their device.
pub fn site(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if is_web(&url) => {
            let host = url.host_str().unwrap_or_default();
            url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        }
        Ok(url) => url.scheme().to_owned(),
        Err(_) => String::new(),
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, client: ClientType) -> bool {
        RedirectUri::parse(text, client).is_ok()
    }

    #[test]
    fn where_people_may_be_sent() {
        for good in [
            "https://shop.example/callback",
            "https://shop.example",
            "https://shop.example:8443/cb?tenant=7",
            "http://127.0.0.1:3000/cb",
            "http://[::1]:3000/cb",
            "http://localhost/cb",
        ] {
            assert!(parse(good, ClientType::Confidential), "{good}");
            assert!(parse(good, ClientType::Public), "{good}");
        }
        assert!(parse("com.example.app:/cb", ClientType::Public));
        for bad in [
            "",
            "/callback",
            "//shop.example/cb",
            "shop.example/cb",
            "http://shop.example/cb",
            "http://127.0.0.1.example/cb",
            "http://localhost.example/cb",
            "http://0.0.0.0/cb",
            "https:/shop.example/cb",
            "https:shop.example",
            "https://",
            "https://shop.example/cb#there",
            "https://shop.example/cb#",
            "https://user@shop.example/cb",
            "https://user:p@shop.example/cb",
            "https://*.shop.example/cb",
            "https://shop.example/c b",
            "https://shop.example/cb\n",
            "https://shop.example\\cb",
            "https://shöp.example/cb",
            "https://shop.example/<cb>",
            "https://a;sandbox.example/cb",
            "https://a,b.example/cb",
            "https://shop.example;/cb",
            "https://shop%3bsandbox.example/cb",
            "https://(shop).example/cb",
            "https://shop.example'/cb",
            "https://shop.example$/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://shop.example/cb",
            "myapp:/cb",
            "file:///etc/passwd",
            &format!("https://shop.example/{}", "a".repeat(2048)),
        ] {
            assert!(!parse(bad, ClientType::Confidential), "{bad:?}");
            assert!(!parse(bad, ClientType::Public), "{bad:?}");
        }
        assert!(!parse("com.example.app:/cb", ClientType::Confidential));
    }

    #[test]
    fn parameters_join_the_query() {
        let rows = [
            ("https://a.example/cb", "https://a.example/cb?code=1&state=a+%26+b"),
            ("https://a.example/cb?", "https://a.example/cb?code=1&state=a+%26+b"),
            ("https://a.example/cb?x=1", "https://a.example/cb?x=1&code=1&state=a+%26+b"),
        ];
        for (uri, expected) in rows {
            let uri = RedirectUri::parse(uri, ClientType::Confidential).unwrap();
            assert_eq!(uri.with(&[("code", "1"), ("state", "a & b")]), expected);
        }
    }

    #[test]
    fn places_have_names() {
        let rows = [
            ("https://a.example:8443/cb", "a.example:8443", "https://a.example:8443"),
            ("https://a.example/cb", "a.example", "https://a.example"),
            ("http://[::1]:3000/cb", "[::1]:3000", "http:"),
            ("com.example.app:/cb", "com.example.app", "com.example.app:"),
        ];
        for (uri, site, source) in rows {
            let uri = RedirectUri::parse(uri, ClientType::Public).unwrap();
            assert_eq!((&*uri.site(), &*uri.csp_source()), (site, source));
        }
    }
}
