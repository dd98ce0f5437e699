//! Token endpoints: what a client of each platform asks and is answered, and that what it gets is worth
//! exactly that on the platform's routes.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

#[path = "oauth/elasticpath.rs"]
mod elasticpath;
#[path = "oauth/endpoints.rs"]
mod endpoints;
#[path = "oauth/selorax.rs"]
mod selorax;
#[path = "oauth/shopify.rs"]
mod shopify;
#[path = "oauth/stage.rs"]
mod stage;
#[path = "oauth/standard.rs"]
mod standard;
#[path = "oauth/tiki.rs"]
mod tiki;
