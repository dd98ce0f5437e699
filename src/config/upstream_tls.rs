//! The keys of `[upstream.NAME]` that are about TLS.

use std::path::{Path, PathBuf};

use super::raw;
use super::report::{Finding, Report};
use super::upstream::{Scheme, Server};
use super::value;

/// How TLS is spoken to an upstream. The files are read with the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The authorities of its certificates, PEM; those of the system by default.
    pub ca: Option<PathBuf>,
    /// The certificate chain and the private key that it is shown, PEM; none by default.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl UpstreamTls {
    pub(super) fn check(raw: &raw::Upstream<'_>, servers: &[Server], folder: &Path, report: &Report) -> Self {
        let given = [&raw.ca, &raw.client_cert, &raw.client_key].into_iter().find_map(|given| given.as_ref());
        if let Some(given) = given
            && !servers.is_empty()
            && servers.iter().all(|server| server.scheme == Scheme::Http)
        {
            report.push(
                Finding::error(given.span(), "no server of this upstream is spoken to over TLS")
                    .expected("a server whose URL begins with https://"),
            );
        }
        let lone = match (raw.client_cert.as_ref(), raw.client_key.as_ref()) {
            (Some(lone), None) | (None, Some(lone)) => Some(lone),
            _ => None,
        };
        if let Some(lone) = lone {
            report.push(
                Finding::error(lone.span(), "a certificate and its private key go together")
                    .expected("both `client_cert` and `client_key`, the paths of two PEM files"),
            );
        }
        let path = |given| value::path(report, given, folder);
        Self { ca: path(&raw.ca), identity: path(&raw.client_cert).zip(path(&raw.client_key)) }
    }
}
