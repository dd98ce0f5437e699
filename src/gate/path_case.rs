//! Whether paths are told apart by upper and lower case.

use std::borrow::Cow;

/// Whether the literal parts of routes match without regard to case, as Express upstreams do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathCase {
    /// `/API/Orders` is `/api/orders`, and captured parts are lower-cased in scopes.
    #[default]
    Insensitive,
    /// Every byte counts.
    Sensitive,
}

impl PathCase {
    /// The spelling under which a path without captures is matched: lower-case unless case counts, and without
    /// one slash at its end.
    pub fn literal(self, path: &str) -> Cow<'_, str> {
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        match self {
            Self::Insensitive if path.bytes().any(|b| b.is_ascii_uppercase()) => {
                Cow::Owned(path.to_ascii_lowercase())
            }
            _ => Cow::Borrowed(path),
        }
    }
}
