//! A crowd of idle and dripping connections gets nothing and costs little: others are served meanwhile,
//! and memory stays bounded. `cargo test --release --test crowd -- --ignored --nocapture` takes the large
//! one, 20,000 and 5,000 of them, and prints its figures. That needs 31,000 open files in each of two
//! processes; where fewer are allowed the crowd is as much smaller.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::world::{TOKEN, bearer};
use common::{Gateway, Place, RecordingUpstream, Settings, request, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

struct Crowd {
    idle: usize,
    dripping: usize,
    /// How many requests are timed, before and meanwhile.
    timed: usize,
    /// For how long each dripping connection may go on.
    body_timeout: &'static str,
}

/// What was measured.
struct Figures {
    before: Times,
    meanwhile: Times,
    /// KiB: alone, with the idle ones, with the dripping ones as well, at most, and after they have gone.
    memory: [usize; 5],
    ended: u64,
    /// Connections that were open when the ordinary requests had been timed.
    held: usize,
}

/// Of ordinary requests, in microseconds.
struct Times {
    p50: u128,
    p99: u128,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { before, meanwhile, memory: [alone, idle, both, most, after], ended, held } = self;
        writeln!(out, "ordinary requests before:    p50 {} us, p99 {} us", before.p50, before.p99)?;
        writeln!(out, "ordinary requests meanwhile: p50 {} us, p99 {} us", meanwhile.p50, meanwhile.p99)?;
        writeln!(out, "{held} connections were open then")?;
        writeln!(out, "memory alone {alone} KiB, with the idle {idle}, with the dripping too {both}")?;
        writeln!(out, "memory at most {most} KiB, after them {after}; {ended} were ended")
    }
}

#[test]
fn a_small_crowd_is_borne() {
    let figures = run(&Crowd { idle: 1_000, dripping: 250, timed: 300, body_timeout: "10s" });
    let [alone, .., most, _] = figures.memory;
    // 1,250 connections of the gateway, 250 to the upstream, and the requests themselves.
    assert!(most - alone < 60_000, "{figures}");
    assert!(figures.meanwhile.p99 < 500_000, "{figures}");
}

#[test]
#[ignore = "31,000 open files in two processes, for two minutes"]
#[allow(clippy::print_stdout)]
fn a_large_crowd_is_borne() {
    // A dripping one is a connection to the upstream as well, whose other end is in this process.
    let open_files = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let idle = usize::try_from(open_files).unwrap().saturating_sub(500).min(30_000) * 2 / 3;
    let figures = run(&Crowd { idle, dripping: idle / 4, timed: 2_000, body_timeout: "20s" });
    println!("{idle} idle, {} dripping\n{figures}", idle / 4);
    assert!(figures.held > idle * 11 / 10, "the crowd had gone when it mattered");
    assert!(figures.meanwhile.p99 < 500_000, "{figures}");
}

