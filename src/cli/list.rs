//! What every listing command shares: how much of the list is shown.

use super::failure::Failure;
use crate::replica::{Page, WriteError};

/// Fetched at once.
const PAGE: u32 = 1000;

/// How much of a list is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Listing {
    /// Show at most so many; all by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Begin after the one with this number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
}

impl Listing {
    /// The records, fetched in parts; `key` is the number of one.
    pub(super) fn fetch<T>(
        self,
        fetch: impl FnMut(Page<i64>) -> Result<Vec<T>, WriteError>,
        key: impl Fn(&T) -> i64,
    ) -> Result<Vec<T>, Failure> {
        all(self.after, self.limit, fetch, key)
    }
}

/// Everything after `after`, at most `limit`, fetched in parts.
pub(super) fn all<T>(
    mut after: Option<i64>,
    limit: Option<u32>,
    mut fetch: impl FnMut(Page<i64>) -> Result<Vec<T>, WriteError>,
    key: impl Fn(&T) -> i64,
) -> Result<Vec<T>, Failure> {
    let (mut found, mut left) = (Vec::new(), limit.unwrap_or(u32::MAX));
    while left > 0 {
        let asked = left.min(PAGE);
        let part = fetch(Page { after, limit: asked }).map_err(Failure::write)?;
        let got = u32::try_from(part.len()).unwrap_or(asked);
        after = part.last().map(&key).or(after);
        found.extend(part);
        left -= got.min(left);
        if got < asked {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_fetched_in_parts_up_to_the_limit() {
        let numbers: Vec<i64> = (1..=2500).collect();
        let part = |page: Page<i64>| {
            let rest =
                numbers.iter().copied().filter(|number| page.after.is_none_or(|after| *number > after));
            Ok(rest.take(page.limit as usize).collect::<Vec<_>>())
        };
        let rows = [
            (None, None, 2500, 1),
            (None, Some(1), 1, 1),
            (None, Some(1000), 1000, 1),
            (None, Some(1001), 1001, 1),
            (Some(2499), None, 1, 2500),
            (Some(2500), None, 0, 0),
            (Some(500), Some(2000), 2000, 501),
        ];
        for (after, limit, count, first) in rows {
            let found = all(after, limit, part, |number| *number).unwrap();
            assert_eq!(
                (found.len(), found.first().copied().unwrap_or(0)),
                (count, first),
                "{after:?} {limit:?}"
            );
        }
    }
}
