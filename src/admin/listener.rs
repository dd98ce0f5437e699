//! Connections of the admin listener: HTTP/1.1, over TLS where it is configured, each within limits.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::edge::Peer;
use crate::proxy::AdminHandshake;

/// Connections at a time. Further ones wait to be accepted.
const PLACES: usize = 256;

/// The time for a TLS handshake, and for a request head, which is also how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// The largest request head, in bytes.
const HEAD_BYTES: usize = 32 * 1024;

/// How long a connection may be used, and how long its last answer may take after that: a peer that takes
/// no bytes must not keep its place.
const LIFE: Duration = Duration::from_secs(600);
const LAST_ANSWER: Duration = Duration::from_secs(30);

/// Pause after the system had no file descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until it is dropped, and its connections with it. Once it `ends`, no more connections are
/// accepted, and those that are open get the answers under way and are closed.
pub async fn serve(
    listener: TcpListener,
    tls: Option<AdminHandshake>,
    router: Router,
    mut ends: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(PLACES));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ends.wait_for(|ends| *ends) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Of a connection that is gone already, or for want of descriptors.
                if !is_of_a_connection(&error) {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let (tls, router, ends) = (tls.clone(), router.clone(), ends.clone());
        connections.spawn(async move {
            connection(stream, tls, router, peer.ip(), ends).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn is_of_a_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    tls: Option<AdminHandshake>,
    router: Router,
    address: IpAddr,
    ends: watch::Receiver<bool>,
) {
    let peer = Peer { address: address.to_canonical(), has_tls: tls.is_some() };
    let _ = stream.set_nodelay(true); // of no consequence where it fails
    match tls {
        None => requests(stream, router, peer, ends).await,
        Some(tls) => {
            // Whoever cannot speak our TLS is told so by TLS.
            if let Ok(Ok(stream)) = timeout(HEAD_TIME, tls.accept(stream)).await {
                requests(stream, router, peer, ends).await;
            }
        }
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    peer: Peer,
    mut ends: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    // Errors are of the peer's making: it broke off, or sent no HTTP.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = ends.wait_for(|ends| *ends) => {}
        () = tokio::time::sleep(LIFE) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(LAST_ANSWER, served).await;
}
