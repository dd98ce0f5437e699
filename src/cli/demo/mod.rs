//! `storegate demo`: a sample store API, a seeded replica in a temporary folder, and the gateway
//! between them. The first thing that anybody sees.

mod page;
mod sample_store;
mod seed;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::failure::Failure;
use super::output;
use crate::app::{Gateway, Signals, StartError};
use crate::config::Config;
use crate::telemetry::Level;
use page::Page;

/// Try it: a sample store API behind a gateway, with seeded credentials
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the gateway listens; by default 127.0.0.1:8080, or a free port when that is taken
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// End after the checked requests instead of serving
    #[arg(long)]
    exit_after_check: bool,
}

/// The address that people expect a gateway on.
const PREFERRED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        Level::Warn.set();
        let folder = tempfile::Builder::new().prefix("storegate-demo-").tempdir().map_err(Failure::failed)?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)?;
        let served = runtime.block_on(self.serve(folder.path()));
        Level::finish();
        served
    }

    async fn serve(&self, folder: &Path) -> Result<(), Failure> {
        let mut signals = Signals::listen().map_err(Failure::failed)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::failed)?;
        let upstream = listener.local_addr().map_err(Failure::failed)?;
        let store_api = tokio::spawn(async move { axum::serve(listener, sample_store::router()).await });

        let config_path = folder.join("gateway.toml");
        let gateway = self.start(&config_path, upstream).await?;
        let seeded = seed::seed(&config_path)?;
        let page = Page { gateway: gateway.addresses.clone(), upstream, config: config_path, seeded };
        output::line(&page.head());
        let passed = check(&page).await?;
        output::line(&page.try_it());
        if !self.exit_after_check {
            output::line("\nServing until Ctrl-C.");
            signals.next().await;
        }
        gateway.stop().await;
        store_api.abort();
        match passed {
            true => Ok(()),
            false => Err(Failure::Failed("a request did not go as it should".to_owned())),
        }
    }

    async fn start(&self, config_path: &Path, upstream: SocketAddr) -> Result<Gateway, Failure> {
        let start = async |listen: SocketAddr| {
            let text = config(listen, upstream);
            std::fs::write(config_path, &text).map_err(Failure::failed)?;
            let (config, _) = Config::load(config_path).map_err(Failure::Config)?;
            Ok::<_, Failure>(Gateway::start(config).await)
        };
        let started = match start(self.listen.unwrap_or(PREFERRED)).await? {
            Err(StartError::Listen { error, .. })
                if self.listen.is_none() && error.kind() == std::io::ErrorKind::AddrInUse =>
            {
                start(SocketAddr::new(PREFERRED.ip(), 0)).await?
            }
            started => started,
        };
        started.map_err(Failure::failed)
    }
}

/// The demo's gateway.toml. The access log is off, so that the page stays readable.
fn config(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"# Written by `storegate demo`; gone when it ends.
[server]
listen = ["{listen}"]

[admin]
listen = "127.0.0.1:0"

[log]
access = "off"

[upstream.api]
servers = ["http://{upstream}"]

[[route]]
path = "/api/apps/v1/{{resource}}/{{*rest}}"
upstream = "api"
auth = ["bearer", "session", "client_credentials"]
scopes = {{ read = "read:{{resource}}", write = "write:{{resource}}" }}

[[route]]
path = "/echo"
upstream = "api"
auth = "public"
"#
    )
}

/// Sends the page's requests through the gateway and prints what came of them.
async fn check(page: &Page) -> Result<bool, Failure> {
    let mut all_as_expected = true;
    for request in page.requests() {
        let (status, body, time) = {
            let request = request.clone();
            tokio::task::spawn_blocking(move || send(&request)).await.map_err(Failure::failed)??
        };
        let as_expected = status == request.expected;
        all_as_expected &= as_expected;
        output::line(&page.outcome(&request, status, &body, time, as_expected));
    }
    Ok(all_as_expected)
}

fn send(request: &page::Request) -> Result<(u16, serde_json::Value, Duration), Failure> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build(),
    );
    let mut call = ureq::http::Request::builder().method(request.method).uri(&request.url);
    for (name, value) in &request.headers {
        call = call.header(*name, value.expose());
    }
    let call = call.body(()).map_err(Failure::failed)?;
    let started = Instant::now();
    let mut answer = agent.run(call).map_err(|error| Failure::Failed(format!("{}: {error}", request.url)))?;
    let time = started.elapsed();
    let body = answer.body_mut().read_to_string().map_err(Failure::failed)?;
    Ok((answer.status().as_u16(), serde_json::from_str(&body).unwrap_or_default(), time))
}
