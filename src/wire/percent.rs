//! One percent triplet (RFC 3986 section 2.1). What a decoded byte means is for the caller.

/// The byte that a triplet at the start of `text` stands for; `None` when there is no well-formed one.
pub(super) fn triplet(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_of_either_case() {
        for byte in 0..=u8::MAX {
            assert_eq!(triplet(format!("%{byte:02x}").as_bytes()), Some(byte));
            assert_eq!(triplet(format!("%{byte:02X}rest").as_bytes()), Some(byte));
        }
        for bad in ["", "%", "%4", "%g0", "%0g", "%%4", "% 4", "%+4", "41", "a%41"] {
            assert_eq!(triplet(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
