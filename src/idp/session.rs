//! Who is signed in in a browser.

use axum::http::HeaderMap;

use super::Idp;
use super::browser::SessionId;
use crate::gate::Unavailable;
use crate::model::{SignIn, Subject, Timestamp, User, UserStatus};

/// A use is noted this often, in seconds.
const NOTED_EVERY: i64 = 60;

/// A session in force.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) sign_in: SignIn,
    pub(super) user: User,
}

impl Idp {
    /// Who is signed in: neither idle nor absolute life over, the account active.
    pub(super) async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, Unavailable> {
        let Some(id) = self.cookies.session_of(headers) else { return Ok(None) };
        let digest = id.digest();
        let Some(sign_in) = self.replica().sign_in(&digest)? else { return Ok(None) };
        let now = Timestamp::now();
        let idle = i64::try_from(self.settings.session_idle.as_secs()).unwrap_or(i64::MAX);
        if now >= sign_in.ends_at || now >= sign_in.seen_at.plus(idle) {
            return Ok(None);
        }
        let user = self.replica().user(sign_in.subject)?;
        let Some(user) = user.filter(|user| user.status == UserStatus::Active) else { return Ok(None) };
        if now >= sign_in.seen_at.plus(NOTED_EVERY) {
            // What is not noted ends a session early, which the next sign-in cures.
            if let Ok(queue) = self.queue() {
                let _ = queue.touch_sign_in(digest, now).await;
            }
        }
        Ok(Some(Session { id, sign_in, user }))
    }

    /// Starts a session under a new id; the browser's former one ends.
    pub(super) async fn start_session(
        &self,
        headers: &HeaderMap,
        subject: Subject,
        auth_time: Timestamp,
    ) -> Result<(SessionId, SignIn), Unavailable> {
        let id = SessionId::random().map_err(|_| Unavailable)?;
        let now = Timestamp::now();
        let sign_in = SignIn { subject, auth_time, seen_at: now, ends_at: now.plus(self.session_seconds()) };
        let (digest, former) = (id.digest(), self.cookies.session_of(headers).map(|former| former.digest()));
        self.queue()?.sign_in(digest, former, sign_in).await?;
        Ok((id, sign_in))
    }

    /// How long a session lives, in seconds.
    pub(super) fn session_seconds(&self) -> i64 {
        i64::try_from(self.settings.session_life.as_secs()).unwrap_or(i64::MAX)
    }
}
