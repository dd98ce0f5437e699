//! `storegate check`.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::failure::Failure;
use super::output::Output;
use crate::config::{Config, Diagnostic, Severity};
use crate::replica::{self, Replica};

/// Check the configuration
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also open the replica and connect to every upstream
    #[arg(long)]
    connect: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    diagnostics: &'a [Diagnostic],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connections: Vec<Connection>,
}

#[derive(Serialize)]
struct Connection {
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Arguments {
    pub(super) fn run(self, path: &Path, output: &Output) -> Result<(), Failure> {
        let (config, warnings) = match Config::load(path) {
            Ok(loaded) => loaded,
            Err(problems) => {
                if output.json {
                    let diagnostics = problems.diagnostics();
                    output.result(&Report { valid: false, diagnostics, connections: Vec::new() }, |_| {
                        String::new()
                    });
                }
                return Err(Failure::Config(problems));
            }
        };
        let connections = if self.connect { connect(&config) } else { Vec::new() };
        let failed = connections.iter().filter(|connection| connection.error.is_some()).count();
        let tried = connections.len();
        let report = Report { valid: true, diagnostics: &warnings, connections };
        output.result(&report, |report| text(path, &config, report));
        match failed {
            0 => Ok(()),
            failed => Err(Failure::Failed(format!("{failed} of {tried} connections failed"))),
        }
    }
}

fn text(path: &Path, config: &Config, report: &Report<'_>) -> String {
    let mut text = String::new();
    for diagnostic in report.diagnostics.iter().filter(|found| found.severity == Severity::Warning) {
        text.push_str(&format!("{diagnostic}\n"));
    }
    for connection in &report.connections {
        let outcome = connection.error.as_deref().unwrap_or("ok");
        text.push_str(&format!("{:<40} {outcome}\n", connection.to));
    }
    let (routes, upstreams) = (config.routes.routes().len(), config.upstreams.len());
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    text.push_str(&format!(
        "{} is valid: {}, {}",
        path.display(),
        count(routes, "route"),
        count(upstreams, "upstream")
    ));
    text
}

/// Tries what the configuration names.
fn connect(config: &Config) -> Vec<Connection> {
    let options =
        replica::Options { key_file: config.replica.key_file.clone(), ..replica::Options::default() };
    let opened = Replica::open(&config.replica.path, options);
    let mut connections = vec![Connection {
        to: format!("replica {}", config.replica.path.display()),
        error: opened.err().map(|error| error.to_string()),
    }];
    for upstream in &config.upstreams {
        for server in &upstream.servers {
            let reached = (&*server.host, server.port)
                .to_socket_addrs()
                .and_then(|mut addresses| {
                    addresses.next().ok_or_else(|| std::io::Error::other("the name has no address"))
                })
                .and_then(|address| {
                    TcpStream::connect_timeout(
                        &address,
                        upstream.connect_timeout.max(Duration::from_millis(10)),
                    )
                });
            connections.push(Connection {
                to: format!("upstream {} {}:{}", upstream.name, server.host, server.port),
                error: reached.err().map(|error| error.to_string()),
            });
        }
    }
    connections
}
