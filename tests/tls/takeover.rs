//! Another process takes a TLS listener over while requests go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;

use crate::common::world::{TOKEN, bearer};
use crate::common::{Response, Settings};
use crate::pki::Authority;
use crate::secure::{Http2, Secure, block_on, request};
use crate::server::{NAME, gateway_with, tls};

/// More than a process needs to end, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn get() -> Vec<u8> {
    let lines: String = bearer(TOKEN).iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET /api/apps/v1/orders HTTP/1.1\r\nHost: {NAME}\r\n{lines}\r\n").into_bytes()
}

fn is_last(answer: &Response) -> bool {
    answer.field("connection").is_some_and(|value| value == "close")
}

/// Clients that keep their connection as long as they may, and clients that do not. Over HTTP/2 the server says that
/// a connection takes no new requests (GOAWAY, RFC 9113 section 6.8): what was not processed goes over another.
#[test]
fn takeovers_under_load_fail_no_request_over_tls() {
    let authority = Authority::new("root");
    let settings = Settings { server: format!("grace_period = \"20s\"\n{}", tls("")), ..Settings::default() };
    let mut gateway = gateway_with(&authority, &settings, &[]);
    let address = gateway.address;
    let (stop, done, failed) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let reconnects = AtomicUsize::new(0);
    let going = || !stop.load(Ordering::Relaxed);
    let note = |who: &str, outcome: Result<u16, String>| match outcome {
        Ok(200) => _ = done.fetch_add(1, Ordering::Relaxed),
        other => failed.lock().unwrap().push(format!("{who}: {other:?}")),
    };
    let config = |protocols: &[&str]| -> Arc<ClientConfig> { authority.trusted_by(protocols, None) };
    std::thread::scope(|scope| {
        for keeps in [true, false] {
            let (note, config) = (&note, config(&[]));
            scope.spawn(move || {
                let mut connection = None;
                while going() {
                    let kept = connection.take().map_or_else(|| Secure::connect(address, &config), Ok);
                    let answer = kept.and_then(|mut kept| Ok((kept.ask(&get())?, kept)));
                    let status = answer.map(|(answer, kept)| {
                        connection = (keeps && !is_last(&answer)).then_some(kept);
                        answer.status
                    });
                    note("HTTP/1.1", status.map_err(|error| error.to_string()));
                }
            });
        }
        let (note, config, reconnects) = (&note, config(&["h2"]), &reconnects);
        scope.spawn(move || {
            block_on(async {
                let mut kept = Http2::connect(address, &config).await;
                while going() {
                    let ask = async |kept: &Http2| {
                        kept.ask(request("GET", "/api/apps/v1/orders", &bearer(TOKEN)), b"").await
                    };
                    let mut answer = ask(&kept).await;
                    if answer.as_ref().is_err_and(|error| {
                        error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
                    }) {
                        reconnects.fetch_add(1, Ordering::Relaxed);
                        kept = Http2::connect(address, &config).await;
                        answer = ask(&kept).await;
                    }
                    note(
                        "HTTP/2",
                        answer.map(|answer| answer.status.as_u16()).map_err(|error| format!("{error:?}")),
                    );
                }
            });
        });
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..3 {
                let count = done.load(Ordering::Relaxed);
                let mut before = gateway.be_taken_over();
                assert_eq!(before.end(SOON), Some(0), "{round}: {}", before.said());
                assert!(done.load(Ordering::Relaxed) > count + 10, "requests go on");
            }
        }));
        stop.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(reconnects.into_inner() >= 3, "HTTP/2 is told to leave each time");
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {}: {:?}",
        failed.len(),
        done.into_inner(),
        &failed[..failed.len().min(5)]
    );
}
