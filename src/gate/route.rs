//! Which route a request takes. The most specific route wins, judged from left to right: a literal
//! segment beats a captured one, and that beats a tail (`{*rest}`), so that a narrow open route never
//! cuts into a protected prefix. No match means no: 404.

use std::borrow::Cow;

use http::{HeaderValue, Method};
use smallvec::SmallVec;

use super::kind::Kinds;
use super::path_case::PathCase;
use super::pattern::Pattern;
use super::scope_rule::ScopeRules;
use super::tree::Tree;
use crate::model::Platform;

/// A route as the operator wrote it, checked.
#[derive(Debug, Clone)]
pub struct Route {
    /// `path` of the configuration; also the name of the route in logs and metrics.
    pub pattern: Box<str>,
    /// The methods it serves; `None`: all. GET serves HEAD too (RFC 9110 section 9.3.2).
    pub methods: Option<Box<[Method]>>,
    /// What a caller has to show.
    pub access: Access,
    /// Whose dialect it speaks.
    pub platform: Platform,
    /// Which of the configured upstreams receives the request, by position.
    pub upstream: usize,
}

/// What a caller has to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nothing: `auth = "public"`.
    Public,
    /// Nothing to us: the upstream authenticates by itself and receives the credentials untouched.
    Upstream,
    /// One of these credentials, with these scopes.
    Credentials(Kinds, ScopeRules),
}

impl Access {
    /// Whether we ask for a credential.
    pub fn is_protected(&self) -> bool {
        matches!(self, Self::Credentials(..))
    }
}

/// A route that cannot be used, by its position in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The path is not one that a request can have, or uses braces wrongly.
    #[error("{1}")]
    Path(usize, String),
    /// Two routes could both win for a request.
    #[error("it could win for the same requests as {pattern}; give them other methods or other paths")]
    Ambiguous {
        /// The later of the two.
        index: usize,
        /// The earlier.
        other: usize,
        /// The path of the earlier.
        pattern: Box<str>,
    },
}

impl RouteError {
    /// The position of the route that is to be changed.
    pub fn index(&self) -> usize {
        match self {
            Self::Path(index, _) | Self::Ambiguous { index, .. } => *index,
        }
    }
}

/// All routes.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    case: PathCase,
    tree: Tree<Candidates>,
}

/// The routes of one path, with disjoint methods, by position.
#[derive(Debug)]
struct Candidates {
    routes: Box<[usize]>,
    allow: HeaderValue,
}

/// What the table says about a request.
#[derive(Debug)]
pub enum Found<'t, 'p> {
    /// The position of the route, the route, and what its path captured.
    Route(usize, &'t Route, Captures<'p>),
    /// The path is known, with other methods: the value of `Allow` (RFC 9110 section 10.2.1).
    MethodNotAllowed(&'t HeaderValue),
    /// The path is not known.
    Nothing,
}

/// The captured parts of a path, in order.
#[derive(Debug, Default, Clone)]
pub struct Captures<'p>(pub(super) SmallVec<[&'p str; 6]>);

impl<'p> Captures<'p> {
    /// The captured part with this number; empty where the path had no such part.
    pub fn value(&self, index: usize) -> &'p str {
        self.0.get(index).copied().unwrap_or_default()
    }
}

impl RouteTable {
    /// Builds the table.
    ///
    /// # Errors
    ///
    /// Every route that cannot be used.
    pub fn build(routes: Vec<Route>, case: PathCase) -> Result<Self, Vec<RouteError>> {
        let mut errors = Vec::new();
        let mut tree = Tree::default();
        for (index, route) in routes.iter().enumerate() {
            match Pattern::parse(&route.pattern, case) {
                Ok(pattern) => tree.insert(&pattern, index),
                Err(why) => errors.push(RouteError::Path(index, why)),
            }
        }
        let ambiguous = |(one, two): (usize, usize)| {
            let (index, other) = (one.max(two), one.min(two));
            RouteError::Ambiguous { index, other, pattern: routes[other].pattern.clone() }
        };
        errors.extend(tree.crossings().into_iter().map(ambiguous));
        let tree = tree.map(&mut |indices| {
            errors.extend(rivals(&indices, &routes).into_iter().map(ambiguous));
            Candidates { allow: allow(&indices, &routes), routes: indices.into() }
        });
        errors.sort_by_key(RouteError::index);
        errors.dedup();
        if errors.is_empty() { Ok(Self { routes, case, tree }) } else { Err(errors) }
    }

