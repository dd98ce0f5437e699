//! Which scopes a route demands, with captured path parts filled in.

use smallvec::SmallVec;

use super::route::Captures;

/// A scope put together on the stack; 96 bytes hold every scope the platforms know.
pub type ScopeText = SmallVec<[u8; 96]>;

/// One required scope, such as `read:{resource}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeTemplate {
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// The captured path part with this number, counted along the route's path.
    Capture(usize),
}

/// What a scope template was refused for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeTemplateError {
    /// A name in braces that the route's path does not capture.
    #[error("the path has no part {{{0}}}")]
    UnknownCapture(String),
    /// A capture that may hold slashes.
    #[error("{{*{0}}} may hold several segments and cannot stand in a scope")]
    CatchAll(String),
    /// A brace without its partner.
    #[error("a brace has no partner")]
    Brace,
    /// Nothing, or a character outside RFC 6749 section 3.3.
    #[error("a scope is visible ASCII without blanks, quotes and backslashes (RFC 6749 section 3.3)")]
    Character,
}

impl ScopeTemplate {
    /// Reads `read:{resource}`; `captures` are the names in the route's path, in order, a catch-all
    /// with its star.
    ///
    /// # Errors
    ///
    /// [`ScopeTemplateError`].
    pub fn parse(text: &str, captures: &[&str]) -> Result<Self, ScopeTemplateError> {
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err(ScopeTemplateError::Character);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            if open > 0 {
                parts.push(Part::Literal(rest[..open].into()));
            }
            let close = rest[open..].find('}').filter(|_| rest.as_bytes()[open] == b'{');
            let Some(close) = close else { return Err(ScopeTemplateError::Brace) };
            let name = &rest[open + 1..open + close];
            match captures.iter().position(|capture| capture.trim_start_matches('*') == name) {
                None => return Err(ScopeTemplateError::UnknownCapture(name.to_owned())),
                Some(index) if captures[index].starts_with('*') => {
                    return Err(ScopeTemplateError::CatchAll(name.to_owned()));
                }
                Some(index) => parts.push(Part::Capture(index)),
            }
            rest = &rest[open + close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        Ok(Self { parts: parts.into() })
    }

    /// The template as it is written, with the names of the captures.
    pub fn written(&self, captures: &[&str]) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.to_string(),
            Part::Capture(index) => format!("{{{}}}", captures.get(*index).unwrap_or(&"")),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether there is a request for which the scope is this one.
    pub fn may_be(&self, scope: &str) -> bool {
        fits(&self.parts, scope.as_bytes())
    }

    /// Puts the scope of one request into `out`, which is emptied first.
    pub fn render(&self, captures: &Captures<'_>, out: &mut ScopeText) {
        out.clear();
        for part in &self.parts {
            let text = match part {
                Part::Literal(text) => &**text,
                Part::Capture(index) => captures.value(*index),
            };
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Whether the parts in a row may be `text`, a capture being one byte or more. Each literal is taken where
/// it comes first, which leaves the most to what follows: no way has to be tried twice.
fn fits(parts: &[Part], text: &[u8]) -> bool {
    // What is left, and how many bytes of it belong to captures at least.
    let (mut rest, mut owed) = (text, 0);
    for (position, part) in parts.iter().enumerate() {
        let Part::Literal(literal) = part else {
            owed += 1;
            continue;
        };
        let literal = literal.as_bytes();
        let is_last = position + 1 == parts.len();
        let at = match (owed, is_last) {
            (0, _) => rest.starts_with(literal).then_some(0),
            (_, true) => rest.len().checked_sub(literal.len()).filter(|at| rest[*at..] == *literal),
            (_, false) => {
                rest.windows(literal.len()).skip(owed).position(|own| own == literal).map(|at| at + owed)
            }
        };
        let Some(at) = at.filter(|at| *at >= owed) else { return false };
        (rest, owed) = (&rest[at + literal.len()..], 0);
    }
    if owed == 0 { rest.is_empty() } else { rest.len() >= owed }
}

/// The scopes that a route demands; all of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeRules {
    /// For GET and HEAD.
    pub read: Box<[ScopeTemplate]>,
    /// For every other method.
    pub write: Box<[ScopeTemplate]>,
}

impl ScopeRules {
    /// The scopes for a method. Methods that this program has never heard of count as writes.
    pub fn for_method(&self, method: &http::Method) -> &[ScopeTemplate] {
        match *method {
            http::Method::GET | http::Method::HEAD => &self.read,
            _ => &self.write,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_say_what_they_may_be() {
        let captures = ["version", "resource"];
        let rows: [(&str, &[&str], &[&str]); 6] = [
            ("billing", &["billing"], &["", "billin", "billings", "read:billing"]),
            ("read:{resource}", &["read:orders", "read:a:b"], &["read:", "read", "write:orders", "xread:a"]),
            ("{version}", &["x", "read:orders"], &[""]),
            (
                "{version}:{resource}s",
                &["v1:orders", "a:b:cs", "v:ss"],
                &["v1:order", ":orders", "v1:s", "v1"],
            ),
            ("a{version}a{resource}a", &["axaxa", "aaaaa", "axxaaya"], &["aaa", "aaaa", "axaax", "xaxaa"]),
            ("{version}{resource}", &["ab", "abc", "é"], &["", "a"]),
        ];
        for (text, good, bad) in rows {
            let template = ScopeTemplate::parse(text, &captures).unwrap();
            assert_eq!(template.written(&captures), text);
            assert!(good.iter().all(|scope| template.may_be(scope)), "{text}");
            assert!(bad.iter().all(|scope| !template.may_be(scope)), "{text}");
        }
    }

    #[test]
    fn templates_are_read_strictly() {
        let captures = ["version", "resource", "*rest"];
        for good in ["read:{resource}", "{resource}", "billing", "a{version}b{resource}c"] {
            assert!(ScopeTemplate::parse(good, &captures).is_ok(), "{good}");
        }
        let refused = [
            ("", ScopeTemplateError::Character),
            ("read orders", ScopeTemplateError::Character),
            ("read:\"x\"", ScopeTemplateError::Character),
            ("läs", ScopeTemplateError::Character),
            ("read:{resource", ScopeTemplateError::Brace),
            ("read:}", ScopeTemplateError::Brace),
            ("read:{thing}", ScopeTemplateError::UnknownCapture("thing".into())),
            ("read:{}", ScopeTemplateError::UnknownCapture(String::new())),
            ("read:{rest}", ScopeTemplateError::CatchAll("rest".into())),
        ];
        for (text, error) in refused {
            assert_eq!(ScopeTemplate::parse(text, &captures), Err(error), "{text}");
        }
    }
}
