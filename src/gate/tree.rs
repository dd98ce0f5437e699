//! The paths of all routes as a tree of segments. A path is compared segment by segment from the left:
//! the literal first, then captures with a literal beside them, a capture, a tail; where the rest
//! fits nothing, the next of these is tried. So whatever fits is found, the most specific first.
//!
//! A walk meets each node of the tree at most once, and allocates nothing.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use smallvec::SmallVec;

use super::pattern::{Pattern, Segment};
use super::route::Captures;

/// Values by path.
#[derive(Debug)]
pub(super) struct Tree<V> {
    root: Node<V>,
}

#[derive(Debug)]
struct Node<V> {
    literals: HashMap<Box<str>, Node<V>, RandomState>,
    /// The longest literals first: what they take is taken from the others.
    affixed: Vec<Affixed<V>>,
    capture: Option<Box<Node<V>>>,
    /// Of the path that ends here.
    end: Option<V>,
    /// Of the path that goes on here with whatever follows.
    tail: Option<V>,
}

#[derive(Debug)]
struct Affixed<V> {
    before: Box<str>,
    after: Box<str>,
    /// The first route that has it.
    route: usize,
    node: Node<V>,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { literals: HashMap::default(), affixed: Vec::new(), capture: None, end: None, tail: None }
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl Tree<Vec<usize>> {
    /// Puts a route in.
    pub(super) fn insert(&mut self, pattern: &Pattern<'_>, route: usize) {
        let mut node = &mut self.root;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Capture { before, after } if before.is_empty() && after.is_empty() => {
                    node.capture.get_or_insert_default()
                }
                Segment::Capture { before, after } => node.affixed(before, after, route),
            };
        }
        let place = if pattern.has_tail { &mut node.tail } else { &mut node.end };
        place.get_or_insert_default().push(route);
    }

    /// Pairs of routes with captures that could take the same segment, neither being the more specific
    /// one: `a{x}` and `{x}b`.
    pub(super) fn crossings(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        self.root.crossings(&mut found);
        found
    }
}

impl Node<Vec<usize>> {
    fn affixed(&mut self, before: &str, after: &str, route: usize) -> &mut Self {
        let known = |own: &Affixed<_>| *own.before == *before && *own.after == *after;
        let length = |own: &Affixed<_>| own.before.len() + own.after.len();
        let at = self.affixed.iter().position(known).unwrap_or_else(|| {
            let at = self.affixed.partition_point(|own| length(own) >= before.len() + after.len());
            let new = Affixed { before: before.into(), after: after.into(), route, node: Self::default() };
            self.affixed.insert(at, new);
            at
        });
        &mut self.affixed[at].node
    }

    fn crossings(&self, found: &mut Vec<(usize, usize)>) {
        for (position, one) in self.affixed.iter().enumerate() {
            let mut longer = self.affixed[..position].iter();
            found.extend(longer.find(|longer| longer.crosses(one)).map(|longer| (longer.route, one.route)));
            one.node.crossings(found);
        }
        self.literals.values().chain(self.capture.as_deref()).for_each(|node| node.crossings(found));
    }
}

impl<V> Affixed<V> {
    /// Whether both could take one segment, and `self`, the longer one, does not demand all that
    /// `other` does.
    fn crosses(&self, other: &Self) -> bool {
        let [before, after] = [(&self.before, &other.before), (&self.after, &other.after)];
        let begins = before.0.starts_with(&**before.1);
        let ends = after.0.ends_with(&**after.1);
        (begins || before.1.starts_with(&**before.0))
            && (ends || after.1.ends_with(&**after.0))
            && !(begins && ends)
    }

    fn taken<'p>(&self, segment: &'p str) -> Option<&'p str> {
        let inner = segment.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        Some(inner).filter(|inner| !inner.is_empty())
    }
}

impl<V> Tree<V> {
    /// The value of the most specific path that fits, and what it captures. A path with a tail fits
    /// without it, too.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<(&V, Captures<'p>)> {
        let mut captures = SmallVec::new();
        let segments = path.strip_prefix('/').filter(|segments| !segments.is_empty());
        let value = self.root.find(segments, &mut captures)?;
        Some((value, Captures(captures)))
    }

    /// The same tree with other values.
    pub(super) fn map<W>(self, value: &mut impl FnMut(V) -> W) -> Tree<W> {
        Tree { root: self.root.map(value) }
    }
}

impl<V> Node<V> {
    fn find<'p>(&self, rest: Option<&'p str>, captures: &mut SmallVec<[&'p str; 6]>) -> Option<&V> {
        let Some(rest) = rest else { return self.end.as_ref().or(self.tail.as_ref()) };
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        if let Some(found) = self.literals.get(segment).and_then(|node| node.find(after, captures)) {
            return Some(found);
        }
        let affixed =
            self.affixed.iter().filter_map(|affixed| Some((&affixed.node, affixed.taken(segment)?)));
        let plain = self.capture.as_deref().filter(|_| !segment.is_empty()).map(|node| (node, segment));
        for (node, taken) in affixed.chain(plain) {
            let before = captures.len();
            captures.push(taken);
            if let Some(found) = node.find(after, captures) {
                return Some(found);
            }
            captures.truncate(before);
        }
        let tail = self.tail.as_ref().filter(|_| !rest.is_empty())?;
        captures.push(rest);
        Some(tail)
    }

    fn map<W>(self, value: &mut impl FnMut(V) -> W) -> Node<W> {
        let affixed = self.affixed.into_iter().map(|Affixed { before, after, route, node }| Affixed {
            before,
            after,
            route,
            node: node.map(value),
        });
        Node {
            affixed: affixed.collect(),
            literals: self.literals.into_iter().map(|(text, node)| (text, node.map(value))).collect(),
            capture: self.capture.map(|node| Box::new(node.map(value))),
            end: self.end.map(&mut *value),
            tail: self.tail.map(&mut *value),
        }
    }
}
