//! What an operator may do through the admin API.

use super::Malformed;

/// A permission, by the platform's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Change apps and rotate their secrets.
    ManageApps,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 1] = [Self::ManageApps];

    /// The platform's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ManageApps => "apps__manage_apps",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for a name that is no permission.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let known = Self::ALL.into_iter().find(|permission| permission.name() == text);
        known.ok_or(Malformed("the permissions are: apps__manage_apps"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.name()), Ok(permission));
        }
        for text in ["", "*", "apps", "Apps__Manage_Apps", "apps__manage_apps "] {
            assert!(Permission::parse(text).is_err(), "{text:?}");
        }
    }
}
