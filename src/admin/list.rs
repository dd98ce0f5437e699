//! Lists, part by part: `limit` and an opaque `cursor`, which names the last record of the part before.
//! Records that come or go between two parts make no other one appear twice or be left out.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::refused::Refused;
use crate::replica::Page;

/// Records of a part where nothing is said, and at most.
const USUAL: u32 = 100;
const MOST: u32 = 1000;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// The most records that are given.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: Option<u32>,
    /// `next_cursor` of the part before.
    pub(super) cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    data: Vec<T>,
    /// The `cursor` of the next part; null: this was the last one.
    next_cursor: Option<String>,
}

impl Part {
    /// What to fetch of the list that is called `name`: one record more than is given, to know whether
    /// there are more.
    pub(super) fn page(&self, name: &str) -> Result<Page<i64>, Refused> {
        let limit = self.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Refused::Invalid(format!("limit is out of range: 1 to {MOST}.")));
        }
        let after = self.cursor.as_deref().map(|cursor| {
            let read = read(name, cursor);
            read.ok_or_else(|| Refused::Invalid("cursor is none that this list gave.".to_owned()))
        });
        Ok(Page { after: after.transpose()?, limit: limit + 1 })
    }
}

impl<T> List<T> {
    /// What was fetched for `page`. `key` is what the cursor names.
    pub(super) fn of<R>(
        name: &str,
        page: Page<i64>,
        mut found: Vec<R>,
        key: impl Fn(&R) -> i64,
        shown: impl Fn(R) -> T,
    ) -> Self {
        let limit = usize::try_from(page.limit - 1).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more).map(key);
        let next_cursor = last.map(|last| BASE64URL_NOPAD.encode(format!("{name}:{last}").as_bytes()));
        Self { data: found.into_iter().map(shown).collect(), next_cursor }
    }
}

fn read(name: &str, cursor: &str) -> Option<i64> {
    // The longest name and 19 digits.
    let bytes = (cursor.len() <= 64).then(|| BASE64URL_NOPAD.decode(cursor.as_bytes()).ok())??;
    let number = std::str::from_utf8(&bytes).ok()?.strip_prefix(name)?.strip_prefix(':')?;
    let digits = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    number.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(part: &Part, all: &[i64]) -> Result<List<i64>, Refused> {
        let page = part.page("stores")?;
        let found = all.iter().copied().filter(|n| page.after.is_none_or(|after| *n > after));
        let found: Vec<i64> = found.take(page.limit as usize).collect();
        Ok(List::of("stores", page, found, |n| *n, |n| n))
    }

    #[test]
    fn parts_follow_each_other_to_the_end() {
        let all: Vec<i64> = (1..=250).collect();
        for limit in [None, Some(1), Some(7), Some(125), Some(249), Some(250), Some(1000)] {
            let mut part = Part { limit, cursor: None };
            let mut seen = Vec::new();
            loop {
                let list = list(&part, &all).unwrap();
                assert!(list.data.len() <= limit.unwrap_or(100) as usize);
                seen.extend(list.data);
                part.cursor = list.next_cursor;
                if part.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "{limit:?}");
        }
    }

    #[test]
    fn cursors_of_others_are_refused() {
        let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        assert!(read("stores", &encode("stores:22")) == Some(22));
        let refused = [
            String::new(),
            "22".into(),
            "!".into(),
            encode("apps:22"),
            encode("stores:"),
            encode("stores:0"),
            encode("stores:-1"),
            encode("stores:+1"),
            encode("stores:022"),
            encode("stores:22 "),
            encode("stores:9223372036854775808"),
            encode("stores"),
            encode(&format!("stores:{}", "1".repeat(60))),
            format!("{}=", encode("stores:22")),
        ];
        for cursor in refused {
            assert_eq!(read("stores", &cursor), None, "{cursor:?}");
        }
        for limit in [0, 1001, u32::MAX] {
            assert!(Part { limit: Some(limit), cursor: None }.page("stores").is_err());
        }
    }
}
