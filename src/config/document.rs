//! Reads TOML section by section. Every accessor says what it wanted when the value has another
//! type, and notes the key, so that at the end the keys nobody asked for are known.

use std::ops::{Deref, Range};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::quoted;
use super::keys::{Form, KeyId};
use super::report::{Finding, Report};

/// What stands at a key, with its place; `None` where the key is absent or of the wrong type (which has
/// been reported).
#[derive(Debug, Clone)]
pub(super) struct Asked<V> {
    /// Which key this is, for the notes on it.
    pub(super) key: KeyId,
    value: Option<V>,
}

/// A value of one type.
pub(super) type Given<T> = Asked<Spanned<T>>;
/// A value that may be a string, a list or a table.
pub(super) type Any<'d> = Asked<&'d Spanned<DeValue<'d>>>;

impl<V> Deref for Asked<V> {
    type Target = Option<V>;

    fn deref(&self) -> &Self::Target {
        &self.value
    }
}

/// Parses the text; syntax errors go to the report, and what could be read is returned.
pub(super) fn parse<'d>(text: &'d str, report: &Report) -> Spanned<DeTable<'d>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        // The parser joins what it found and what it wanted in one sentence.
        let (message, expected) = match error.message().split_once(", expected ") {
            Some((message, "nothing")) => (message, None),
            Some((message, expected)) => (message, Some(expected)),
            None => (error.message(), None),
        };
        let finding = Finding::error(span, message);
        report.syntax(match expected {
            Some(expected) => finding.expected(expected),
            None => finding,
        });
    }
    table
}

/// A table of the file, or its absence, which reads as an empty one.
#[derive(Debug)]
pub(super) struct Section<'d> {
    /// As it is written between brackets; empty for the top level.
    name: String,
    /// Its position among the notes.
    keys: usize,
    /// Its header; where it is absent, that of the section around it.
    span: Range<usize>,
    table: Option<&'d DeTable<'d>>,
    asked: Vec<&'static str>,
    report: &'d Report,
}

impl<'d> Section<'d> {
    /// The top level.
    pub(super) fn root(table: &'d Spanned<DeTable<'d>>, report: &'d Report) -> Self {
        Self::new(String::new(), table.span(), Some(table.get_ref()), report)
    }

    fn new(name: String, span: Range<usize>, table: Option<&'d DeTable<'d>>, report: &'d Report) -> Self {
        let keys = report.keys().section(&name);
        Self { name, keys, span, table, asked: Vec::new(), report }
    }

    /// The place of the header.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the file has this section.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the section has `key`, whatever its type.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Reports that `key`, which has no default, is not there.
    pub(super) fn require(&self, key: &'static str, help: &str) {
        self.report.keys().require(self.keys, key);
        if self.is_present() && !self.has(key) {
            let finding = Finding::error(self.span(), format!("{} is missing", quoted(&self.path(key))));
            self.report.push(finding.help(help.to_owned()).whole_file());
        }
    }

