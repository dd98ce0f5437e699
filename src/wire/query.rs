//! The `store_id` parameter of the query, which may stand in for the store header.
//!
//! It is read as the upstream reads it (WHATWG URL, application/x-www-form-urlencoded parsing), so
//! that no second spelling of the name can carry another store past us. It does not judge the value:
//! that is `StoreId::parse`.

use std::borrow::Cow;

use super::percent::triplet;

/// What the query says about the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryStoreId<'a> {
    /// Nothing, or one empty value, which counts as nothing.
    Absent,
    /// One value, percent-decoded.
    Once(Cow<'a, [u8]>),
    /// More than one, empty or equal ones included.
    Repeated,
}

/// Finds the `store_id` parameter. Parameters are separated by `&` alone. `+` is a blank, and a percent
/// sign without two hexadecimal digits stays as it is.
pub fn store_id(query: Option<&str>) -> QueryStoreId<'_> {
    let mut found = None;
    for parameter in query.unwrap_or_default().as_bytes().split(|&byte| byte == b'&') {
        let equals = parameter.iter().position(|&byte| byte == b'=').unwrap_or(parameter.len());
        if Decoded(&parameter[..equals]).eq(*b"store_id") {
            let value = parameter.get(equals + 1..).unwrap_or_default();
            if found.replace(value).is_some() {
                return QueryStoreId::Repeated;
            }
        }
    }
    match found {
        None | Some(b"") => QueryStoreId::Absent,
        Some(value) if value.iter().any(|byte| matches!(byte, b'%' | b'+')) => {
            QueryStoreId::Once(Decoded(value).collect())
        }
        Some(value) => QueryStoreId::Once(Cow::Borrowed(value)),
    }
}

/// The bytes that a name or value stands for.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if let Some(byte) = triplet(self.0) {
            self.0 = &self.0[3..];
            return Some(byte);
        }
        self.0 = rest;
        Some(if first == b'+' { b' ' } else { first })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::StoreId;

    #[test]
    fn one_value() {
        for (query, value) in [
            ("store_id=22", "22"),
            ("a=1&store_id=22&b", "22"),
            ("store%5Fid=22", "22"),
            ("%73tore_i%64=22", "22"),
            ("store_id=%32%32", "22"),
            ("store_id=22=", "22="),
            ("store_id==22", "=22"),
            ("&&store_id=22&", "22"),
            ("store_id=22;store_id=23", "22;store_id=23"),
            ("store_id=22%26store_id=23", "22&store_id=23"),
            ("store_id=22?store_id=23", "22?store_id=23"),
            ("store_id=+22", " 22"),
            ("store_id=22%20", "22 "),
            ("store_id=%2B22", "+22"),
            ("store_id=%2522", "%22"),
            ("store_id=22%", "22%"),
            ("store_id=%zz", "%zz"),
            ("store_id=%3", "%3"),
            ("store_id=22%00", "22\0"),
            ("store_id=22,23", "22,23"),
        ] {
            assert_eq!(store_id(Some(query)), QueryStoreId::Once(value.as_bytes().into()), "{query}");
            let reads_well = StoreId::parse(value.as_bytes()).is_ok();
            assert_eq!(reads_well, value == "22", "{query}");
        }
        assert!(matches!(store_id(Some("store_id=22")), QueryStoreId::Once(Cow::Borrowed(b"22"))));
        assert_eq!(store_id(Some("store_id=%ff")), QueryStoreId::Once(b"\xff".as_slice().into()));
    }

    #[test]
    fn no_value() {
        for query in [
            "",
            "&",
            "=",
            "=22",
            "store_id",
            "store_id=",
            "a&store_id=&b",
            "store%5fid",
            "STORE_ID=22",
            "store-id=22",
            "storeid=22",
            "store_id2=22",
            "xstore_id=22",
            "store_id[]=22",
            "store_id%00=22",
            "store_id%20=22",
            "store_id+=22",
            "+store_id=22",
            "store+id=22",
            "store%255Fid=22",
            "store%5=22",
            "store_id%3D22",
            "a=store_id=22",
            "a;store_id=22",
            "?store_id=22",
        ] {
            assert_eq!(store_id(Some(query)), QueryStoreId::Absent, "{query}");
        }
        assert_eq!(store_id(None), QueryStoreId::Absent);
    }

    #[test]
    fn two_values() {
        for query in [
            "store_id=22&store_id=23",
            "store_id=22&store_id=22",
            "store_id=&store_id=22",
            "store_id=22&store_id=",
            "store_id=22&store_id",
            "store_id&store_id",
            "store_id=22&a=1&store%5fid=23",
            "store%5Fid=22&store_id=22&store_id=22",
        ] {
            assert_eq!(store_id(Some(query)), QueryStoreId::Repeated, "{query}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn nothing_panics_and_names_are_counted(
            parts in proptest::collection::vec("(store_id|store%5fid|a)?=?[%+&=2f]{0,4}", 0..5)
        ) {
            let query = parts.join("&");
            let plain = |name: &str| name.replace("%5f", "_") == "store_id";
            let count = query.split('&').filter(|part| plain(part.split('=').next().unwrap())).count();
            let repeated = store_id(Some(&query)) == QueryStoreId::Repeated;
            prop_assert_eq!(repeated, count > 1, "{}", query);
        }
    }
}
