//! The decision.

mod directory;
mod route;
mod scope_rule;

pub use directory::{Directory, Unavailable};
pub use route::{Access, Captures, Found, Kind, Kinds, PathCase, Route, RouteError, RouteTable, captures};
pub use scope_rule::{ScopeRules, ScopeTemplate, ScopeTemplateError, ScopeText};
