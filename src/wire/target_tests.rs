//! Tables and properties of the request target.

use proptest::prelude::*;

use super::TargetError::*;
use super::*;

fn normal(raw: &str) -> Result<String, TargetError> {
    Target::parse(raw.as_bytes(), Some("api.test")).map(|target| target.path_and_query().into_owned())
}

#[test]
fn paths_that_are_normal_are_borrowed_and_unchanged() {
    for raw in [
        "/",
        "//",
        "/a",
        "/a/",
        "/a//b",
        "//a",
        "/a/...",
        "/.a",
        "/..a/b..",
        "/a.b/~c/-_",
        "/%25",
        "/%252e%252E/x",
        "/%20%C3%A9%3B",
        "/a;x=y/b",
        "/:@!$&'()*+,;=[]",
        "/a?",
        "/a?q=1&r=%zz%2f%00%",
        "/a?x=/../..//./",
        "/?a?b",
        "/a?f[x]=1",
        "/http://api.test/",
    ] {
        let target = Target::parse(raw.as_bytes(), None).unwrap();
        assert!(!target.is_changed(), "{raw}");
        assert!(matches!(target.path, Cow::Borrowed(_)), "{raw}");
        assert!(matches!(target.path_and_query(), Cow::Borrowed(same) if same == raw), "{raw}");
    }
}

#[test]
fn other_spellings_become_the_normal_form() {
    for (raw, expected) in [
        ("/a/.", "/a/"),
        ("/a/./b", "/a/b"),
        ("/./", "/"),
        ("/.", "/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/../", "/a/"),
        ("/a/b/../c", "/a/c"),
        ("/a//../b", "/a/b"),
        ("/a//..", "/a/"),
        ("//..", "/"),
        ("//../a", "/a"),
        ("/.//a", "//a"),
        ("/a/../..a", "/..a"),
        ("/a/b/c/../../d", "/a/d"),
        ("/public/%2e%2e/admin", "/admin"),
        ("/public/.%2E/admin", "/admin"),
        ("/public/%2e./admin", "/admin"),
        ("/a/%2E", "/a/"),
        ("/%61%50i", "/aPi"),
        ("/%7e%2d%5f%2E%30x", "/~-_.0x"),
        ("/%3b%c3%a9", "/%3B%C3%A9"),
        ("/%25%32%65", "/%252e"),
        ("/a/..?x=/../", "/?x=/../"),
        ("/%41?%41", "/A?%41"),
        ("/%41?", "/A?"),
    ] {
        assert_eq!(normal(raw).as_deref(), Ok(expected), "{raw}");
        assert!(Target::parse(raw.as_bytes(), None).unwrap().is_changed(), "{raw}");
    }
}

#[test]
fn path_and_query_are_told_apart() {
    let target = Target::parse(b"/a/../b?c?d=%2e", None).unwrap();
    assert_eq!((target.path(), target.query()), ("/b", Some("c?d=%2e")));
    assert_eq!(Target::parse(b"/b?", None).unwrap().query(), Some(""));
    assert_eq!(Target::parse(b"/b", None).unwrap().query(), None);
}

