//! `storegate check`.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::failure::Failure;
use super::output::Output;
use crate::config::{Config, Diagnostic, Problems, Severity};
use crate::replica::{self, Replica, granted_scopes};

/// Check the configuration
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also open the replica and connect to every upstream
    #[arg(long)]
    connect: bool,
}

/// What `--json` prints; the fields are documented in the README and stay.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    file: String,
    errors: usize,
    warnings: usize,
    diagnostics: &'a [Diagnostic],
    /// How many more there are.
    unlisted: usize,
    /// Why the file could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connections: Vec<Connection>,
}

impl<'a> Report<'a> {
    fn new(file: &Path, diagnostics: &'a [Diagnostic], problem: Option<String>) -> Self {
        let errors = diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
        Self {
            valid: errors == 0 && problem.is_none(),
            file: file.display().to_string(),
            errors,
            warnings: diagnostics.len() - errors,
            diagnostics,
            unlisted: 0,
            problem,
            connections: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct Connection {
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Arguments {
    pub(super) fn run(self, path: &Path, output: &Output) -> Result<(), Failure> {
        // Scopes are compared where the replica can be read; `--connect` says why it cannot.
        let scopes = |config: &Config| granted_scopes(&config.replica.path).ok();
        let (config, warnings) = match Config::examine(path, scopes) {
            Ok(examined) => examined,
            Err(problems) => {
                if output.json {
                    let (unlisted, problem) = match &problems {
                        Problems::Unreadable { .. } => (0, Some(problems.to_string())),
                        Problems::Invalid { unlisted, .. } => (*unlisted, None),
                    };
                    let report = Report { unlisted, ..Report::new(path, problems.diagnostics(), problem) };
                    output.result(&report, |_| String::new());
                }
                return Err(Failure::Config(problems));
            }
        };
        let mut report = Report::new(path, &warnings, None);
        if self.connect {
            report.connections = connect(&config);
        }
        let failed = report.connections.iter().filter(|connection| connection.error.is_some()).count();
        let tried = report.connections.len();
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
