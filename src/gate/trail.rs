//! The steps of a decision, for those who want to know: the access log keeps who it was, `explain`
//! tells them all. Nobody listening costs nothing.

use std::sync::Arc;

use super::route::{Kind, Route};
use crate::model::{AccessToken, App, Installation, Store};

/// A check that was passed, or a record that was found and is about to be checked.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // each says what was found
pub enum Step<'a> {
    Route(usize, &'a Route),
    Preflight,
    Presented(Kind),
    App(&'a Arc<App>),
    SecretEqual,
    SignatureEqual,
    Token(&'a Arc<AccessToken>),
    Installation(&'a Arc<Installation>),
    Store(&'a Arc<Store>),
    /// The scope is granted.
    Scope(&'a str),
}

/// Somebody who follows a decision.
pub trait Trail {
    /// Called at each step, in order. A record that is named may still be refused.
    fn step(&mut self, step: Step<'_>);
}

/// Nobody listens.
impl Trail for () {
    fn step(&mut self, _: Step<'_>) {}
}
