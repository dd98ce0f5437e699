//! Which route a request takes. The most specific route wins, judged from left to right: a literal
//! segment beats a captured one, and that beats a tail (`{*rest}`), so that a narrow open route never
//! cuts into a protected prefix. No match means no: 404.
//!
//! Two radix walks, one over the paths that end and one over those with a tail: the router cannot
//! hold `/x/{id}` beside `/x/{*rest}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::{HeaderValue, Method};
use matchit::{InsertError, Router};
use smallvec::SmallVec;

use super::scope_rule::ScopeRules;

/// A route as the operator wrote it, checked.
#[derive(Debug, Clone)]
pub struct Route {
    /// `path` of the configuration; also the name of the route in logs and metrics.
    pub pattern: Box<str>,
    /// The methods it serves; `None`: all. GET serves HEAD too (RFC 9110 section 9.3.2).
    pub methods: Option<Box<[Method]>>,
    /// What a caller has to show.
    pub access: Access,
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

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An opaque access token: `Authorization: Bearer sx_at_…` (RFC 6750).
    Bearer,
    /// A session token, a JWT: `Authorization: Bearer eyJ…`.
    Session,
    /// `X-Client-Id`, `X-Client-Secret` and a store id.
    ClientCredentials,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Bearer, Self::Session, Self::ClientCredentials];

    /// The kind's name in `auth = […]` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Session => "session",
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// The value of the method header that the upstream receives.
    pub fn method_header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Bearer => "oauth",
            Self::Session => "session",
            Self::ClientCredentials => "client_credentials",
        })
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// All kinds.
    pub fn all() -> Self {
        Kind::ALL.into_iter().collect()
    }

    /// Whether `kind` is in the set.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u8))
    }
}

/// Whether the literal parts of routes match without regard to case, as Express upstreams do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathCase {
    /// `/API/Orders` is `/api/orders`, and captured parts are lower-cased in scopes.
    #[default]
    Insensitive,
    /// Every byte counts.
    Sensitive,
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
    /// Paths in which every segment is named.
    whole: Router<Candidates>,
    /// Paths that end in a tail.
    tailed: Router<Candidates>,
}

/// The routes of one path, with disjoint methods, by position.
#[derive(Debug)]
struct Candidates {
    routes: Box<[usize]>,
    allow: HeaderValue,
    shape: Box<[Specificity]>,
}

impl Candidates {
    /// Whether nothing can be more specific.
    fn is_literal(&self) -> bool {
        self.shape.iter().all(|segment| *segment == Specificity::Literal)
    }
}

/// How much a segment of a route's path leaves open; compared from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Literal,
    /// A capture with a literal beside it.
    Affixed,
    Capture,
    Tail,
}

/// The shape of a path whose captures have numbers for names.
fn shape(key: &str) -> Box<[Specificity]> {
    let segment = |segment: &str| match (segment.starts_with("{*"), segment.find('{'), segment.find('}')) {
        (true, ..) => Specificity::Tail,
        (false, Some(0), Some(end)) if end + 1 == segment.len() => Specificity::Capture,
        (false, Some(_), _) => Specificity::Affixed,
        (false, None, _) => Specificity::Literal,
    };
    key.split('/').skip(1).map(segment).collect()
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
pub struct Captures<'p>(SmallVec<[&'p str; 6]>);

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
        let mut whole: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut tailed: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut stems: Vec<(String, usize)> = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            match Pattern::parse(&route.pattern, case) {
                Err(why) => errors.push(RouteError::Path(index, why)),
                Ok(Pattern { key, stem: None, .. }) => whole.entry(key).or_default().push(index),
                Ok(Pattern { key, stem: Some(stem), .. }) => {
                    tailed.entry(key).or_default().push(index);
                    stems.push((stem, index));
                }
            }
        }
        // A path with a tail also matches without it, unless that is a route of its own.
        let explicit: Vec<String> = whole.keys().cloned().collect();
        for (stem, index) in stems {
            if explicit.binary_search(&stem).is_err() {
                whole.entry(stem).or_default().push(index);
            }
        }
        for indices in whole.values().chain(tailed.values()) {
            errors.extend(rivals(indices, &routes));
        }
        let whole = router(whole, &routes, &mut errors);
        let tailed = router(tailed, &routes, &mut errors);
        errors.sort_by_key(RouteError::index);
        errors.dedup();
        if errors.is_empty() { Ok(Self { routes, case, whole, tailed }) } else { Err(errors) }
    }

    /// The routes, in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
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
        let found = match self.whole.at(path) {
            Ok(whole) if whole.value.is_literal() => whole,
            whole => match (whole, self.tailed.at(path)) {
                (Ok(whole), Ok(tailed)) if tailed.value.shape < whole.value.shape => tailed,
                (Ok(found), _) | (Err(_), Ok(found)) => found,
                (Err(_), Err(_)) => return Found::Nothing,
            },
        };
        let candidates = found.value;
        match candidates.routes.iter().find(|&&index| serves(&self.routes[index], method)) {
            Some(&index) => {
                let captures = Captures(found.params.iter().map(|(_, value)| value).collect());
                Found::Route(index, &self.routes[index], captures)
            }
            None => Found::MethodNotAllowed(&candidates.allow),
        }
    }
}

