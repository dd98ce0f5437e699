//! The route table against a slow reading of its rules: routes, one a line, methods (`*`: all) and
//! path; an empty line; requests, one a line, method and target. A first line `sensitive` says that
//! case counts.

use http::Method;
use storegate::gate::{Access, Found, PathCase, Route, RouteTable};
use storegate::wire::target::Target;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (case, text) = match text.strip_prefix("sensitive\n") {
        Some(rest) => (PathCase::Sensitive, rest),
        None => (PathCase::Insensitive, text),
    };
    let (routes, requests) = text.split_once("\n\n").unwrap_or((text, ""));
    let Some(routes) = routes.lines().take(12).map(route).collect::<Option<Vec<_>>>() else { return };
    let table = match RouteTable::build(routes.clone(), case) {
        Ok(table) => table,
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| error.index() < routes.len()));
            return;
        }
    };
    let model = Model::new(&routes, case);
    for request in requests.lines().take(12) {
        let Some((method, target)) = request.split_once(' ') else { continue };
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { continue };
        let Ok(target) = Target::parse(target.as_bytes(), None) else { continue };
        let path = table.fold(target.path());
        let expected = model.find(&method, target.path());
        let context = format!("{request} among {:?}", routes.iter().map(|r| &r.pattern).collect::<Vec<_>>());
        assert_eq!(answer(&table, &method, &path), expected, "{context}");
        // What a less careful upstream would serve is what the gateway protects.
        let is_odd = path.contains(';') || path.to_lowercase().contains("%3b") || path.contains("//");
        let other = |read: &String| plainly(model.find(&method, read)) != plainly(expected.clone());
        let misleads =
            is_odd && matches!(expected, Answer::Route(..)) && careless(target.path()).iter().any(other);
        assert_eq!(table.misleads(&method, &path), misleads, "{context}");
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Route(usize, Vec<String>),
    MethodNotAllowed,
    Nothing,
}

/// A route and what it captures, as the least careful upstream reads it; empty parts are no parts.
fn plainly(answer: Answer) -> Option<(usize, Vec<String>)> {
    let Answer::Route(number, captures) = answer else { return None };
    let mut captures: Vec<String> = captures.iter().map(|part| careless(part)[2].clone()).collect();
    while captures.last().is_some_and(|last| last == "/") {
        captures.pop();
    }
    Some((number, captures))
}

fn answer(table: &RouteTable, method: &Method, path: &str) -> Answer {
    match table.find(method, path) {
        Found::Route(index, route, captures) => {
            assert!(std::ptr::eq(&table.routes()[index], route));
            let count = storegate::gate::captures(&route.pattern).unwrap().len();
            let mut captures: Vec<_> = (0..count).map(|number| captures.value(number).to_owned()).collect();
            // A tail that is not there captures nothing.
            captures.pop_if(|last| last.is_empty());
            Answer::Route(index, captures)
        }
        Found::MethodNotAllowed(..) => Answer::MethodNotAllowed,
        Found::Nothing => Answer::Nothing,
    }
}

fn route(line: &str) -> Option<Route> {
    let (methods, pattern) = line.split_once(' ').filter(|(_, pattern)| pattern.len() <= 80)?;
    let methods = match methods {
        "*" => None,
        list => Some(
            list.split(',')
                .map(|method| Method::from_bytes(method.as_bytes()).ok())
                .collect::<Option<_>>()?,
        ),
    };
    Some(Route {
        pattern: pattern.into(),
        methods,
        access: Access::Public,
        platform: Default::default(),
        upstream: 0,
    })
}

/// How upstreams that drop parameters, merge slashes, or both, would read a path.
fn careless(path: &str) -> Vec<String> {
    let without = |path: &str| {
        let path = path.replace("%3B", ";").replace("%3b", ";");
        path.split('/').map(|segment| segment.split(';').next().unwrap()).collect::<Vec<_>>().join("/")
    };
    let merged = |path: &str| {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        format!("/{}", parts.join("/"))
    };
    vec![without(path), merged(path), merged(&without(path))]
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Capture { before: String, after: String },
}

