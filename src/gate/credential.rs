//! What the caller presents. All field lines of each header are read; at most one kind survives.

use std::fmt;

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderMap, HeaderName, ORIGIN};

use super::dialect;
use super::kind::{Kind, Kinds};
use super::refusal::Reason;
use crate::model::{ClientId, Platform, StoreId};
use crate::wire::authorization::{self, Authorization, Shape};
use crate::wire::query::{self, QueryStoreId};

/// The public identifier of an app.
pub const X_CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
/// An app's secret.
pub const X_CLIENT_SECRET: HeaderName = HeaderName::from_static("x-client-secret");
/// The store to act on.
pub const X_STORE_ID: HeaderName = HeaderName::from_static("x-store-id");

/// Where Shopify's clients send an access token.
pub const X_SHOPIFY_ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-shopify-access-token");
/// Where Elastic Path's clients send a customer token, beside the bearer token.
pub const X_MOLTIN_CUSTOMER_TOKEN: HeaderName = HeaderName::from_static("x-moltin-customer-token");

/// The longest client secret, in bytes; checked before anything is hashed.
pub const MAX_SECRET_BYTES: usize = 256;

/// One credential, read but not verified.
#[derive(Clone, Copy)]
pub enum Presented<'h> {
    /// An opaque access token, well-formed.
    Opaque(&'h [u8]),
    /// Three dot-separated parts.
    Session(&'h [u8]),
    /// A well-formed client id and whatever came as its secret.
    Client {
        /// The client id.
        id: &'h str,
        /// The secret; `None` when no app could have it, so that it is judged after the id.
        secret: Option<&'h [u8]>,
    },
}

/// The field lines of one header. Lines are counted before emptiness: an empty line beside a filled
/// one is a repeated header.
#[derive(Clone, Copy)]
pub(super) enum Lines<'h> {
    Absent,
    One(&'h [u8]),
    Repeated,
}

impl<'h> Lines<'h> {
    pub(super) fn of(headers: &'h HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => match value.as_bytes().trim_ascii() {
                b"" => Self::Absent,
                value => Self::One(value),
            },
            (Some(_), Some(_)) => Self::Repeated,
        }
    }

    fn is_present(self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// Reads the one credential of a request for a route that takes `accepted`.
pub(super) fn read<'h>(
    headers: &'h HeaderMap,
    accepted: Kinds,
    platform: Platform,
    access_token_prefix: &str,
) -> Result<Presented<'h>, Reason> {
    let id = Lines::of(headers, &X_CLIENT_ID);
    let secret = Lines::of(headers, &X_CLIENT_SECRET);
    let bearer = match Lines::of(headers, &AUTHORIZATION) {
        Lines::Repeated => return Err(Reason::RepeatedAuthorization),
        Lines::Absent => None,
        Lines::One(value) => match authorization::parse(value) {
            Some(Authorization::Bearer(token)) => Some(token),
            Some(Authorization::Other) | None => None,
        },
    };
    let bearer = match platform {
        Platform::Shopify => shopify_token(headers, bearer)?,
        _ => bearer,
    };
    let accept = |kind: Kind| match accepted.contains(kind) {
        true => Ok(()),
        false => Err(Reason::KindNotAccepted(accepted)),
    };
    match bearer {
        Some(_) if id.is_present() || secret.is_present() => Err(Reason::TwoCredentials),
        Some(b"") => Err(Reason::MissingCredential),
        Some(token) => match dialect::shape(platform, token, access_token_prefix) {
            Shape::Opaque => accept(Kind::Bearer).map(|()| Presented::Opaque(token)),
            Shape::Session => accept(Kind::Session).map(|()| Presented::Session(token)),
            Shape::Unknown => Err(Reason::MalformedToken),
        },
        None if id.is_present() && secret.is_present() => {
            accept(Kind::ClientCredentials)?;
            client(id, secret)
        }
        None => Err(Reason::MissingCredential),
    }
}

/// The token of a Shopify client: in the header of its own, or as bearer token.
fn shopify_token<'h>(headers: &'h HeaderMap, bearer: Option<&'h [u8]>) -> Result<Option<&'h [u8]>, Reason> {
    match Lines::of(headers, &X_SHOPIFY_ACCESS_TOKEN) {
        Lines::Absent => Ok(bearer),
        Lines::Repeated => Err(Reason::RepeatedTokenHeader),
        Lines::One(_) if bearer.is_some() => Err(Reason::TwoCredentials),
        Lines::One(token) => Ok(Some(token)),
    }
}

