//! `[replica]`, `[credentials]` and `[hasher]`: what the gateway knows, and how it knows secrets.

use std::path::{Path, PathBuf};

use super::raw;
use super::report::{Finding, Report};
use super::server::cores;
use super::value;
use crate::replica::Prefixes;

/// The local store of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The SQLite file; `storegate.db` beside the configuration by default.
    pub path: PathBuf,
    /// Where its records come from.
    pub source: Source,
    /// The most records of each kind kept in memory; 262,144 by default.
    pub cache_entries: usize,
    /// The file with the key that session signing keys are encrypted with; by default they are
    /// stored in clear.
    pub key_file: Option<PathBuf>,
}

/// Where the records come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Source {
    /// This file is the authority.
    #[default]
    Local,
}

/// How credentials of each family begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Client ids; `sx_app_` by default.
    pub client_id_prefix: String,
    /// Client secrets; `sx_secret_` by default.
    pub client_secret_prefix: String,
    /// Opaque access tokens; `sx_at_` by default.
    pub access_token_prefix: String,
}

/// The workers that check bcrypt secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hasher {
    /// Threads, at least 1; half of the cores by default (`0` in the file).
    pub threads: usize,
    /// The most checks that wait for a thread; 64 by default. Beyond it callers get 503.
    pub queue: usize,
}

impl Replica {
    pub(super) fn check(raw: &raw::Replica<'_>, folder: &Path, report: &Report) -> Self {
        report.holds_by_default(raw.path.key, "storegate.db");
        let source = match raw.source.as_ref() {
            Some(given) if *given.get_ref() == "postgres" => {
                report.push(
                    Finding::error(given.span(), "following PostgreSQL is not built yet in this version")
                        .help("use `source = \"local\"`, with which this file is the authority".to_owned()),
                );
                Source::Local
            }
            _ => value::word(report, &raw.source, Source::Local, &[("local", Source::Local)]),
        };
        Self {
            path: value::path(report, &raw.path, folder).unwrap_or_else(|| folder.join("storegate.db")),
            source,
            cache_entries: value::number(report, &raw.cache_entries, 262_144, 1_000..=50_000_000),
            key_file: value::path(report, &raw.key_file, folder),
        }
    }
}

impl Credentials {
    /// How what is made here begins.
    pub fn prefixes(&self) -> Prefixes {
        Prefixes {
            client_id: self.client_id_prefix.clone(),
            client_secret: self.client_secret_prefix.clone(),
            access_token: self.access_token_prefix.clone(),
        }
    }

    pub(super) fn check(raw: &raw::Credentials<'_>, report: &Report) -> Self {
        // Every JSON object in base64url begins so: `{"`.
        const SESSION_TOKEN: &str = "eyJ";
        let access_token_prefix = prefix(&raw.access_token_prefix, "sx_at_", report);
        if let Some(given) = raw.access_token_prefix.as_ref()
            && !access_token_prefix.is_empty()
            && (SESSION_TOKEN.starts_with(&access_token_prefix)
                || access_token_prefix.starts_with(SESSION_TOKEN))
        {
            report.push(
                Finding::error(given.span(), "session tokens begin like this too")
                    .help("choose a prefix that does not begin with `e`".to_owned()),
            );
        }
        Self {
            client_id_prefix: prefix(&raw.client_id_prefix, "sx_app_", report),
            client_secret_prefix: prefix(&raw.client_secret_prefix, "sx_secret_", report),
            access_token_prefix,
        }
    }
}

impl Hasher {
    pub(super) fn check(raw: &raw::Hasher, report: &Report) -> Self {
        let threads = value::number(report, &raw.threads, 0, 0..=256);
        Self {
            threads: if threads == 0 { (cores() / 2).max(1) } else { threads },
            queue: value::number(report, &raw.queue, 64, 1..=4096),
        }
    }
}

fn prefix(given: &raw::Text<'_>, default: &str, report: &Report) -> String {
    const LONGEST: usize = 32;
    report.holds_by_default(given.key, default);
    let Some(given) = given.as_ref() else { return default.to_owned() };
    let text = *given.get_ref();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !(1..=LONGEST).contains(&text.len()) || !text.bytes().all(allowed) {
        report.push(
            Finding::error(given.span(), "this cannot be a prefix")
                .expected("1 to 32 letters, digits, underscores and hyphens"),
        );
        return default.to_owned();
    }
    text.to_owned()
}
