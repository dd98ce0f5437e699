//! The two ends of the whole-proxy measurement, for `scripts/bench`: an upstream that does next to
//! nothing, and Pingora as a bare pass-through, which is what the gateway's cost is compared with.
//!
//! The pass-through has the gateway's allocator, runtime, server options, time limits and release
//! profile, and none of its logic: no guard, no header is touched, nothing is counted or logged.

#![allow(clippy::print_stdout)] // `ready ADDR` is what the caller waits for

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::modules::http::HttpModules;
use pingora::proxy::{HttpProxy, ProxyHttp, Session};
use pingora::server::Fds;
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use pingora::upstreams::peer::HttpPeer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "passthrough: run by scripts/bench; by hand: \
    `upstream ADDR` or `proxy ADDR UPSTREAM [THREADS]`, which print `ready ADDR` and serve until killed";

fn main() -> ExitCode {
    // Cargo adds `--bench` to what it was given.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let served = match arguments[..] {
        [] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["upstream", address] => on_threads(1, upstream(address)),
        ["proxy", address, upstream] => on_threads(cores(), proxy(address, upstream, cores())),
        ["proxy", address, upstream, threads] => match threads.parse() {
            Ok(threads) => on_threads(threads, proxy(address, upstream, threads)),
            Err(_) => Err(io::Error::other(USAGE)),
        },
        _ => Err(io::Error::other(USAGE)),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// As `storegate run` makes its runtime.
fn on_threads(threads: usize, serve: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("passthrough")
        .enable_all()
        .build()?;
    runtime.block_on(serve)
}

fn bind(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    println!("ready {}", listener.local_addr()?);
    Ok(listener)
}

/// About what a store API answers for one order: 300 bytes of JSON.
const BODY: &str = concat!(
    r#"{"data":{"id":7001,"store_id":22,"total":"1450.00","currency":"BDT","status":"paid","#,
    r#""customer":{"id":42,"name":"Nusrat Jahan","email":"nusrat@example.test"},"lines":["#,
    r#"{"sku":"NK-11","title":"Nakshi kantha quilt","quantity":1,"price":"1250.00"},"#,
    r#"{"sku":"SH-01","title":"Shipping","quantity":1,"price":"200.00"}]},"status":200}"#,
);

/// Answers every request with [`BODY`]. It looks for the ends of heads and nothing else: requests
/// with a body are beyond it.
async fn upstream(address: &str) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(bind(address)?)?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let answer: Arc<[u8]> = answer.into_bytes().into();
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer_all(stream, Arc::clone(&answer)));
    }
}

async fn answer_all(mut stream: TcpStream, answer: Arc<[u8]>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = [0; 64 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut head[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        // One request at a time: neither wrk nor Pingora's client sends a second one early.
        if head[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            stream.write_all(&answer).await?;
        }
    }
}

/// Pingora and nothing else.
struct PassThrough(HttpPeer);

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    // A setting of Pingora's rather than logic: the gateway has it too.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

async fn proxy(address: &str, upstream: &str, threads: usize) -> io::Result<()> {
    let upstream: SocketAddr = upstream.parse().map_err(io::Error::other)?;
    let mut peer = HttpPeer::new(upstream, false, String::new());
    peer.options.connection_timeout = Some(Duration::from_secs(2));
    peer.options.total_connection_timeout = Some(Duration::from_secs(2));
    peer.options.read_timeout = Some(Duration::from_secs(30));
    peer.options.write_timeout = Some(Duration::from_secs(30));
    peer.options.idle_timeout = Some(Duration::from_secs(60));
    let conf =
        ServerConf { threads, max_retries: 8, ca_file: Some("/dev/null".into()), ..ServerConf::default() };
    let mut proxy = HttpProxy::new(PassThrough(peer), Arc::new(conf));
    proxy.handle_init_modules();
    let mut service = Service::new("passthrough".to_owned(), proxy);
    let mut fds = Fds::new();
    fds.add("public-0".to_owned(), bind(address)?.into_raw_fd());
    service.add_tcp("public-0");
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let fds = Arc::new(parking_lot::Mutex::new(fds));
    // Spawned, as the gateway spawns it: what `block_on` polls would run on a thread of its own.
    let served = tokio::spawn(async move { service.start_service(Some(fds), stopped, 1).await });
    served.await.map_err(io::Error::other)
}
