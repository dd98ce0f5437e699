//! TLS of the listeners: read at start, the certificate renewed while connections go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::StartError;
use crate::config::{AdminTls, Tls};
use crate::model::Timestamp;
use crate::proxy::{AdminHandshake, ClientAuth, ClientVerifier, Handshake, Renewal, ServerCertificate};
use crate::telemetry::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(super) struct ListenerTls {
    /// `public` or `admin`, for metrics.
    listener: &'static str,
    certificate: Arc<ServerCertificate>,
    expires: Timestamp,
    clients: Option<ClientVerifier>,
}

impl ListenerTls {
    pub(super) fn read(tls: &Tls) -> Result<Self, StartError> {
        let read = ServerCertificate::read(tls.cert.clone(), tls.key.clone());
        let (certificate, expires) = read.map_err(StartError::Tls)?;
        let clients = tls.clients.as_ref().map(|clients| {
            let auth = if clients.required { ClientAuth::Required } else { ClientAuth::Optional };
            ClientVerifier::read(&clients.authorities, auth)
        });
        if expires <= Timestamp::now() {
            tracing::warn!("{}: the certificate is expired; clients will refuse it", tls.cert.display());
        }
        let clients = clients.transpose().map_err(StartError::Tls)?;
        Ok(Self { listener: "public", certificate: Arc::new(certificate), expires, clients })
    }

    pub(super) fn read_admin(tls: &AdminTls) -> Result<Self, StartError> {
        let read = ServerCertificate::read(tls.cert.clone(), tls.key.clone());
        let (certificate, expires) = read.map_err(StartError::AdminTls)?;
        Ok(Self { listener: "admin", certificate: Arc::new(certificate), expires, clients: None })
    }

    pub(super) fn admin_handshake(&self) -> AdminHandshake {
        AdminHandshake::new(Arc::clone(&self.certificate))
    }

    pub(super) fn handshake(&self) -> Result<Handshake, StartError> {
        Handshake::new(Arc::clone(&self.certificate), self.clients.as_ref())
            .map_err(|error| StartError::TlsListener(error.to_string()))
    }

    /// The certificate in force.
    pub(super) fn certificate(&self) -> Arc<ServerCertificate> {
        Arc::clone(&self.certificate)
    }

    /// Takes changed files over, until the task is aborted. SIGHUP has them read at once.
    pub(super) fn keep_fresh(self, metrics: Arc<Metrics>) -> std::io::Result<JoinHandle<()>> {
        metrics.tls_expires(self.listener, self.expires);
        let hangup = signal(SignalKind::hangup())?;
        Ok(tokio::spawn(renew(self.listener, self.certificate, metrics, hangup)))
    }
}

async fn renew(
    listener: &'static str,
    certificate: Arc<ServerCertificate>,
    metrics: Arc<Metrics>,
    mut hangup: Signal,
) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        let told = tokio::select! {
            _ = looks.tick() => false,
            _ = hangup.recv() => true,
        };
        let certificate = Arc::clone(&certificate);
        let renewed = tokio::task::spawn_blocking(move || certificate.renew(Timestamp::now(), told));
        match renewed.await {
            Ok(Renewal::Renewed(expires)) => {
                metrics.tls_expires(listener, expires);
                tracing::info!(listener, expires = expires.0, "the TLS certificate was read anew");
            }
            Ok(Renewal::Failed(error)) => {
                metrics.tls_reload_failures.inc();
                tracing::error!(listener, "the TLS certificate before stays in force: {error}");
            }
            Ok(Renewal::Nothing) | Err(_) => {} // `Err`: the runtime ends
        }
    }
}
