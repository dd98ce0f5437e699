//! `[[token_endpoint]]` and `[customer_tokens]`: where tokens are issued, and what they may do.

use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;

use super::diagnostic::{did_you_mean, quoted};
use super::keys::Form;
use super::raw;
use super::report::{Finding, Report};
use super::value;
use crate::model::{Platform, ScopeSet};
use crate::oauth::{CUSTOMER_SCOPES, CustomerTokens, Endpoint, IMPLICIT_SCOPES};

/// The longest path of an endpoint, in bytes.
const LONGEST_PATH: usize = 1024;
/// How long tokens may live.
const LIVES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(366 * 86_400);
/// Requests of one client from one address in a minute: SeloraX documents 10.
const OF_SELORAX: usize = 10;
const PER_MINUTE: usize = 600;

/// The endpoints, and the one for customer tokens.
pub(super) fn check(raw: &raw::Document<'_>, report: &Report) -> (Vec<Endpoint>, Option<CustomerTokens>) {
    let mut taken = HashSet::new();
    let mut endpoints = Vec::new();
    for raw in &raw.token_endpoints {
        // What is checked in one with another mistake has its errors told all the same.
        let Some(endpoint) = endpoint(raw, report) else { continue };
        let mut others = endpoint.paths().into_iter().filter(|path| !taken.insert(path.to_ascii_lowercase()));
        if let (Some(path), Some(given)) = (others.next(), raw.path.as_ref()) {
            report.push(
                Finding::error(given.span(), format!("another token endpoint serves {path} already"))
                    .help("give each endpoint a path of its own; one standard endpoint is enough".to_owned()),
            );
        }
        others.for_each(drop);
        endpoints.push(endpoint);
    }
    let Some(raw) = &raw.customer_tokens else { return (endpoints, None) };
    let customers = customers(raw, report);
    if let (Some(customers), Some(given)) = (&customers, raw.path.as_ref())
        && taken.contains(&customers.path.to_ascii_lowercase())
    {
        report.push(Finding::error(given.span(), "a token endpoint has this path already"));
    }
    (endpoints, customers)
}

fn endpoint(raw: &raw::TokenEndpoint<'_>, report: &Report) -> Option<Endpoint> {
    let known = platform(&raw.platform, "token_endpoint", report);
    let platform = known.unwrap_or_default();
    let path = raw.path.as_ref().and_then(|given| path(given, report));
    let per_minute = if platform == Platform::Selorax { OF_SELORAX } else { PER_MINUTE };
    let life = platform.token_life();
    if known.is_some() {
        let start = raw.span.start;
        report.keys().derive(start, "ttl", humantime::format_duration(life).to_string().into());
        report.keys().derive(start, "requests_per_minute", per_minute.into());
    }
    let only = |given: Option<Range<usize>>, owner: Platform, key: &str| {
        if let Some(span) = given.filter(|_| known.is_some_and(|platform| platform != owner)) {
            let whose = owner.name();
            report.push(Finding::error(span, format!("{} belongs to platform = \"{whose}\"", quoted(key))));
        }
    };
    only(raw.implicit_scopes.as_ref().map(Spanned::span), Platform::ElasticPath, "implicit_scopes");
    only(raw.issuer.as_ref().map(Spanned::span), Platform::Standard, "issuer");
    let per_minute = value::number_or(report, &raw.requests_per_minute, per_minute, 0..=10_000_000);
    let endpoint = Endpoint {
        platform,
        path: path.unwrap_or_default(),
        life: value::duration_or(report, &raw.ttl, life, LIVES),
        requests_per_minute: u32::try_from(per_minute).unwrap_or(u32::MAX),
        implicit_scopes: scopes(&raw.implicit_scopes, IMPLICIT_SCOPES, report),
        issuer: raw.issuer.as_ref().and_then(|given| issuer(given, report)),
    };
    (known.is_some() && !endpoint.path.is_empty()).then_some(endpoint)
}

fn customers(raw: &raw::CustomerTokens<'_>, report: &Report) -> Option<CustomerTokens> {
    let path = raw.path.as_ref().and_then(|given| path(given, report));
    let life = value::duration(report, &raw.ttl, Duration::from_secs(86_400), LIVES);
    let scopes = scopes(&raw.scopes, CUSTOMER_SCOPES, report);
    path.map(|path| CustomerTokens { path, life, scopes })
}

fn scopes(given: &raw::Texts<'_>, default: &str, report: &Report) -> ScopeSet {
    report.holds_by_default(given.key, default.split_whitespace().collect::<Vec<_>>());
    let Some(given) = &**given else { return ScopeSet::parse(default).unwrap_or_default() };
    let mut all = Vec::new();
    for scope in given.get_ref() {
        match ScopeSet::parse(scope.get_ref()) {
            Ok(set) if set.iter().count() == 1 => all.push(*scope.get_ref()),
            _ => report.push(
                Finding::error(scope.span(), "this is not one scope")
                    .expected("a scope such as \"read:carts\""),
            ),
        }
    }
    ScopeSet::parse(&all.join(" ")).unwrap_or_else(|why| {
        report.push(Finding::error(given.span(), why.to_string()));
        ScopeSet::default()
    })
}

/// A path that a request has in normal form, without captures.
fn path(given: &Spanned<&str>, report: &Report) -> Option<Box<str>> {
    let text = *given.get_ref();
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let segments = || text.split('/').skip(1);
    let is_fine = (2..=LONGEST_PATH).contains(&text.len())
        && text.starts_with('/')
        && segments().all(|part| !part.is_empty() && part.bytes().all(letter) && part != "." && part != "..");
    if is_fine {
        return Some(text.into());
    }
    report.push(
        Finding::error(given.span(), "this cannot be the path of an endpoint")
            .expected("a path of letters, digits and -._~, such as /oauth/token"),
    );
    None
}

fn issuer(given: &Spanned<&str>, report: &Report) -> Option<Box<str>> {
    let text = *given.get_ref();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_fine = host.is_some_and(|host| {
        !host.is_empty()
            && host.len() <= 512
            && host.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b))
    });
    if is_fine {
        return Some(text.trim_end_matches('/').into());
    }
    let finding = Finding::error(given.span(), "this is not an issuer (RFC 8414 section 2)");
    report.push(finding.expected("a URL without query and fragment, such as https://api.example.com"));
    None
}

/// Whose dialect is spoken; `None` where that is not known.
pub(super) fn platform(given: &raw::Text<'_>, section: &str, report: &Report) -> Option<Platform> {
    report.form(given.key, || Form::Word(Platform::ALL.map(Platform::name).to_vec().into()));
    let given = given.as_ref()?;
    let name = *given.get_ref();
    let known = Platform::ALL.into_iter().find(|platform| platform.name() == name);
    if known.is_none() {
        let names: Vec<_> = Platform::ALL.map(|platform| format!("\"{}\"", platform.name())).into();
        report.push(
            Finding::error(given.span(), format!("there is no such platform in [[{section}]]"))
                .expected(names.join(" or "))
                .help(did_you_mean(name, Platform::ALL.map(Platform::name))),
        );
    }
    known
}
