//! Optional whitespace of field values (RFC 9110 section 5.6.3): space and tab, nothing else.

/// Whether `byte` is one.
pub(super) fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `value` without the blanks around it.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_blank(first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_blank(last)
    {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spaces_and_tabs_go() {
        for (value, expected) in [
            ("", ""),
            (" \t ", ""),
            (" a b\t", "a b"),
            ("\na", "\na"),
            ("a\r\n", "a\r\n"),
            ("\u{b}a", "\u{b}a"),
        ] {
            assert_eq!(trim(value.as_bytes()), expected.as_bytes(), "{value:?}");
        }
    }
}
