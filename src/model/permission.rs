//! What an operator may do through the admin API.

use super::Malformed;

/// A permission. Where the platform has a name for it (`apps__manage_apps`, `apps__install_apps`), that is
/// its name; the others follow its manner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// See stores.
    ViewStores,
    /// Add, suspend and resume stores; see them.
    ManageStores,
    /// See apps, the ages of their secrets, and installations.
    ViewApps,
    /// Make and change apps and rotate their secrets; see them.
    ManageApps,
    /// Install and uninstall apps.
    InstallApps,
    /// Issue access tokens.
    IssueTokens,
    /// Revoke access tokens.
    RevokeTokens,
    /// See, add, change and remove operators that may do no more than oneself.
    ManageOperators,
    /// See the audit record.
    ViewAudit,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 9] = [
        Self::ViewStores,
        Self::ManageStores,
        Self::ViewApps,
        Self::ManageApps,
        Self::InstallApps,
        Self::IssueTokens,
        Self::RevokeTokens,
        Self::ManageOperators,
        Self::ViewAudit,
    ];

    /// Its name. Names are compared byte by byte.
    pub fn name(self) -> &'static str {
        match self {
            Self::ViewStores => "stores__view_stores",
            Self::ManageStores => "stores__manage_stores",
            Self::ViewApps => "apps__view_apps",
            Self::ManageApps => "apps__manage_apps",
            Self::InstallApps => "apps__install_apps",
            Self::IssueTokens => "tokens__issue_tokens",
            Self::RevokeTokens => "tokens__revoke_tokens",
            Self::ManageOperators => "operators__manage_operators",
            Self::ViewAudit => "audit__view_audit",
        }
    }

    /// Whether who has this permission may do what `other` is needed for: to manage is also to view.
    pub fn covers(self, other: Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::ManageStores, Self::ViewStores) | (Self::ManageApps, Self::ViewApps)
            )
    }

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for a name that is no permission.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let known = Self::ALL.into_iter().find(|permission| permission.name() == text);
        known.ok_or(Malformed(
            "the permissions are: stores__view_stores, stores__manage_stores, apps__view_apps, \
             apps__manage_apps, apps__install_apps, tokens__issue_tokens, tokens__revoke_tokens, \
             operators__manage_operators, audit__view_audit",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        let help = Permission::parse("").unwrap_err().0;
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.name()), Ok(permission));
            assert!(help.contains(permission.name()), "{help}");
            for text in [
                permission.name().to_uppercase(),
                permission.name().replace("__", "_"),
                format!("{} ", permission.name()),
                permission.name().replacen('_', "%5f", 1),
            ] {
                assert!(Permission::parse(&text).is_err(), "{text:?}");
            }
        }
        for text in ["", "*", "apps", "Apps__Manage_Apps", "apps__manage_apps "] {
            assert!(Permission::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn to_manage_is_to_view_and_nothing_else() {
        let covering = |a: Permission| Permission::ALL.into_iter().filter(|&b| a.covers(b)).count();
        for permission in Permission::ALL {
            let expected = match permission {
                Permission::ManageStores | Permission::ManageApps => 2,
                _ => 1,
            };
            assert_eq!(covering(permission), expected, "{permission:?}");
        }
    }
}
