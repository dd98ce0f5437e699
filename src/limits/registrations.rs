//! How often one person may have a client registered: each costs a bcrypt computation, also where nothing comes of
//! it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::accounts::Accounts;
use super::bucket::Rate;
use crate::model::Subject;

/// People who are kept account of. Past it the oldest start anew.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// As many as one merchant may have, and then ten a minute.
const RATE: Rate = Rate { burst: 60, per_second: 10.0 / 60.0 };

/// The budgets.
pub struct RegistrationBudgets {
    began: Instant,
    accounts: Accounts<Subject>,
}

impl Default for RegistrationBudgets {
    fn default() -> Self {
        Self { began: Instant::now(), accounts: Accounts::new(ACCOUNTS) }
    }
}

impl RegistrationBudgets {
    /// Counts a registration.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub fn draw(&self, owner: Subject) -> Result<(), Duration> {
        self.accounts.of(&owner).take(RATE, 1, self.began.elapsed())
    }
}

impl std::fmt::Debug for RegistrationBudgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistrationBudgets").finish_non_exhaustive()
    }
}
