//! The catalogue has every code and every message, and nothing else.

use std::time::Duration;

use http::HeaderValue;

use super::*;
use crate::gate::Kind;
use crate::model::Platform;
use crate::wire::head::HeadError;
use crate::wire::session_token::SessionTokenError;
use crate::wire::target::TargetError;

/// One reason of each kind; a new one does not compile until it stands here.
macro_rules! reasons {
    ($($pattern:pat => $reason:expr,)*) => {
        fn reasons() -> Vec<Reason> {
            fn is_known(reason: &Reason) -> bool {
                match reason { $($pattern => true,)* }
            }
            let all = vec![$($reason,)*];
            assert!(all.iter().all(is_known));
            all
        }
    };
}

reasons! {
    Reason::Target(_) => Reason::Target(TargetError::RawByte),
    Reason::Syntax(_) => Reason::Syntax(HeadError::LineEnd),
    Reason::Host => Reason::Host,
    Reason::Framing => Reason::Framing,
    Reason::Body => Reason::Body,
    Reason::SlowBody => Reason::SlowBody,
    Reason::Connection => Reason::Connection,
    Reason::TooManyFields => Reason::TooManyFields,
    Reason::Nominated => Reason::Nominated,
    Reason::Forwarded => Reason::Forwarded,
    Reason::HeadTooLarge => Reason::HeadTooLarge,
    Reason::MisleadingPath => Reason::MisleadingPath,
    Reason::Method => Reason::Method,
    Reason::NoRoute => Reason::NoRoute,
    Reason::MethodNotListed(..) => Reason::MethodNotListed(Platform::Selorax, HeaderValue::from_static("GET")),
    Reason::MissingCredential => Reason::MissingCredential,
    Reason::TwoCredentials => Reason::TwoCredentials,
    Reason::RepeatedAuthorization => Reason::RepeatedAuthorization,
    Reason::RepeatedTokenHeader => Reason::RepeatedTokenHeader,
    Reason::CustomerToken => Reason::CustomerToken,
    Reason::TokenOfEndedSecret => Reason::TokenOfEndedSecret,
    Reason::TokenOfOtherShop => Reason::TokenOfOtherShop,
    Reason::KindNotAccepted(_) => Reason::KindNotAccepted(Kind::ALL.into_iter().collect()),
    Reason::RepeatedClientId => Reason::RepeatedClientId,
    Reason::RepeatedSecret => Reason::RepeatedSecret,
    Reason::MalformedClientId => Reason::MalformedClientId,
    Reason::UnknownClient => Reason::UnknownClient,
    Reason::AppDisabled => Reason::AppDisabled,
    Reason::WrongSecret => Reason::WrongSecret,
    Reason::MissingStoreId => Reason::MissingStoreId,
    Reason::MalformedStoreId => Reason::MalformedStoreId,
    Reason::RepeatedStoreId => Reason::RepeatedStoreId,
    Reason::StoreIdsDiffer => Reason::StoreIdsDiffer,
    Reason::NotInstalled => Reason::NotInstalled,
    Reason::StoreSuspended => Reason::StoreSuspended,
    Reason::AddressNotAllowed => Reason::AddressNotAllowed,
    Reason::Scope(_) => Reason::Scope("read:orders".into()),
    Reason::MalformedToken => Reason::MalformedToken,
    Reason::UnknownToken => Reason::UnknownToken,
    Reason::RevokedToken => Reason::RevokedToken,
    Reason::ExpiredToken => Reason::ExpiredToken,
    Reason::TokenWithoutInstallation => Reason::TokenWithoutInstallation,
    Reason::Session(_) => Reason::Session(SessionTokenError::Shape),
    Reason::SessionSignature => Reason::SessionSignature,
    Reason::SessionClaims => Reason::SessionClaims,
    Reason::StoreMismatch => Reason::StoreMismatch,
    Reason::TooManyFailures(_) => Reason::TooManyFailures(Duration::from_secs(1)),
    Reason::RateLimited(_) => Reason::RateLimited(Duration::from_secs(1)),
    Reason::Saturated => Reason::Saturated,
    Reason::ReplicaUnavailable => Reason::ReplicaUnavailable,
    Reason::UpstreamUnreachable => Reason::UpstreamUnreachable,
    Reason::UpstreamTimeout => Reason::UpstreamTimeout,
}

#[test]
fn every_message_is_explained_under_its_code() {
    let reasons = reasons();
    for reason in &reasons {
        let (code, message) = (reason.code(), reason.message());
        let found = entries().filter(|(_, entry)| {
            (entry.status, entry.code) == (code.status().as_u16(), code.name())
                && entry.cases.iter().flat_map(|case| case.messages).any(|pattern| fits(pattern, &message))
        });
        assert_eq!(found.count(), 1, "{code:?}: {message}");
        assert!(case_of(reason).is_some_and(|case| case.has(&message)), "{code:?}: {message}");
    }
    // And no message that is never sent.
    for pattern in entries().flat_map(|(_, entry)| entry.cases).flat_map(|case| case.messages) {
        assert!(reasons.iter().any(|reason| fits(pattern, &reason.message())), "nobody sends {pattern}");
    }
}

#[test]
fn texts_are_whole_sentences() {
    for (_, entry) in entries() {
        assert!(!entry.cases.is_empty(), "{}", entry.code);
        for text in entry.cases.iter().flat_map(|case| [case.cause, case.caller, case.operator]) {
            assert!(text.ends_with('.') && !text.contains("  ") && !text.contains('\n'), "{text:?}");
        }
    }
}
