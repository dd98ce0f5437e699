//! A new configuration while the gateway runs. All that can fail is done first; then the whole is swapped.
//!
//! Asked for by SIGHUP, by a changed file, or through the admin listener, and done one at a time. A
//! configuration that cannot be used changes nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::signal::unix::Signal;
use tokio::sync::Mutex as Turn;

use super::StartError;
use super::engine::EngineBuilder;
use super::parts;
use super::replay::replay;
use super::supervisor::{self, News};
use crate::admin::{ReloadReport, ReloadRequest, ReloadResult, Replayed};
use crate::config::{self, Config, Severity};
use crate::limits::Places;
use crate::model::{AddressList, Timestamp, TokenDigest};
use crate::proxy::{Checker, Engine, Engines, OtherFiles, ServerCertificate};
use crate::replica::Prefixes;
use crate::telemetry::{Level, Opened};

/// How often the file is looked at. A change is taken up when the file was the same twice: who writes it
/// may not be done.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a reload works on.
pub(super) struct Reloader {
    pub(super) file: PathBuf,
    pub(super) engines: Arc<Engines>,
    pub(super) builder: EngineBuilder,
    pub(super) checker: Checker,
    pub(super) places: Arc<Places>,
    /// Of the public listener, if it has TLS.
    pub(super) certificate: Option<Arc<ServerCertificate>>,
    pub(super) fixed: Fixed,
    pub(super) kept: Mutex<Kept>,
    /// The checksum of the file that was tried last. Held while a configuration is tried: one at a time.
    pub(super) tried: Turn<String>,
    pub(super) reloads_on_change: AtomicBool,
}

/// What of the configuration in force is asked for now and then.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) checksum: String,
    pub(super) grace_period: Duration,
    pub(super) prefixes: Prefixes,
    /// The paths of its routes, under which some are counted.
    routes: Vec<Box<str>>,
    /// How long a key of the identity provider signs, if there is one.
    pub(super) key_life: Option<Duration>,
}

