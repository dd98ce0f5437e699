//! The settings in force, each with where it comes from: what `storegate config show` prints. Secrets
//! are left out.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Form, Key, Keys, SectionKeys, is_secret};
use super::report::Report;
use super::{Problems, parse, read_file, references};

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The key as a dotted path, such as `server.listen`, `upstream.api.servers` or `route[0].path`.
    pub key: String,
    /// The value in force, references put in; null where nothing holds, and where it is secret. Paths
    /// of files are those that are opened.
    pub value: Value,
    /// Whether the value is left out because it may hold a secret.
    pub is_secret: bool,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// The file does not say.
    Default,
    /// The file says so.
    File {
        /// The configuration, as it was named.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// The environment variables that the value names.
        variables: Vec<String>,
        /// The file that the value stands in, with `file:`.
        reference: Option<PathBuf>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::File { file, line, variables, reference } = self else { return f.write_str("default") };
        write!(f, "{file}:{line}")?;
        variables.iter().try_for_each(|name| write!(f, ", ${{{name}}}"))?;
        reference.iter().try_for_each(|path| write!(f, ", file:{}", path.display()))
    }
}

/// The settings of a file, in the order of the documentation.
///
/// # Errors
///
/// [`Problems`].
pub fn settings(path: &Path) -> Result<Vec<Setting>, Problems> {
    let (text, name) = (read_file(path)?, path.to_string_lossy());
    let read = parse(&text, &name, &references::of_process, |_, table, report| {
        settings_of(&text, &name, table, report)
    });
    read.map(|(settings, _)| settings)
}

/// The settings of a table that was read from `text`, with the notes of the reading.
pub(super) fn settings_of(text: &str, file: &str, table: &DeTable<'_>, report: &Report) -> Vec<Setting> {
    let keys = report.keys().clone();
    let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut list = List { file, folder, breaks, keys: &keys, report, settings: Vec::new() };
    list.section(&Place::default(), Some((0, table)));
    list.settings
}

/// A section or a key.
#[derive(Default, Clone)]
struct Place<'p> {
    /// As the notes call it, with `*` for names that the operator chose.
    name: String,
    /// The keys that lead to it.
    parts: Vec<&'p str>,
    /// As it is shown.
    shown: String,
}

impl<'p> Place<'p> {
    fn key(&self, key: &'p str) -> Self {
        let join = |parent: &str| if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
        Self { name: join(&self.name), parts: [&*self.parts, &[key]].concat(), shown: join(&self.shown) }
    }

    fn named(&self, own: &'p str) -> Self {
        let name = format!("{}.*", self.name);
        Self { name, parts: [&*self.parts, &[own]].concat(), shown: format!("{}.{own}", self.shown) }
    }

    fn element(&self, index: usize) -> Self {
        Self { shown: format!("{}[{index}]", self.shown), ..self.clone() }
    }
}

struct List<'l> {
    file: &'l str,
    folder: &'l Path,
    /// Where the lines end.
    breaks: Vec<usize>,
    keys: &'l Keys,
    report: &'l Report,
    settings: Vec<Setting>,
}

impl List<'_> {
    /// All settings of a section; `given` is where it stands and what it holds, if it is there.
    fn section(&mut self, place: &Place<'_>, given: Option<(usize, &DeTable<'_>)>) {
        let Some(section) = self.keys.named(&place.name) else { return };
        let mut keys: Vec<&Key> = section.keys.iter().collect();
        keys.sort_by_key(|key| rank(&key.form));
        for key in keys {
            let below = place.key(key.name);
            let value = given.and_then(|(_, table)| table.get(key.name));
            match key.form {
                Form::Section if value.is_none() && !self.holds_when_absent(&below) => {}
                Form::Section => self.section(&below, value.and_then(table)),
                Form::NamedSections => self.named_sections(&below, value),
                Form::Sections => {
                    let list = value.and_then(|value| value.get_ref().as_array());
                    for (index, element) in list.into_iter().flat_map(|list| list.iter()).enumerate() {
                        self.section(&below.element(index), table(element));
                    }
                }
                _ => self.setting(key, below, given.map(|(start, _)| start), value),
            }
        }
    }

    fn named_sections(&mut self, place: &Place<'_>, value: Option<&Spanned<DeValue<'_>>>) {
        let named = value.and_then(|value| value.get_ref().as_table());
        let mut named: Vec<_> = named.into_iter().flatten().collect();
        named.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in named {
            self.section(&place.named(name.get_ref()), table(value));
        }
    }

    /// One setting; `start` is where its section stands.
    fn setting(
        &mut self,
        key: &Key,
        place: Place<'_>,
        start: Option<usize>,
        value: Option<&Spanned<DeValue<'_>>>,
    ) {
        let written = value.map(|value| json(value.get_ref()));
        let in_force = match written.or_else(|| self.keys.absent(start, key).cloned()) {
            Some(Value::String(text)) if key.form == Form::Path => {
                self.folder.join(text).to_string_lossy().into()
            }
            other => other.unwrap_or_default(),
        };
        let is_secret = is_secret(&place.parts) && !in_force.is_null();
        self.settings.push(Setting {
            key: place.shown,
            value: if is_secret { Value::Null } else { in_force },
            is_secret,
            origin: value.map_or(Origin::Default, |value| self.origin(value.span())),
        });
    }

    /// Whether a section that is not there is in force with its defaults: those at the top level are,
    /// except where they need a key.
    fn holds_when_absent(&self, place: &Place<'_>) -> bool {
        let needs_a_key = |section: &SectionKeys| section.keys.iter().any(|key| key.is_required);
        place.parts.len() == 1 && !self.keys.named(&place.name).is_some_and(needs_a_key)
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        let line = self.breaks.partition_point(|end| *end < span.start) + 1;
        let (variables, reference) = self.report.references(span);
        Origin::File { file: self.file.to_owned(), line, variables, reference }
    }
}

/// Where a section stands, and what it holds.
fn table<'t, 'd>(value: &'t Spanned<DeValue<'d>>) -> Option<(usize, &'t DeTable<'d>)> {
    Some((value.span().start, value.get_ref().as_table()?))
}

/// Plain keys first, as TOML needs them.
fn rank(form: &Form) -> usize {
    match form {
        Form::Section => 1,
        Form::NamedSections => 2,
        Form::Sections => 3,
        _ => 0,
    }
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => (**text).into(),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Array(list) => list.iter().map(|element| json(element.get_ref())).collect(),
        DeValue::Table(table) => table
            .into_iter()
            .map(|(name, value)| (name.get_ref().clone().into_owned(), json(value.get_ref())))
            .collect(),
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Null, // no key takes them
    }
}
