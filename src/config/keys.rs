//! What the reader asks for: every key with its form, its default and its bounds, noted while a file is
//! read. The schema, `config show` and the advice on unknown keys are made of these notes, so that
//! none of them can say anything else than what the reader does.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

/// Keys whose values may hold a secret, as dotted paths; `*` is a name that the operator chose. Their
/// values are never shown, and may be references to files.
const SECRETS: &[&str] = &["limits.shared", "otlp.header", "usage.alerts.secret", "usage.alerts.webhook"];

/// Whether the value at this path may hold a secret.
pub(super) fn is_secret(path: &[&str]) -> bool {
    SECRETS.iter().any(|secret| {
        let parts = secret.split('.');
        parts.clone().count() == path.len()
            && parts.zip(path).all(|(part, name)| part == "*" || part == *name)
    })
}

/// Whether values of keys with this name may hold a secret.
pub(super) fn is_secret_name(key: &str) -> bool {
    SECRETS.iter().any(|secret| secret.rsplit('.').next() == Some(key))
}

/// What may stand at a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// A string.
    Text,
    /// A string that is a duration within bounds.
    Duration(RangeInclusive<Duration>),
    /// One of a few strings.
    Word(Cow<'static, [&'static str]>),
    /// A string that is the path of a file; relative ones start from the folder of the configuration.
    Path,
    /// A whole number within bounds.
    Number(RangeInclusive<usize>),
    /// `true` or `false`.
    Flag,
    /// A list of strings.
    Texts,
    /// A list of some of a few strings.
    Words(Cow<'static, [&'static str]>),
    /// A section.
    Section,
    /// Sections with names that the operator chooses.
    NamedSections,
    /// A list of sections.
    Sections,
    /// One of several forms.
    OneOf(&'static [Form]),
}

/// One key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// What holds where the key is absent; `None`: nothing, or what other settings say.
    pub(super) default: Option<Value>,
    /// Whether a section that is there needs it.
    pub(super) is_required: bool,
}

/// The keys of one section, in the order in which they are asked for.
#[derive(Debug, Default, Clone)]
pub(super) struct SectionKeys {
    /// As it is written between brackets, with `*` for names that the operator chooses; empty for the
    /// top level.
    pub(super) name: String,
    pub(super) keys: Vec<Key>,
}

/// Which key: the positions of its section and of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId(usize, usize);

/// Everything that was asked for.
#[derive(Debug, Default, Clone)]
pub(super) struct Keys {
    sections: Vec<SectionKeys>,
    /// Defaults that depend on what else is written: by where the section stands, and key.
    derived: HashMap<(usize, &'static str), Value>,
    positions: HashMap<String, usize>,
}

impl Keys {
    /// The position of the section with this name.
    pub(super) fn section(&mut self, name: &str) -> usize {
        if let Some(&position) = self.positions.get(name) {
            return position;
        }
        self.sections.push(SectionKeys { name: name.to_owned(), keys: Vec::new() });
        self.positions.insert(name.to_owned(), self.sections.len() - 1);
        self.sections.len() - 1
    }

    /// Notes that a key is asked for.
    pub(super) fn ask(&mut self, section: usize, name: &'static str, form: Form) -> KeyId {
        let keys = &mut self.sections[section].keys;
        let Some(position) = keys.iter().position(|key| key.name == name) else {
            keys.push(Key { name, form, default: None, is_required: false });
            return KeyId(section, keys.len() - 1);
        };
        if keys[position].form == Form::Text {
            keys[position].form = form; // it was noted as required before its form was known
        }
        KeyId(section, position)
    }

    /// Notes that a section which is there needs the key.
    pub(super) fn require(&mut self, section: usize, name: &'static str) {
        let id = self.ask(section, name, Form::Text);
        self.key(id).is_required = true;
    }

    pub(super) fn key(&mut self, KeyId(section, key): KeyId) -> &mut Key {
        &mut self.sections[section].keys[key]
    }

    /// Notes what holds in one section where it does not have the key; `start` is where the section stands.
    pub(super) fn derive(&mut self, start: usize, name: &'static str, value: Value) {
        self.derived.insert((start, name), value);
    }

    /// What holds where a section does not have the key.
    pub(super) fn absent<'k>(&'k self, start: Option<usize>, key: &'k Key) -> Option<&'k Value> {
        let derived = start.and_then(|start| self.derived.get(&(start, key.name)));
        derived.or(key.default.as_ref())
    }

    pub(super) fn sections(&self) -> &[SectionKeys] {
        &self.sections
    }

    pub(super) fn named(&self, section: &str) -> Option<&SectionKeys> {
        self.positions.get(section).map(|&position| &self.sections[position])
    }
}
