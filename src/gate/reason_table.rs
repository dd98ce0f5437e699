//! Each internal reason with the code that the caller is told and the label that the operator counts
//! it by: one table, so that a new reason has both or does not compile.

use super::refusal::{Code, Reason};
use crate::wire::head::HeadError;
use crate::wire::session_token::SessionTokenError;
use crate::wire::target::TargetError;

macro_rules! reasons {
    ($($reason:pat => $code:ident $label:literal,)*) => {
        impl Reason {
            /// The code that the caller is told.
            pub fn code(&self) -> Code {
                match self { $($reason => Code::$code,)* }
            }

            /// The reason as a label of metrics: words of a fixed list, nothing of the request.
            pub fn label(&self) -> &'static str {
                match self { $($reason => $label,)* }
            }

            /// Every label with its code.
            pub const LABELS: &'static [(Code, &'static str)] = &[$((Code::$code, $label),)*];
        }
    };
}

reasons! {
    // The request as such.
    Self::Target(TargetError::NotOriginForm) => InvalidRequest "target_form",
    Self::Target(TargetError::AuthorityDiffers) => InvalidRequest "target_authority",
    Self::Target(TargetError::RawByte) => InvalidRequest "target_raw_byte",
    Self::Target(TargetError::BadPercent) => InvalidRequest "target_bad_percent",
    Self::Target(TargetError::EncodedControl) => InvalidRequest "target_encoded_control",
    Self::Target(TargetError::EncodedSlash) => InvalidRequest "target_encoded_slash",
    Self::Target(TargetError::EncodedBackslash) => InvalidRequest "target_encoded_backslash",
    Self::Target(TargetError::LeavesRoot) => InvalidRequest "target_leaves_root",
    Self::Target(TargetError::DotParameters) => InvalidRequest "target_dot_parameters",
    Self::Target(TargetError::Fragment) => InvalidRequest "target_fragment",
    Self::Target(TargetError::TooLong) => InvalidRequest "target_too_long",
    Self::Syntax(HeadError::LineEnd) => InvalidRequest "line_end",
    Self::Syntax(HeadError::RequestLine) => InvalidRequest "request_line",
    Self::Syntax(HeadError::Version) => InvalidRequest "version",
    Self::Syntax(HeadError::FieldName) => InvalidRequest "field_name",
    Self::Syntax(HeadError::FieldValue) => InvalidRequest "field_value",
    Self::Syntax(HeadError::Padded) => InvalidRequest "padded_value",
    Self::Syntax(HeadError::Scheme) => InvalidRequest "scheme",
    Self::Syntax(HeadError::Folded) => InvalidRequest "folded_field",
    Self::Syntax(HeadError::Coding) => InvalidRequest "transfer_coding",
    // These have reasons of their own, which the door prefers.
    Self::Syntax(
        HeadError::Host
        | HeadError::Length
        | HeadError::Method
        | HeadError::Target(_)
        | HeadError::TooManyFields
    ) => InvalidRequest "syntax",
    Self::Host => InvalidRequest "host",
    Self::Framing => InvalidRequest "content_length",
    Self::Body => InvalidRequest "body",
    Self::Nominated => InvalidRequest "connection_nomination",
    Self::Connection => InvalidRequest "connection_malformed",
    Self::Forwarded => InvalidRequest "forwarded_for",
    Self::MisleadingPath => InvalidRequest "misleading_path",
    Self::HeadTooLarge => HeadTooLarge "head_bytes",
    Self::TooManyFields => HeadTooLarge "head_fields",
    Self::Method => MethodNotAllowed "method_never_served",
    Self::MethodNotListed(..) => MethodNotAllowed "method_not_listed",
    Self::NoRoute => NotFound "no_route",
    // Who is calling.
    Self::TwoCredentials => InvalidRequest "two_credentials",
    Self::RepeatedAuthorization => InvalidRequest "repeated_authorization",
    Self::RepeatedTokenHeader => InvalidRequest "repeated_token_header",
    Self::MissingCredential => MissingToken "missing_credential",
    Self::KindNotAccepted(_) => CredentialNotAccepted "kind_not_accepted",
    Self::RepeatedClientId => InvalidClient "repeated_client_id",
    Self::RepeatedSecret => InvalidClient "repeated_secret",
    Self::MalformedClientId => InvalidClient "malformed_client_id",
    Self::UnknownClient => InvalidClient "unknown_client",
    Self::AppDisabled => InvalidClient "app_disabled",
    Self::WrongSecret => InvalidClient "wrong_secret",
    Self::MalformedToken => InvalidToken "malformed_token",
    Self::UnknownToken => InvalidToken "unknown_token",
    Self::RevokedToken => InvalidToken "revoked_token",
    Self::ExpiredToken => InvalidToken "expired_token",
    Self::TokenWithoutInstallation => InvalidToken "token_without_installation",
    Self::TokenOfEndedSecret => InvalidToken "token_of_ended_secret",
    Self::TokenOfOtherShop => InvalidToken "token_of_other_shop",
    Self::CustomerToken => InvalidToken "customer_token",
    Self::Session(SessionTokenError::Shape) => InvalidToken "session_shape",
    Self::Session(SessionTokenError::Encoding) => InvalidToken "session_encoding",
    Self::Session(SessionTokenError::NotAnObject) => InvalidToken "session_not_an_object",
    Self::Session(SessionTokenError::DuplicateName) => InvalidToken "session_duplicate_name",
    Self::Session(SessionTokenError::Algorithm) => InvalidToken "session_algorithm",
    Self::Session(SessionTokenError::Extension(_)) => InvalidToken "session_extension",
    Self::Session(SessionTokenError::SignatureLength) => InvalidToken "session_signature_length",
    Self::Session(SessionTokenError::MissingClaim(_)) => InvalidToken "session_missing_claim",
    Self::Session(SessionTokenError::WrongClaim(_)) => InvalidToken "session_wrong_claim",
    Self::Session(SessionTokenError::Expired) => InvalidToken "session_expired",
    Self::Session(SessionTokenError::IssuedAhead) => InvalidToken "session_issued_ahead",
    Self::Session(SessionTokenError::NotYetValid) => InvalidToken "session_not_yet_valid",
    Self::Session(SessionTokenError::Life) => InvalidToken "session_life",
    Self::SessionSignature => InvalidToken "session_signature",
    Self::SessionClaims => InvalidToken "session_claims",
    Self::AddressNotAllowed => IpNotAllowed "address_not_allowed",
    // Which store, and what for.
    Self::MissingStoreId => MissingStoreId "missing_store_id",
    Self::MalformedStoreId => InvalidStoreId "malformed_store_id",
    Self::RepeatedStoreId => InvalidStoreId "repeated_store_id",
    Self::StoreIdsDiffer => InvalidStoreId "store_ids_differ",
    Self::NotInstalled => NotInstalled "not_installed",
    Self::StoreSuspended => StoreSuspended "store_suspended",
    Self::StoreMismatch => StoreMismatch "store_mismatch",
    Self::Scope(_) => InsufficientScope "scope",
    // The gateway and the upstream.
    Self::TooManyFailures(_) => RateLimitExceeded "too_many_failures",
    Self::RateLimited(_) => RateLimitExceeded "rate_limited",
    Self::Saturated => ServiceUnavailable "saturated",
    Self::ReplicaUnavailable => ServiceUnavailable "replica_unavailable",
    Self::UpstreamUnreachable => BadGateway "upstream_unreachable",
    Self::UpstreamTimeout => GatewayTimeout "upstream_timeout",
    Self::SlowBody => RequestTimeout "slow_body",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_distinct_words() {
        let labels: BTreeSet<_> = Reason::LABELS.iter().map(|(_, label)| label).collect();
        assert_eq!(labels.len(), Reason::LABELS.len());
        assert!(labels.iter().all(|label| label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        // Every code has a reason, and every reason that of its code.
        for code in Code::ALL {
            assert!(Reason::LABELS.iter().any(|(of, _)| *of == code), "{code:?}");
        }
        for reason in [Reason::Host, Reason::TooManyFields, Reason::Scope("a".into())] {
            assert!(Reason::LABELS.contains(&(reason.code(), reason.label())));
        }
    }
}
