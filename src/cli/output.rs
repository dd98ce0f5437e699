//! Printing. A closed pipe is no error of ours: `storegate app list | head -1` ends quietly.

use std::io::Write;

use serde::Serialize;

use crate::model::{is_deceptive, plain};

/// How results are printed.
#[derive(Debug)]
pub(super) struct Output {
    /// As one JSON document.
    pub(super) json: bool,
}

impl Output {
    /// Prints a result: the JSON document, or what `text` makes of it. What strangers wrote may be in it, and does
    /// not act on the terminal.
    pub(super) fn result<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        let printed = if self.json {
            // Our own types, with string keys: they always serialise.
            escaped(serde_json::to_string_pretty(value).unwrap_or_default())
        } else {
            plain(&text(value)).into_owned()
        };
        line(&printed);
    }

    /// Prints a message beside the result.
    pub(super) fn message(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{}", plain(text));
    }
}

/// The same JSON document without characters that act on a terminal: they stand in strings alone, where they may be
/// escaped (RFC 8259 section 7).
fn escaped(json: String) -> String {
    let is_odd = |c: char| is_deceptive(c) && c != '\n';
    if !json.contains(is_odd) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match is_odd(c) {
            true => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units)
                    .iter()
                    .for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
            }
            false => escaped.push(c),
        }
    }
    escaped
}

/// Prints to standard output, as it is: our own words, which may have colours.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
}

/// Lines up rows under a head, two blanks between columns.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_in_json_acts_on_a_terminal() {
        for text in ["a", "\u{9b}2J", "op1\u{202e}", "\u{e0041}\u{7f}", "a\n\u{1b}", "\u{1f6d2}\u{200d}"] {
            let json = super::escaped(serde_json::to_string_pretty(&[text]).unwrap());
            let read: [String; 1] = serde_json::from_str(&json).unwrap();
            assert_eq!(read, [text]);
            assert!(!json.contains(|c| super::is_deceptive(c) && c != '\n'), "{json:?}");
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["1".to_owned(), "Nakshi".to_owned()], vec!["22".to_owned(), "é".to_owned()]];
        assert_eq!(super::table(&["id", "name"], &rows), "id  name\n1   Nakshi\n22  é\n");
    }
}