impl RouteTable {
    /// Whether the path takes a route that it would not take without its parameters (`;x=y`, RFC 3986
    /// section 3.3): some upstreams drop them, and would then serve what another route protects.
    pub fn parameters_mislead(&self, method: &Method, path: &str) -> bool {
        if !path.contains(';') {
            return false;
        }
        let route = |path: &str| match self.find(method, path) {
            Found::Route(index, ..) => Some(index),
            Found::MethodNotAllowed(_) | Found::Nothing => None,
        };
        let segments: Vec<&str> =
            path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
        let taken = route(path);
        taken.is_some() && taken != route(&segments.join("/"))
    }
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

fn rivals(indices: &[usize], routes: &[Route]) -> Vec<RouteError> {
    let overlap = |a: &Route, b: &Route| match (&a.methods, &b.methods) {
        (Some(list), _) => list.iter().any(|method| serves(b, method)),
        (None, Some(list)) => !list.is_empty(),
        (None, None) => true,
    };
    let mut errors = Vec::new();
    for (position, &index) in indices.iter().enumerate() {
        let earlier = indices[..position].iter().find(|&&other| {
            overlap(&routes[other], &routes[index]) || overlap(&routes[index], &routes[other])
        });
        if let Some(&other) = earlier {
            errors.push(RouteError::Ambiguous { index, other, pattern: routes[other].pattern.clone() });
        }
    }
    errors
}

fn router(
    paths: BTreeMap<String, Vec<usize>>,
    routes: &[Route],
    errors: &mut Vec<RouteError>,
) -> Router<Candidates> {
    let mut router = Router::new();
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for (key, indices) in paths {
        let Some(&index) = indices.first() else { continue };
        let candidates =
            Candidates { allow: allow(&indices, routes), routes: indices.into(), shape: shape(&key) };
        match router.insert(key.clone(), candidates) {
            Ok(()) => {
                first.insert(key, index);
            }
            Err(InsertError::Conflict { with }) => {
                let other = first.get(&with).copied().unwrap_or_default();
                let (index, other) = (index.max(other), index.min(other));
                errors.push(RouteError::Ambiguous { index, other, pattern: routes[other].pattern.clone() });
            }
            Err(error) => errors.push(RouteError::Path(index, error.to_string())),
        }
    }
    router
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

/// A route's path, read.
struct Pattern<'a> {
    /// The names that it captures, in order, a tail with its star.
    names: Vec<&'a str>,
    /// The path with numbers for names, so that two spellings of one path are one key.
    key: String,
    /// The key without the tail.
    stem: Option<String>,
}

impl<'a> Pattern<'a> {
    fn parse(path: &'a str, case: PathCase) -> Result<Self, String> {
        let Some(body) = path.strip_prefix('/') else { return Err("a path starts with a slash".into()) };
        if path.contains("//") {
            return Err("two slashes in a row match no request that a client means".into());
        }
        let body = body.strip_suffix('/').unwrap_or(body);
        let mut pattern = Self { names: Vec::new(), key: String::new(), stem: None };
        let mut segments = body.split('/').peekable();
        while let Some(segment) = segments.next() {
            if body.is_empty() {
                break;
            }
            if let Some(name) = segment.strip_prefix("{*").and_then(|rest| rest.strip_suffix('}')) {
                if segments.peek().is_some() {
                    return Err(format!("{segment} takes all that follows, so that it must come last"));
                }
                pattern.name(&segment[1..segment.len() - 1], name)?;
                let stem = if pattern.key.is_empty() { "/".to_owned() } else { pattern.key.clone() };
                pattern.stem = Some(stem);
                pattern.key.push_str("/{*rest}");
                return Ok(pattern);
            }
            pattern.segment(segment, case)?;
        }
        if pattern.key.is_empty() {
            pattern.key.push('/');
        }
        Ok(pattern)
    }

