//! What happens here, counted for metrics and told to the log. Neither names an email address, a token or
//! a session.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{ClientId, Requester, Subject};

macro_rules! events {
    ($($(#[$meta:meta])* $variant:ident => $name:literal,)*) => {
        /// Something that an operator may want to count or to find again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Event { $($(#[$meta])* $variant,)* }

        impl Event {
            /// Every event.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name in metrics and logs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

events! {
    /// Somebody proved who they are.
    SignedIn => "signed_in",
    /// A wrong password, or an account that does not exist or is disabled.
    SignInFailed => "sign_in_failed",
    /// Too many wrong passwords.
    SignInThrottled => "sign_in_throttled",
    /// An answer of the external login page that is not good.
    AnswerRefused => "login_answer_refused",
    /// Somebody signed out in one browser.
    SignedOut => "signed_out",
    /// Somebody signed out in every browser.
    SignedOutEverywhere => "signed_out_everywhere",
    /// Somebody granted a client what it asked for.
    ConsentGiven => "consent_given",
    /// Somebody did not.
    ConsentDenied => "consent_denied",
    /// Somebody withdrew what they had granted.
    ConsentWithdrawn => "consent_withdrawn",
    /// A code was issued.
    CodeIssued => "code_issued",
    /// A pair of tokens was issued for a code.
    TokensIssued => "tokens_issued",
    /// A pair of tokens was issued for a refresh token.
    TokensRefreshed => "tokens_refreshed",
    /// A pair of tokens was revoked by its client.
    TokensRevoked => "tokens_revoked",
    /// A code was used twice; what came of it has ended.
    CodeReused => "code_reused",
    /// A refresh token was used twice; its family has ended.
    RefreshTokenReused => "refresh_token_reused",
    /// A code or refresh token was refused.
    GrantRefused => "grant_refused",
    /// A client did not prove who it is.
    ClientRefused => "client_refused",
    /// A merchant registered a client.
    ClientRegistered => "client_registered",
}

/// The counts.
#[derive(Debug, Default)]
pub struct Events([AtomicU64; Event::ALL.len()]);

impl Events {
    /// How often each event has happened.
    pub fn counts(&self) -> impl Iterator<Item = (Event, u64)> {
        Event::ALL.into_iter().zip(&self.0).map(|(event, count)| (event, count.load(Ordering::Relaxed)))
    }

    /// Counts and tells an event.
    pub(super) fn note(
        &self,
        event: Event,
        caller: &Requester,
        subject: Option<Subject>,
        client: Option<&ClientId>,
    ) {
        if let Some(count) = self.0.get(event as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let subject = subject.map(tracing::field::display);
        let client = client.map(ClientId::as_str);
        let (caller, request_id) = (caller.address, super::http::request_id(caller));
        tracing::info!(subject, client, %caller, request_id, "{}", event.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_its_own_count() {
        let events = Events::default();
        let caller = Requester {
            address: std::net::IpAddr::from([127, 0, 0, 1]),
            host: "id.example".into(),
            secure: true,
            request_id: axum::http::HeaderValue::from_static("r"),
        };
        for event in Event::ALL {
            events.note(event, &caller, None, None);
        }
        assert!(events.counts().all(|(_, count)| count == 1));
        let mut names: Vec<&str> = Event::ALL.iter().map(|event| event.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Event::ALL.len());
    }
}