fn client<'h>(id: Lines<'h>, secret: Lines<'h>) -> Result<Presented<'h>, Reason> {
    let Lines::One(id) = id else { return Err(Reason::RepeatedClientId) };
    let Lines::One(secret) = secret else { return Err(Reason::RepeatedSecret) };
    let id = std::str::from_utf8(id).ok().filter(|id| ClientId::is_well_formed(id.as_bytes()));
    let id = id.ok_or(Reason::MalformedClientId)?;
    let is_secret = secret.len() <= MAX_SECRET_BYTES && secret.iter().all(u8::is_ascii_graphic);
    Ok(Presented::Client { id, secret: is_secret.then_some(secret) })
}

/// The store that client credentials name, in the header or in the query.
pub(super) fn store_of_client(headers: &HeaderMap, query: Option<&str>) -> Result<StoreId, Reason> {
    let in_header = sent_store(headers)?;
    let in_query = match query::store_id(query) {
        QueryStoreId::Absent => None,
        QueryStoreId::Once(text) => Some(StoreId::parse(&text).map_err(|_| Reason::MalformedStoreId)?),
        QueryStoreId::Repeated => return Err(Reason::RepeatedStoreId),
    };
    match (in_header, in_query) {
        (Some(header), Some(query)) if header != query => Err(Reason::StoreIdsDiffer),
        (Some(store), _) | (None, Some(store)) => Ok(store),
        (None, None) => Err(Reason::MissingStoreId),
    }
}

/// The store in `X-Store-Id`, if any.
pub(super) fn sent_store(headers: &HeaderMap) -> Result<Option<StoreId>, Reason> {
    match Lines::of(headers, &X_STORE_ID) {
        Lines::Absent => Ok(None),
        Lines::One(text) => StoreId::parse(text).map(Some).map_err(|_| Reason::MalformedStoreId),
        Lines::Repeated => Err(Reason::RepeatedStoreId),
    }
}

/// The method for which a real CORS preflight asks (Fetch standard, section 4.9); `None` for every
/// other request. A preflight never carries credentials; a browser sends each of the two headers once
/// and filled.
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if method != Method::OPTIONS {
        return None;
    }
    let (Lines::One(_), Lines::One(asked)) =
        (Lines::of(headers, &ORIGIN), Lines::of(headers, &ACCESS_CONTROL_REQUEST_METHOD))
    else {
        return None;
    };
    Method::from_bytes(asked).ok()
}

/// Whether there is any header that holds a credential, whatever it holds.
pub fn is_shown(headers: &HeaderMap) -> bool {
    let names = [&AUTHORIZATION, &X_CLIENT_ID, &X_CLIENT_SECRET, &X_SHOPIFY_ACCESS_TOKEN];
    names.into_iter().any(|name| headers.contains_key(name))
}

/// What a caller showed as the secret part of a credential, good or bad. It has no way out but
/// [`Shown::expose`], and is for the fingerprint in the access log.
#[derive(Clone, Copy)]
pub struct Shown<'h>(&'h [u8]);

impl<'h> Shown<'h> {
    /// The token, or the secret beside a client id; `None` where there is neither. Of several lines the first.
    pub fn of(headers: &'h HeaderMap) -> Option<Self> {
        let first = |name: &HeaderName| {
            let value = headers.get(name)?.as_bytes().trim_ascii();
            (!value.is_empty()).then_some(value)
        };
        let bearer = first(&AUTHORIZATION).and_then(|value| match authorization::parse(value) {
            Some(Authorization::Bearer(token)) if !token.is_empty() => Some(token),
            _ => None,
        });
        let shown = bearer.or_else(|| first(&X_CLIENT_SECRET)).or_else(|| first(&X_SHOPIFY_ACCESS_TOKEN));
        shown.map(Self)
    }

    /// Its bytes.
    pub fn expose(self) -> &'h [u8] {
        self.0
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(…)")
    }
}

impl Presented<'_> {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Opaque(_) => Kind::Bearer,
            Self::Session(_) => Kind::Session,
            Self::Client { .. } => Kind::ClientCredentials,
        }
    }
}