    fn segment(&mut self, segment: &'a str, case: PathCase) -> Result<(), String> {
        self.key.push('/');
        let (before, rest) = match segment.split_once('{') {
            None => (segment, None),
            Some((before, rest)) => (before, Some(rest)),
        };
        self.literal(before, case)?;
        let Some(rest) = rest else { return Ok(()) };
        let Some((name, after)) = rest.split_once('}') else {
            return Err(format!("the brace in {segment:?} has no partner"));
        };
        self.name(name, name)?;
        self.key.push_str(&format!("{{c{}}}", self.names.len()));
        self.literal(after, case)
    }

    fn name(&mut self, shown: &'a str, name: &str) -> Result<(), String> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("{{{shown}}} is not a name; use letters, digits and underscores"));
        }
        if self.names.iter().any(|known| known.trim_start_matches('*') == name) {
            return Err(format!("{{{name}}} stands twice"));
        }
        self.names.push(shown);
        Ok(())
    }

    fn literal(&mut self, text: &str, case: PathCase) -> Result<(), String> {
        // What cannot stand in a request's normal form (RFC 3986 section 3.3, unreserved decoded)
        // would be a route that never matches.
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@[]".contains(&b);
        if let Some(odd) = text.chars().find(|c| !c.is_ascii() || !allowed(*c as u8)) {
            return Err(format!(
                "{odd:?} cannot stand in a route's path; write letters, digits and -._~!$&'()*+,;=:@"
            ));
        }
        if text == "." || text == ".." {
            return Err("dot segments are resolved before routes are matched".into());
        }
        match case {
            PathCase::Insensitive => self.key.push_str(&text.to_ascii_lowercase()),
            PathCase::Sensitive => self.key.push_str(text),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(pattern: &str, methods: &[Method]) -> Route {
        let methods = (!methods.is_empty()).then(|| methods.into());
        Route { pattern: pattern.into(), methods, access: Access::Public, upstream: 0 }
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
    fn parameters_must_not_lead_elsewhere() {
        let table = table(&[("/{*rest}", &[]), ("/admin/{x}", &[])], PathCase::Insensitive).unwrap();
        for path in ["/admin;v=1/1", "/admin;/1;x"] {
            assert!(table.parameters_mislead(&Method::GET, path), "{path}");
        }
        for path in ["/a;v=1/b", "/admin/1;v=2", "/admin/1;/2", "/;/admin/1", "/a", "/;", "/admin/1"] {
            assert!(!table.parameters_mislead(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn rivals_are_refused() {
        let get: &[Method] = &[Method::GET];
        let refused: [&[(&str, &[Method])]; 8] = [
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
            "/a\n",
        ];
        for path in refused {
            let errors = table(&[(path, &[])], PathCase::Insensitive).unwrap_err();
            assert!(matches!(errors[..], [RouteError::Path(0, _)]), "{path}: {errors:?}");
        }
    }
}
