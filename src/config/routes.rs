//! `[[route]]`: what is served, where it goes, and what a caller has to show.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use http::Method;
use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::{did_you_mean, quoted};
use super::document::{text, texts, wrong_type};
use super::limits;
use super::raw;
use super::report::{Finding, Report};
use super::scopes;
use super::tokens;
use super::upstream::Upstream;
use crate::gate::{Access, Kind, Kinds, PathCase, Route, RouteError, RouteTable};
use crate::limits::RouteRate;
use crate::model::Platform;

/// The most routes; comparing them takes time that grows faster than their number.
const MOST: usize = 10_000;
/// The longest path of a route, in bytes.
const LONGEST_PATH: usize = 1024;
/// The most methods of a route; there are eight standard ones.
const MOST_METHODS: usize = 32;

const MINIMAL: &str = r#"[upstream.api]
servers = ["http://127.0.0.1:9000"]

[[route]]
path = "/api/{resource}/{*rest}"
upstream = "api"
auth = ["bearer", "session", "client_credentials"]
scopes = { read = "read:{resource}", write = "write:{resource}" }"#;

/// Checks all routes, and what each says of rate limits; `end` is the length of the file, where a forgotten route would stand.
pub(super) fn check(
    raw: &raw::Document<'_>,
    case: PathCase,
    upstreams: &[Upstream],
    end: usize,
    report: &Report,
) -> (RouteTable, Vec<RouteRate>) {
    if raw.has_other_routes {
        return Default::default();
    }
    if raw.routes.is_empty() {
        // A gateway may do nothing but issue tokens or sign people in.
        if raw.token_endpoints.is_empty() && raw.idp.is_none() {
            let finding = Finding::error(end..end, "there is no route, so that every request would get 404");
            report.push(finding.help(format!("a file needs at least this:\n{MINIMAL}")).whole_file());
        }
        return Default::default();
    }
    if let Some(first) = raw.routes.get(MOST) {
        report.push(Finding::error(first.span.clone(), format!("there are more than {MOST} routes")));
        return Default::default();
    }
    let targets = Targets::new(upstreams);
    let mut routes = Vec::new();
    let mut rates = Vec::new();
    let mut places = Vec::new();
    let mut used = HashSet::new();
    let mut targets_known = true;
    for raw in &raw.routes {
        let upstream = targets.check(raw, report);
        match upstream {
            Some(index) => _ = used.insert(index),
            None => targets_known = false,
        }
        report.holds_by_default(raw.platform.key, Platform::default().name());
        let platform = tokens::platform(&raw.platform, "route", report).unwrap_or_default();
        let path = path(raw, report);
        let access = access(raw, platform, path.as_ref().map(|path| *path.get_ref()), report);
        let methods = methods(raw, report);
        let rate = limits::route(raw.rate.as_ref(), || name(raw), report);
        // A route with another mistake still takes part in the search for conflicts, as long as it
        // is known which requests it means.
        if let (Some(path), Some(methods)) = (path, methods) {
            routes.push(Route {
                pattern: (*path.get_ref()).into(),
                methods,
                access,
                platform,
                upstream: upstream.unwrap_or_default(),
            });
            rates.push(rate);
            places.push(path.span());
        }
    }
    for (index, upstream) in raw.upstreams.iter().enumerate() {
        if targets_known && !used.contains(&index) {
            let name = quoted(upstream.name.get_ref());
            report.push(
                Finding::warning(upstream.span.clone(), format!("no route uses the upstream {name}"))
                    .whole_file(),
            );
        }
    }
    let table = RouteTable::build(routes, case).unwrap_or_else(|errors| {
        for error in errors {
            report.push(unusable(&error, &places));
        }
        RouteTable::default()
    });
    for found in table.unreachable() {
        let span = places.get(found.index).cloned().unwrap_or_default();
        let takers: Vec<String> = found.taken_by.iter().map(|path| quoted(path)).collect();
        report.push(
            Finding::warning(
                span,
                format!("no request takes this route: {} take its paths", takers.join(" and ")),
            )
            .help(
                "the most specific path decides, and then its methods; remove this route or one of those"
                    .to_owned(),
            )
            .whole_file(),
        );
    }
    (table, rates)
}

