//! Limits that the nodes of a fleet count together, in Redis (5 or later) or Valkey.
//!
//! One script a request, one round trip, with the server's clock: the nodes' clocks may differ. Where
//! the server is slow, away, or answers with an error, nobody waits for it: the node's own account
//! decides for a second, and then the connection is tried anew.
//!
//! What the server says is never logged: it may repeat the password that it was sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::accounts::block;
use super::bucket::Rate;
use super::rates::Caller;
use crate::model::Secret;

/// How long a request waits for the server.
const DEADLINE: Duration = Duration::from_millis(50);

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(1);

/// How long the node decides alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The bucket of `bucket.rs`, in microseconds: the key holds when it is full again. Numbers are doubles
/// there, exact to a tenth of a microsecond as long as they count from a recent year; a thousandth of
/// a token is forgiven for their rounding. Keys go when they say nothing any more.
const DRAW: &str = r"
local time = redis.call('TIME')
local now = (time[1] - 1750000000) * 1000000 + time[2]
local cost, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = tonumber(redis.call('GET', KEYS[1]) or now)
if full_at == nil or full_at < now then full_at = now end
local debt = full_at + cost - now
if debt > most + cost / 1000 then
  return {0, math.ceil(debt - most)}
end
redis.call('SET', KEYS[1], string.format('%.17g', full_at + cost), 'PX', math.ceil(debt / 1000) + 1)
return {1, math.floor(debt)}
";

/// Where the nodes count together: `redis://[user:password@]host[:port][/database]`.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedUrl(Secret);

/// Why a URL is no [`SharedUrl`]. It does not repeat the URL, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharedUrlError {
    /// Another scheme.
    #[error("only redis:// is spoken, without TLS")]
    Scheme,
    /// Malformed.
    #[error("this is not the URL of a Redis or Valkey server")]
    Malformed,
}

impl SharedUrl {
    /// Reads the URL.
    ///
    /// # Errors
    ///
    /// [`SharedUrlError`].
    pub fn parse(text: &str) -> Result<Self, SharedUrlError> {
        const LONGEST: usize = 1024;
        if !text.starts_with("redis://") {
            return Err(SharedUrlError::Scheme);
        }
        // A query, a fragment and line ends would be dropped in silence.
        let dropped = |c: char| matches!(c, '?' | '#') || c.is_control();
        if text.len() > LONGEST || text.contains(dropped) || Client::open(text).is_err() {
            return Err(SharedUrlError::Malformed);
        }
        Ok(Self(Secret::new(text.to_owned())))
    }
}

impl fmt::Debug for SharedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedUrl(…)")
    }
}

/// The connection and what keeps it.
pub(super) struct Shared {
    link: Arc<Link>,
    keeper: JoinHandle<()>,
}

struct Link {
    url: SharedUrl,
    script: Script,
    /// The connection in use with its number; none while the node decides alone.
    connection: Mutex<Option<(u64, MultiplexedConnection)>>,
    broken: Notify,
    on_failure: Box<dyn Fn() + Send + Sync>,
}

impl Shared {
    /// Connects; where that takes too long, in the background.
    pub(super) async fn start(url: SharedUrl, on_failure: impl Fn() + Send + Sync + 'static) -> Self {
        let link = Arc::new(Link {
            url,
            script: Script::new(DRAW),
            connection: Mutex::new(None),
            broken: Notify::new(),
            on_failure: Box::new(on_failure),
        });
        let is_connected = link.connect(0).await;
        let keeper = tokio::spawn(Arc::clone(&link).keep(is_connected));
        Self { link, keeper }
    }

    /// What the accounts of a limit begin with: the same on every node, and short.
    pub(super) fn name(text: &str) -> Box<str> {
        let digest = Sha256::digest(text.as_bytes());
        format!("storegate:rate:{}", data_encoding::HEXLOWER.encode(&digest[..8])).into()
    }

    /// Counts one request together with the other nodes: the time until the account is full again, or the
    /// time to wait. `None`: nobody knows, and this node decides alone.
    pub(super) async fn draw(
        &self,
        name: &str,
        rate: Rate,
        caller: Caller,
    ) -> Option<Result<Duration, Duration>> {
        let (number, mut connection) = self.link.connection.lock().clone()?;
        let key = match caller {
            Caller::App(app, store) => format!("{name}:{app}:{store}"),
            Caller::Address(address) => format!("{name}:{}", block(address)),
        };
        let micros = |tokens| rate.time(tokens).as_secs_f64() * 1e6;
        let mut call = self.link.script.key(key);
        call.arg(micros(1)).arg(micros(rate.burst));
        match timeout(DEADLINE, call.invoke_async::<(i64, u64)>(&mut connection)).await {
            Ok(Ok((granted, micros))) => {
                let time = Duration::from_micros(micros);
                Some(if granted == 1 { Ok(time) } else { Err(time) })
            }
            Ok(Err(error)) => {
                self.link.failed(number, describe(&error));
                None
            }
            Err(_) => {
                self.link.failed(number, "no answer in time");
                None
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Link {
    /// Opens the connection whenever there is none, with a pause between attempts.
    async fn keep(self: Arc<Self>, mut is_connected: bool) {
        for number in 1.. {
            if is_connected {
                self.broken.notified().await;
            }
            tokio::time::sleep(PAUSE).await;
            is_connected = self.connect(number).await;
        }
    }

    async fn connect(&self, number: u64) -> bool {
        let opened = match timeout(CONNECT, self.open()).await {
            Ok(opened) => opened.map_err(|error| describe(&error).to_owned()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        match opened {
            Ok(connection) => {
                *self.connection.lock() = Some((number, connection));
                tracing::info!("shared limits: connected");
                true
            }
            Err(why) => {
                (self.on_failure)();
                tracing::warn!("shared limits: cannot connect, this node decides alone: {why}");
                false
            }
        }
    }

    async fn open(&self) -> Result<MultiplexedConnection, RedisError> {
        let client = Client::open(self.url.0.expose())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(CONNECT));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        self.script.load_async(&mut connection).await?;
        Ok(connection)
    }

    /// Gives the connection up, once however many requests it failed.
    fn failed(&self, number: u64, why: &str) {
        (self.on_failure)();
        let mut connection = self.connection.lock();
        if connection.as_ref().is_some_and(|(current, _)| *current == number) {
            *connection = None;
            drop(connection);
            tracing::warn!("shared limits: this node decides alone: {why}");
            self.broken.notify_one();
        }
    }
}

/// The kind of the error, without the server's words.
fn describe(error: &RedisError) -> &str {
    match error.category() {
        _ if error.is_connection_refusal() => "nobody listens there",
        "" => "the user may not do this", // NOPERM, for which the client has no words
        category => category,
    }
}
