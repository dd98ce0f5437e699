//! The bodies of refusals: the contract's JSON, and the problem details of RFC 9457 for those who ask
//! for them. What does not depend on the request is prepared once.

use serde::Serialize;

use super::refusal::{Code, Reason};

/// How the body of a refusal is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// `{"message", "code", "status", "request_id"}` as `application/json`.
    #[default]
    Json,
    /// Problem details (RFC 9457) as `application/problem+json`.
    Problem,
}

impl BodyFormat {
    /// The content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Problem => "application/problem+json",
        }
    }
}

/// What the operator says of refusals.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    /// For callers who do not ask for another.
    format: BodyFormat,
    /// By code: where it is explained.
    links: Option<Box<[Box<str>]>>,
}

impl Refusals {
    /// `docs_url` is the page that explains the codes, each under an anchor of its name.
    pub fn new(format: BodyFormat, docs_url: Option<&str>) -> Self {
        let link = |url: &str, code: Code| format!("{url}#{}", code.name()).into();
        Self { format, links: docs_url.map(|url| Code::ALL.map(|code| link(url, code)).into()) }
    }

    /// The format of an answer; `asks_for_problem` says whether the caller prefers problem details.
    pub fn format(&self, asks_for_problem: bool) -> BodyFormat {
        if asks_for_problem { BodyFormat::Problem } else { self.format }
    }

    /// The body of one refusal.
    pub fn body(&self, reason: &Reason, request_id: &str, format: BodyFormat) -> Vec<u8> {
        let code = reason.code();
        let status = code.status();
        let link = self.links.as_ref().and_then(|links| links.get(code as usize)).map(|link| &**link);
        let required_scope = if let Reason::Scope(scope) = reason { Some(&**scope) } else { None };
        let message = reason.message();
        let body = match format {
            BodyFormat::Json => serde_json::to_vec(&Body {
                message: &message,
                code: code.name(),
                status: status.as_u16(),
                required_scope,
                doc: link,
                request_id,
            }),
            BodyFormat::Problem => serde_json::to_vec(&Problem {
                kind: link.unwrap_or("about:blank"),
                title: status.canonical_reason().unwrap_or_default(),
                status: status.as_u16(),
                detail: &message,
                code: code.name(),
                required_scope,
                request_id,
            }),
        };
        body.expect("strings and a number always serialise")
    }
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    code: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<&'a str>,
    request_id: &'a str,
}

/// Problem details, with our own members beside those of RFC 9457 section 3.1.
#[derive(Serialize)]
struct Problem<'a> {
    /// Without a page that explains the code the status says all (RFC 9457 section 4.2.1).
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_scope: Option<&'a str>,
    request_id: &'a str,
}

impl Reason {
    /// The body as the contract has it.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        Refusals::default().body(self, request_id, BodyFormat::Json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_belong_to_their_codes() {
        let refusals = Refusals::new(BodyFormat::Json, Some("https://docs.example/errors"));
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index, "{code:?} stands elsewhere in `ALL`");
            let link = format!("https://docs.example/errors#{}", code.name());
            assert_eq!(*refusals.links.as_ref().unwrap()[index], *link);
        }
    }

    #[test]
    fn bodies_of_each_format() {
        let scope = Reason::Scope("write:orders".into());
        let linked = Refusals::new(BodyFormat::Problem, Some("https://d/e"));
        let plain = Refusals::default();
        let rows = [
            (
                &plain,
                BodyFormat::Json,
                r#"{"message":"Insufficient scope. Required: write:orders","code":"insufficient_scope","status":403,"required_scope":"write:orders","request_id":"r1"}"#,
            ),
            (
                &linked,
                BodyFormat::Json,
                r#"{"message":"Insufficient scope. Required: write:orders","code":"insufficient_scope","status":403,"required_scope":"write:orders","doc":"https://d/e#insufficient_scope","request_id":"r1"}"#,
            ),
            (
                &plain,
                BodyFormat::Problem,
                r#"{"type":"about:blank","title":"Forbidden","status":403,"detail":"Insufficient scope. Required: write:orders","code":"insufficient_scope","required_scope":"write:orders","request_id":"r1"}"#,
            ),
            (
                &linked,
                BodyFormat::Problem,
                r#"{"type":"https://d/e#insufficient_scope","title":"Forbidden","status":403,"detail":"Insufficient scope. Required: write:orders","code":"insufficient_scope","required_scope":"write:orders","request_id":"r1"}"#,
            ),
        ];
        for (refusals, format, expected) in rows {
            assert_eq!(String::from_utf8(refusals.body(&scope, "r1", format)).unwrap(), expected);
        }
        assert_eq!((plain.format(false), plain.format(true)), (BodyFormat::Json, BodyFormat::Problem));
        assert_eq!(linked.format(false), BodyFormat::Problem);
    }
}
