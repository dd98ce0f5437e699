//! Classes of bytes, as tables: each byte of a request is looked at several times, and a look-up costs
//! less than the comparisons that would tell as much.

/// The bytes of a token (RFC 9110 section 5.6.2).
pub(super) static TOKEN: Class = Class::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// A set of bytes.
pub(super) struct Class([bool; 256]);

impl Class {
    /// ASCII letters, digits and `others`.
    pub(super) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut members = [false; 256];
        let mut byte = 0;
        while byte < members.len() {
            members[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut position = 0;
        while position < others.len() {
            members[others[position] as usize] = true;
            position += 1;
        }
        Self(members)
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    pub(super) fn holds_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| self.contains(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_what_it_lists() {
        static CLASS: Class = Class::alphanumeric_and(b"-\xff");
        for byte in 0..=255u8 {
            let expected = byte.is_ascii_alphanumeric() || byte == b'-' || byte == 0xFF;
            assert_eq!(CLASS.contains(byte), expected, "{byte}");
        }
        assert!(CLASS.holds_all(b"") && CLASS.holds_all(b"a-9") && !CLASS.holds_all(b"a_9"));
    }
}
