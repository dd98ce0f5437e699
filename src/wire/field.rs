//! Names of header fields, compared as the backends that merge spellings compare them.
//!
//! CGI, WSGI and PHP turn `X-Store-Id`, `X_Store_Id` and `X.Store.Id` into one variable, so that each
//! of them is the owned name when something is removed. What is read is the one spelling only.

use super::blank::trim;
use super::class::TOKEN;

/// A set of field names, and of families of names, under the fold: lower case, `_` and `.` as `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedNames {
    /// Folded. A dozen at most: their lengths rule out more than a search would.
    names: Box<[Box<str>]>,
    /// The lengths of the names, a bit each; the last for all from 63. Most names of a request have another.
    lengths: u64,
    /// Folded beginnings of names.
    prefixes: Box<[Box<str>]>,
}

impl OwnedNames {
    /// A set of the given names.
    pub fn new<I: IntoIterator<Item = impl AsRef<str>>>(names: I) -> Self {
        let mut names = folded(names);
        names.sort_unstable();
        names.dedup();
        let lengths = names.iter().fold(0, |lengths, name| lengths | length_bit(name.len()));
        Self { names: names.into(), lengths, prefixes: Box::default() }
    }

    /// The set together with every name that begins with one of `prefixes`, such as `x-forwarded-`.
    #[must_use]
    pub fn with_prefixes<I: IntoIterator<Item = impl AsRef<str>>>(mut self, prefixes: I) -> Self {
        self.prefixes = self.prefixes.into_iter().chain(folded(prefixes)).collect();
        self
    }

    /// Whether `name`, in any case and spelling, is owned. It also takes the tokens of Connection.
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.owner(name.as_ref()).is_some()
    }

    /// The owned name or beginning, folded, that `name` is another spelling of: one with `_` or `.`.
    /// `None` for the plain spelling in any case, and for names that are not owned.
    pub fn is_other_spelling(&self, name: impl AsRef<[u8]>) -> Option<&str> {
        let name = name.as_ref();
        if name.iter().any(|byte| matches!(byte, b'_' | b'.')) { self.owner(name) } else { None }
    }

    fn owner(&self, name: &[u8]) -> Option<&str> {
        let folded = || name.iter().copied().map(fold);
        if self.lengths & length_bit(name.len()) != 0
            && let Some(own) =
                self.names.iter().find(|own| own.len() == name.len() && own.bytes().eq(folded()))
        {
            return Some(own);
        }
        let begins = |prefix: &str| prefix.bytes().eq(folded().take(prefix.len()));
        self.prefixes.iter().map(|prefix| &**prefix).find(|prefix| begins(prefix))
    }
}

/// The members of a Connection value (RFC 9110 section 7.6.1): split at commas, without the blanks
/// around them, empty ones skipped.
pub fn connection_tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|token| !token.is_empty())
}

/// Whether `text` can be the name of a field (RFC 9110 section 5.1).
pub fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && TOKEN.holds_all(text)
}

fn folded<I: IntoIterator<Item = impl AsRef<str>>>(names: I) -> Vec<Box<str>> {
    names.into_iter().map(|name| name.as_ref().to_ascii_lowercase().replace(['_', '.'], "-").into()).collect()
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

fn fold(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        _ => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] =
        ["X-Store-Id", "X-Client-Id", "X-Client-Secret", "authorization", "X-Scopes", "X.Odd_Name"];

    fn owned() -> OwnedNames {
        OwnedNames::new(NAMES).with_prefixes(["X-Forwarded-", "X-Original-"]).with_prefixes(["x_auth_"])
    }

    #[test]
    fn every_spelling_is_owned() {
        for (name, owner) in [
            ("x-store-id", None),
            ("X-STORE-ID", None),
            ("Authorization", None),
            ("x-odd-name", None),
            ("x-forwarded-for", None),
            ("X-Forwarded-", None),
            ("X_Store_Id", Some("x-store-id")),
            ("X.Store-ID", Some("x-store-id")),
            ("x.client_secret", Some("x-client-secret")),
            ("X.Odd_Name", Some("x-odd-name")),
            ("X_Forwarded.For", Some("x-forwarded-")),
            ("x-forwarded-a_b", Some("x-forwarded-")),
            ("X-Auth_User", Some("x-auth-")),
        ] {
            assert!(owned().contains(name), "{name}");
            assert_eq!(owned().is_other_spelling(name), owner, "{name}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for name in [
            "",
            "-",
            "x",
            "x-store",
            "x-store-i",
            "x-store-id2",
            "x-store-id-",
            "-x-store-id",
            "xstoreid",
            "x--store-id",
            "x-store__id",
            "x-store id",
            "x-store-id ",
            "x~store~id",
            "x-forwarded",
            "x-forwardedfor",
            "ax-forwarded-for",
            "_authorization",
            "author.ization",
            "x-ſtore-id",
            "X-STORE-İD",
            "x-store-id\0",
        ] {
            assert!(!owned().contains(name), "{name:?} counted as owned");
            assert_eq!(owned().is_other_spelling(name), None, "{name:?}");
        }
        assert!(!owned().contains(b"x-store-\xff") && !OwnedNames::default().contains("x-store-id"));
    }

    #[test]
    fn members_of_connection() {
        for (value, expected) in [
            ("", &[][..]),
            (" , ,\t,", &[]),
            ("close", &["close"]),
            ("keep-alive, X-Store-Id", &["keep-alive", "X-Store-Id"]),
            (",, X_Store.Id\t,close ,", &["X_Store.Id", "close"]),
            ("a b,c", &["a b", "c"]),
        ] {
            let tokens: Vec<&[u8]> = connection_tokens(value.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|token| token.as_bytes()).collect();
            assert_eq!(tokens, expected, "{value:?}");
        }
        assert!(connection_tokens(b"close, x_store_id").any(|token| owned().contains(token)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn no_separator_or_case_escapes(which in 0..NAMES.len(), choices in any::<u64>()) {
            let mut odd = false;
            let name: String = NAMES[which].bytes().enumerate().map(|(at, byte)| {
                let choice = choices.rotate_right(at as u32 * 3) % 4;
                match byte {
                    b'-' | b'_' | b'.' => {
                        let separator = ['-', '_', '.', '-'][choice as usize];
                        odd |= separator != '-';
                        separator
                    }
                    _ if choice % 2 == 0 => byte.to_ascii_uppercase().into(),
                    _ => byte.to_ascii_lowercase().into(),
                }
            }).collect();
            let owned = owned();
            prop_assert!(owned.contains(&name), "{}", name);
            let folded = NAMES[which].to_ascii_lowercase().replace(['_', '.'], "-");
            prop_assert_eq!(owned.is_other_spelling(&name), odd.then_some(folded.as_str()));
        }

        #[test]
        fn agrees_with_comparing_folded_texts(name in "[xX]?[-_.]?(store|forwarded|scopes|id|for)[-_.](id|for|)") {
            let fold = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
            let expected = NAMES.iter().any(|own| fold(own) == fold(&name))
                || ["x-forwarded-", "x-original-", "x-auth-"].iter().any(|own| fold(&name).starts_with(own));
            prop_assert_eq!(owned().contains(&name), expected, "{}", name);
        }
    }
}
