//! The head of an HTTP/1 request.

use storegate::wire::head::{MAX_FIELDS, check as read, end, has_bare_line_feed, leading_blank_lines};
use storegate::wire::host::Authority;
use storegate::wire::target::Target;

pub fn check(data: &[u8]) {
    assert!(data.starts_with(&b"\r\n"[..leading_blank_lines(data)]));
    let first = data.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    assert_eq!(end(data, 0), first);
    let Some(length) = first else { return drop(read(data)) };
    let head = &data[..length];
    // A head that comes in pieces is the same head.
    for from in [1, length / 2, length - 1] {
        assert_eq!(end(data, from), first, "from {from}");
        let parts = has_bare_line_feed(&head[..from], 0) || has_bare_line_feed(head, from);
        assert_eq!(parts, has_bare_line_feed(head, 0), "from {from}");
    }
    let checked = read(head);
    let expected = is_one_request(head);
    assert_eq!(checked.is_ok(), expected.is_some(), "{checked:?}");
    let (Ok(checked), Some((method, target, origin_form))) = (checked, expected) else { return };
    assert_eq!(checked.method.as_bytes(), method);
    assert_eq!(&head[checked.target.clone()], target);
    assert_eq!(checked.origin_form, origin_form);
    assert!(!has_bare_line_feed(head, 0));
}

/// The rules in another order: all lines, then all fields, then each rule over all fields.
fn is_one_request(head: &[u8]) -> Option<(&[u8], &[u8], Option<String>)> {
    let whole = head.strip_suffix(b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut rest = whole;
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    if lines.iter().any(|line| line.contains(&b'\r') || line.contains(&b'\n')) {
        return None;
    }
    let parts: Vec<&[u8]> = lines[0].split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let is_http_10 = [&b"HTTP/1.1"[..], b"HTTP/1.0"].iter().position(|known| *known == version)? == 1;
    if !is_token(method) || method.len() > 64 || [&b"TRACE"[..], b"CONNECT"].contains(&method) {
        return None;
    }
    // Printable, and not what RFC 3986 leaves out, nor the mark of a fragment.
    let is_left_out = |byte: &u8| b"\"<>\\^`{|}#".contains(byte);
    if target.is_empty() || !target.iter().all(|byte| byte.is_ascii_graphic() && !is_left_out(byte)) {
        return None;
    }
    let fields: Vec<(Vec<u8>, Vec<u8>)> = lines[1..].iter().map(|line| field(line)).collect::<Option<_>>()?;
    let values = |name: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(own, _)| own == name.as_bytes()).map(|(_, value)| &value[..]).collect()
    };
    let [host] = values("host")[..] else { return None };
    let host = Authority::parse(host).ok()?;
    let is_length = |text: &[u8]| !text.is_empty() && text.len() < 20 && text.iter().all(u8::is_ascii_digit);
    let is_framed = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => true,
        ([length], []) => is_length(length),
        ([], [coding]) => coding.eq_ignore_ascii_case(b"chunked") && !is_http_10,
        _ => false,
    };
    if !is_framed || fields.len() > MAX_FIELDS {
        return None;
    }
    let origin_form = match target {
        [b'/', ..] => None,
        _ => Some(Target::parse(target, Some(host.as_str())).ok()?.path_and_query().into_owned()),
    };
    Some((method, target, origin_form))
}

fn field(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_clean = value.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control());
    (is_token(name) && is_clean).then(|| (name.to_ascii_lowercase(), super::without_blanks(value)))
}

fn is_token(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}
