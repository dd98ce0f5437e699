//! Printing. A closed pipe is no error of ours: `storegate app list | head -1` ends quietly.

use std::io::Write;

use serde::Serialize;

/// How results are printed.
#[derive(Debug)]
pub(super) struct Output {
    /// As one JSON document.
    pub(super) json: bool,
}

impl Output {
    /// Prints a result: the JSON document, or what `text` makes of it.
    pub(super) fn result<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        let printed = if self.json {
            // Our own types, with string keys: they always serialise.
            serde_json::to_string_pretty(value).unwrap_or_default()
        } else {
            text(value)
        };
        line(&printed);
    }

    /// Prints a message beside the result.
    pub(super) fn message(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Prints to standard output.
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
    fn columns_line_up() {
        let rows = [vec!["1".to_owned(), "Nakshi".to_owned()], vec!["22".to_owned(), "é".to_owned()]];
        assert_eq!(super::table(&["id", "name"], &rows), "id  name\n1   Nakshi\n22  é\n");
    }
}