/// What tells a route from others on every node: its methods and its path.
fn name(raw: &raw::Route<'_>) -> Box<str> {
    let mut methods: Vec<&str> =
        raw.methods.iter().flat_map(|list| list.get_ref()).map(|method| *method.get_ref()).collect();
    methods.sort_unstable();
    let path = raw.path.as_ref().map_or("", |path| path.get_ref());
    format!("{} {path}", methods.join(",")).into()
}

/// The upstreams by name.
struct Targets<'u> {
    upstreams: &'u [Upstream],
    positions: HashMap<&'u str, usize>,
}

impl<'u> Targets<'u> {
    fn new(upstreams: &'u [Upstream]) -> Self {
        let names = upstreams.iter().enumerate();
        Self { upstreams, positions: names.map(|(index, upstream)| (&*upstream.name, index)).collect() }
    }

    /// Which upstream a route names; the only one where it names none.
    fn check(&self, raw: &raw::Route<'_>, report: &Report) -> Option<usize> {
        let names = || self.upstreams.iter().map(|upstream| &*upstream.name);
        let listed = || names().take(10).map(quoted).collect::<Vec<_>>().join(", ");
        let none = "no upstream is configured";
        let section = "write a section\n[upstream.api]\nservers = [\"http://127.0.0.1:9000\"]";
        let finding = match (raw.upstream.as_ref(), self.upstreams) {
            (None, _) if raw.has_upstream => return None,
            (None, [only]) => {
                report.keys().derive(raw.span.start, "upstream", (&*only.name).into());
                return Some(0);
            }
            (Some(_), []) | (None, []) => {
                let span = raw.upstream.as_ref().map_or(raw.span.clone(), Spanned::span);
                Finding::error(span, none).help(section.to_owned())
            }
            (None, _) => Finding::error(raw.span.clone(), "`route.upstream` is missing")
                .expected(format!("one of {}", listed())),
            (Some(given), _) => {
                let name = *given.get_ref();
                if let Some(&position) = self.positions.get(name) {
                    return Some(position);
                }
                Finding::error(given.span(), format!("there is no upstream {}", quoted(name)))
                    .expected(format!("one of {}", listed()))
                    .help((!report.is_crowded()).then(|| did_you_mean(name, names())).flatten())
            }
        };
        report.push(finding.whole_file());
        None
    }
}

fn unusable(error: &RouteError, places: &[Range<usize>]) -> Finding {
    let span = places.get(error.index()).cloned().unwrap_or_default();
    match error {
        RouteError::Path(_, why) => Finding::error(span, format!("this path cannot be used: {why}"))
            .expected("a path such as /api/{resource} or /api/{resource}/{*rest}"),
        RouteError::Ambiguous { pattern, .. } => {
            Finding::error(span, format!("this route could win for the same requests as {}", quoted(pattern)))
                .help("give the two other methods or other paths".to_owned())
                .whole_file()
        }
    }
}

fn path<'d>(raw: &raw::Route<'d>, report: &Report) -> Option<Spanned<&'d str>> {
    let given = raw.path.as_ref()?;
    if given.get_ref().len() > LONGEST_PATH {
        report.push(Finding::error(given.span(), format!("this path is longer than {LONGEST_PATH} bytes")));
        return None;
    }
    Some(given.clone())
}

fn access(raw: &raw::Route<'_>, platform: Platform, path: Option<&str>, report: &Report) -> Access {
    let open = match auth(raw, platform, report) {
        Some(Auth::Kinds(kinds)) => {
            return Access::Credentials(
                kinds,
                scopes::check(raw, platform, path, report).unwrap_or_default(),
            );
        }
        Some(Auth::Public) => Access::Public,
        Some(Auth::Upstream) => Access::Upstream,
        None => return Access::Upstream,
    };
    let span = match &raw.scopes {
        raw::Scopes::Absent => return open,
        raw::Scopes::Same(value) if value.get_ref().as_str() == Some("none") => return open,
        raw::Scopes::Same(value) => value.span(),
        raw::Scopes::Split { span, .. } => span.clone(),
    };
    report.push(
        Finding::error(span, "scopes belong to credentials, and this route asks for none")
            .help("remove `scopes`, or list credentials in `auth`".to_owned()),
    );
    open
}

enum Auth {
    Kinds(Kinds),
    Public,
    Upstream,
}

