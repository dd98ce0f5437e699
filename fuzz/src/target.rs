//! The request target: one line of it, then the Host that came along, if any.

use http::uri::PathAndQuery;
use storegate::wire::target::Target;

pub fn check(data: &[u8]) {
    let (raw, host) = match data.iter().rposition(|&byte| byte == b'\n') {
        Some(at) => (&data[..at], std::str::from_utf8(&data[at + 1..]).ok()),
        None => (data, None),
    };
    let parsed = Target::parse(raw, host);
    if raw.starts_with(b"/") {
        let expected = normal_form(raw);
        assert_eq!(parsed.as_ref().ok().map(|target| target.path_and_query().into_owned()), expected);
    }
    let Ok(target) = parsed else { return };
    let (path, whole) = (target.path(), target.path_and_query().into_owned());
    // Nothing is hidden in a normal form.
    assert!(path.starts_with('/'));
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>?\\^`{|}".contains(&byte)));
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap();
        assert!(name != ".", "{path}");
        assert!(name != "..", "{path}");
    }
    for triplet in path.split('%').skip(1) {
        let digits = &triplet[..2];
        assert_eq!(digits, digits.to_ascii_uppercase());
        let byte = u8::from_str_radix(digits, 16).unwrap();
        assert!(byte > 0x20 - 1 && byte != 0x7F && byte != b'/' && byte != b'\\', "{path}");
        assert!(!(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)), "{path}");
    }
    // It is its own normal form, and what was not changed was sent so.
    let again = Target::parse(whole.as_bytes(), host).expect("a normal form is a target");
    assert!(!again.is_changed());
    assert_eq!(
        (again.path(), again.query(), again.path_and_query()),
        (path, target.query(), (&*whole).into())
    );
    assert!(target.is_changed() || whole.as_bytes() == raw);
    assert!(whole.len() <= raw.len().max(1) + 1);
    // The query is not touched, and HTTP's own type reads the same two parts.
    let raw = std::str::from_utf8(raw).unwrap();
    assert_eq!(target.query(), raw.split_once('?').map(|(_, query)| query));
    let http = PathAndQuery::try_from(&*whole).expect("it can be forwarded");
    assert_eq!((http.path(), http.query()), (path, target.query()));
    // The case of a triplet's digits says nothing.
    let lower = lower_triplets(raw);
    assert_eq!(Target::parse(lower.as_bytes(), host).unwrap().path(), path);
}

fn lower_triplets(raw: &str) -> String {
    let (path, query) = raw.split_once('?').map_or((raw, None), |(path, query)| (path, Some(query)));
    let mut parts = path.split('%');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        text += "%";
        text += &part[..2].to_ascii_lowercase();
        text += &part[2..];
    }
    query.map_or(text.clone(), |query| format!("{text}?{query}"))
}

/// RFC 3986 section 6.2.2 read aloud, for an origin-form; `None` where the gateway must refuse.
fn normal_form(raw: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(raw).ok().filter(|raw| raw.len() <= Target::MAX_BYTES)?;
    let (path, query) = raw.split_once('?').map_or((raw, None), |(path, query)| (path, Some(query)));
    let allowed = "-._~!$&'()*+,;=:@/[]%?";
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || allowed.contains(c));
    if !is_plain(path) || !query.is_none_or(is_plain) {
        return None;
    }
    let segments: Vec<String> = path[1..].split('/').map(decoded).collect::<Option<_>>()?;
    let mut kept: Vec<&str> = Vec::new();
    for segment in &segments {
        match &**segment {
            "." => {}
            ".." => drop(kept.pop()?),
            other if other.starts_with(".;") || other.starts_with("..;") => return None,
            other if other.starts_with(".%3B") || other.starts_with("..%3B") => return None,
            other => kept.push(other),
        }
    }
    if matches!(segments.last().map(String::as_str), Some("." | "..")) {
        kept.push("");
    }
    let path = format!("/{}", kept.join("/"));
    Some(query.map_or(path.clone(), |query| format!("{path}?{query}")))
}

fn decoded(segment: &str) -> Option<String> {
    let mut parts = segment.split('%');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        match u8::from_str_radix(digits, 16).ok()? {
            0..=0x1F | 0x7F | b'/' | b'\\' => return None,
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
        text.push_str(&part[2..]);
    }
    Some(text)
}
