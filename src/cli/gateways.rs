//! The gateways that run on this machine, as the commands that ask them find them: by the sockets beside the
//! replica. Not by the address in the configuration: while no gateway listens there, anybody's program may, and
//! would be shown the admin token.
//!
//! The configuration may be one that no gateway would take: only where the replica is is read of it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use crate::admin::TokenFile;
use crate::config::{Config, Problems};
use crate::model::Secret;
use crate::replica;

/// How long an answer may take: names of upstreams are looked up meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// The admin listeners of the gateways on one replica.
pub(super) struct Gateways {
    pub(super) addresses: Vec<SocketAddr>,
    token: Secret,
    agent: ureq::Agent,
}

impl Gateways {
    /// Finds them: at least one.
    pub(super) fn find(config: &Path) -> Result<Self, Failure> {
        let replica = Config::replica_of(config)
            .map_err(|error| Failure::Config(Problems::Unreadable { path: config.to_owned(), error }))?;
        let replica = replica::real_path(&replica);
        let addresses = replica::admin_listeners(&replica);
        if addresses.is_empty() {
            return Err(nobody(config));
        }
        let token = TokenFile::read(&replica).map_err(Failure::failed)?;
        let token = token.ok_or_else(|| nobody(config))?;
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(PATIENCE))
                .max_redirects(0)
                .proxy(None) // the token is for this machine only
                .build(),
        );
        Ok(Self { addresses, token, agent })
    }

    /// Posts a JSON document to one of them: status and body of its answer. `None`: nobody listens there.
    pub(super) fn post(
        &self,
        address: SocketAddr,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Option<(u16, Value)>, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::failed)?;
        let sent = self.send(address, ureq::http::Request::post(format!("http://{address}{path}")), body)?;
        Ok(sent.map(parsed))
    }

    /// Asks one of them: as [`Gateways::post`].
    pub(super) fn ask(&self, address: SocketAddr, path: &str) -> Result<Option<(u16, Value)>, Failure> {
        Ok(self.read(address, path)?.map(parsed))
    }

    /// Asks one of them for a text.
    pub(super) fn read(&self, address: SocketAddr, path: &str) -> Result<Option<(u16, String)>, Failure> {
        self.send(address, ureq::http::Request::get(format!("http://{address}{path}")), Vec::new())
    }

    fn send(
        &self,
        address: SocketAddr,
        call: ureq::http::request::Builder,
        body: Vec<u8>,
    ) -> Result<Option<(u16, String)>, Failure> {
        let call = call
            .header("Authorization", format!("Bearer {}", self.token.expose()))
            .header("Content-Type", "application/json");
        let sent = match body.is_empty() {
            true => call.body(()).map_err(Failure::failed).map(|call| self.agent.run(call))?,
            false => call.body(body).map_err(Failure::failed).map(|call| self.agent.run(call))?,
        };
        let failed = |error: ureq::Error| Failure::Failed(format!("the gateway at {address}: {error}"));
        match sent {
            Ok(mut answer) => {
                let text =
                    answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string().map_err(failed)?;
                Ok(Some((answer.status().as_u16(), text)))
            }
            Err(ureq::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(None),
            Err(ureq::Error::ConnectionFailed) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

fn parsed((status, text): (u16, String)) -> (u16, Value) {
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// That no gateway runs with the configuration.
pub(super) fn nobody(config: &Path) -> Failure {
    Failure::Failed(format!(
        "no gateway on this machine runs with {}; `storegate run` starts one, with the configuration as it is then",
        config.display()
    ))
}

/// What an answer says that is no result: the `message` of its body.
pub(super) fn complaint(address: SocketAddr, status: u16, body: &Value) -> Failure {
    let message = body.get("message").and_then(Value::as_str).unwrap_or("without a reason");
    Failure::Failed(format!("the gateway at {address} answers {status}: {message}"))
}