#[test]
fn what_cannot_be_normalised_is_refused() {
    for (raw, expected) in [
        ("", NotOriginForm),
        ("*", NotOriginForm),
        ("foo", NotOriginForm),
        (" /", NotOriginForm),
        ("\\", NotOriginForm),
        ("?a", NotOriginForm),
        ("#a", NotOriginForm),
        ("a/../b", NotOriginForm),
        ("%2fa", NotOriginForm),
        ("api.test:80", NotOriginForm),
        ("api.test/a", NotOriginForm),
        ("http:", NotOriginForm),
        ("http:/a", NotOriginForm),
        ("http:api.test/a", NotOriginForm),
        ("https:/api.test/a", NotOriginForm),
        ("ws://api.test/a", NotOriginForm),
        ("httpx://api.test/a", NotOriginForm),
        ("ftp://api.test/a", NotOriginForm),
        ("foo:bar://api.test/admin", NotOriginForm),
        ("/..", LeavesRoot),
        ("/../", LeavesRoot),
        ("/../a", LeavesRoot),
        ("/./..", LeavesRoot),
        ("/a/../..", LeavesRoot),
        ("/a/../../a", LeavesRoot),
        ("/%2e%2E", LeavesRoot),
        ("/a/%2e%2e/.%2e/b", LeavesRoot),
        ("/public/..;/admin", DotParameters),
        ("/public/..;x=y/admin", DotParameters),
        ("/public/%2e%2e;/admin", DotParameters),
        ("/public/..%3b/admin", DotParameters),
        ("/public/.%2E%3Bx/admin", DotParameters),
        ("/a/.;/b", DotParameters),
        ("/a/..;", DotParameters),
        ("/..;", DotParameters),
        ("/a%2fb", EncodedSlash),
        ("/a%2Fb", EncodedSlash),
        ("/..%2f..%2fetc", EncodedSlash),
        ("/a%5cb", EncodedBackslash),
        ("/a%5Cb", EncodedBackslash),
        ("/a\\b", RawByte),
        ("/a\\..\\b", RawByte),
        ("/a%00", EncodedControl),
        ("/a%0a", EncodedControl),
        ("/a%0D%0A", EncodedControl),
        ("/a%09", EncodedControl),
        ("/a%1f", EncodedControl),
        ("/a%7F", EncodedControl),
        ("/%", BadPercent),
        ("/%2", BadPercent),
        ("/%zz", BadPercent),
        ("/%2g", BadPercent),
        ("/%%32%65", BadPercent),
        ("/%u002e", BadPercent),
        ("/a%?b", BadPercent),
        ("/%2?e", BadPercent),
        ("/a#b", Fragment),
        ("/a?b#c", Fragment),
        ("/#", Fragment),
        ("/a b", RawByte),
        ("/a\tb", RawByte),
        ("/a\0", RawByte),
        ("/a\r\nX: y", RawByte),
        ("/a\x7f", RawByte),
        ("/é", RawByte),
        ("/a?é", RawByte),
        ("/a?b c", RawByte),
        ("/a?b\0", RawByte),
        ("/a?b\\c", RawByte),
        ("/a?b\"", RawByte),
        ("/a?{}", RawByte),
        ("/a|b", RawByte),
        ("/a<b", RawByte),
        ("/a>b", RawByte),
        ("/a^b", RawByte),
        ("/a`b", RawByte),
        ("/{a}", RawByte),
        ("/\"a\"", RawByte),
    ] {
        assert_eq!(normal(raw), Err(expected), "{raw:?}");
    }
    assert_eq!(Target::parse(b"/\xff", None), Err(RawByte));
    assert_eq!(Target::parse(b"/\xc0\xae\xc0\xae/", None), Err(RawByte), "overlong dots");
    let long = [b"/".as_slice(), &vec![b'a'; Target::MAX_BYTES]].concat();
    assert_eq!(Target::parse(&long, None), Err(TooLong));
    assert!(Target::parse(&long[..Target::MAX_BYTES], None).is_ok());
}

#[test]
fn absolute_form_agrees_with_host_or_is_refused() {
    for (raw, host, expected) in [
        ("http://api.test/a?b", "api.test", "/a?b"),
        ("HTTP://API.test/a", "api.TEST", "/a"),
        ("http://api.test", "api.test", "/"),
        ("http://api.test?b", "api.test", "/?b"),
        ("http://api.test?", "api.test", "/?"),
        ("http://api.test/a/../b", "api.test", "/b"),
        ("http://api.test:80/a", "api.test", "/a"),
        ("http://api.test/a", "api.test:80", "/a"),
        ("https://api.test/a", "api.test:443", "/a"),
        ("HttpS://api.test:443/a", "api.test", "/a"),
        ("http://api.test:8080/a", "api.test:8080", "/a"),
        ("http://[::1]:8080/a", "[::1]:8080", "/a"),
        ("http://127.0.0.1//a", "127.0.0.1", "//a"),
    ] {
        let target = Target::parse(raw.as_bytes(), Some(host)).unwrap();
        assert_eq!(target.path_and_query(), expected, "{raw}");
        assert!(target.is_changed(), "{raw}");
    }
    for (raw, host) in [
        ("http://api.test/a", None),
        ("http://evil.test/a", Some("api.test")),
        ("http://api.test/a", Some("")),
        ("http://api.test/a", Some("api.test, api.test")),
        ("http://api.test.evil.test/a", Some("api.test")),
        ("http://api.test@evil.test/a", Some("api.test")),
        ("http://user@api.test/a", Some("api.test")),
        ("http://api.test:8080/a", Some("api.test")),
        ("http://api.test/a", Some("api.test:8080")),
        ("http://api.test:443/a", Some("api.test")),
        ("https://api.test:80/a", Some("api.test")),
        ("https://api.test/a", Some("api.test:80")),
        ("http://api.test:/a", Some("api.test")),
        ("http://api.test:x/a", Some("api.test")),
        ("http:///a", Some("api.test")),
        ("http://", Some("")),
        ("http://api%2etest/a", Some("api.test")),
        ("http://api.test\\a", Some("api.test")),
        ("http://api.test#/a", Some("evil.test")),
        ("http://[::1/a", Some("[::1]")),
    ] {
        assert_eq!(Target::parse(raw.as_bytes(), host), Err(AuthorityDiffers), "{raw} {host:?}");
    }
    for (raw, expected) in [
        ("http://api.test/..", LeavesRoot),
        ("http://api.test#a", Fragment),
        ("http://api.test/a b", RawByte),
        ("http://api.test/%2f", EncodedSlash),
    ] {
        assert_eq!(normal(raw), Err(expected), "{raw}");
    }
}