    /// The routes, in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether case counts.
    pub fn case(&self) -> PathCase {
        self.case
    }

    /// The routes, by position, one of which takes `path` if it serves the method; `path` is folded.
    pub(super) fn candidates(&self, path: &str) -> &[usize] {
        self.tree.find(path).map_or(&[], |(candidates, _)| &candidates.routes)
    }

    /// The spelling under which `path`, in normal form, is matched: lower-case unless case counts.
    /// Borrows where nothing has to change.
    pub fn fold<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match self.case {
            PathCase::Insensitive if path.bytes().any(|b| b.is_ascii_uppercase()) => {
                Cow::Owned(path.to_ascii_lowercase())
            }
            _ => Cow::Borrowed(path),
        }
    }

    /// The route of a request; `path` is in normal form and [folded](Self::fold).
    pub fn find<'p>(&self, method: &Method, path: &'p str) -> Found<'_, 'p> {
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        let Some((candidates, captures)) = self.tree.find(path) else { return Found::Nothing };
        match candidates.routes.iter().find(|&&index| serves(&self.routes[index], method)) {
            Some(&index) => Found::Route(index, &self.routes[index], captures),
            None => Found::MethodNotAllowed(&candidates.allow),
        }
    }
}

impl RouteTable {
    /// Whether a less careful reader would see another path, one that takes another route or captures
    /// other parts: some upstreams drop parameters (`;x=y`, RFC 3986 section 3.3), some merge empty
    /// segments, some do both, and would then serve what another route protects. `path` is in normal
    /// form and [folded](Self::fold).
    pub fn misleads(&self, method: &Method, path: &str) -> bool {
        let is_odd =
            |path: &str| path.contains("//") || [";", "%3B", "%3b"].iter().any(|odd| path.contains(odd));
        if !is_odd(path) {
            return false;
        }
        let Found::Route(taken, _, seen) = self.find(method, path) else { return false };
        let plain = without_parameters(path);
        let readings = [merged(path), merged(&plain), plain];
        readings.iter().any(|read| match self.find(method, read) {
            Found::Route(index, _, captures) => index != taken || !seen.reads_as(&captures),
            Found::MethodNotAllowed(_) | Found::Nothing => true,
        })
    }
}

impl Captures<'_> {
    /// Whether the least careful reader sees no difference.
    fn reads_as(&self, other: &Captures<'_>) -> bool {
        let read = |part: &str| merged(&without_parameters(part));
        (0..self.0.len().max(other.0.len())).all(|index| read(self.value(index)) == read(other.value(index)))
    }
}

fn without_parameters(path: &str) -> String {
    let end = |segment: &str| [";", "%3B", "%3b"].iter().filter_map(|mark| segment.find(mark)).min();
    let names: Vec<&str> =
        path.split('/').map(|segment| &segment[..end(segment).unwrap_or(segment.len())]).collect();
    names.join("/")
}

/// With one slash before each segment that is not empty, and none elsewhere.
fn merged(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    format!("/{}", segments.join("/"))
}

/// The names that a route's path captures, in order, a tail with its star: what its scopes may use.
///
/// # Errors
///
/// Why the path cannot be used.
pub fn captures(path: &str) -> Result<Vec<&str>, String> {
    Pattern::parse(path, PathCase::Sensitive).map(|pattern| pattern.names)
}

fn serves(route: &Route, method: &Method) -> bool {
    let Some(methods) = &route.methods else { return true };
    methods.contains(method) || (method == Method::HEAD && methods.contains(&Method::GET))
}

/// The pairs of one path's routes that serve a method both.
fn rivals(indices: &[usize], routes: &[Route]) -> Vec<(usize, usize)> {
    let overlap = |a: &Route, b: &Route| match (&a.methods, &b.methods) {
        (Some(list), _) => list.iter().any(|method| serves(b, method)),
        (None, Some(list)) => !list.is_empty(),
        (None, None) => true,
    };
    let either = |one: &Route, other: &Route| overlap(one, other) || overlap(other, one);
    let rival_of = |(position, &index): (usize, &usize)| {
        let mut earlier = indices[..position].iter();
        earlier.find(|&&other| either(&routes[other], &routes[index])).map(|&other| (other, index))
    };
    indices.iter().enumerate().filter_map(rival_of).collect()
}

