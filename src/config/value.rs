//! Single values: what was written, or the default; out of range is reported with the range.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::diagnostic::did_you_mean;
use super::document::Given;
use super::keys::Form;
use super::raw::{Number, Text};
use super::report::{Finding, Report};
use crate::model::parse_duration;

/// A whole number within `range`.
pub(super) fn number(report: &Report, given: &Number, default: usize, range: RangeInclusive<usize>) -> usize {
    report.holds_by_default(given.key, default);
    number_or(report, given, default, range)
}

/// The same with a default that depends on what else is written.
pub(super) fn number_or(
    report: &Report,
    given: &Number,
    default: usize,
    range: RangeInclusive<usize>,
) -> usize {
    report.form(given.key, || Form::Number(range.clone()));
    let Some(given) = &**given else { return default };
    if let Some(number) = usize::try_from(*given.get_ref()).ok().filter(|number| range.contains(number)) {
        return number;
    }
    report.push(Finding::error(given.span(), "this number is out of range").expected(format!(
        "a whole number from {} to {}",
        range.start(),
        range.end()
    )));
    default
}

/// `true` or `false`.
pub(super) fn flag(report: &Report, given: &Given<bool>, default: bool) -> bool {
    report.holds_by_default(given.key, default);
    given.as_ref().map_or(default, |flag| *flag.get_ref())
}

/// A duration within `range`.
pub(super) fn duration(
    report: &Report,
    given: &Text<'_>,
    default: Duration,
    range: RangeInclusive<Duration>,
) -> Duration {
    report.holds_by_default(given.key, humantime::format_duration(default).to_string());
    duration_or(report, given, default, range)
}

/// The same with a default that depends on what else is written.
pub(super) fn duration_or(
    report: &Report,
    given: &Text<'_>,
    default: Duration,
    range: RangeInclusive<Duration>,
) -> Duration {
    report.form(given.key, || Form::Duration(range.clone()));
    let Some(given) = &**given else { return default };
    let (from, to) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
    let message = match parse_duration(given.get_ref()) {
        Ok(duration) if range.contains(&duration) => return duration,
        Ok(_) => "this duration is out of range",
        Err(_) => "this is not a duration",
    };
    report.push(
        Finding::error(given.span(), message)
            .expected(format!("a number and a unit, from {from} to {to}"))
            .help("write it like 250ms, 10s, 15m or 24h".to_owned()),
    );
    default
}

/// An address to listen on.
pub(super) fn address(report: &Report, given: &Spanned<&str>) -> Option<SocketAddr> {
    let text = *given.get_ref();
    let parsed = text.parse();
    if parsed.is_err() {
        let rest = text.strip_prefix("localhost").filter(|rest| rest.starts_with(':'));
        let help = match (rest, text.strip_prefix(':')) {
            (Some(_), _) => Some("write 127.0.0.1 in place of localhost, which may be several addresses"),
            (_, Some(_)) => Some("write 127.0.0.1 for this machine only, 0.0.0.0 for every address"),
            _ => None,
        };
        report.push(
            Finding::error(given.span(), "this is not an address to listen on")
                .expected("an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080")
                .help(help.map(str::to_owned)),
        );
    }
    parsed.ok()
}

/// The path of a file; what is not absolute starts from the folder of the configuration.
pub(super) fn path(report: &Report, given: &Text<'_>, folder: &Path) -> Option<PathBuf> {
    report.form(given.key, || Form::Path);
    let given = given.as_ref()?;
    let text = *given.get_ref();
    if text.is_empty() || text.contains('\0') {
        report.push(Finding::error(given.span(), "this is not the path of a file"));
        return None;
    }
    Some(folder.join(text))
}

/// One of a few words.
pub(super) fn word<T: Copy + PartialEq>(
    report: &Report,
    given: &Text<'_>,
    default: T,
    words: &[(&'static str, T)],
) -> T {
    report.form(given.key, || Form::Word(words.iter().map(|(word, _)| *word).collect()));
    if let Some((word, _)) = words.iter().find(|(_, value)| *value == default) {
        report.holds_by_default(given.key, *word);
    }
    let Some(given) = &**given else { return default };
    if let Some((_, value)) = words.iter().find(|(word, _)| word == given.get_ref()) {
        return *value;
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    report.push(
        Finding::error(given.span(), "this word means nothing here")
            .expected(known.join(" or "))
            .help(did_you_mean(given.get_ref(), words.iter().map(|(word, _)| *word))),
    );
    default
}
