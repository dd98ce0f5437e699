//! Sets of scopes (RFC 6749 section 3.3).

use http::HeaderValue;

/// What a scope list was refused for; the text names the scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedScope {
    /// A byte outside the set of RFC 6749 section 3.3.
    #[error("the scope {0:?} has a character that RFC 6749 section 3.3 does not allow")]
    Character(String),
    /// More scopes or bytes than a request header should carry.
    #[error("a scope list may hold at most {} bytes", ScopeSet::MAX_BYTES)]
    TooLong,
}

/// A set of scopes, sorted and without doubles, with the header value that tells the upstream.
#[derive(Debug, Clone)]
pub struct ScopeSet {
    sorted: Box<[Box<str>]>,
    header: HeaderValue,
}

impl ScopeSet {
    /// The longest list taken over, in bytes: it becomes one request header.
    pub const MAX_BYTES: usize = 4096;

    /// Reads a list separated by blanks or commas (the platforms use both). The platform's
    /// underscore spelling (`read_orders`) is kept as it is written.
    ///
    /// # Errors
    ///
    /// [`MalformedScope`] when a scope has a character outside `%x21 / %x23-5B / %x5D-7E` or the list
    /// is too long.
    pub fn parse(text: &str) -> Result<Self, MalformedScope> {
        if text.len() > Self::MAX_BYTES {
            return Err(MalformedScope::TooLong);
        }
        let scopes = text.split([' ', ',', '\t']).filter(|scope| !scope.is_empty());
        let mut list = Vec::new();
        for scope in scopes {
            if !scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)) {
                return Err(MalformedScope::Character(scope.to_owned()));
            }
            list.push(Box::from(scope));
        }
        Ok(Self::from_list(list))
    }

    fn from_list(mut list: Vec<Box<str>>) -> Self {
        list.sort_unstable();
        list.dedup();
        // Every scope came through `parse`, so that the text is visible ASCII and single blanks.
        let header = HeaderValue::try_from(list.join(" ")).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { sorted: list.into(), header }
    }

    /// Whether `scope` is in the set.
    pub fn contains(&self, scope: &str) -> bool {
        self.sorted.binary_search_by(|own| (**own).cmp(scope)).is_ok()
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.sorted.iter().map(|scope| &**scope)
    }

    /// Whether every scope of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|scope| other.contains(scope))
    }

    /// The scopes that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        Self::from_list(self.sorted.iter().filter(|scope| other.contains(scope)).cloned().collect())
    }

    /// The scopes that are in one or the other.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_list(self.sorted.iter().chain(&other.sorted).cloned().collect())
    }

    /// The scopes separated by single blanks: how the replica stores them and the upstream reads
    /// them.
    pub fn as_str(&self) -> &str {
        self.header.to_str().unwrap_or_default()
    }

    /// The value of the scopes header that the upstream receives.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }
}

/// No scopes.
impl Default for ScopeSet {
    fn default() -> Self {
        Self::from_list(Vec::new())
    }
}

impl PartialEq for ScopeSet {
    fn eq(&self, other: &Self) -> bool {
        self.sorted == other.sorted
    }
}

impl Eq for ScopeSet {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_single() {
        let set = ScopeSet::parse("write:orders read:orders,read:orders  billing").unwrap();
        assert_eq!(set.as_str(), "billing read:orders write:orders");
        assert!(set.contains("read:orders"));
        for absent in ["", "read:", "read:orders ", "READ:orders", "orders"] {
            assert!(!set.contains(absent), "{absent:?}");
        }
        assert_eq!(ScopeSet::parse("").unwrap().as_str(), "");
    }

    #[test]
    fn intersection_is_what_both_have() {
        let token = ScopeSet::parse("a b c").unwrap();
        let installation = ScopeSet::parse("b c d").unwrap();
        assert_eq!(token.intersection(&installation).as_str(), "b c");
        assert!(!token.is_subset(&installation));
        assert!(ScopeSet::parse("b").unwrap().is_subset(&token));
    }

    #[test]
    fn other_characters_are_refused() {
        for text in ["read:\"orders\"", "read\\orders", "lésen", "a\u{7f}", "a\nb"] {
            assert!(ScopeSet::parse(text).is_err(), "{text:?} was accepted");
        }
        assert_eq!(ScopeSet::parse(&"a ".repeat(4000)), Err(MalformedScope::TooLong));
    }
}
