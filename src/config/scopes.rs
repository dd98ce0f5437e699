//! `scopes` of a route: one string, a list, `"none"`, or one of these for reads and one for writes.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::{did_you_mean, quoted};
use super::document::{text, texts, wrong_type};
use super::raw;
use super::report::{Finding, Report};
use crate::gate::{ScopeRules, ScopeTemplate, ScopeTemplateError, captures};
use crate::model::Platform;

/// The most scopes that one request may need.
const MOST: usize = 16;

/// The scopes of a route that asks for credentials; `None` where they were refused. Where the path
/// cannot be used, which is reported elsewhere, its scopes are not judged.
pub(super) fn check(
    raw: &raw::Route<'_>,
    platform: Platform,
    path: Option<&str>,
    report: &Report,
) -> Option<ScopeRules> {
    let names = path.and_then(|path| captures(path).ok());
    let names = names.as_deref();
    match &raw.scopes {
        raw::Scopes::Absent => Some(default(raw.span.clone(), platform, names?, report)),
        raw::Scopes::Same(value) => {
            let list = list(value, "route.scopes", names, report)?;
            Some(ScopeRules { read: list.clone(), write: list })
        }
        raw::Scopes::Split { span, read, write } => {
            let side = |name: &str, value: &raw::Any<'_>| match **value {
                Some(value) => list(value, &format!("route.scopes.{name}"), names, report),
                None => {
                    report.push(
                        Finding::error(span.clone(), format!("`route.scopes.{name}` is missing"))
                            .help(format!("where such requests need no scope write {name} = \"none\""))
                            .whole_file(),
                    );
                    None
                }
            };
            let (read, write) = (side("read", read), side("write", write));
            Some(ScopeRules { read: read?, write: write? })
        }
    }
}

/// Where the path captures `{resource}`, the scopes of the platform's rule (reads need
/// `read:{resource}`, all else `write:{resource}`); none otherwise, which deserves a warning.
fn default(route: Range<usize>, platform: Platform, names: &[&str], report: &Report) -> ScopeRules {
    let template = |text: &str| ScopeTemplate::parse(text, names).map(|one| Box::from([one]));
    let (read_text, write_text) = match platform {
        Platform::Shopify => ("read_{resource}", "write_{resource}"),
        _ => ("read:{resource}", "write:{resource}"),
    };
    if let (Ok(read), Ok(write)) = (template(read_text), template(write_text)) {
        let scopes = serde_json::json!({ "read": read_text, "write": write_text });
        report.keys().derive(route.start, "scopes", scopes);
        return ScopeRules { read, write };
    }
    report.keys().derive(route.start, "scopes", "none".into());
    report.push(
        Finding::warning(route, "this route demands no scope: every installed app may call it").help(
            "name the scopes, such as scopes = \"billing\", or say so with scopes = \"none\"".to_owned(),
        ),
    );
    ScopeRules::default()
}

fn list(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    names: Option<&[&str]>,
    report: &Report,
) -> Option<Box<[ScopeTemplate]>> {
    let given = match (value.get_ref(), text(value)) {
        (_, Some(text)) if *text.get_ref() == "none" => return Some([].into()),
        (_, Some(text)) => vec![text],
        (DeValue::Array(list), _) => {
            let given = texts(value, path, report);
            if list.is_empty() || list.len() > MOST {
                report.push(
                    Finding::error(value.span(), format!("a list of scopes has 1 to {MOST} elements"))
                        .help("where no scope is needed write \"none\"".to_owned())
                        .whole_file(),
                );
                return None;
            }
            if given.len() < list.len() {
                return None;
            }
            given
        }
        _ => {
            let expected = r#"a scope such as "read:{resource}", a list of scopes, or "none""#;
            report.push(wrong_type(path, value, expected));
            return None;
        }
    };
    let templates: Vec<ScopeTemplate> =
        given.iter().filter_map(|text| template(text, value, names?, report)).collect();
    (templates.len() == given.len()).then(|| templates.into())
}

fn template(
    given: &Spanned<&str>,
    whole: &Spanned<DeValue<'_>>,
    names: &[&str],
    report: &Report,
) -> Option<ScopeTemplate> {
    let text = *given.get_ref();
    let refuse = |message: String, help| {
        report.push(
            Finding::error(given.span(), message)
                .expected("a scope such as \"read:orders\" or \"read:{resource}\"")
                .help(help),
        );
        None
    };
    if text == "none" && whole.get_ref().is_array() {
        return refuse("\"none\" stands alone".into(), Some("write it without brackets: \"none\"".into()));
    }
    let singles = names.iter().copied().filter(|name| !name.starts_with('*'));
    match ScopeTemplate::parse(text, names) {
        Ok(template) => Some(template),
        Err(ScopeTemplateError::UnknownCapture(name)) => {
            let known: Vec<String> = singles.clone().map(|name| quoted(&format!("{{{name}}}"))).collect();
            let help = match (did_you_mean(&name, singles), known.is_empty()) {
                (Some(help), _) => help,
                (None, true) => "the path captures nothing; write the scope out".to_owned(),
                (None, false) => format!("the path captures {}", known.join(", ")),
            };
            refuse(format!("the path captures no {}", quoted(&format!("{{{name}}}"))), Some(help))
        }
        Err(error @ ScopeTemplateError::Character) if text.contains([' ', ',']) => {
            refuse(error.to_string(), Some("several scopes are a list: [\"read:a\", \"read:b\"]".into()))
        }
        Err(error @ ScopeTemplateError::CatchAll(_)) => {
            refuse(quoted_error(&error), Some("capture the segment by a name of its own".into()))
        }
        Err(error) => refuse(error.to_string(), None),
    }
}

/// The error without whatever length and control characters a name may have.
fn quoted_error(error: &ScopeTemplateError) -> String {
    match error {
        ScopeTemplateError::CatchAll(name) => {
            format!(
                "{} may hold several segments and cannot stand in a scope",
                quoted(&format!("{{*{name}}}"))
            )
        }
        other => other.to_string(),
    }
}
