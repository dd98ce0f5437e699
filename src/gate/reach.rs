//! Routes that no request takes, because others take all of their paths. They are not ambiguous, and
//! yet they protect nothing: what the operator wrote there is never in force.

use super::pattern::{Pattern, Segment};
use super::route::RouteTable;

/// What captures are filled with: a route is reached when one of these reaches it. None is likely to be
/// what another route's literals begin or end with.
const FILLERS: [&str; 3] = ["0", "zz~", "-"];

/// The most paths that are tried. A table of so many deep routes is judged in part.
const MOST_TRIALS: usize = 100_000;

/// A route that no request takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// Its position.
    pub index: usize,
    /// The paths of routes that take its paths: the first two of them.
    pub taken_by: Vec<Box<str>>,
}

impl RouteTable {
    /// The routes that no request takes, whatever its method: the path decides first.
    pub fn unreachable(&self) -> Vec<Unreachable> {
        let patterns: Vec<Pattern<'_>> = self
            .routes()
            .iter()
            .filter_map(|route| Pattern::parse(&route.pattern, self.case()).ok())
            .collect();
        let deepest = patterns.iter().map(|pattern| pattern.segments.len()).max().unwrap_or(0);
        let mut trials = 0..MOST_TRIALS;
        let mut found = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            let mut takers = Vec::new();
            let is_reached = paths(pattern, deepest).any(|path| {
                let candidates = self.candidates(&path);
                takers.extend(candidates.first().copied());
                // Where the trials are used up nothing is claimed.
                candidates.contains(&index) || trials.next().is_none()
            });
            if !is_reached {
                takers.sort_unstable();
                takers.dedup();
                let taken_by = takers.iter().take(2).map(|&taker| self.routes()[taker].pattern.clone());
                found.push(Unreachable { index, taken_by: taken_by.collect() });
            }
        }
        found
    }
}

/// Paths that fit a pattern: with each filler, and for a tail with each number of segments that tells it
/// from other patterns.
fn paths<'p>(pattern: &'p Pattern<'_>, deepest: usize) -> impl Iterator<Item = String> + 'p {
    let longest =
        if pattern.has_tail { (deepest + 1).saturating_sub(pattern.segments.len()).max(1) } else { 0 };
    FILLERS.iter().flat_map(move |filler| (0..=longest).map(move |more| path(pattern, filler, more)))
}

fn path(pattern: &Pattern<'_>, filler: &str, more: usize) -> String {
    let own = pattern.segments.iter().map(|segment| match segment {
        Segment::Literal(text) => text.to_string(),
        Segment::Capture { before, after } => format!("{before}{filler}{after}"),
    });
    let segments: Vec<String> = own.chain(std::iter::repeat_n(filler.to_owned(), more)).collect();
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::gate::{Access, PathCase, Route};
    use crate::model::Platform;

    fn unreachable(paths: &[&str]) -> Vec<(usize, String)> {
        let route = |(index, path): (usize, &&str)| Route {
            // Their methods do not help: the path decides first.
            methods: Some([[Method::GET, Method::POST, Method::PUT][index % 3].clone()].into()),
            pattern: (**path).into(),
            access: Access::Public,
            platform: Platform::default(),
            upstream: 0,
        };
        let routes = paths.iter().enumerate().map(route).collect();
        let table = RouteTable::build(routes, PathCase::Insensitive).unwrap();
        table.unreachable().into_iter().map(|found| (found.index, found.taken_by.join(" "))).collect()
    }

    #[test]
    fn shadowed_routes_are_found() {
        type Row = (&'static [&'static str], &'static [(usize, &'static str)]);
        let rows: [Row; 5] = [
            (&["/x", "/x/{y}/{*z}", "/x/{*rest}"], &[(2, "/x /x/{y}/{*z}")]),
            (&["/x/{*rest}", "/x", "/x/{y}", "/x/{y}/{z}/{*more}"], &[(0, "/x /x/{y}")]),
            (&["/", "/{a}/{*z}", "/{*rest}"], &[(2, "/ /{a}/{*z}")]),
            (&["/X/{y}", "/x/{y}/{z}/{*r}", "/x/{Y}/{*r}"], &[(2, "/X/{y} /x/{y}/{z}/{*r}")]),
            (&["/v{n}", "/v{n}/{a}/{*r}", "/v{n}/{*r}"], &[(2, "/v{n} /v{n}/{a}/{*r}")]),
        ];
        for (paths, expected) in rows {
            let expected: Vec<_> = expected.iter().map(|(index, by)| (*index, (*by).to_owned())).collect();
            assert_eq!(unreachable(paths), expected, "{paths:?}");
        }
    }

    #[test]
    fn routes_that_are_taken_sometimes_are_not() {
        let rows: [&[&str]; 9] = [
            &[],
            &["/"],
            &["/{*rest}", "/x"],
            &["/x", "/x/{*rest}"],
            &["/x/{y}", "/x/{*rest}"],
            &["/x/{y}/{*z}", "/x/{*rest}"],
            &["/x", "/x/{y}", "/x/{*rest}"],
            &["/x/{n}s", "/x/0", "/x/{n}", "/x/zz~", "/x/-s"],
            &["/{a}/{b}", "/api/{*rest}", "/{*rest}", "/api/{b}/{c}/{*d}"],
        ];
        for paths in rows {
            assert_eq!(unreachable(paths), [], "{paths:?}");
        }
    }

    #[test]
    fn many_deep_routes_cost_little() {
        let deep = "/a".repeat(60);
        let paths: Vec<String> = (0..3000).map(|n| format!("/{n}/{{*rest}}")).chain([deep]).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert_eq!(unreachable(&paths), []);
    }
}
