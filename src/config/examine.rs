//! What a configuration means on this machine: who can use the files that it names, and whether anybody
//! has the scopes that its routes demand. For `storegate check`; the gateway looks for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::diagnostic::{did_you_mean, quoted};
use super::report::{Finding, Report};
use super::{Config, Diagnostic, Problems, parse, read_file, references};
use crate::gate::{Access, ScopeTemplate, captures};
use crate::idp::Login;

/// Any user of the machine.
const EVERYBODY: u32 = 0o007;
/// Any user of the machine, to write.
const WRITABLE: u32 = 0o002;
/// Any user of the machine, to read.
const READABLE: u32 = 0o004;
/// A key whose text may be a secret, and whether a text is one.
type SecretKey = (&'static [&'static str], fn(&str) -> bool);
/// Those; a server's URL is one only with a password.
const LITERAL_SECRETS: [SecretKey; 2] =
    [(&["usage", "alerts", "secret"], |_| true), (&["limits", "shared"], |url| url.contains('@'))];
/// Anyone but the owner.
const OTHERS: u32 = 0o077;

impl Config {
    /// Reads a file as [`load`](Self::load) does, and finds what is wrong with what it names. `scopes`
    /// gives all scopes that anybody has; `None` where that is not known.
    ///
    /// # Errors
    ///
    /// [`Problems`].
    pub fn examine(
        path: &Path,
        scopes: impl FnOnce(&Self) -> Option<BTreeSet<Box<str>>>,
    ) -> Result<(Self, Vec<Diagnostic>), Problems> {
        let (text, name) = (read_file(path)?, path.to_string_lossy());
        parse(&text, &name, &references::of_process, |config, table, report| {
            if !report.has_errors() {
                own_file(path, table, report);
                files(&config, table, report);
                // Where there are no apps yet there is nothing to compare with.
                if let Some(scopes) = scopes(&config).filter(|scopes| !scopes.is_empty()) {
                    demanded_scopes(&config, table, &scopes, report);
                }
            }
            config
        })
    }
}

/// Who may write the configuration decides what is let through; and it may hold a secret.
fn own_file(path: &Path, table: &DeTable<'_>, report: &Report) {
    let Some(mode) = mode(path) else { return };
    if mode & WRITABLE != 0 {
        report.push(
            Finding::warning(0..0, "every user of this machine can change this configuration")
                .help(format!("run: chmod o-w {}", path.display())),
        );
    }
    if mode & READABLE == 0 {
        return;
    }
    for (key, is_secret) in LITERAL_SECRETS {
        let Some((span, text)) = text_at(table, key) else { continue };
        if is_secret(text) && !report.is_brought(&span) {
            report.push(
                Finding::warning(span, "every user of this machine can read this file, and the secret in it")
                    .help(format!(
                        "keep it apart, with \"file:PATH\" or \"${{NAME}}\", or run: chmod o-r {}",
                        path.display()
                    )),
            );
        }
    }
}

fn files(config: &Config, table: &DeTable<'_>, report: &Report) {
    if let Some(path) = &config.replica.key_file {
        let span = place(table, &["replica", "key_file"]);
        // It is made at the first start.
        if mode(path).is_some_and(|mode| mode & OTHERS != 0) {
            report.push(
                Finding::error(
                    span,
                    "others than its owner can use this key file, with which the gateway does not start",
                )
                .help(format!("run: chmod 600 {}", path.display())),
            );
        }
    }
    let replica = &config.replica.path;
    if mode(replica).is_some_and(|mode| mode & EVERYBODY != 0) {
        report.push(
            Finding::warning(
                place(table, &["replica", "path"]),
                "every user of this machine can use the replica, which holds the keys of session tokens",
            )
            .help(format!("run: chmod 600 {}", replica.display())),
        );
    }
    let folder = replica.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if mode(folder).is_some_and(|mode| mode & WRITABLE != 0) {
        report.push(
            Finding::warning(
                place(table, &["replica", "path"]),
                "every user of this machine can put files beside the replica, such as one in its place",
            )
            .help(format!("keep it in a folder of its own, or run: chmod o-w {}", folder.display())),
        );
    }
    if let Some(tls) = &config.server.tls {
        let span = |key| place(table, &["server", "tls", key]);
        exists(&tls.cert, span("cert"), report);
        private(&tls.key, span("key"), report);
        if let Some(clients) = &tls.clients {
            exists(&clients.authorities, span("client_ca"), report);
        }
    }
    if let Some(tls) = &config.admin.tls {
        let span = |key| place(table, &["admin", "tls", key]);
        exists(&tls.cert, span("cert"), report);
        private(&tls.key, span("key"), report);
    }
    if let Some(Login::External { key_file, .. }) = config.idp.as_ref().map(|idp| &idp.login) {
        let span = place(table, &["idp", "login_key_file"]);
        exists(key_file, span.clone(), report);
        if mode(key_file).is_some_and(|mode| mode & OTHERS != 0) {
            report.push(
                Finding::error(
                    span,
                    "others than its owner can use this key file, with which the gateway does not start",
                )
                .help(format!("run: chmod 600 {}", key_file.display())),
            );
        }
    }
    for upstream in &config.upstreams {
        let span = |key| place(table, &["upstream", &upstream.name, key]);
        if let Some(authorities) = &upstream.tls.ca {
            exists(authorities, span("ca"), report);
        }
        if let Some((cert, key)) = &upstream.tls.identity {
            exists(cert, span("client_cert"), report);
            private(key, span("client_key"), report);
        }
    }
    for (span, path) in report.referenced_files() {
        private(&path, span, report);
    }
}

fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.permissions().mode())
}

fn exists(path: &Path, span: Range<usize>, report: &Report) {
    if !path.is_file() {
        let finding = Finding::warning(span, "there is no such file; the gateway would not start here");
        report.push(finding.help(format!("it was looked for at {}", quoted(&path.to_string_lossy()))));
    }
}

fn private(path: &Path, span: Range<usize>, report: &Report) {
    exists(path, span.clone(), report);
    if mode(path).is_some_and(|mode| mode & EVERYBODY != 0) {
        report.push(
            Finding::warning(span, "every user of this machine can use this file, which holds a secret")
                .help(format!("run: chmod 600 {}", path.display())),
        );
    }
}

fn demanded_scopes(config: &Config, table: &DeTable<'_>, scopes: &BTreeSet<Box<str>>, report: &Report) {
    let routes = table.get("route").and_then(|routes| routes.get_ref().as_array());
    let written = routes.into_iter().flat_map(|routes| routes.iter());
    for (route, written) in config.routes.routes().iter().zip(written) {
        let Access::Credentials(_, rules) = &route.access else { continue };
        if report.is_crowded() {
            return;
        }
        let names = captures(&route.pattern).unwrap_or_default();
        let demanded: BTreeMap<String, &ScopeTemplate> = rules
            .read
            .iter()
            .chain(&rules.write)
            .map(|template| (template.written(&names), template))
            .collect();
        let nobody_has = |template: &ScopeTemplate| !scopes.iter().any(|scope| template.may_be(scope));
        let missing: Vec<&str> = demanded
            .iter()
            .filter(|(text, template)| !scopes.contains(&***text) && nobody_has(template))
            .map(|(text, _)| &**text)
            .collect();
        if missing.is_empty() {
            continue;
        }
        let known = || scopes.iter().map(|scope| &**scope);
        let near = missing.iter().find_map(|scope| did_you_mean(scope, known()));
        let help = near.unwrap_or_else(|| "such requests are refused until an app has it".to_owned());
        let place = written.get_ref().as_table().and_then(|table| table.get("scopes")).unwrap_or(written);
        let names = missing.iter().map(|scope| quoted(scope)).collect::<Vec<_>>().join(" or ");
        report.push(Finding::warning(place.span(), format!("no app has the scope {names}")).help(help));
    }
}

/// The text of a key, and where it stands.
fn text_at<'t>(table: &'t DeTable<'_>, path: &[&str]) -> Option<(Range<usize>, &'t str)> {
    let (first, rest) = path.split_first()?;
    let value = table.get(*first)?;
    match value.get_ref() {
        DeValue::Table(below) if !rest.is_empty() => text_at(below, rest),
        DeValue::String(text) if rest.is_empty() => Some((value.span(), text)),
        _ => None,
    }
}

/// Where the value of a key stands; the start of the file where it is not there.
fn place(table: &DeTable<'_>, path: &[&str]) -> Range<usize> {
    let Some((first, rest)) = path.split_first() else { return 0..0 };
    match table.get(*first).map(|value| (value.span(), value.get_ref())) {
        Some((span, _)) if rest.is_empty() => span,
        Some((_, DeValue::Table(below))) => place(below, rest),
        _ => 0..0,
    }
}
