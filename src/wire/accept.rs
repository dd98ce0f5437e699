//! `Accept` (RFC 9110 section 12.5.1), as far as two kinds of error bodies need it.

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether the caller names `application/problem+json` and prefers it to `application/json`. Wildcards
/// ask for nothing in particular.
pub fn prefers_problem(headers: &HeaderMap) -> bool {
    let ranges = || headers.get_all(ACCEPT).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let quality = |media_type: &[u8]| ranges().filter_map(|range| quality(range, media_type)).max();
    let problem = quality(b"application/problem+json").unwrap_or(0);
    problem > quality(b"application/json").unwrap_or(0)
}

/// The weight of a range, in thousandths, if it names this media type; 0 where it is malformed.
fn quality(range: &[u8], media_type: &[u8]) -> Option<u16> {
    let mut parts = range.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    parts.next().filter(|named| named.eq_ignore_ascii_case(media_type))?;
    let weight = parts.find_map(|part| match part {
        [b'q' | b'Q', b'=', weight @ ..] => Some(weight),
        _ => None,
    });
    Some(weight.map_or(1000, thousandths))
}

/// A weight (RFC 9110 section 12.4.2): 0 to 1, at most three digits behind the point.
fn thousandths(weight: &[u8]) -> u16 {
    let (whole, digits) = match weight {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return 0,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let units = [100, 10, 1];
    let sum: u16 = digits.iter().zip(units).map(|(digit, unit)| u16::from(digit - b'0') * unit).sum();
    (u16::from(whole - b'0') * 1000 + sum).min(1000)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_an_explicit_preference_counts() {
        let rows: [(&[&str], bool); 22] = [
            (&[], false),
            (&[""], false),
            (&["*/*"], false),
            (&["application/*"], false),
            (&["application/json"], false),
            (&["application/problem+xml"], false),
            (&["application/problem+jsonx"], false),
            (&["text/html, application/json;q=0.9"], false),
            (&["application/json, application/problem+json"], false),
            (&["application/problem+json;q=0"], false),
            (&["application/problem+json;q=0.000"], false),
            (&["application/problem+json;q=0.5, application/json;q=0.501"], false),
            (&["application/problem+json;q=high"], false),
            (&["application/problem+json;q=0.12345"], false),
            (&["application/problem+json;q="], false),
            (&["application/problem+json;q=2"], false),
            (&["application/problem+json"], true),
            (&["Application/Problem+JSON ; charset=utf-8"], true),
            (&["*/*, application/problem+json;q=0.1"], true),
            (&["application/json;q=0.5, application/problem+json;Q=0.9"], true),
            (&["application/json;q=0.5", "application/problem+json"], true),
            (&[",,;;,application/problem+json;q=1."], true),
        ];
        for (lines, expected) in rows {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(prefers_problem(&headers), expected, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_bytes(b"\xFF\x80;q=\xFF,application/problem+json").unwrap());
        assert!(prefers_problem(&headers));
    }
}
