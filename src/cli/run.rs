//! `storegate run`.

use std::path::Path;

use super::failure::{Failure, load};
use super::output;
use crate::app::{self, Addresses, TakeOver};
use crate::telemetry::Level;

/// Serve until SIGTERM or SIGINT
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Take the place of the gateway that runs with this configuration (or of the one with this process id): its
    /// listening sockets are taken over, and it leaves when this one serves; no request fails. Starts as usual
    /// where none runs, unless PID is given. Under systemd send the service SIGUSR2 instead
    #[arg(long, value_name = "PID", num_args = 0..=1, require_equals = true, default_missing_value = "any", value_parser = take_over)]
    take_over: Option<TakeOver>,
}

impl Arguments {
    /// Serves until it is told to stop.
    pub(super) fn run(self, config: &Path) -> Result<(), Failure> {
        let config = load(config)?;
        config.log.level.set();
        let take_over = self.take_over.unwrap_or(TakeOver::Nothing);
        let served = app::run(config, take_over, |addresses| output::line(&ready(addresses)));
        Level::finish();
        served.map_err(Failure::failed)
    }
}

fn take_over(text: &str) -> Result<TakeOver, String> {
    match text {
        "any" => Ok(TakeOver::Any),
        pid => pid.parse().map(TakeOver::From).map_err(|_| "a process id is a number".to_owned()),
    }
}

fn ready(addresses: &Addresses) -> String {
    let public: Vec<String> = addresses.public.iter().map(ToString::to_string).collect();
    format!("ready listen={} admin={}", public.join(","), addresses.admin)
}
