//! People: customers and merchants, as the token endpoints and the identity provider know them.

use std::fmt;

use http::HeaderValue;

use super::{Malformed, SecretHash, StoreId};

/// Which kind of person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserKind {
    /// Buys in one store.
    Customer,
    /// Works for one store or several.
    Merchant,
}

impl UserKind {
    /// How a subject of this kind begins.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Merchant => "merchant",
        }
    }
}

/// Who a person is to the platform: `customer:42`, `merchant:7` (OpenID Connect Core section 2, `sub`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The kind.
    pub kind: UserKind,
    number: StoreId,
}

impl Subject {
    /// A subject from its parts; `None` for a number outside 1 to 2^53 - 1.
    pub fn new(kind: UserKind, number: u64) -> Option<Self> {
        // Platform numbers of people have the range of those of stores.
        StoreId::new(number).map(|number| Self { kind, number })
    }

    /// Reads the only accepted spelling, `customer:42` or `merchant:7`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        const WHY: Malformed = Malformed("a user is written customer:42 or merchant:7");
        let (kind, number) = text.split_once(':').ok_or(WHY)?;
        let kind = [UserKind::Customer, UserKind::Merchant].into_iter().find(|known| known.name() == kind);
        let number = StoreId::parse(number.as_bytes()).map_err(|_| WHY)?;
        kind.map(|kind| Self { kind, number }).ok_or(WHY)
    }

    /// The platform's number of the person.
    pub fn number(self) -> u64 {
        self.number.get()
    }

    /// The value of the subject header that the upstream receives.
    pub fn header(self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("a word, a colon and digits")
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.number)
    }
}

/// An email address in lower case, by which a person signs in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(Box<str>);

impl Email {
    /// The longest address, in bytes (RFC 5321 section 4.5.3.1.3, without the brackets).
    pub const MAX_BYTES: usize = 254;

    /// Takes an address over. It is only checked for what keeps it apart from other texts: whether
    /// mail arrives is the platform's to know.
    ///
    /// # Errors
    ///
    /// [`Malformed`] without something on both sides of one `@`, with a blank or a control character,
    /// or when it is too long.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        const WHY: Malformed =
            Malformed("an email address is NAME@DOMAIN, at most 254 bytes, without blanks");
        let text = text.to_lowercase();
        let (name, domain) = text.rsplit_once('@').ok_or(WHY)?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '@';
        let fine = !name.is_empty() && !domain.is_empty() && !name.contains(odd) && !domain.contains(odd);
        if fine && text.len() <= Self::MAX_BYTES { Ok(Self(text.into())) } else { Err(WHY) }
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// It is personal: it stays out of logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

/// A person's password, as the replica stores it: a bcrypt string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// Reads a bcrypt string (`$2a$`, `$2b$`, `$2y$`).
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match SecretHash::parse(text) {
            Ok(SecretHash::Bcrypt(text)) => Ok(Self(text)),
            Ok(SecretHash::Sha256(_)) | Err(_) => {
                Err(Malformed("a password is stored as a bcrypt string ($2a$, $2b$, $2y$)"))
            }
        }
    }

    /// The bcrypt string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What may be told of a person (OpenID Connect Core section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The full name, as they want it shown.
    pub name: String,
    /// By which they sign in.
    pub email: Email,
    /// Whether the platform has seen that mail arrives.
    pub email_verified: bool,
    /// A URL.
    pub picture: Option<String>,
    /// In the form of E.164: `+8801712345678`.
    pub phone: Option<String>,
    /// Whether the platform has seen that calls arrive.
    pub phone_verified: bool,
    /// A language tag (BCP 47): `bn-BD`.
    pub locale: Option<String>,
}

/// A person with what signing in needs.
#[derive(Debug, Clone)]
pub struct User {
    /// Who it is.
    pub subject: Subject,
    /// What may be told.
    pub profile: Profile,
    /// What proves it is them.
    pub password: PasswordHash,
    /// Whether they may sign in.
    pub status: UserStatus,
    /// Where they belong: one store for a customer, any number for a merchant; by number.
    pub stores: Box<[Membership]>,
}

/// Whether a person may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserStatus {
    /// They may.
    Active,
    /// Signing in fails as if the password were wrong, and no token of theirs works.
    Disabled,
}

/// A person in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The store.
    pub store_id: StoreId,
    /// `owner`, `staff`, or what the platform calls it; `customer` for customers.
    pub role: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_one_spelling() {
        for good in ["customer:42", "merchant:7", "customer:9007199254740991"] {
            assert_eq!(Subject::parse(good).unwrap().to_string(), good);
        }
        for text in [
            "",
            "42",
            "customer",
            "customer:",
            "customer:0",
            "customer:042",
            "customer:-1",
            "Customer:42",
            "customer:42 ",
            "customer: 42",
            "customer:42:1",
            "operator:1",
            "customer:9007199254740992",
        ] {
            assert!(Subject::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn addresses_are_compared_in_lower_case() {
        assert_eq!(Email::parse("Rahim@Example.COM").unwrap().as_str(), "rahim@example.com");
        for text in
            ["", "@", "a@", "@b", "a b@c", "a@b@c", "a@b\n", "a@b c", "ab", &format!("{}@b", "a".repeat(253))]
        {
            assert!(Email::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn no_debug_shows_an_address_or_hash() {
        let email = Email::parse("rahim@example.com").unwrap();
        let hash =
            PasswordHash::parse("$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm").unwrap();
        let shown = format!("{email:?} {hash:?}");
        assert!(!shown.contains("rahim") && !shown.contains("cVWp"), "{shown}");
        assert!(PasswordHash::parse(&format!("sha256:{}", "0".repeat(64))).is_err());
    }
}
