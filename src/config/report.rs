//! Collects every problem of one file while it is read, and turns byte ranges into places.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;

use super::diagnostic::{Diagnostic, Severity, did_you_mean, quoted};
use super::excerpt::Excerpt;
use super::keys::{Form, KeyId, Keys, SectionKeys, is_secret_name};
use super::references::Brought;

/// A problem at a range of bytes.
#[derive(Debug)]
pub(super) struct Finding {
    severity: Severity,
    span: Range<usize>,
    message: String,
    expected: Option<String>,
    help: Option<String>,
    /// It says that something is missing elsewhere, which is not known where syntax is broken.
    whole_file: bool,
}

impl Finding {
    pub(super) fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            expected: None,
            help: None,
            whole_file: false,
        }
    }

    pub(super) fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// Leaves out what a reference brought, and says that it did.
    fn forget(&mut self, brought: &Brought) {
        let names = brought.variables.iter().map(|(name, _)| format!("${{{name}}}"));
        let names = names.chain(brought.file.iter().map(|_| "the file".to_owned()));
        let names = names.collect::<Vec<_>>().join(" and ");
        let texts = [Some(&mut self.message), self.expected.as_mut(), self.help.as_mut()];
        for text in texts.into_iter().flatten() {
            for (name, held) in &brought.variables {
                forget(text, held.expose(), &format!("${{{name}}}"));
            }
            if brought.file.is_some() {
                forget(text, brought.value.expose(), "…");
            }
        }
        let origin = format!("the value comes from {names}");
        if self.severity == Severity::Warning {
            return; // the value is what it should be
        }
        self.help = Some(match self.help.take() {
            Some(help) => format!("{help}\n{origin}"),
            None => origin,
        });
    }

    pub(super) fn whole_file(mut self) -> Self {
        self.whole_file = true;
        self
    }
}

/// A key that the reader of its section did not ask for.
#[derive(Debug)]
struct UnknownKey {
    section: String,
    key: String,
    span: Range<usize>,
    known: Vec<&'static str>,
}

/// The problems so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: RefCell<Vec<Finding>>,
    syntax: RefCell<Vec<Finding>>,
    /// References that bring nothing: what else is said of such a value has the same cause.
    unresolved: RefCell<Vec<Finding>>,
    /// What references brought, by where they stand.
    brought: RefCell<BTreeMap<usize, Brought>>,
    unknown: RefCell<Vec<UnknownKey>>,
    /// The keys that the program knows.
    keys: RefCell<Keys>,
}

impl Report {
    /// The most problems described; the others are counted. Keeps a broken file from filling the
    /// memory.
    pub(super) const MOST: usize = 100;

    pub(super) fn push(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }

    /// Whether the configuration cannot be used.
    pub(super) fn has_errors(&self) -> bool {
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        !self.syntax.borrow().is_empty()
            || !self.unresolved.borrow().is_empty()
            || !self.unknown.borrow().is_empty()
            || self.findings.borrow().iter().any(is_error)
    }

    /// The files that values stand in, by where they are named.
    pub(super) fn referenced_files(&self) -> Vec<(Range<usize>, PathBuf)> {
        let brought = self.brought.borrow();
        brought.values().filter_map(|one| Some((one.span.clone(), one.file.clone()?))).collect()
    }

    /// Whether the value that stands here came by a reference.
    pub(super) fn is_brought(&self, span: &Range<usize>) -> bool {
        self.brought.borrow().contains_key(&span.start)
    }

    /// Whether there is more to say already than is shown, so that costly advice can be left out.
    pub(super) fn is_crowded(&self) -> bool {
        self.findings.borrow().len() > Self::MOST
    }

    pub(super) fn syntax(&self, finding: Finding) {
        self.syntax.borrow_mut().push(finding);
    }

    pub(super) fn unresolved(&self, finding: Finding) {
        self.unresolved.borrow_mut().push(finding);
    }

    /// Notes what a reference brought.
    pub(super) fn brought(&self, brought: Brought) {
        self.brought.borrow_mut().insert(brought.span.start, brought);
    }

    /// The environment variables and the file that values within a range refer to.
    pub(super) fn references(&self, span: Range<usize>) -> (Vec<String>, Option<PathBuf>) {
        let brought = self.brought.borrow();
        let within = || brought.range(span.clone()).map(|(_, brought)| brought);
        let variables =
            within().flat_map(|brought| brought.variables.iter().map(|(name, _)| name.clone())).collect();
        (variables, within().find_map(|brought| brought.file.clone()))
    }

    pub(super) fn unknown_key(&self, section: &str, key: &str, span: Range<usize>, known: Vec<&'static str>) {
        let (section, key) = (section.to_owned(), key.to_owned());
        self.unknown.borrow_mut().push(UnknownKey { section, key, span, known });
    }

