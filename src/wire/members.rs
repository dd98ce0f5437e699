//! The top-level members of one JSON object (RFC 8259), duplicates refused.
//!
//! Two readers of `{"sub":1,"sub":2}` may see two stores (RFC 8259 section 4), so that the object
//! counts as malformed. Names are compared after their escapes are resolved. What is inside nested
//! values is checked for syntax and not kept.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

/// Why a text is not one object with single names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotMembers {
    Syntax,
    Duplicate,
}

/// A member's value, as far as a claim can be one.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number written without sign, point and exponent, below 2^64.
    Integer(u64),
    Text(Cow<'a, str>),
    Other,
}

/// The members, sorted by name.
pub(super) struct Members<'a>(SmallVec<[(Cow<'a, str>, Value<'a>); 12]>);

impl<'a> Members<'a> {
    /// Reads a whole text; nothing but blanks may stand around the object. The size is the
    /// caller's to bound; nesting costs no stack, because serde_json skips ignored values in a loop.
    pub(super) fn parse(text: &'a str) -> Result<Self, NotMembers> {
        let mut members: Self = serde_json::from_str(text).map_err(|_| NotMembers::Syntax)?;
        members.0.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if members.0.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(NotMembers::Duplicate);
        }
        Ok(members)
    }

    /// The members, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// The value of the member of this name.
    pub(super) fn value(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.0.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = SmallVec::new();
        // A seed for the name, too: serde's own `Cow` copies where it could borrow.
        while let Some(name) = map.next_key_seed(ValueVisitor)? {
            let value = map.next_value_seed(ValueVisitor)?;
            if let Value::Text(name) = name {
                members.push((name, value));
            }
        }
        Ok(Members(members))
    }
}

struct ValueVisitor;

impl<'de> DeserializeSeed<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_their_decoded_name() {
        let text = r#" {"b":"x","\u0061":1,"c":{"b":[1,{"b":2}]},"d":[null],"e":"\u0078","f":-1,"g":1.0} "#;
        let members = Members::parse(text).ok().unwrap();
        assert!(members.value("a") == Some(&Value::Integer(1)));
        assert!(matches!(members.value("b"), Some(Value::Text(Cow::Borrowed("x")))));
        assert!(matches!(members.value("e"), Some(Value::Text(text)) if text == "x"));
        for other in ["c", "d", "f", "g"] {
            assert!(members.value(other) == Some(&Value::Other), "{other}");
        }
        assert!(members.value("").is_none() && members.value("A").is_none());
        assert!(Members::parse("{}").is_ok());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Members::parse(&deep).is_ok(), "nesting needs no stack");
    }

    #[test]
    fn other_texts_are_refused() {
        let deep = format!("{{\"a\":{}", "[".repeat(5000));
        for text in [
            "",
            " ",
            "[]",
            "1",
            "null",
            "\"a\"",
            "true",
            "{",
            "}",
            "{}{}",
            "{} x",
            "{}\0",
            "\u{feff}{}",
            "{a:1}",
            "{'a':1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "{\"a\":0x1}",
            "{\"a\":NaN}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"\\ud800\":1}",
            "{1:1}",
            "{null:1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":1}//",
            "{\"a\":tru}",
            &deep,
        ] {
            assert!(Members::parse(text).err() == Some(NotMembers::Syntax), "{text:?}");
        }
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"{"\u0061":1,"\u0061":3}"#,
            r#"{"":1,"":1}"#,
            r#"{"a/":1,"a\/":1}"#,
            r#"{"é":1,"\u00e9":1}"#,
            r#"{"😀":1,"\ud83d\ude00":1}"#,
        ] {
            assert!(Members::parse(text).err() == Some(NotMembers::Duplicate), "{text}");
        }
    }
}