/// A path that requests are compared with; a route with a tail has two.
struct Way {
    segments: Vec<Segment>,
    tail: bool,
    route: usize,
}

struct Model<'r> {
    routes: &'r [Route],
    ways: Vec<Way>,
    case: PathCase,
}

impl<'r> Model<'r> {
    fn new(routes: &'r [Route], case: PathCase) -> Self {
        let mut ways = Vec::new();
        for (route, Route { pattern, .. }) in routes.iter().enumerate() {
            let pattern = fold(pattern.trim_end_matches('/'), case);
            let tail = pattern.rsplit('/').next().is_some_and(|last| last.starts_with("{*"));
            let parts: Vec<&str> = pattern.split('/').skip(1).collect();
            let named = parts.len() - usize::from(tail);
            let segments = parts[..named].iter().map(|part| segment(part)).collect();
            ways.push(Way { segments, tail, route });
        }
        // Without its tail, too, unless that is a route of its own.
        let stems: Vec<Way> = ways
            .iter()
            .filter(|way| way.tail && !ways.iter().any(|own| !own.tail && own.segments == way.segments))
            .map(|way| Way { segments: way.segments.clone(), tail: false, route: way.route })
            .collect();
        ways.extend(stems);
        Self { routes, ways, case }
    }

    fn find(&self, method: &Method, path: &str) -> Answer {
        let path = fold(path, self.case);
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(&path) } else { &path };
        let parts: Vec<&str> = if path == "/" { Vec::new() } else { path[1..].split('/').collect() };
        let matching: Vec<(&Way, Vec<String>)> =
            self.ways.iter().filter_map(|way| Some((way, way.captures(&parts)?))).collect();
        let Some(best) = matching.iter().map(|(way, _)| way.shape()).min() else { return Answer::Nothing };
        let best: Vec<_> = matching.iter().filter(|(way, _)| way.shape() == best).collect();
        assert!(
            best.iter().all(|(way, _)| way.segments == best[0].0.segments),
            "two could both win for {path}"
        );
        let serves = |route: &Route| match &route.methods {
            None => true,
            Some(list) => list.contains(method) || (method == Method::HEAD && list.contains(&Method::GET)),
        };
        let mut serving = best.iter().filter(|(way, _)| serves(&self.routes[way.route]));
        let found = serving.next().map(|(way, captures)| Answer::Route(way.route, captures.clone()));
        assert!(serving.next().is_none(), "two serve {method} {path}");
        found.unwrap_or(Answer::MethodNotAllowed)
    }
}

impl Way {
    fn captures(&self, parts: &[&str]) -> Option<Vec<String>> {
        let named = self.segments.len();
        let fits = if self.tail { parts.len() > named } else { parts.len() == named };
        if !fits {
            return None;
        }
        let mut captures = Vec::new();
        for (segment, part) in self.segments.iter().zip(parts) {
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Literal(_) => return None,
                Segment::Capture { before, after } => {
                    let inner = part.strip_prefix(&**before)?.strip_suffix(&**after)?;
                    captures.push(Some(inner).filter(|inner| !inner.is_empty())?.to_owned());
                }
            }
        }
        if self.tail {
            captures.push(Some(parts[named..].join("/")).filter(|rest| !rest.is_empty())?);
        }
        Some(captures)
    }

    /// From left to right: a literal, a capture with a literal beside it (the longer the better), a
    /// capture, a tail.
    fn shape(&self) -> Vec<(u8, usize)> {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => (0, 0),
            Segment::Capture { before, after } => match before.len() + after.len() {
                0 => (2, 0),
                length => (1, usize::MAX - length),
            },
        });
        segments.chain(self.tail.then_some((3, 0))).collect()
    }
}

fn segment(part: &str) -> Segment {
    match part.split_once('{') {
        None => Segment::Literal(part.to_owned()),
        Some((before, rest)) => {
            let after = rest.split_once('}').unwrap().1;
            Segment::Capture { before: before.to_owned(), after: after.to_owned() }
        }
    }
}

fn fold(text: &str, case: PathCase) -> String {
    if case == PathCase::Insensitive { text.to_ascii_lowercase() } else { text.to_owned() }
}