    /// The notes on what the reader asks for.
    pub(super) fn keys(&self) -> RefMut<'_, Keys> {
        self.keys.borrow_mut()
    }

    /// Notes what holds where the key is absent.
    pub(super) fn holds_by_default(&self, key: KeyId, default: impl Into<Value>) {
        self.keys().key(key).default.get_or_insert_with(|| default.into());
    }

    /// Notes more closely what may stand at the key.
    pub(super) fn form(&self, key: KeyId, form: impl FnOnce() -> Form) {
        let mut keys = self.keys();
        let known = &mut keys.key(key).form;
        if matches!(known, Form::Text) || *known == Form::Number(0..=usize::MAX) {
            *known = form();
        }
    }

    /// The problems in the order of the file, and how many more there are.
    pub(super) fn finish(self, file: &str, text: &str) -> (Vec<Diagnostic>, usize) {
        let keys = self.keys.into_inner();
        let names = keys.sections().iter().flat_map(|section| &section.keys).map(|key| key.name);
        let lines = Lines::new(text, names.filter(|name| !is_secret_name(name)).collect());
        let mut findings = self.findings.into_inner();
        let unresolved = self.unresolved.into_inner();
        let causes: HashSet<usize> = unresolved.iter().map(|finding| finding.span.start).collect();
        findings.retain(|finding| !causes.contains(&finding.span.start));
        let brought = self.brought.into_inner();
        for finding in &mut findings {
            if let Some(brought) = brought.get(&finding.span.start) {
                finding.forget(brought);
            }
        }
        findings.extend(unresolved);
        let mut unknown_keys = self.unknown.into_inner();
        unknown_keys.sort_by_key(|key| key.span.start);
        let mut unlisted = unknown_keys.len().saturating_sub(Self::MOST);
        findings.extend(unknown_keys.into_iter().take(Self::MOST).map(|key| unknown(key, &keys)));

        let syntax = self.syntax.into_inner();
        if let Some(first) = syntax.iter().map(|finding| lines.number(finding.span.start)).min() {
            // Past the first syntax error the parser guesses; what it guessed is not the
            // operator's mistake.
            unlisted = 0;
            findings.retain(|finding| !finding.whole_file && lines.number(finding.span.start) < first);
        }
        findings.extend(syntax);
        findings.sort_by_key(|finding| (finding.span.start, finding.severity));
        findings.dedup_by(|later, first| later.span == first.span && later.message == first.message);

        // Warnings give way where there is no room for all.
        unlisted += findings.len().saturating_sub(Self::MOST);
        if findings.len() > Self::MOST {
            findings.sort_by_key(|finding| (finding.severity, finding.span.start));
            findings.truncate(Self::MOST);
        }
        (findings.into_iter().map(|finding| lines.diagnostic(file, finding)).collect(), unlisted)
    }
}

/// Replaces what a reference brought, also where it was cut or its control characters were escaped.
fn forget(text: &mut String, held: &str, name: &str) {
    // What is shorter is no secret, and stands in many words; the start of what is long tells it.
    const SHORTEST: usize = 4;
    const TELLING: usize = 16;
    if held.len() < SHORTEST {
        return;
    }
    *text = text.replace(held, name);
    let start: String = held.chars().flat_map(char::escape_debug).take(TELLING).collect();
    if let Some(at) = text.find(&start) {
        text.truncate(at);
        text.push_str(name);
    }
}

fn unknown(unknown: UnknownKey, keys: &Keys) -> Finding {
    let UnknownKey { section, key, span, known } = unknown;
    let elsewhere = || {
        let has = |home: &&SectionKeys| home.keys.iter().any(|known| known.name == key);
        let homes = keys.sections().iter().filter(|home| !home.name.is_empty()).filter(has);
        let homes: Vec<String> = homes.take(3).map(|home| format!("[{}]", home.name)).collect();
        (!homes.is_empty()).then(|| format!("{} belongs to {}", quoted(&key), homes.join(" or ")))
    };
    let help = elsewhere().or_else(|| did_you_mean(&key, known.iter().copied()));
    let place = if section.is_empty() { "at the top level".into() } else { format!("in [{section}]") };
    let names: Vec<String> = known.iter().map(|name| quoted(name)).collect();
    Finding::error(span, format!("unknown key {} {place}", quoted(&key)))
        .expected(format!("one of {}", names.join(", ")))
        .help(help)
}

/// A sentence that repeats a part of the file is as long as a sentence.
fn cut(mut text: String) -> String {
    const LONGEST: usize = 600;
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// Where the lines of a text begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// The keys whose values may be shown.
    keys: HashSet<&'static str>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str, keys: HashSet<&'static str>) -> Self {
        let first = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut starts = vec![first];
        starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
        Self { text, starts, keys }
    }

    /// The line's number, counted from 1.
    fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    fn diagnostic(&self, file: &str, finding: Finding) -> Diagnostic {
        let line = self.number(finding.span.start);
        let start = self.starts[line - 1];
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        let source = self.text.get(start..end).unwrap_or_default();
        let source = source.strip_suffix('\r').unwrap_or(source);
        let characters = |offset: usize| {
            let bytes = offset.saturating_sub(start);
            source.char_indices().take_while(|(at, _)| *at < bytes).count()
        };
        let place = characters(finding.span.start)..characters(finding.span.end);
        Diagnostic {
            severity: finding.severity,
            file: file.to_owned(),
            line,
            column: place.start + 1,
            width: place.len().max(1),
            message: cut(finding.message),
            expected: finding.expected.map(cut),
            help: finding.help.map(cut),
            excerpt: Excerpt::new(source, place, |key| self.keys.contains(key)),
        }
    }
}
