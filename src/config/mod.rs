//! gateway.toml, checked. [`Config`] holds only valid states; every problem of a file is reported at
//! once, with its place and what to write instead.
//!
//! In layers: `document` reads TOML, `raw` mirrors the file, and one file per section turns it into
//! the checked types. Nothing here opens a socket or reads a file other than the configuration.

mod diagnostic;
mod document;
mod excerpt;
mod idp;
mod inject;
mod limits;
mod log;
mod raw;
mod replica;
mod report;
mod routes;
mod scopes;
mod server;
#[cfg(test)]
mod tests;
mod tokens;
mod upstream;
mod upstream_tls;
mod value;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use diagnostic::{Diagnostic, Severity};
pub use limits::Limits;
pub use log::Log;
pub use replica::{Credentials, Hasher, Replica, Source};
pub use server::{Admin, ClientCertificates, Server, Tls};
pub use upstream::{Scheme, Server as UpstreamServer, Upstream};
pub use upstream_tls::UpstreamTls;

use crate::gate::{InjectNames, RouteTable};
use crate::limits::RouteRate;
use crate::oauth::{CustomerTokens, Endpoint};
use report::{Finding, Report};

/// The largest configuration that is read, in bytes: some ten thousand routes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A configuration that the gateway can run with.
#[derive(Debug)]
pub struct Config {
    /// The public listener.
    pub server: Server,
    /// The admin listener.
    pub admin: Admin,
    /// The local store of credentials.
    pub replica: Replica,
    /// How credentials begin.
    pub credentials: Credentials,
    /// The workers that check bcrypt secrets.
    pub hasher: Hasher,
    /// The upstreams, in the order of the file; routes name them by position.
    pub upstreams: Vec<Upstream>,
    /// The names of the headers that the upstream receives.
    pub inject: InjectNames,
    /// What callers may cost.
    pub limits: Limits,
    /// The identity provider; none by default.
    pub idp: Option<crate::idp::Settings>,
    /// Where the access log goes.
    pub log: Log,
    /// The routes; at least one.
    pub routes: RouteTable,
    /// What each route says of rate limits, by its position.
    pub rates: Vec<RouteRate>,
    /// Where tokens are issued.
    pub token_endpoints: Vec<Endpoint>,
    /// Where customers get theirs.
    pub customer_tokens: Option<CustomerTokens>,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum Problems {
    /// The file could not be read.
    Unreadable {
        /// As it was named.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file was read, and has at least one error.
    Invalid {
        /// As it was named.
        file: String,
        /// Errors and warnings in the order of the file.
        diagnostics: Vec<Diagnostic>,
        /// How many more there are, which are not described.
        unlisted: usize,
    },
}

impl Config {
    /// Reads the file. Returns the warnings beside the configuration.
    ///
    /// # Errors
    ///
    /// [`Problems`].
    pub fn load(path: &Path) -> Result<(Self, Vec<Diagnostic>), Problems> {
        let unreadable = |error| Problems::Unreadable { path: path.to_owned(), error };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let name = path.to_string_lossy();
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let report = Report::default();
                report.push(
                    Finding::error(at..at + 1, "this byte is not UTF-8")
                        .help("save the file as UTF-8 (TOML 1.0)".to_owned()),
                );
                Err(invalid(report, &name, &text))
            }
        }
    }

    /// Reads a text. `file_name` is what diagnostics show; relative paths start from its folder.
    ///
    /// # Errors
    ///
    /// [`Problems::Invalid`].
    pub fn parse(text: &str, file_name: &str) -> Result<(Self, Vec<Diagnostic>), Problems> {
        let report = Report::default();
        if text.len() > MAX_BYTES {
            report.push(
                Finding::error(0..0, "this file is too large").expected("a configuration of at most 1 MiB"),
            );
            return Err(invalid(report, file_name, ""));
        }
        let folder = Path::new(file_name).parent().unwrap_or(Path::new(""));
        let config = check(text, folder, &report);
        let (diagnostics, unlisted) = report.finish(file_name, text);
        if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            return Err(Problems::Invalid { file: file_name.to_owned(), diagnostics, unlisted });
        }
        Ok((config, diagnostics))
    }

    /// The position of the upstream with this name.
    pub fn upstream(&self, name: &str) -> Option<usize> {
        self.upstreams.iter().position(|upstream| upstream.name == name)
    }
}

/// What the text says; complete only where `report` has no error in the end.
fn check(text: &str, folder: &Path, report: &Report) -> Config {
    let table = document::parse(text, report);
    let raw = raw::Document::read(&table, report);
    let server = Server::check(&raw.server, folder, report);
    let admin = Admin::check(&raw.admin, &server.listen, report);
    let own: Vec<_> = server.listen.iter().copied().chain([admin.listen]).collect();
    let upstreams: Vec<Upstream> =
        raw.upstreams.iter().map(|upstream| Upstream::check(upstream, &own, folder, report)).collect();
    let (routes, rates) = routes::check(&raw, server.path_case, &upstreams, text.len(), report);
    let (token_endpoints, customer_tokens) = tokens::check(&raw, report);
    let customers = customer_tokens.iter().map(|tokens| tokens.path.clone());
    let taken: Vec<_> = token_endpoints.iter().flat_map(Endpoint::paths).chain(customers).collect();
    Config {
        replica: Replica::check(&raw.replica, folder, report),
        credentials: Credentials::check(&raw.credentials, report),
        hasher: Hasher::check(&raw.hasher, report),
        inject: inject::check(&raw.inject, report),
        limits: Limits::check(&raw.limits, report),
        idp: idp::check(raw.idp.as_ref(), &taken, folder, report),
        log: Log::check(&raw.log, folder, report),
        routes,
        rates,
        token_endpoints,
        customer_tokens,
        server,
        admin,
        upstreams,
    }
}

fn invalid(report: Report, file: &str, text: &str) -> Problems {
    let (diagnostics, unlisted) = report.finish(file, text);
    Problems::Invalid { file: file.to_owned(), diagnostics, unlisted }
}

impl Problems {
    /// The diagnostics, where the file could be read.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid { diagnostics, .. } => diagnostics,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } if error.kind() == io::ErrorKind::NotFound => write!(
                f,
                "error: there is no file {}\n  = help: name another with --config FILE; \
                 `storegate demo` needs none",
                path.display()
            ),
            Self::Unreadable { path, error } => {
                write!(f, "error: {} cannot be read: {error}", path.display())
            }
            Self::Invalid { file, diagnostics, unlisted } => {
                for diagnostic in diagnostics {
                    writeln!(f, "{diagnostic}")?;
                }
                let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
                write!(f, "error: {file} cannot be used: {}", count(errors, "error"))?;
                if diagnostics.len() > errors {
                    write!(f, ", {}", count(diagnostics.len() - errors, "warning"))?;
                }
                if *unlisted > 0 {
                    write!(f, ", and {unlisted} more not shown")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Problems {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Invalid { .. } => None,
        }
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