    /// The value of `key`, which has one of several forms; the caller reports one that has none of them.
    pub(super) fn one_of(&mut self, key: &'static str, forms: &'static [Form]) -> Any<'d> {
        let (key, value) = self.ask(key, Form::OneOf(forms));
        Any { key, value }
    }

    fn ask(&mut self, key: &'static str, form: Form) -> (KeyId, Option<&'d Spanned<DeValue<'d>>>) {
        self.asked.push(key);
        let id = self.report.keys().ask(self.keys, key, form);
        (id, self.table.and_then(|table| table.get(key)))
    }

    /// What `read` makes of the value of `key`.
    fn given<T>(
        &mut self,
        key: &'static str,
        form: Form,
        read: impl FnOnce(&Self, &'d Spanned<DeValue<'d>>) -> Option<Spanned<T>>,
    ) -> Given<T> {
        let (id, value) = self.ask(key, form);
        Given { key: id, value: value.and_then(|value| read(self, value)) }
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str) -> Given<&'d str> {
        self.given(key, Form::Text, |section, value| {
            text(value).or_else(|| section.wrong_type(key, value, "a string", "put it between quotes"))
        })
    }

    /// A whole number; what does not fit is the largest or smallest, which no key accepts.
    pub(super) fn number(&mut self, key: &'static str) -> Given<i64> {
        self.given(key, Form::Number(0..=usize::MAX), |section, value| {
            let DeValue::Integer(digits) = value.get_ref() else {
                let help = "write it without quotes and unit";
                return section.wrong_type(key, value, "a whole number", help);
            };
            let beyond = if digits.as_str().starts_with('-') { i64::MIN } else { i64::MAX };
            let number = i64::from_str_radix(digits.as_str(), digits.radix()).unwrap_or(beyond);
            Some(Spanned::new(value.span(), number))
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Given<bool> {
        self.given(key, Form::Flag, |section, value| match value.get_ref() {
            DeValue::Boolean(flag) => Some(Spanned::new(value.span(), *flag)),
            _ => section.wrong_type(key, value, "`true` or `false`", "write it without quotes"),
        })
    }

    /// A list of strings. Elements of another type are reported and left out.
    pub(super) fn texts(&mut self, key: &'static str) -> Given<Vec<Spanned<&'d str>>> {
        self.given(key, Form::Texts, |section, value| {
            let DeValue::Array(_) = value.get_ref() else {
                let help = "put it between square brackets";
                return section.wrong_type(key, value, "a list of strings", help);
            };
            Some(Spanned::new(value.span(), texts(value, &section.path(key), section.report)))
        })
    }

    /// A section below this one.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'d> {
        self.subsection(key, Form::Section)
    }

    fn subsection(&mut self, key: &'static str, form: Form) -> Section<'d> {
        let path = self.path(key);
        match self.ask(key, form).1.map(|value| (value, value.get_ref())) {
            Some((value, DeValue::Table(table))) => Self::new(path, value.span(), Some(table), self.report),
            other => {
                if let Some((value, _)) = other {
                    let help = format!("write [{path}] on a line of its own");
                    self.wrong_type::<()>(key, value, "a section", &help);
                }
                Self::new(path, self.span.clone(), None, self.report)
            }
        }
    }

    /// The sections below this one that the operator names, `[upstream.api]`; in the order of the
    /// file.
    pub(super) fn named_sections(&mut self, key: &'static str) -> Vec<(Spanned<&'d str>, Section<'d>)> {
        let parent = self.subsection(key, Form::NamedSections);
        let mut sections = Vec::new();
        for (name, value) in parent.table.into_iter().flatten() {
            let path = format!("{}.*", parent.name);
            let DeValue::Table(table) = value.get_ref() else {
                self.report.push(
                    Finding::error(name.span(), format!("[{}] holds named sections only", parent.name))
                        .expected(format!("a section, such as [{}.api]", parent.name)),
                );
                continue;
            };
            let section = Self::new(path, value.span(), Some(table), self.report);
            sections.push((Spanned::new(name.span(), name.get_ref().as_ref()), section));
        }
        sections.sort_by_key(|(name, _)| name.span().start);
        sections
    }

    /// A list of sections, `[[route]]`; `None` where something else stands there.
    pub(super) fn sections(&mut self, key: &'static str) -> Option<Vec<Section<'d>>> {
        let path = self.path(key);
        let Some(value) = self.ask(key, Form::Sections).1 else { return Some(Vec::new()) };
        let help = format!("write [[{path}]], once for each");
        let DeValue::Array(array) = value.get_ref() else {
            return self.wrong_type(key, value, "a list of sections", &help);
        };
        let mut sections = Vec::new();
        for element in array.iter() {
            match element.get_ref() {
                DeValue::Table(table) => {
                    sections.push(Self::new(path.clone(), element.span(), Some(table), self.report));
                }
                _ => return self.wrong_type(key, element, "a list of sections", &help),
            }
        }
        Some(sections)
    }

    /// A table as a section of its own, for a key that accepts other types beside it.
    pub(super) fn inline(&self, key: &str, value: &'d Spanned<DeValue<'d>>) -> Option<Section<'d>> {
        let table = value.get_ref().as_table()?;
        Some(Self::new(self.path(key), value.span(), Some(table), self.report))
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for name in self.table.into_iter().flat_map(DeTable::keys) {
            let key = name.get_ref().as_ref();
            if !self.asked.contains(&key) {
                self.report.unknown_key(&self.name, key, name.span(), self.asked.clone());
            }
        }
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn wrong_type<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        help: &str,
    ) -> Option<T> {
        self.report.push(wrong_type(&self.path(key), value, expected).help(help.to_owned()));
        None
    }
}

/// A value of the wrong type.
pub(super) fn wrong_type(path: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Finding {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    Finding::error(value.span(), format!("{} cannot be {found}", quoted(path))).expected(expected)
}

/// The value if it is a string.
pub(super) fn text<'d>(value: &'d Spanned<DeValue<'d>>) -> Option<Spanned<&'d str>> {
    value.get_ref().as_str().map(|text| Spanned::new(value.span(), text))
}

/// The strings of a list; other elements are reported and left out.
pub(super) fn texts<'d>(
    value: &'d Spanned<DeValue<'d>>,
    path: &str,
    report: &Report,
) -> Vec<Spanned<&'d str>> {
    let mut texts = Vec::new();
    for element in value.get_ref().as_array().into_iter().flat_map(|array| array.iter()) {
        match text(element) {
            Some(text) => texts.push(text),
            None => {
                let finding = wrong_type(path, element, "a list of strings");
                report.push(finding.help("put every element between quotes".to_owned()));
            }
        }
    }
    texts
}
