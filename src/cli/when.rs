//! Points in time, told to people.

use std::time::Duration;

use crate::model::Timestamp;

/// How long ago a point in Unix seconds was, to two units.
pub(super) fn ago(at: i64) -> String {
    match Timestamp::now().0 - at {
        seconds if seconds < 1 => "just now".to_owned(),
        seconds => format!("{} ago", span(seconds)),
    }
}

/// How long until a point in Unix seconds.
pub(super) fn until(at: i64) -> String {
    match at - Timestamp::now().0 {
        seconds if seconds < 1 => "ended".to_owned(),
        seconds => format!("in {}", span(seconds)),
    }
}

fn span(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_units_are_enough() {
        assert_eq!(super::span(59), "59s");
        assert_eq!(super::span(90_061), "1day 1h");
    }
}