/// What was started with, and only a restart changes: each key with its value.
#[derive(Debug)]
pub(super) struct Fixed(Vec<(&'static str, String)>);

/// A configuration that can be put in force: nothing can fail any more.
struct Next {
    engine: Engine,
    access_log: Opened,
    certificate: Option<OtherFiles>,
    places: (usize, Option<usize>, AddressList),
    kept: Kept,
    level: Level,
    reloads_on_change: bool,
    warnings: Vec<String>,
    needs_restart: Vec<String>,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        let (server, replica) = (&config.server, &config.replica);
        // However the configuration was named, and from which folder.
        let path = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let replica = config::Replica {
            path: path(&replica.path),
            key_file: replica.key_file.as_deref().map(path),
            ..replica.clone()
        };
        let clients = server.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let clients = clients.map(|clients| (path(&clients.authorities), clients.required));
        // What is not printed is compared by its digest.
        let secret = config.usage.alerts.webhook.as_ref().map(|webhook| webhook.secret.expose().as_bytes());
        let secret = secret.map(TokenDigest::of);
        let header = config.otlp.as_ref().and_then(|otlp| otlp.header.as_ref());
        let header = header.map(|(_, value)| TokenDigest::of(value.as_bytes()));
        Self(vec![
            ("server.listen", format!("{:?}", server.listen)),
            ("server.threads", format!("{:?}", server.threads)),
            ("server.tls", format!("{:?}", server.tls.is_some())),
            ("server.tls.client_ca", format!("{clients:?}")),
            ("admin.listen", format!("{:?}", config.admin.listen)),
            ("admin.tls", format!("{:?}", config.admin.tls)),
            ("audit", format!("{:?}", config.audit)),
            ("replica", format!("{replica:?}")),
            ("log.recent_decisions", format!("{}", config.log.recent_decisions)),
            ("hasher", format!("{:?}", config.hasher)),
            ("usage", format!("{:?}{:?}", config.usage, secret.map(|digest| digest.0))),
            ("otlp", format!("{:?}{:?}", config.otlp, header.map(|digest| digest.0))),
        ])
    }

    /// The keys that have other values in `next`.
    fn differing(&self, next: &Self) -> Vec<String> {
        let pairs = self.0.iter().zip(&next.0);
        pairs.filter(|(own, next)| own != next).map(|(own, _)| own.0.to_owned()).collect()
    }
}

impl Kept {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            checksum: config.file.checksum.clone(),
            grace_period: config.server.grace_period,
            prefixes: config.credentials.prefixes(),
            routes: config.routes.routes().iter().map(|route| route.pattern.clone()).collect(),
            key_life: config.idp.as_ref().map(|settings| settings.key_life),
        }
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Reloader {
    /// The time that requests under way get at shutdown.
    pub(super) fn grace_period(&self) -> Duration {
        self.kept.lock().grace_period
    }

    /// How what is made here begins.
    pub(super) fn prefixes(&self) -> Prefixes {
        self.kept.lock().prefixes.clone()
    }

    /// Ends what is done in the background for the upstreams.
    pub(super) fn end(&self) {
        self.engines.current().upstreams.end(None);
    }

    /// What the admin listener was asked for; `None` where another configuration is meant.
    pub(super) async fn asked(self: Arc<Self>, request: ReloadRequest) -> Option<ReloadReport> {
        // However it is named, also where it is gone by now.
        let same = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
        if request.config.as_ref().is_some_and(|path| same(path) != same(&self.file)) {
            return None;
        }
        Some(self.reload("asked for", request).await)
    }

    /// Tries the file. In a task of its own: who asked may go away meanwhile.
    async fn reload(self: Arc<Self>, why: &'static str, request: ReloadRequest) -> ReloadReport {
        let reloader = Arc::clone(&self);
        let tried = tokio::spawn(async move {
            let mut tried = reloader.tried.lock().await;
            if request.dry_run {
                return reloader.look_ahead(&request).await;
            }
            supervisor::tell(News::Reloading).await;
            let report = reloader.attempt(&mut tried, why, request.max_changed).await;
            let status = match report.result {
                ReloadResult::Refused => {
                    "a changed configuration was refused (see the log); the one before is in force"
                }
                _ => "a changed configuration is in force",
            };
            supervisor::tell(News::Ready(status.to_owned())).await;
            report
        });
        let report = match tried.await {
            Ok(report) => report,
            Err(error) => self.refused(format!("it ended early: {error}"), why),
        };
        // What was only tried may have had routes to count.
        let kept = self.kept.lock();
        self.builder.metrics.keep_routes(|path| kept.routes.iter().any(|kept| **kept == *path));
        drop(kept);
        report
    }

    async fn attempt(&self, tried: &mut String, why: &'static str, max_changed: Option<f64>) -> ReloadReport {
        let next = match self.prepare(&self.file, tried, parts::open).await {
            Ok(next) => next,
            Err(problem) => return self.refused(problem, why),
        };
        let decisions = match max_changed {
            Some(_) => Some(self.replay(&next.engine).await),
            None => None,
        };
        let report = match too_many(decisions.as_ref(), max_changed) {
            None => self.put_in_force(next, why),
            Some(problem) => self.refused(problem, why),
        };
        ReloadReport { decisions, ..report }
    }

    /// Says what would become of the configuration, or of another file, and changes nothing.
    async fn look_ahead(&self, request: &ReloadRequest) -> ReloadReport {
        let file = request.candidate.as_ref().unwrap_or(&self.file);
        let looked = self.prepare(file, &mut String::new(), parts::try_open).await;
        let decisions = match &looked {
            Ok(next) => Some(self.replay(&next.engine).await),
            Err(_) => None,
        };
        let (problem, warnings, needs_restart) = match looked {
            Ok(next) => {
                (too_many(decisions.as_ref(), request.max_changed), next.warnings, next.needs_restart)
            }
            Err(problem) => (Some(problem), Vec::new(), Vec::new()),
        };
        ReloadReport {
            result: if problem.is_some() { ReloadResult::Refused } else { ReloadResult::Checked },
            file: file.display().to_string(),
            checksum: self.kept.lock().checksum.clone(),
            problem,
            warnings,
            needs_restart,
            decisions,
        }
    }

    /// What `next` would make of the recent decisions. Many take a while, which no request waits for.
    async fn replay(&self, next: &Engine) -> Replayed {
        let before = self.engines.current();
        tokio::task::block_in_place(|| replay(&self.builder.recent, &before, next))
    }

    /// Reads and builds all that the file says; `open` opens the access log.
    async fn prepare(
        &self,
        file: &Path,
        tried: &mut String,
        open: impl Fn(&config::Log) -> Result<Opened, StartError>,
    ) -> Result<Next, String> {
        let file = file.to_owned();
        let loaded = tokio::task::spawn_blocking(move || {
            // Opening a FIFO would wait for ever, and every later reload with it.
            if std::fs::metadata(&file).is_ok_and(|found| !found.is_file()) {
                return Err(format!("error: {} is no regular file", file.display()));
            }
            Ok((Config::checksum(&file), Config::load(&file)))
        });
        let (checksum, loaded) = loaded.await.map_err(|error| error.to_string())??;
        *tried = checksum.unwrap_or_default();
        let (config, diagnostics) = loaded.map_err(|problems| problems.to_string())?;
        tried.clone_from(&config.file.checksum);

        let warnings = diagnostics.iter().filter(|found| found.severity == Severity::Warning);
        let warnings = warnings.map(ToString::to_string).collect();
        let needs_restart = self.fixed.differing(&Fixed::of(&config));
        let certificate = config.server.tls.as_ref().map(|tls| self.certificate(tls)).transpose()?.flatten();
        let access_log = open(&config.log).map_err(|error| error.to_string())?;
        let server = &config.server;
        let places =
            (server.max_connections, server.max_connections_per_address, server.trusted_proxies.clone());
        let kept = Kept::of(&config);
        let (level, reloads_on_change) = (config.log.level, server.reload_on_change);
        let before = self.engines.current();
        let engine = self.builder.build(config, Some(&before)).await.map_err(|error| error.to_string())?;
        Ok(Next {
            engine,
            access_log,
            certificate,
            places,
            kept,
            level,
            reloads_on_change,
            warnings,
            needs_restart,
        })
    }

    /// The pair of the listener, where it is to come from other files.
    fn certificate(&self, tls: &config::Tls) -> Result<Option<OtherFiles>, String> {
        let in_force = self.certificate.as_ref().filter(|own| !own.is_of(&tls.cert, &tls.key));
        if in_force.is_none() {
            return Ok(None);
        }
        let other = OtherFiles::read(tls.cert.clone(), tls.key.clone())
            .map_err(|error| format!("server.tls: {error}"))?;
        if other.expires() <= Timestamp::now() {
            return Err(format!("server.tls: {}: it is expired", tls.cert.display()));
        }
        Ok(Some(other))
    }

    /// Swaps all; nothing here can fail or wait.
    fn put_in_force(&self, next: Next, why: &'static str) -> ReloadReport {
        let metrics = &self.builder.metrics;
        let before = self.engines.replace(next.engine);
        let after = self.engines.current();
        before.upstreams.end(Some(&after.upstreams));
        after.upstreams.start(&self.checker);
        let (most, per_address, uncounted) = next.places;
        self.places.renumber(most, per_address, uncounted);
        self.builder.access_log.redirect(next.access_log);
        if let (Some(certificate), Some(other)) = (&self.certificate, next.certificate) {
            metrics.tls_expires("public", certificate.take(other));
        }
        next.level.set();
        self.reloads_on_change.store(next.reloads_on_change, Ordering::Relaxed);
        let checksum = next.kept.checksum.clone();
        self.builder.provider.rotate_keys_every(next.kept.key_life);
        *self.kept.lock() = next.kept;
        metrics.reloads.applied(&checksum, Timestamp::now());

        tracing::info!(checksum, "the configuration was put in force ({why})");
        next.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        if !next.needs_restart.is_empty() {
            tracing::warn!("only a restart changes {}", next.needs_restart.join(", "));
        }
        ReloadReport {
            result: ReloadResult::Applied,
            file: self.file.display().to_string(),
            checksum,
            problem: None,
            warnings: next.warnings,
            needs_restart: next.needs_restart,
            decisions: None,
        }
    }

    fn refused(&self, problem: String, why: &'static str) -> ReloadReport {
        self.builder.metrics.reloads.refused();
        tracing::error!("the configuration before stays in force ({why}): {problem}");
        ReloadReport {
            result: ReloadResult::Refused,
            file: self.file.display().to_string(),
            checksum: self.kept.lock().checksum.clone(),
            problem: Some(problem),
            warnings: Vec::new(),
            needs_restart: Vec::new(),
            decisions: None,
        }
    }

    /// Listens for SIGHUP and looks at the file, until the task is aborted.
    pub(super) async fn watch(self: Arc<Self>, mut hangup: Signal) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut look = Look::default();
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    Arc::clone(&self).reload("SIGHUP", ReloadRequest::default()).await;
                }
                _ = looks.tick() => if self.reloads_on_change.load(Ordering::Relaxed) {
                    Arc::clone(&self).look(&mut look).await;
                },
            }
        }
    }

    async fn look(self: Arc<Self>, look: &mut Look) {
        let file = self.file.clone();
        let stamp = tokio::task::spawn_blocking(move || stamp(&file)).await.ok().flatten();
        let is_settled = stamp.is_some() && stamp == look.last;
        look.last = stamp;
        if !is_settled || stamp == look.read {
            return;
        }
        look.read = stamp;
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || Config::checksum(&file)).await;
        let Ok(Some(checksum)) = read else { return };
        let is_new = *self.tried.lock().await != checksum;
        if is_new {
            self.reload("the file changed", ReloadRequest::default()).await;
        }
    }
}

/// Why more would change than is allowed.
fn too_many(decisions: Option<&Replayed>, max_changed: Option<f64>) -> Option<String> {
    let (decisions, most) = (decisions?, max_changed?);
    let Replayed { decisions: all, changed, unknown, .. } = decisions;
    (decisions.percent() > most).then(|| {
        let percent = decisions.percent();
        format!(
            "error: of {all} recent decisions {changed} would change and {unknown} may, {percent:.2} %; at most {most} % are allowed"
        )
    })
}

/// What is known of the file.
#[derive(Debug, Default)]
struct Look {
    last: Option<Stamp>,
    /// As it was when its content was last compared.
    read: Option<Stamp>,
}

/// What changes when a file is written or replaced. Links are followed: orchestrators exchange one.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

fn stamp(file: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(file).ok()?;
    let written = (found.mtime(), found.mtime_nsec());
    Some((found.dev(), found.ino(), found.size(), written, (found.ctime(), found.ctime_nsec())))
}
