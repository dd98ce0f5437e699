//! Collects every problem of one file while it is read, and turns byte ranges into places.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use super::diagnostic::{Diagnostic, Severity, did_you_mean, quoted};
use super::excerpt::Excerpt;

/// Keys whose values may hold a password: not shown, like those of unknown keys.
const SECRET: [&str; 1] = ["shared"];

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
    unknown: RefCell<Vec<UnknownKey>>,
    /// The keys that the program knows, with the section they belong to.
    keys: RefCell<BTreeSet<(String, &'static str)>>,
}

impl Report {
    /// The most problems described; the others are counted. Keeps a broken file from filling the
    /// memory.
    pub(super) const MOST: usize = 100;

    pub(super) fn push(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }

    /// Whether there is more to say already than is shown, so that costly advice can be left out.
    pub(super) fn is_crowded(&self) -> bool {
        self.findings.borrow().len() > Self::MOST
    }

    pub(super) fn syntax(&self, finding: Finding) {
        self.syntax.borrow_mut().push(finding);
    }

    pub(super) fn unknown_key(&self, section: &str, key: &str, span: Range<usize>, known: Vec<&'static str>) {
        let (section, key) = (section.to_owned(), key.to_owned());
        self.unknown.borrow_mut().push(UnknownKey { section, key, span, known });
    }

    pub(super) fn knows(&self, section: &str, keys: &[&'static str]) {
        let mut known = self.keys.borrow_mut();
        known.extend(keys.iter().map(|&key| (section.to_owned(), key)));
    }

    #[cfg(test)]
    pub(super) fn known_keys(&self) -> BTreeSet<(String, &'static str)> {
        self.keys.borrow().clone()
    }

    /// The problems in the order of the file, and how many more there are.
    pub(super) fn finish(self, file: &str, text: &str) -> (Vec<Diagnostic>, usize) {
        let keys = self.keys.into_inner();
        let shown = keys.iter().map(|(_, key)| *key).filter(|key| !SECRET.contains(key));
        let lines = Lines::new(text, shown.collect());
        let mut findings = self.findings.into_inner();
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

fn unknown(unknown: UnknownKey, keys: &BTreeSet<(String, &'static str)>) -> Finding {
    let UnknownKey { section, key, span, known } = unknown;
    let elsewhere = || {
        let (home, _) = keys.iter().find(|(home, name)| !home.is_empty() && **name == key)?;
        Some(format!("{} belongs to [{home}]", quoted(&key)))
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
