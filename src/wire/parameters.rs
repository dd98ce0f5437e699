//! The parameters of a request body: a form (WHATWG URL, application/x-www-form-urlencoded) or one flat JSON
//! object (RFC 8259).
//!
//! A name that stands twice is refused in both (RFC 6749 section 3.2): two readers could take different
//! ones. An empty value counts as absent, as the same section demands. The size of the body is the caller's
//! to bound.

use std::fmt;

use smallvec::SmallVec;
use zeroize::Zeroizing;

use super::members::{Members, NotMembers, Value};
use super::percent::triplet;

/// The most parameters of a body.
const MOST: usize = 64;

/// Why a body holds no parameters. The texts name no value: values may be secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotParameters {
    /// No form, or no JSON object.
    #[error("the body is not what its Content-Type says")]
    Syntax,
    /// A name stands twice.
    #[error("a parameter stands twice")]
    Duplicate,
    /// More than any request needs.
    #[error("the body has more than {MOST} parameters")]
    TooMany,
}

/// Names and values, each name once. Values are wiped when dropped, and never shown.
pub struct Parameters(SmallVec<[(String, Parameter); 8]>);

enum Parameter {
    Text(Zeroizing<String>),
    /// A JSON value that is no text and no plain number.
    Other,
}

impl Parameters {
    /// Reads a form. A percent sign without two hexadecimal digits and bytes that are not UTF-8 are refused.
    ///
    /// # Errors
    ///
    /// [`NotParameters`].
    pub fn from_form(body: &[u8]) -> Result<Self, NotParameters> {
        let pairs = body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
        let mut found = SmallVec::new();
        for pair in pairs {
            if found.len() == MOST {
                return Err(NotParameters::TooMany);
            }
            let equals = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let name = decoded(&pair[..equals])?;
            let value = decoded(pair.get(equals + 1..).unwrap_or_default())?;
            found.push((name.to_string(), Parameter::Text(value)));
        }
        Self::unique(found)
    }

    /// Reads a JSON object. Whole numbers below 2^64 are taken as their digits.
    ///
    /// # Errors
    ///
    /// [`NotParameters`].
    pub fn from_json(body: &[u8]) -> Result<Self, NotParameters> {
        let text = std::str::from_utf8(body).map_err(|_| NotParameters::Syntax)?;
        let members = Members::parse(text).map_err(|why| match why {
            NotMembers::Syntax => NotParameters::Syntax,
            NotMembers::Duplicate => NotParameters::Duplicate,
        })?;
        let found: SmallVec<_> = members
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::Text(text) => Parameter::Text(Zeroizing::new(text.to_string())),
                    Value::Integer(number) => Parameter::Text(Zeroizing::new(number.to_string())),
                    Value::Other => Parameter::Other,
                };
                (name.to_owned(), value)
            })
            .collect();
        if found.len() > MOST {
            return Err(NotParameters::TooMany);
        }
        Self::unique(found)
    }

    fn unique(mut found: SmallVec<[(String, Parameter); 8]>) -> Result<Self, NotParameters> {
        found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        match found.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            true => Err(NotParameters::Duplicate),
            false => Ok(Self(found)),
        }
    }

    /// The value of a parameter; `None` when it is absent or empty, or is no text.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.0.iter().find(|(own, _)| own == name) {
            Some((_, Parameter::Text(text))) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

/// Values are left out.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// What a name or value of a form stands for.
fn decoded(text: &[u8]) -> Result<Zeroizing<String>, NotParameters> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let whole = &text[text.len() - after.len() - 1..];
                bytes.push(triplet(whole).ok_or(NotParameters::Syntax)?);
                rest = &whole[3..];
            }
            byte => bytes.push(*byte),
        }
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| NotParameters::Syntax)?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms() {
        let body = b"grant_type=client_credentials&client_id=sx%5Fapp%5f1&scope=a+b%20c&empty=&flag&u=%C3%A9";
        let form = Parameters::from_form(body).unwrap();
        for (name, value) in [
            ("grant_type", Some("client_credentials")),
            ("client_id", Some("sx_app_1")),
            ("scope", Some("a b c")),
            ("u", Some("é")),
            ("empty", None),
            ("flag", None),
            ("absent", None),
            ("GRANT_TYPE", None),
        ] {
            assert_eq!(form.get(name), value, "{name}");
        }
        assert!(Parameters::from_form(b"").unwrap().get("a").is_none());
        assert!(!format!("{form:?}").contains("sx_app"), "{form:?}");
    }

    #[test]
    fn objects() {
        let json = br#"{"grant_type":"client_credentials","store_id":22,"no":null,"deep":{"a":1},"f":1.5}"#;
        let object = Parameters::from_json(json).unwrap();
        assert_eq!(object.get("grant_type"), Some("client_credentials"));
        assert_eq!(object.get("store_id"), Some("22"));
        for absent in ["no", "deep", "f", "a"] {
            assert_eq!(object.get(absent), None, "{absent}");
        }
    }

    #[test]
    fn other_bodies_are_refused() {
        let many = "a&".repeat(MOST) + "b";
        let rows: [(&[u8], NotParameters); 9] = [
            (b"a=1&a=2", NotParameters::Duplicate),
            (b"a=1&%61=1", NotParameters::Duplicate),
            (b"a=&a=", NotParameters::Duplicate),
            (b"a=%", NotParameters::Syntax),
            (b"a=%4", NotParameters::Syntax),
            (b"a=%zz", NotParameters::Syntax),
            (b"%ff=1", NotParameters::Syntax),
            (b"a=\xff", NotParameters::Syntax),
            (many.as_bytes(), NotParameters::TooMany),
        ];
        for (body, why) in rows {
            assert_eq!(Parameters::from_form(body).err(), Some(why), "{}", String::from_utf8_lossy(body));
        }
        let distinct: Vec<String> = (0..=MOST).map(|number| format!("p{number}=1")).collect();
        let many = distinct.join("&");
        assert_eq!(Parameters::from_form(many.as_bytes()).err(), Some(NotParameters::TooMany));
        for body in ["", "[]", "a=1", "{", r#"{"a":1}x"#, "\u{feff}{}"] {
            assert_eq!(Parameters::from_json(body.as_bytes()).err(), Some(NotParameters::Syntax), "{body}");
        }
        assert_eq!(Parameters::from_json(br#"{"a":1,"\u0061":1}"#).err(), Some(NotParameters::Duplicate));
        assert_eq!(Parameters::from_json(b"{\"a\":\"\xff\"}").err(), Some(NotParameters::Syntax));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..40), form in "[a%&=+2f]{0,20}") {
            let _ = Parameters::from_form(&body);
            let _ = Parameters::from_json(&body);
            if let Ok(read) = Parameters::from_form(form.as_bytes()) {
                prop_assert!(read.get("a").is_none_or(|value| !value.is_empty()));
            }
        }
    }
}
