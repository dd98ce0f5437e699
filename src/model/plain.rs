//! Text that reads as it is: what acts on a terminal or reorders and hides other characters has no place in a name, and
//! is escaped where it is shown.

use std::borrow::Cow;

/// Whether a character is not shown but does something: controls (C0, C1), line and paragraph separators, marks of
/// direction, and what takes no room (Unicode TR 36). The joiners U+200C and U+200D are not among them: Bengali and
/// Persian names, and emoji, are written with them.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The same with such characters written `\u{…}`, but for line ends and tabs.
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| is_deceptive(c) && !matches!(c, '\n' | '\t');
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_odd(c) {
            true => plain.extend(c.escape_unicode()),
            false => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        for (text, expected) in [
            ("", ""),
            ("Nakshi Home\n\tএকটি", "Nakshi Home\n\tএকটি"),
            ("র\u{200d}্যাব", "র\u{200d}্যাব"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\rb\u{8}\u{7f}", "a\\u{d}b\\u{8}\\u{7f}"),
            ("\u{9b}2J\u{85}", "\\u{9b}2J\\u{85}"),
            ("op1\u{202e}", "op1\\u{202e}"),
            ("a\u{2028}\u{2066}\u{feff}\u{200b}", "a\\u{2028}\\u{2066}\\u{feff}\\u{200b}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }
}
