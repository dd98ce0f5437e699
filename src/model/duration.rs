//! Durations as people write them.

use std::time::Duration;

/// Reads `10s`, `15m`, `24h`, `30d` (and sums such as `1h 30m`, and `250ms`).
///
/// # Errors
///
/// What was expected, for a text in another form.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        format!("{text:?} is not a duration; write a number and a unit, such as 10s, 15m, 24h or 30d")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_needed() {
        assert_eq!(parse_duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse_duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for text in ["", "10", "-1s", "h", "10 parsecs", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text:?} was accepted");
        }
    }
}