#[test]
fn debug_hides_the_query() {
    let shown = format!("{:?}", Target::parse(b"/a?access_token=sx_at_1", None).unwrap());
    assert_eq!(shown, "Target(\"/a\"?…)");
}

/// Pieces that meet in attacks on path matching, and plain ones.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "%5C", "%25", "%41", "%7e", "%c3", "%3B", "%00", "%",
        "a", "A", "bc", "2e", ";", "?", "#", "\\", " ", "é",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..12)
        .prop_map(|picked| format!("/{}", picked.concat()))
}

/// The same rules written another way: every step makes a list, nothing is done in place.
fn model(raw: &str) -> Option<String> {
    let (path, query) = raw.split_once('?').map_or((raw, String::new()), |(p, q)| (p, format!("?{q}")));
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/[]%".contains(c);
    if !path.chars().all(legal) || !query.chars().all(|c| legal(c) || c == '?') {
        return None;
    }
    let mut kept: Vec<String> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let mut decoded = String::new();
        for (part_index, part) in segment.split('%').enumerate() {
            if part_index == 0 {
                decoded += part;
                continue;
            }
            let digits = part.get(..2).filter(|d| d.chars().all(|c| c.is_ascii_hexdigit()))?;
            let byte = u8::from_str_radix(digits, 16).ok()?;
            let character = char::from(byte);
            if character.is_ascii_control() || "/\\".contains(character) {
                return None;
            }
            if character.is_ascii_alphanumeric() || "-._~".contains(character) {
                decoded.push(character);
            } else {
                decoded += &format!("%{byte:02X}");
            }
            decoded += &part[2..];
        }
        let is_last = index + 1 == segments.len();
        match decoded.as_str() {
            "." => {}
            ".." => drop(kept.pop()?),
            odd if [".;", "..;", ".%3B", "..%3B"].iter().any(|start| odd.starts_with(start)) => return None,
            _ => {
                kept.push(decoded);
                continue;
            }
        }
        if is_last {
            kept.push(String::new());
        }
    }
    Some(format!("/{}{query}", kept.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_the_model(raw in hostile()) {
        prop_assert_eq!(normal(&raw).ok(), model(&raw), "{}", raw);
    }

    #[test]
    fn a_normal_form_stays(raw in hostile()) {
        if let Ok(once) = normal(&raw) {
            let again = Target::parse(once.as_bytes(), None).unwrap();
            prop_assert!(!again.is_changed());
            prop_assert_eq!(again.path_and_query(), once.as_str());
            prop_assert!(once.len() <= raw.len());
            let uri: http::uri::PathAndQuery = once.parse().unwrap();
            prop_assert_eq!((uri.path(), uri.query()), (again.path(), again.query()));
        }
    }

    #[test]
    fn a_normal_form_hides_nothing(raw in hostile()) {
        if let Ok(target) = Target::parse(raw.as_bytes(), None) {
            let path = target.path();
            prop_assert!(path.starts_with('/'));
            let slashed = format!("{path}/");
            prop_assert!(!slashed.contains("/./") && !slashed.contains("/../"), "{}", path);
            for (at, _) in path.match_indices('%') {
                let digits = &path[at + 1..at + 3];
                prop_assert!(!digits.contains(|c: char| c.is_ascii_lowercase()), "{}", path);
                let byte = u8::from_str_radix(digits, 16).unwrap();
                prop_assert!(!UNRESERVED.contains(byte) && !b"/\\".contains(&byte) && byte >= 0x20, "{}", path);
            }
        }
    }

    #[test]
    fn nothing_panics(raw in proptest::collection::vec(any::<u8>(), 0..64), absolute in any::<bool>()) {
        let start = if absolute { b"http://api.test/".as_slice() } else { b"/" };
        for bytes in [raw.clone(), [start, raw.as_slice()].concat()] {
            if let Ok(target) = Target::parse(&bytes, Some("api.test")) {
                let _ = (target.path_and_query(), format!("{target:?}"));
            }
        }
    }
}