fn run(crowd: &Crowd) -> Figures {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let upstream = runtime.block_on(upstream());
    let settings = Settings {
        server: format!("body_timeout = \"{}\"", crowd.body_timeout),
        rest: "[log]\naccess = \"off\"".into(),
        ..Settings::default()
    };
    let place = Place::with(&settings.toml(&upstream.to_string()));
    place.seed();
    let gateway = Gateway::start_in(place, RecordingUpstream::start());
    let before = time(&gateway, crowd.timed);
    let alone = gateway.memory("VmRSS");

    let idle = runtime.block_on(idle(gateway.address, crowd.idle));
    let with_idle = gateway.memory("VmRSS");
    let stop = Arc::new(AtomicBool::new(false));
    let open = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..crowd.dripping)
        .map(|number| runtime.spawn(drip(gateway.address, number, Arc::clone(&open), Arc::clone(&stop))))
        .collect();
    let all_drip = || (open.load(Ordering::Relaxed) >= crowd.dripping && slow(&gateway) < 10).then_some(());
    let dripping = wait_until(Duration::from_secs(60), all_drip);
    assert!(dripping.is_some(), "{} of {} drip", open.load(Ordering::Relaxed), crowd.dripping);
    let with_both = gateway.memory("VmRSS");
    let meanwhile = time(&gateway, crowd.timed);
    let held = open_connections(&gateway);
    // Each is ended, and comes again.
    let goal = crowd.dripping as u64;
    let ended = wait_until(Duration::from_secs(120), || (slow(&gateway) >= goal).then(|| slow(&gateway)));
    let ended = ended.unwrap_or_else(|| panic!("{} of {goal} were ended", slow(&gateway)));
    stop.store(true, Ordering::Relaxed);
    drop(idle);
    runtime.block_on(async {
        for task in tasks {
            let _ = task.await;
        }
    });
    let most = gateway.memory("VmHWM");
    let gone = wait_until(Duration::from_secs(30), || (open_connections(&gateway) == 0).then_some(()));
    assert!(gone.is_some(), "connections are left");
    Figures {
        before,
        meanwhile,
        memory: [alone, with_idle, with_both, most, gateway.memory("VmRSS")],
        ended,
        held,
    }
}

fn open_connections(gateway: &Gateway) -> usize {
    let text = gateway.admin("/metrics").text();
    text.lines().find_map(|line| line.strip_prefix("storegate_connections ")).unwrap().parse().unwrap()
}

fn slow(gateway: &Gateway) -> u64 {
    let text = gateway.admin("/metrics").text();
    let name = "storegate_slow_peers_total{at=\"request_body\"} ";
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

/// Ordinary requests, one after the other over one connection.
fn time(gateway: &Gateway, count: usize) -> Times {
    let mut connection = gateway.connect();
    let ask = request("GET /api/apps/v1/orders", &bearer(TOKEN));
    let mut times: Vec<u128> = (0..count)
        .map(|_| {
            let begin = Instant::now();
            assert_eq!(connection.ask(&ask).status, 200);
            begin.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    Times { p50: times[count / 2], p99: times[count * 99 / 100] }
}

/// Connections that have made a request and rest now.
async fn idle(gateway: SocketAddr, count: usize) -> Vec<TcpStream> {
    const TASKS: usize = 8;
    let open = |first: usize| async move {
        let ask = request("GET /unknown", &[""; 0]);
        let mut streams = Vec::new();
        for number in (first..count).step_by(TASKS) {
            let mut stream = connect(gateway, number).await;
            stream.write_all(&ask).await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            streams.push(stream.into_std().unwrap());
        }
        streams
    };
    let tasks: Vec<_> = (0..TASKS).map(|first| tokio::spawn(open(first))).collect();
    let mut streams = Vec::with_capacity(count);
    for task in tasks {
        streams.extend(task.await.unwrap());
    }
    streams
}

/// Sends a byte of a body each second, and when it is cut off begins anew.
async fn drip(gateway: SocketAddr, number: usize, open: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let chunked = [bearer(TOKEN), vec!["Transfer-Encoding: chunked".into()]].concat();
    let head = request("POST /free/a", &chunked);
    while !stop.load(Ordering::Relaxed) {
        let mut stream = connect(gateway, number).await;
        stream.write_all(&head).await.unwrap();
        open.fetch_add(1, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) && stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// From several addresses, each of which has some 28,000 ports.
async fn connect(gateway: SocketAddr, number: usize) -> tokio::net::TcpStream {
    let from = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number % 8).unwrap());
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(gateway).await.unwrap()
}

/// An upstream for many connections: it answers each request whose end it has seen.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut seen, mut buffer) = (Vec::new(), [0; 2048]);
                while let Ok(read) = stream.read(&mut buffer).await
                    && read > 0
                {
                    seen.extend_from_slice(&buffer[..read]);
                    let is_over = if seen.starts_with(b"GET ") { seen.ends_with(b"\r\n\r\n") } else { false };
                    if is_over {
                        seen.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}
