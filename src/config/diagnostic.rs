//! One problem in the configuration: where it is, what it is, and what to write instead.

use std::fmt;

use serde::Serialize;

use super::excerpt::Excerpt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and is likely not what was meant.
    Warning,
}

/// A problem with its place. `Display` shows it as rustc does, with the line and a caret; the serde
/// form carries no source text. Neither repeats a value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// How many characters of the line it concerns; at least 1.
    pub width: usize,
    /// What is wrong.
    pub message: String,
    /// What could stand there.
    pub expected: Option<String>,
    /// What to do; may have several lines.
    pub help: Option<String>,
    #[serde(skip)]
    pub(super) excerpt: Excerpt,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let gutter = self.line.to_string().len();
        writeln!(f, "{severity}: {}", self.message)?;
        writeln!(f, "{:gutter$}--> {}:{}:{}", "", self.file, self.line, self.column)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{} | {}", self.line, self.excerpt.text)?;
        let (indent, carets) = (self.excerpt.indent, "^".repeat(self.excerpt.width));
        writeln!(f, "{:gutter$} | {:indent$}{carets}", "", "")?;
        if let Some(expected) = &self.expected {
            writeln!(f, "{:gutter$} = expected {expected}", "")?;
        }
        if let Some(help) = &self.help {
            let mut lines = help.lines();
            writeln!(f, "{:gutter$} = help: {}", "", lines.next().unwrap_or_default())?;
            for line in lines {
                match line {
                    "" => writeln!(f)?,
                    line => writeln!(f, "{:gutter$}         {line}", "")?,
                }
            }
        }
        Ok(())
    }
}

/// A name that the operator wrote, fit for a message: in backquotes, without control characters, cut
/// where it is long.
pub(super) fn quoted(name: &str) -> String {
    const LONGEST: usize = 64;
    let mut shown: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The candidate that `name` was probably meant to be. Case and the kind of dash do not count; more
/// than a third of wrong letters is not a slip any more.
pub(super) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| {
            let folded = candidate.to_ascii_lowercase().replace('-', "_");
            (strsim::osa_distance(&name, &folded), candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean …?", where there is something to mean.
pub(crate) fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("did you mean {}?", quoted(candidate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_name() {
        let names = ["header_timeout", "listen", "threads", "grace_period"];
        let rows = [
            ("header_timout", Some("header_timeout")),
            ("header-timeout", Some("header_timeout")),
            ("headerTimeout", Some("header_timeout")),
            ("LISTEN", Some("listen")),
            ("thread", Some("threads")),
            ("htreads", Some("threads")),
            ("port", None),
            ("", None),
            ("x", None),
            ("fr", None),
        ];
        for (name, expected) in rows {
            assert_eq!(nearest(name, names), expected, "{name}");
        }
        assert_eq!(nearest(&"listen".repeat(100_000), names), None);
    }

    #[test]
    fn names_are_shown_harmlessly() {
        assert_eq!(quoted("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
        assert_eq!(quoted(&"x".repeat(1000)).chars().count(), 67);
    }
}
