//! A certificate's subject as text (RFC 4514), in ASCII: what an authority wrote into a name must not
//! look like another name, nor end a header.

use std::fmt::Write as _;

use x509_parser::der_parser::asn1_rs::{Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The longest subject that is passed on, in bytes; upstreams refuse heads that are much longer.
const LONGEST: usize = 4096;

/// The attribute types that have a short name (RFC 4514 section 3).
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// The name, its last part first (section 2.1); `None` when it is too long.
pub(super) fn text(name: &X509Name<'_>) -> Option<String> {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (at, part) in parts.iter().rev().enumerate() {
        if at > 0 {
            text.push(',');
        }
        for (at, attribute) in part.iter().enumerate() {
            if at > 0 {
                text.push('+');
            }
            push(&mut text, attribute);
        }
        if text.len() > LONGEST {
            return None;
        }
    }
    Some(text)
}

fn push(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(id, _)| *id == oid).map(|(_, short)| *short);
    let value = attribute.attr_value();
    let is_text = matches!(value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
    match (short, is_text) {
        (Some(short), true) => {
            text.push_str(short);
            text.push('=');
            push_escaped(text, value.data);
        }
        // Section 2.4: what has no string form is the hexadecimal of its BER encoding.
        (short, _) => {
            text.push_str(short.unwrap_or(&oid));
            text.push_str("=#");
            text.push_str(&data_encoding::HEXLOWER.encode(&value.to_der_vec().unwrap_or_default()));
        }
    }
}

/// Section 2.4. Every byte outside printable ASCII is escaped as well, which the section allows.
fn push_escaped(text: &mut String, value: &[u8]) {
    for (at, &byte) in value.iter().enumerate() {
        let outer = at == 0 || at + 1 == value.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if outer => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}"); // writing to a String cannot fail
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn subject(parts: &[(DnType, DnValue)]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        text(parsed.subject())
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.to_owned())
    }

    #[test]
    fn names_come_out_as_rfc_4514_says() {
        let rows = [
            ("app", "CN=app"),
            ("a,CN=root", "CN=a\\,CN\\=root"),
            ("a+b;c", "CN=a\\+b\\;c"),
            ("say \"hi\" <x>\\", "CN=say \\\"hi\\\" \\<x\\>\\\\"),
            ("#1", "CN=\\#1"),
            (" a b ", "CN=\\ a b\\ "),
            (" ", "CN=\\ "),
            ("a\r\nX-Store-Id: 1", "CN=a\\0D\\0AX-Store-Id: 1"),
            ("a\0", "CN=a\\00"),
            ("Lučić", "CN=Lu\\C4\\8Di\\C4\\87"),
            ("\u{7f}", "CN=\\7F"),
            ("", "CN="),
        ];
        for (value, expected) in rows {
            assert_eq!(subject(&[(DnType::CommonName, utf8(value))]).as_deref(), Some(expected));
        }
    }

    #[test]
    fn parts_stand_in_reverse_and_unknown_types_by_number() {
        let serial = DnType::CustomDnType(vec![2, 5, 4, 5]);
        let parts = [
            (DnType::CountryName, DnValue::PrintableString("DK".try_into().unwrap())),
            (DnType::OrganizationName, utf8("Shops")),
            (DnType::CommonName, utf8("app 7")),
            (serial, utf8("12")),
        ];
        let text = subject(&parts).unwrap();
        assert_eq!(text, "2.5.4.5=#0c023132,CN=app 7,O=Shops,C=DK");
        let bmp = DnValue::BmpString("ab".try_into().unwrap());
        assert_eq!(subject(&[(DnType::CommonName, bmp)]).unwrap(), "CN=#1e0400610062");
        assert_eq!(subject(&[]).as_deref(), Some(""));
        assert_eq!(subject(&[(DnType::CommonName, utf8(&"x".repeat(5000)))]), None);
    }
}
