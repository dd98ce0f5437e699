//! Trace context: a `traceparent`, then lines of `tracestate`.

use storegate::wire::trace_context::{is_tracestate, parent as read};

pub fn check(data: &[u8]) {
    let mut lines = super::lines(data);
    let parent = lines.next().unwrap_or_default();
    let found = read(parent).map(|one| (one.trace_id, one.span_id, one.is_sampled));
    assert_eq!(found, parent_in_parts(parent), "b\"{}\"", parent.escape_ascii());
    let state: Vec<&[u8]> = lines.collect();
    let accepted = is_tracestate(state.iter().copied());
    assert_eq!(accepted, is_list(&state), "{state:?}");
    // Lines are one list (RFC 9110 section 5.3).
    assert_eq!(accepted, is_tracestate(std::iter::once(&*state.join(&b','))), "{state:?}");
}

/// By position, where the other reads by separators.
fn parent_in_parts(parent: &[u8]) -> Option<(&str, &str, bool)> {
    let hex = |range: std::ops::Range<usize>| {
        let part = parent.get(range)?;
        part.iter().all(|byte| b"0123456789abcdef".contains(byte)).then_some(part)
    };
    let (version, trace, span, flags) = (hex(0..2)?, hex(3..35)?, hex(36..52)?, hex(53..55)?);
    let is_null = |part: &[u8]| part.iter().filter(|byte| **byte != b'0').count() == 0;
    let dashes = [2, 35, 52].into_iter().all(|at| parent[at] == b'-');
    let more = &parent[55..];
    let may_follow = match (version, more) {
        (_, []) => true,
        (b"00", _) => false,
        (_, [b'-', later @ ..]) => later.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != 0x2c),
        _ => false,
    };
    let good = dashes && may_follow && version != b"ff" && !is_null(trace) && !is_null(span);
    let text = |part| std::str::from_utf8(part).unwrap();
    let sampled = u8::from_str_radix(text(flags), 16).unwrap() % 2 == 1;
    good.then(|| (text(trace), text(span), sampled))
}

/// With whole texts and a list of keys, without bounds on the way.
fn is_list(lines: &[&[u8]]) -> bool {
    let joined = lines.join(&b',');
    let members: Vec<Vec<u8>> = joined.split(|byte| *byte == b',').map(super::without_blanks).collect();
    let members: Vec<&[u8]> = members.iter().map(|one| &**one).filter(|one| !one.is_empty()).collect();
    let mut keys = Vec::new();
    for member in &members {
        let parts: Vec<&[u8]> = member.split(|byte| *byte == b'=').collect();
        let [key, value] = parts[..] else { return false };
        let value_is_good = !value.is_empty()
            && value.len() <= 256
            && value.last() != Some(&b' ')
            && value.iter().all(|byte| (0x20..0x7f).contains(byte));
        if !value_is_good || !is_key(key) {
            return false;
        }
        keys.push(key);
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    keys.len() == count && count <= 32
}

fn is_key(key: &[u8]) -> bool {
    let signs =
        |name: &[u8]| name.iter().all(|byte| b"abcdefghijklmnopqrstuvwxyz0123456789_-*/".contains(byte));
    let letter = |name: &[u8]| name.first().is_some_and(u8::is_ascii_lowercase);
    let parts: Vec<&[u8]> = key.split(|byte| *byte == b'@').collect();
    match parts[..] {
        [name] => letter(name) && signs(name) && name.len() <= 256,
        [tenant, system] => {
            let begins = letter(tenant) || tenant.first().is_some_and(u8::is_ascii_digit);
            begins
                && (signs(tenant) && tenant.len() <= 241)
                && (letter(system) && signs(system) && system.len() <= 14)
        }
        _ => false,
    }
}
