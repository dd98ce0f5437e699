//! gateway.toml, checked. [`Config`] holds only valid states; every problem of a file is reported at
//! once, with its place and what to write instead.
//!
//! In layers: `document` reads TOML, `raw` mirrors the file, and one file per section turns it into
//! the checked types. Nothing here opens a socket or reads a file other than
//! the configuration and the files that it names for secrets.

mod audit;
mod diagnostic;
mod document;
mod errors;
mod examine;
mod excerpt;
mod idp;
mod inject;
mod keys;
mod limits;
mod log;
mod otlp;
mod raw;
mod references;
mod replica;
mod report;
mod routes;
mod schema;
mod scopes;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod upstream;
mod upstream_tls;
mod usage;
mod value;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

pub use audit::Audit;
pub(crate) use diagnostic::did_you_mean;
pub use diagnostic::{Diagnostic, Severity};
pub use errors::Errors;
pub use limits::Limits;
pub use log::Log;
pub use otlp::Otlp;
pub use replica::{Credentials, Hasher, Replica, Source};
pub use schema::schema;
pub use server::{Admin, AdminTls, ClientCertificates, Server, Tls};
pub use settings::{Origin, Setting, settings};
pub use upstream::{Scheme, Server as UpstreamServer, Upstream};
pub use upstream_tls::UpstreamTls;
pub use usage::Usage;

use sha2::{Digest, Sha256};

use crate::gate::{InjectNames, RouteTable};
use crate::limits::RouteRate;
use crate::oauth::{CustomerTokens, Endpoint};
use references::Environment;
use report::{Finding, Report};

/// The largest configuration that is read, in bytes: some ten thousand routes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A configuration that the gateway can run with.
#[derive(Debug)]
pub struct Config {
    /// Where it was read.
    pub file: SourceFile,
    /// The public listener.
    pub server: Server,
    /// The admin listener.
    pub admin: Admin,
    /// How long it is known who changed what.
    pub audit: Audit,
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
    /// Who calls how much.
    pub usage: Usage,
    /// Where the spans of requests are exported; nowhere by default, and never without the feature `otlp`.
    pub otlp: Option<Otlp>,
    /// How refusals are written.
    pub errors: Errors,
    /// The routes; at least one.
    pub routes: RouteTable,
    /// What each route says of rate limits, by its position.
    pub rates: Vec<RouteRate>,
    /// Where tokens are issued.
    pub token_endpoints: Vec<Endpoint>,
    /// Where customers get theirs.
    pub customer_tokens: Option<CustomerTokens>,
}

/// What a configuration was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// As it was named.
    pub path: PathBuf,
    /// The SHA-256 of its text, hexadecimal.
    pub checksum: String,
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
        Self::parse(&read_file(path)?, &path.to_string_lossy())
    }

    /// Reads a text. `file_name` is what diagnostics show; relative paths start from its folder.
    ///
    /// # Errors
    ///
    /// [`Problems::Invalid`].
    pub fn parse(text: &str, file_name: &str) -> Result<(Self, Vec<Diagnostic>), Problems> {
        parse(text, file_name, &references::of_process, |config, _, _| config)
    }

    /// Where the replica is, of a file that may have errors elsewhere.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn replica_of(path: &Path) -> io::Result<PathBuf> {
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        let report = Report::default();
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut table = document::parse(&text, &report);
        references::resolve(table.get_mut(), &references::of_process, folder, &report);
        let raw = raw::Document::read(&table, &report);
        Ok(Replica::check(&raw.replica, folder, &report).path)
    }

    /// The checksum of a file as [`SourceFile`] has it, whatever it holds; `None` where it cannot be read.
    pub fn checksum(path: &Path) -> Option<String> {
        read(path).ok().map(|bytes| checksum(&bytes))
    }

    /// The position of the upstream with this name.
    pub fn upstream(&self, name: &str) -> Option<usize> {
        self.upstreams.iter().position(|upstream| upstream.name == name)
    }
}

/// The bytes of a file, as far as they are looked at.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn checksum(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The text of a file.
fn read_file(path: &Path) -> Result<String, Problems> {
    let unreadable = |error| Problems::Unreadable { path: path.to_owned(), error };
    String::from_utf8(read(path).map_err(unreadable)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let report = Report::default();
        report.push(
            Finding::error(at..at + 1, "this byte is not UTF-8")
                .help("save the file as UTF-8 (TOML 1.0)".to_owned()),
        );
        invalid(report, &path.to_string_lossy(), &text)
    })
}

/// Reads a text, and gives what `then` makes of the configuration, the text's table and the notes on it.
fn parse<T>(
    text: &str,
    file_name: &str,
    environment: Environment<'_>,
    then: impl FnOnce(Config, &DeTable<'_>, &Report) -> T,
) -> Result<(T, Vec<Diagnostic>), Problems> {
    let report = Report::default();
    if text.len() > MAX_BYTES {
        report.push(
            Finding::error(0..0, "this file is too large").expected("a configuration of at most 1 MiB"),
        );
        return Err(invalid(report, file_name, ""));
    }
    let folder = Path::new(file_name).parent().unwrap_or(Path::new(""));
    let mut table = document::parse(text, &report);
    references::resolve(table.get_mut(), environment, folder, &report);
    let mut config = check(&table, text.len(), folder, &report);
    config.file = SourceFile { path: file_name.into(), checksum: checksum(text.as_bytes()) };
    let read = then(config, table.get_ref(), &report);
    let (diagnostics, unlisted) = report.finish(file_name, text);
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(Problems::Invalid { file: file_name.to_owned(), diagnostics, unlisted });
    }
    Ok((read, diagnostics))
}

/// What a table says; complete only where `report` has no error in the end. `end` is the length of the text.
fn check(table: &Spanned<DeTable<'_>>, end: usize, folder: &Path, report: &Report) -> Config {
    let raw = raw::Document::read(table, report);
    let server = Server::check(&raw.server, folder, report);
    let admin = Admin::check(&raw.admin, &server.listen, folder, report);
    let own: Vec<_> = server.listen.iter().copied().chain([admin.listen]).collect();
    let upstreams: Vec<Upstream> =
        raw.upstreams.iter().map(|upstream| Upstream::check(upstream, &own, folder, report)).collect();
    let (routes, rates) = routes::check(&raw, server.path_case, &upstreams, end, report);
    let (token_endpoints, customer_tokens) = tokens::check(&raw, report);
    let customers = customer_tokens.iter().map(|tokens| tokens.path.clone());
    let taken: Vec<_> = token_endpoints.iter().flat_map(Endpoint::paths).chain(customers).collect();
    Config {
        file: SourceFile { path: PathBuf::new(), checksum: String::new() }, // known when it is done
        audit: Audit::check(&raw.audit, report),
        replica: Replica::check(&raw.replica, folder, report),
        credentials: Credentials::check(&raw.credentials, report),
        hasher: Hasher::check(&raw.hasher, report),
        inject: inject::check(&raw.inject, report),
        limits: Limits::check(&raw.limits, report),
        idp: idp::check(raw.idp.as_ref(), &taken, folder, report),
        log: Log::check(&raw.log, folder, report),
        usage: Usage::check(&raw.usage, report),
        otlp: Otlp::check(&raw.otlp, report),
        errors: Errors::check(&raw.errors, report),
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