fn auth(raw: &raw::Route<'_>, platform: Platform, report: &Report) -> Option<Auth> {
    const EXPECTED: &str =
        r#"a list of "bearer", "session" and "client_credentials", or "public", or "upstream""#;
    // Every credential that the platform's clients have, never none.
    let Some(value) = *raw.auth else {
        let kinds: Kinds = match platform {
            Platform::Selorax | Platform::Standard => Kinds::all(),
            Platform::Shopify => [Kind::Bearer, Kind::Session].into_iter().collect(),
            Platform::ElasticPath | Platform::Tiki => [Kind::Bearer].into_iter().collect(),
        };
        let names: Vec<&str> = kinds.iter().map(Kind::name).collect();
        report.keys().derive(raw.span.start, "auth", names.into());
        return Some(Auth::Kinds(kinds));
    };
    let finding = match (value.get_ref(), text(value).map(Spanned::into_inner)) {
        (_, Some("public")) => return Some(Auth::Public),
        (_, Some("upstream")) => return Some(Auth::Upstream),
        (_, Some(word)) => {
            let help = match Kind::ALL.iter().find(|kind| kind.name() == word) {
                Some(kind) => Some(format!("write a list: [\"{}\"]", kind.name())),
                None => did_you_mean(word, ["public", "upstream"]),
            };
            Finding::error(value.span(), "this word alone is no kind of access").help(help)
        }
        (DeValue::Array(list), _) if list.is_empty() => {
            let help = "for a route that needs no credential write auth = \"public\"";
            Finding::error(value.span(), "with an empty list nobody could pass")
                .help(help.to_owned())
                .whole_file()
        }
        (DeValue::Array(_), _) => {
            let kinds: Kinds =
                texts(value, "route.auth", report).iter().filter_map(|given| kind(given, report)).collect();
            return (!kinds.is_empty()).then_some(Auth::Kinds(kinds));
        }
        _ => wrong_type("route.auth", value, EXPECTED),
    };
    report.push(finding.expected(EXPECTED));
    None
}

fn kind(given: &Spanned<&str>, report: &Report) -> Option<Kind> {
    let word = *given.get_ref();
    let known = Kind::ALL.into_iter().find(|kind| kind.name() == word);
    if known.is_none() {
        let help = match word {
            "public" | "upstream" => Some(format!("it stands alone, without brackets: auth = \"{word}\"")),
            _ => did_you_mean(word, Kind::ALL.map(Kind::name)),
        };
        report.push(
            Finding::error(given.span(), "this is no kind of credential")
                .expected(r#""bearer", "session" or "client_credentials""#)
                .help(help),
        );
    }
    known
}

/// The methods, `Some(None)` for all; `None` where they were refused.
#[expect(clippy::option_option, reason = "refused is not the same as all")]
fn methods(raw: &raw::Route<'_>, report: &Report) -> Option<Option<Box<[Method]>>> {
    let Some(given) = raw.methods.as_ref() else { return (!raw.has_methods).then_some(None) };
    if given.get_ref().is_empty() {
        let finding = Finding::error(given.span(), "a route without methods serves nothing");
        report.push(finding.help("remove `methods` to serve all".to_owned()).whole_file());
        return None;
    }
    if given.get_ref().len() > MOST_METHODS {
        report.push(Finding::error(given.span(), format!("a route lists at most {MOST_METHODS} methods")));
        return None;
    }
    let mut methods: Vec<Method> = Vec::new();
    for text in given.get_ref() {
        match method(text) {
            Err(finding) => report.push(finding),
            Ok(method) if methods.contains(&method) => {
                report.push(Finding::error(text.span(), "this method stands in the list already"));
            }
            Ok(method) => methods.push(method),
        }
    }
    (methods.len() == given.get_ref().len()).then(|| Some(methods.into()))
}

fn method(given: &Spanned<&str>) -> Result<Method, Finding> {
    const LONGEST: usize = 32;
    let word = *given.get_ref();
    let refuse =
        |message| Finding::error(given.span(), message).expected("a method such as \"GET\" or \"POST\"");
    let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if !(1..=LONGEST).contains(&word.len()) || !word.bytes().all(allowed) {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let finding = refuse("methods are written in capitals (RFC 9110 section 9.1: case counts)");
        return Err(finding.help(did_you_mean(word, known)));
    }
    match Method::from_bytes(word.as_bytes()) {
        Ok(Method::CONNECT) => Err(refuse("CONNECT opens tunnels, which this gateway does not serve")),
        Ok(method) => Ok(method),
        Err(_) => Err(refuse("this is not a method")),
    }
}
