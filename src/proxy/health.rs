//! Active checks: every server of an upstream is asked every few seconds, over a connection of its own,
//! whether it serves. A server counts as up until its checks say otherwise.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, USER_AGENT};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::server::configuration::ServerConf;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::balance::State;
use super::upstream::{Prepared, Scheme, Server, Upstreams};

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

/// Starts the checks of all upstreams that have any.
pub(super) fn spawn(upstreams: &Arc<Upstreams>, conf: &ServerConf, tasks: &mut JoinSet<()>) {
    if upstreams.all().iter().all(|one| one.upstream.health.is_none()) {
        return;
    }
    let connector = Arc::new(Connector::new(Some(ConnectorOptions::from_server_conf(conf))));
    for (index, one) in upstreams.all().iter().enumerate() {
        if let Some(check) = one.upstream.health.clone() {
            tasks.spawn(keep_checked(Arc::clone(upstreams), index, check, Arc::clone(&connector)));
        }
    }
}

async fn keep_checked(
    upstreams: Arc<Upstreams>,
    index: usize,
    check: HealthCheck,
    connector: Arc<Connector>,
) {
    let Some(one) = upstreams.all().get(index) else { return };
    let check = Arc::new(check);
    let mut ticks = tokio::time::interval(check.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
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
                note(one, &server, passed, &check);
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
    let (mut session, _) = connector.get_http_session(&server.peer).await?;
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(3))?;
    request.insert_header(HOST, host(server))?;
    request.insert_header(USER_AGENT, "storegate-health")?;
    request.insert_header(CONNECTION, "close")?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map(|response| response.status);
    // The body is of no interest; the connection ends with the session.
    status.ok_or_else(|| pingora::Error::new(pingora::ErrorType::InvalidHTTPHeader))
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
