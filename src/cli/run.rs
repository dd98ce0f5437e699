//! `storegate run`.

use std::path::Path;

use super::failure::{Failure, load};
use super::output;
use crate::app::{self, Addresses};

/// Serves until it is told to stop.
pub(super) fn run(config: &Path) -> Result<(), Failure> {
    let config = load(config)?;
    config.log.level.set();
    app::run(config, |addresses| output::line(&ready(addresses))).map_err(Failure::failed)
}

fn ready(addresses: &Addresses) -> String {
    let public: Vec<String> = addresses.public.iter().map(ToString::to_string).collect();
    format!("ready listen={} admin={}", public.join(","), addresses.admin)
}
