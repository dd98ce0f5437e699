//! A token request as it came in: its parameters, and who it says it is.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::client::Presented;
use super::failure::Failure;
use crate::model::{Requester, Secret, StoreId, TokenAuth};
use crate::wire::basic::{self, BasicField};
use crate::wire::parameters::Parameters;

/// Which bodies an endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    /// A form (RFC 6749 section 4.4.2).
    Form,
    /// A form, or one flat JSON object.
    FormOrJson,
    /// The same; what calls itself JSON and does not begin like it is read as a form, as examples of that
    /// platform send it.
    FormOrJsonLoosely,
}

/// A request and what is known of who sent it.
pub(super) struct Request<'r> {
    pub(super) requester: &'r Requester,
    pub(super) headers: &'r HeaderMap,
    pub(super) body: &'r Bytes,
}

impl Request<'_> {
    /// The parameters of the body.
    pub(super) fn parameters(&self, bodies: Bodies) -> Result<Parameters, Failure> {
        const FORM: &str = "application/x-www-form-urlencoded";
        let media_type = one_line(self.headers, &CONTENT_TYPE)?.unwrap_or_default();
        let media_type = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| media_type.eq_ignore_ascii_case(name.as_bytes());
        let begins_as_object = self.body.trim_ascii_start().first() == Some(&b'{');
        if is(FORM) || (is("application/json") && bodies == Bodies::FormOrJsonLoosely && !begins_as_object) {
            return Ok(Parameters::from_form(self.body)?);
        }
        if is("application/json") && bodies != Bodies::Form {
            return Ok(Parameters::from_json(self.body)?);
        }
        Err(Failure::malformed(match bodies {
            Bodies::Form => "The Content-Type must be application/x-www-form-urlencoded.",
            _ => "The Content-Type must be application/x-www-form-urlencoded or application/json.",
        }))
    }

    /// The client authentication: HTTP Basic or the body, never both (RFC 6749 section 2.3).
    pub(super) fn client(&self, parameters: &Parameters) -> Result<Presented, Failure> {
        let in_body = parameters.get("client_id");
        let secret = parameters.get("client_secret");
        let basic = match one_line(self.headers, &AUTHORIZATION)?.map(basic::parse) {
            None | Some(BasicField::Other) => None,
            // Attempted with Authorization it is 401 (RFC 6749 section 5.2).
            Some(BasicField::Malformed) => return Err(Failure::MissingClient),
            Some(BasicField::Basic(basic)) => Some(basic),
        };
        match (basic, in_body) {
            (Some(_), _) if secret.is_some() => {
                Err(Failure::malformed("The client authenticates by HTTP Basic or in the body, not both."))
            }
            (Some(basic), Some(id)) if basic.id != id => {
                Err(Failure::malformed("HTTP Basic and the body name different clients."))
            }
            (Some(basic), _) if basic.id.is_empty() || basic.secret.is_empty() => Err(Failure::MissingClient),
            (Some(basic), _) => Ok(Presented {
                id: basic.id,
                secret: Some((Secret::new(basic.secret.to_string()), TokenAuth::Basic)),
            }),
            (None, Some(id)) => {
                let secret = secret.map(|secret| (Secret::new(secret.to_owned()), TokenAuth::Post));
                Ok(Presented { id: id.to_owned(), secret })
            }
            (None, None) => Err(Failure::MissingClient),
        }
    }
}

/// The `store_id` parameter, if any.
pub(super) fn store_id(parameters: &Parameters) -> Result<Option<StoreId>, Failure> {
    let store = parameters.get("store_id").map(|text| StoreId::parse(text.as_bytes())).transpose();
    store.map_err(|_| Failure::malformed("Invalid store_id: digits only, without sign or leading zero."))
}

/// The value of a header that may stand once.
pub(super) fn one_line<'h>(
    headers: &'h HeaderMap,
    name: &axum::http::HeaderName,
) -> Result<Option<&'h [u8]>, Failure> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(Some(line.as_bytes())),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Failure::malformed("A header was sent more than once.")),
    }
}
