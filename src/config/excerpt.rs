//! The source line under a diagnostic, with the place of the carets. What may be a secret is left
//! out, control characters are escaped, and long lines are cut round the place.

use std::ops::Range;

/// The longest line shown, in characters.
const LONGEST: usize = 200;
/// How much of a long line is shown before the place, in characters.
const BEFORE: usize = 60;
/// Columns of a tab.
const TAB: usize = 4;

/// A line as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The line.
    pub(super) text: String,
    /// Characters before the first caret.
    pub(super) indent: usize,
    /// The number of carets; at least 1.
    pub(super) width: usize,
}

impl Excerpt {
    /// Shows `line` with carets under the characters `place`. Values are shown only of keys that
    /// are `known`: what stands at any other may be a secret.
    pub(super) fn new(line: &str, place: Range<usize>, known: impl Fn(&str) -> bool) -> Self {
        let line: Vec<char> = line.chars().collect();
        let mut hidden = hidden(&line, known);
        hidden.sort_by_key(|range| range.start);
        let mut hidden = hidden.into_iter().peekable();

        let mut cells: Vec<char> = Vec::with_capacity(line.len());
        let (mut indent, mut end) = (None, None);
        let mut at = 0;
        while at < line.len() {
            while hidden.next_if(|range| range.end <= at).is_some() {}
            let cover = hidden.peek().filter(|range| range.start <= at);
            let next = cover.map_or(at + 1, |range| range.end.min(line.len()));
            // A place inside hidden text is shown at the ellipsis that stands for it.
            if next > place.start {
                indent.get_or_insert(cells.len());
            }
            if at >= place.end {
                end.get_or_insert(cells.len());
            }
            match cover {
                Some(_) => cells.push('…'),
                None => push_visible(&mut cells, line[at]),
            }
            at = next;
        }
        let indent = indent.unwrap_or(cells.len());
        let end = end.unwrap_or(cells.len());
        Self::cut(cells, indent, end)
    }

    fn cut(cells: Vec<char>, indent: usize, end: usize) -> Self {
        let width = end.saturating_sub(indent).max(1);
        if cells.len() <= LONGEST {
            return Self { text: cells.into_iter().collect(), indent, width };
        }
        let start = indent.saturating_sub(BEFORE).min(cells.len() - LONGEST);
        let mut shown: Vec<char> = cells[start..start + LONGEST].to_vec();
        let mut indent = indent - start;
        if start > 0 {
            shown.insert(0, '…');
            indent += 1;
        }
        let width = width.min(shown.len().saturating_sub(indent)).max(1);
        if start + LONGEST < cells.len() {
            shown.push('…');
        }
        Self { text: shown.into_iter().collect(), indent, width }
    }
}

fn push_visible(cells: &mut Vec<char>, c: char) {
    match c {
        '\t' => cells.extend([' '; TAB]),
        // Controls act on the terminal; the others reorder or hide text (Unicode TR 36).
        c if c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
        {
            cells.extend(c.escape_unicode());
        }
        c => cells.push(c),
    }
}

/// What a line must not show: the user part of a URL, and all that follows an unknown key.
fn hidden(line: &[char], known: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut assignments = line.iter().enumerate().filter(|(_, c)| **c == '=').map(|(at, _)| at);
    if let Some(at) = assignments.find(|at| !known(&key_before(&line[..*at]))) {
        ranges.push(at + 1..line.len());
    }
    let mut at = 0;
    while at < line.len() {
        if line[at..].starts_with(&[':', '/', '/']) {
            let start = at + 3;
            let stop = |c: &char| c.is_whitespace() || matches!(c, '"' | '\'' | ',');
            let end = line[start..].iter().position(stop).map_or(line.len(), |length| start + length);
            if let Some(length) = line[start..end].iter().rposition(|c| *c == '@') {
                ranges.push(start..start + length);
            }
            at = end;
        } else {
            at += 1;
        }
    }
    ranges.retain(|range| !range.is_empty());
    ranges
}

/// The last part of the key that ends here; none of the known ones is longer.
fn key_before(line: &[char]) -> String {
    const LONGEST: usize = 64;
    let mut key: Vec<char> = line
        .iter()
        .rev()
        .skip_while(|c| c.is_whitespace() || matches!(c, '"' | '\''))
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        .take(LONGEST)
        .copied()
        .collect();
    key.reverse();
    key.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(line: &str, place: Range<usize>) -> String {
        let known = ["threads", "key_file", "x", "a", "s"];
        let excerpt = Excerpt::new(line, place, |key| known.contains(&key));
        format!("{}\n{}{}", excerpt.text, " ".repeat(excerpt.indent), "^".repeat(excerpt.width))
    }

    #[test]
    fn carets_stand_under_the_place() {
        let rows = [
            ("threads = 5", 10..11, "threads = 5\n          ^"),
            ("\tx = 1", 1..2, "    x = 1\n    ^"),
            ("x = 'é' # 5", 4..7, "x = 'é' # 5\n    ^^^"),
            ("a\u{1b}b", 2..3, "a\\u{1b}b\n       ^"),
            ("a\u{202e}b", 1..2, "a\\u{202e}b\n ^^^^^^^^"),
            ("abc", 3..3, "abc\n   ^"),
            ("abc", 1..1, "abc\n ^"),
            ("", 0..0, "\n^"),
            ("abc", 90..99, "abc\n   ^"),
        ];
        for (line, place, expected) in rows {
            assert_eq!(show(line, place), expected, "{line:?}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let rows = [
            (r#"client_secret = "hunter2""#, 0..13, "client_secret =…\n^^^^^^^^^^^^^"),
            (r#"client_secret = "hunter2""#, 18..20, "client_secret =…\n               ^"),
            (r#"a = { "pass-token" = "hunter2" }"#, 0..1, "a = { \"pass-token\" =…\n^"),
            (r#"s = ["http://a:hunter2@h/x@y"]"#, 5..28, "s = [\"http://…@y\"]\n     ^^^^^^^^^^^"),
            (r#"key_file = "k""#, 11..14, "key_file = \"k\"\n           ^^^"),
            ("dsn = 'hunter2' # x", 0..3, "dsn =…\n^^^"),
            ("a.dsn = 'hunter2' # x", 2..5, "a.dsn =…\n  ^^^"),
            ("x = 'hunter2", 6..6, "x = 'hunter2\n      ^"),
        ];
        for (line, place, expected) in rows {
            assert_eq!(show(line, place), expected, "{line:?}");
        }
    }

    #[test]
    fn long_lines_are_cut() {
        for at in [0, 59, 60, 500, 99_000, 99_999] {
            let mut line: Vec<char> = vec!['.'; 100_000];
            line[at] = 'X';
            let excerpt = Excerpt::new(&line.iter().collect::<String>(), at..100_000, |_| true);
            assert!(excerpt.text.chars().count() <= LONGEST + 2);
            assert_eq!(excerpt.text.chars().nth(excerpt.indent), Some('X'), "{at}");
            assert!(excerpt.indent + excerpt.width <= LONGEST + 1, "{at}");
        }
    }
}
