//! `[errors]`: how refusals are written.

use http::Uri;

use super::raw;
use super::report::{Finding, Report};
use super::value;
use crate::gate::BodyFormat;

/// How refusals are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    /// For callers whose `Accept` says nothing of it; the contract's JSON by default.
    pub format: BodyFormat,
    /// The page that explains the codes, without a fragment; refusals carry no link by default.
    pub docs_url: Option<String>,
}

impl Errors {
    pub(super) fn check(raw: &raw::Errors<'_>, report: &Report) -> Self {
        let formats = [("json", BodyFormat::Json), ("problem", BodyFormat::Problem)];
        Self {
            format: value::word(report, &raw.format, BodyFormat::Json, &formats),
            docs_url: docs_url(&raw.docs_url, report),
        }
    }
}

fn docs_url(given: &raw::Text<'_>, report: &Report) -> Option<String> {
    const LONGEST: usize = 512;
    let given = given.as_ref()?;
    let url = *given.get_ref();
    let web = url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    // What is in it is sent to every caller who is refused.
    let plain = url.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#@".contains(&b));
    if url.len() > LONGEST || !web || !plain {
        let finding = Finding::error(given.span(), "this is not the address of a page");
        report.push(
            finding.expected("a URL such as https://docs.example.com/errors, without `#`, user and password"),
        );
        return None;
    }
    Some(url.to_owned())
}
