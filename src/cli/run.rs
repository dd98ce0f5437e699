//! `storegate run`.

use std::io::IsTerminal;
use std::path::Path;

use super::failure::{Failure, load};
use super::output;
use crate::app::{self, Addresses};

/// Serves until it is told to stop.
pub(super) fn run(config: &Path) -> Result<(), Failure> {
    log_to_stderr("info");
    app::run(load(config)?, |addresses| output::line(&ready(addresses))).map_err(Failure::failed)
}

fn ready(addresses: &Addresses) -> String {
    let public: Vec<String> = addresses.public.iter().map(ToString::to_string).collect();
    format!("ready listen={} admin={}", public.join(","), addresses.admin)
}

/// Messages of the process go to standard error; `RUST_LOG` sets another level than `level`. Pingora's own lines are
/// held to errors: at lower levels they quote what clients sent.
pub(super) fn log_to_stderr(level: &str) {
    use tracing_subscriber::EnvFilter;
    let quiet = ["pingora", "pingora_core", "pingora_proxy", "pingora_http", "pingora_pool"];
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    for target in quiet {
        match format!("{target}=off").parse() {
            Ok(directive) => filter = filter.add_directive(directive),
            Err(_) => continue,
        }
    }
    // A second call, as in tests, leaves the first in force.
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let _ = tracing_subscriber::fmt()
        .with_ansi(ansi)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}
