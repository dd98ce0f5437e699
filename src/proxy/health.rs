//! Active checks: every server of an upstream is asked every few seconds, over a connection of its own,
//! whether it serves. A server counts as up until its checks say otherwise.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use http::header::{CONNECTION, HOST, USER_AGENT};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::server::configuration::ServerConf;
use pingora::{Error, ErrorType, OrErr};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::balance::State;
use super::upstream::{Prepared, Scheme, Server};

/// How the servers of an upstream are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// The time from one check to the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Checks in a row that must pass before a server that is down is used again.
    pub healthy_after: u32,
    /// Checks in a row that must fail before a server is left out.
    pub unhealthy_after: u32,
}

/// What a check asks of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// To accept a connection.
    Tcp,
    /// To answer GET of this path with a status of 200 to 299.
    Http(Box<str>),
}

/// What the checks connect with, as the proxy does.
pub struct Checker {
    conf: Arc<ServerConf>,
    /// Made when the first upstream has checks: it reads the system's certificate authorities.
    connector: OnceLock<Arc<Connector>>,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").finish_non_exhaustive()
    }
}

impl Checker {
    /// Connects by this configuration.
    pub fn new(conf: Arc<ServerConf>) -> Self {
        Self { conf, connector: OnceLock::new() }
    }

    /// Checks the servers of `one`, if it says how, until the task is dropped or `one` is.
    pub(super) fn spawn(&self, one: &Arc<Prepared>, tasks: &mut JoinSet<()>) {
        let Some(check) = one.upstream.health.clone() else { return };
        let connector = self
            .connector
            .get_or_init(|| Arc::new(Connector::new(Some(ConnectorOptions::from_server_conf(&self.conf)))));
        tasks.spawn(keep_checked(Arc::downgrade(one), Arc::new(check), Arc::clone(connector)));
    }
}

async fn keep_checked(one: Weak<Prepared>, check: Arc<HealthCheck>, connector: Arc<Connector>) {
    let mut ticks = tokio::time::interval(check.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(one) = one.upgrade() else { return };
        let mut running = JoinSet::new();
        for server in one.servers().iter().cloned() {
            let (check, connector) = (Arc::clone(&check), Arc::clone(&connector));
            running.spawn(async move {
                let passed = tokio::time::timeout(check.timeout, probe(&check.probe, &server, &connector));
                (passed.await.unwrap_or(false), server)
            });
        }
        while let Some(ended) = running.join_next().await {
            // A check that panicked says nothing.
            if let Ok((passed, server)) = ended {
                note(&one, &server, passed, &check);
            }
        }
    }
}

fn note(one: &Prepared, server: &Server, passed: bool, check: &HealthCheck) {
    let upstream = &*one.upstream.name;
    match server.standing.checked(passed, check.healthy_after, check.unhealthy_after) {
        None => {}
        Some(State::Down) => {
            tracing::warn!(upstream, server = %server.address, "down: {} checks failed", check.unhealthy_after);
        }
        Some(State::Up | State::Ejected) => {
            tracing::info!(upstream, server = %server.address, "checks pass again");
        }
    }
}

async fn probe(probe: &Probe, server: &Server, connector: &Connector) -> bool {
    match probe {
        Probe::Tcp => TcpStream::connect(server.address).await.is_ok(),
        Probe::Http(path) => get(path, server, connector).await.is_ok_and(|status| status.is_success()),
    }
}

async fn get(path: &str, server: &Server, connector: &Connector) -> pingora::Result<http::StatusCode> {
    let mut peer = server.peer.clone();
    peer.options.max_h2_streams = 1; // others would have the connection kept for the next check
    let (mut session, _) = connector.get_http_session(&peer).await?;
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(3))?;
    request.insert_header(USER_AGENT, "storegate-health")?;
    if matches!(session, HttpSession::H2(_)) {
        let scheme = if peer.is_tls() { "https" } else { "http" };
        let uri = http::Uri::builder().scheme(scheme).authority(host(server)).path_and_query(path).build();
        request.set_uri(uri.or_err(ErrorType::InvalidHTTPHeader, "a path to check")?);
        request.set_version(http::Version::HTTP_2);
    } else {
        request.insert_header(HOST, host(server))?;
        request.insert_header(CONNECTION, "close")?;
    }
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map(|response| response.status);
    // The body is of no interest; the connection ends with the session.
    status.ok_or_else(|| Error::new(ErrorType::InvalidHTTPHeader))
}

/// The server's own authority (RFC 9110 section 7.2), without the scheme's default port.
fn host(server: &Server) -> String {
    let configured = &server.configured;
    let host = &*configured.host;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match (configured.scheme, configured.port) {
        (Scheme::Http, 80) | (Scheme::Https, 443) => host,
        (_, port) => format!("{host}:{port}"),
    }
}
