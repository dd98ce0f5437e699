//! The path of a route, read: literal segments, captures, a tail.

use super::path_case::PathCase;

/// The most segments of a route's path: the tree of routes is walked by recursion.
const MAX_SEGMENTS: usize = 64;

/// How much of a bad name an error shows, in characters.
const SHOWN: usize = 64;

/// A route's path.
pub(super) struct Pattern<'a> {
    /// The names that it captures, in order, a tail with its star.
    pub(super) names: Vec<&'a str>,
    /// The segments before the tail. Literals are in lower case unless case counts.
    pub(super) segments: Vec<Segment>,
    /// Whether it ends in a tail, which takes all that follows.
    pub(super) has_tail: bool,
}

/// One segment of a route's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<str>),
    /// A capture between literals, both of which may be empty.
    Capture {
        before: Box<str>,
        after: Box<str>,
    },
}

impl<'a> Pattern<'a> {
    pub(super) fn parse(path: &'a str, case: PathCase) -> Result<Self, String> {
        let Some(body) = path.strip_prefix('/') else { return Err("a path starts with a slash".into()) };
        if path.contains("//") {
            return Err("two slashes in a row match no request that a client means".into());
        }
        let body = body.strip_suffix('/').unwrap_or(body);
        if body.split('/').count() > MAX_SEGMENTS {
            return Err(format!("a path has at most {MAX_SEGMENTS} segments"));
        }
        let mut pattern = Self { names: Vec::new(), segments: Vec::new(), has_tail: false };
        let mut segments = body.split('/').filter(|segment| !segment.is_empty()).peekable();
        while let Some(segment) = segments.next() {
            if let Some(name) = segment.strip_prefix("{*").and_then(|rest| rest.strip_suffix('}')) {
                // A name that is one can be shown as it is.
                pattern.name(&segment[1..segment.len() - 1], name)?;
                if segments.peek().is_some() {
                    return Err(format!("{segment} takes all that follows, so that it must come last"));
                }
                pattern.has_tail = true;
                return Ok(pattern);
            }
            let segment = pattern.segment(segment, case)?;
            pattern.segments.push(segment);
        }
        Ok(pattern)
    }

    fn segment(&mut self, segment: &'a str, case: PathCase) -> Result<Segment, String> {
        let Some((before, rest)) = segment.split_once('{') else {
            return literal(segment, case).map(Segment::Literal);
        };
        let before = literal(before, case)?;
        let Some((name, after)) = rest.split_once('}') else {
            return Err(format!("the brace in {segment:?} has no partner"));
        };
        self.name(name, name)?;
        Ok(Segment::Capture { before, after: literal(after, case)? })
    }

    fn name(&mut self, shown: &'a str, name: &str) -> Result<(), String> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            let shown: String = shown.chars().take(SHOWN).flat_map(char::escape_debug).collect();
            return Err(format!("{{{shown}}} is not a name; use letters, digits and underscores"));
        }
        if self.names.iter().any(|known| known.trim_start_matches('*') == name) {
            return Err(format!("{{{name}}} stands twice"));
        }
        self.names.push(shown);
        Ok(())
    }
}

fn literal(text: &str, case: PathCase) -> Result<Box<str>, String> {
    // What cannot stand in a request's normal form (RFC 3986 section 3.3, unreserved decoded)
    // would be a route that never matches.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@[]".contains(&b);
    if let Some(odd) = text.chars().find(|c| !c.is_ascii() || !allowed(*c as u8)) {
        return Err(format!(
            "{odd:?} cannot stand in a route's path; write letters, digits and -._~!$&'()*+,;=:@"
        ));
    }
    if text == "." || text == ".." {
        return Err("dot segments are resolved before routes are matched".into());
    }
    Ok(match case {
        PathCase::Insensitive => text.to_ascii_lowercase().into(),
        PathCase::Sensitive => text.into(),
    })
}