fn allow(indices: &[usize], routes: &[Route]) -> HeaderValue {
    let mut methods: Vec<&str> = Vec::new();
    for method in indices.iter().flat_map(|&index| routes[index].methods.iter().flatten()) {
        methods.push(method.as_str());
        if *method == Method::GET {
            methods.push("HEAD");
        }
    }
    methods.sort_unstable();
    methods.dedup();
    HeaderValue::try_from(methods.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(pattern: &str, methods: &[Method]) -> Route {
        let methods = (!methods.is_empty()).then(|| methods.into());
        Route {
            pattern: pattern.into(),
            methods,
            access: Access::Public,
            platform: Platform::default(),
            upstream: 0,
        }
    }

    fn table(routes: &[(&str, &[Method])], case: PathCase) -> Result<RouteTable, Vec<RouteError>> {
        RouteTable::build(routes.iter().map(|(pattern, methods)| route(pattern, methods)).collect(), case)
    }

    fn find(table: &RouteTable, method: &Method, path: &str) -> String {
        let folded = table.fold(path);
        match table.find(method, &folded) {
            Found::Route(index, _, captures) => format!("{index} {}", captures.value(0)),
            Found::MethodNotAllowed(allow) => format!("allow {}", allow.to_str().unwrap()),
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let table = table(
            &[
                ("/api/apps/v1/{resource}/{*rest}", &[]),
                ("/api/apps/v1/store", &[]),
                ("/api/apps/v1/billing/{*rest}", &[]),
                ("/api/apps/{app_id}", &[]),
                ("/{*rest}", &[]),
                ("/api/docs", &[Method::GET]),
                ("/api/docs", &[Method::POST, Method::PUT]),
            ],
            PathCase::Insensitive,
        )
        .unwrap();
        let rows = [
            ("/api/apps/v1/orders", "0 orders"),
            ("/api/apps/v1/orders/", "0 orders"),
            ("/api/apps/v1/orders/7/lines", "0 orders"),
            ("/API/Apps/V1/ORDERS/7", "0 orders"),
            ("/api/apps/v1/store", "1 "),
            ("/api/apps/v1/store/", "1 "),
            ("/api/apps/v1/store/x", "0 store"),
            ("/api/apps/v1/billing", "2 "),
            ("/api/apps/v1/billing/x", "2 x"),
            ("/api/apps/v1", "3 v1"),
            ("/api/apps/v1//orders", "4 api/apps/v1//orders"),
            ("/", "4 "),
            ("/api/docs", "5 "),
            ("/apix", "4 apix"),
        ];
        for (path, expected) in rows {
            assert_eq!(find(&table, &Method::GET, path), expected, "{path}");
        }
        assert_eq!(find(&table, &Method::HEAD, "/api/docs"), "5 ");
        assert_eq!(find(&table, &Method::PUT, "/api/docs"), "6 ");
        assert_eq!(find(&table, &Method::DELETE, "/api/docs"), "allow GET, HEAD, POST, PUT");
    }

    #[test]
    fn nothing_matches_by_accident() {
        let table = table(&[("/api/v1/{resource}/{*rest}", &[])], PathCase::Sensitive).unwrap();
        for path in ["/", "/api/v1", "/api/v1/", "/api/v1//x", "/API/v1/x", "/api/v1x/y", "/x/api/v1/y"] {
            assert_eq!(find(&table, &Method::GET, path), "nothing", "{path}");
        }
        assert_eq!(find(&table, &Method::GET, "/api/v1/Orders"), "0 Orders");
    }

    #[test]
    fn a_whole_path_and_a_tail_live_together() {
        let table =
            table(&[("/x/{id}", &[]), ("/x/{*rest}", &[]), ("/{a}/{b}/{*rest}", &[])], PathCase::Insensitive);
        let table = table.unwrap();
        for (path, expected) in [("/x/1", "0 1"), ("/x", "1 "), ("/x/1/2", "1 1/2"), ("/y/1/2", "2 y")] {
            assert_eq!(find(&table, &Method::GET, path), expected, "{path}");
        }
    }

    #[test]
    fn an_open_whole_path_does_not_cut_into_a_protected_prefix() {
        let open = "/{a}/{b}";
        let rows = [
            ("/api/{*rest}", "/api/orders", "1 orders"),
            ("/api/{*rest}", "/other/orders", "0 other"),
            ("/{x}/{*rest}", "/api/orders", "0 api"),
        ];
        for (prefix, path, expected) in rows {
            let table = table(&[(open, &[]), (prefix, &[])], PathCase::Insensitive).unwrap();
            assert_eq!(find(&table, &Method::GET, path), expected, "{prefix} {path}");
        }
    }

    #[test]
    fn whatever_fits_is_found() {
        let routes: [(&str, &[Method]); 7] = [
            ("/x/{n}s/b", &[]),
            ("/x/{n}/a", &[]),
            ("/x/{n}ss/c", &[]),
            ("/files/{name}.tar.gz", &[]),
            ("/files/{name}.gz", &[]),
            ("/files/{name}", &[]),
            ("/{*rest}", &[]),
        ];
        let table = table(&routes, PathCase::Insensitive).unwrap();
        for (path, expected) in [
            ("/x/vs/b", "0 v"),
            ("/x/vs/a", "1 vs"),
            ("/x/vss/c", "2 v"),
            ("/x/vss/b", "0 vs"),
            ("/x/vss/a", "1 vss"),
            ("/x/vs/d", "6 x/vs/d"),
            ("/x/s/b", "6 x/s/b"),
            ("/files/a.tar.gz", "3 a"),
            ("/files/a.gz", "4 a"),
            ("/files/.gz", "5 .gz"),
            ("/files/a", "5 a"),
        ] {
            assert_eq!(find(&table, &Method::GET, path), expected, "{path}");
        }
    }

    #[test]
    fn no_reading_of_a_path_leads_elsewhere() {
        let routes: [(&str, &[Method]); 3] =
            [("/{*rest}", &[]), ("/admin/{x}", &[]), ("/shops/{shop}/{resource}/{*rest}", &[])];
        let table = table(&routes, PathCase::Insensitive).unwrap();
        for path in [
            "/admin;v=1/1",
            "/admin;/1;x",
            "/admin%3B/1",
            "/admin%3bv=1/1",
            "/;/admin/1",
            "//admin/1",
            "/admin//1",
            "/admin/;/1",
            "//;x//admin//1",
            "/shops/;/orders/customers",
            "/shops//5/orders",
        ] {
            assert!(table.misleads(&Method::GET, path), "{path}");
        }
        for path in [
            "/a;v=1/b",
            "/admin/1;v=2",
            "/admin/1;/2",
            "/a",
            "/;",
            "/",
            "//",
            "/a//b",
            "/admin/1",
            "/shops/5;a/orders;b/1;c//2",
            "/;jsessionid=1",
        ] {
            assert!(!table.misleads(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn rivals_are_refused() {
        let get: &[Method] = &[Method::GET];
        let refused: [&[(&str, &[Method])]; 10] = [
            &[("/a{x}", &[]), ("/{x}b", &[])],
            &[("/{x}b/c", get), ("/aa{x}/d", &[])],
            &[("/a", &[]), ("/a", &[])],
            &[("/a", &[]), ("/a/", &[])],
            &[("/a", &[]), ("/A", &[])],
            &[("/a/{x}", &[]), ("/a/{y}", &[])],
            &[("/a/{*x}", &[]), ("/a/{*y}", &[])],
            &[("/a", get), ("/a", &[])],
            &[("/a", get), ("/a", &[Method::HEAD])],
            &[("/a", get), ("/a", &[Method::POST, Method::GET])],
        ];
        for routes in refused {
            let errors = table(routes, PathCase::Insensitive).unwrap_err();
            assert!(
                matches!(errors[..], [RouteError::Ambiguous { index: 1, other: 0, .. }]),
                "{routes:?}: {errors:?}"
            );
        }
        assert!(table(&[("/a", &[]), ("/A", &[])], PathCase::Sensitive).is_ok());
    }

    #[test]
    fn paths_that_no_request_has_are_refused() {
        let refused = [
            "",
            "api",
            "//",
            "/a//b",
            "/a/{x",
            "/a/x}",
            "/a/{}",
            "/a/{*}",
            "/a/{x-y}",
            "/{*rest}/b",
            "/a/{x}/{x}",
            "/a/../b",
            "/./a",
            "/a b",
            "/a?b",
            "/a#b",
            "/ä",
            "/a%2fb",
            "/a\\b",
            "/{x}{y}",
            &"/a".repeat(65),
            "/a\n",
        ];
        for path in refused {
            let errors = table(&[(path, &[])], PathCase::Insensitive).unwrap_err();
            assert!(matches!(errors[..], [RouteError::Path(0, _)]), "{path}: {errors:?}");
        }
    }
}
