//! Renewal of the certificate while requests go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::world::{TOKEN, bearer};
use crate::common::{Gateway, wait_until};
use crate::pki::{Authority, Pair};
use crate::secure::{Http2, Secure, block_on, request};
use crate::server::{NAME, gateway, install};

/// More than the gateway needs to look at the files, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn metric(gateway: &Gateway, name: &str) -> Option<f64> {
    let text = gateway.admin("/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn failures(gateway: &Gateway) -> f64 {
    metric(gateway, "storegate_tls_reload_failures_total ").unwrap()
}

fn shows(gateway: &Gateway, authority: &Authority, pair: &Pair) -> bool {
    let config = authority.trusted_by(&[], None);
    Secure::connect(gateway.address, &config).unwrap().certificate() == pair.chain()[0]
}

fn get() -> Vec<u8> {
    let lines: String = bearer(TOKEN).iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET /api/apps/v1/orders HTTP/1.1\r\nHost: {NAME}\r\n{lines}\r\n").into_bytes()
}

/// New connections get the new certificate, those that are open go on, and no request fails.
#[test]
fn a_renewal_under_load_fails_no_request() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let expiry =
        metric(&gateway, r#"storegate_tls_certificate_expiry_timestamp_seconds{listener="public"} "#)
            .unwrap();
    assert!(expiry > 4e9, "{expiry}");
    let (stop, done, failed) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let going = || !stop.load(Ordering::Relaxed);
    let note = |outcome: Result<u16, String>| match outcome {
        Ok(200) => _ = done.fetch_add(1, Ordering::Relaxed),
        other => failed.lock().unwrap().push(format!("{other:?}")),
    };
    std::thread::scope(|scope| {
        // One connection for all requests, and one for each.
        scope.spawn(|| {
            let mut kept = Secure::connect(gateway.address, &authority.trusted_by(&[], None)).unwrap();
            while going() {
                note(kept.ask(&get()).map(|answer| answer.status).map_err(|error| error.to_string()));
            }
        });
        scope.spawn(|| {
            while going() {
                let connection = Secure::connect(gateway.address, &authority.trusted_by(&[], None));
                let answer = connection.and_then(|mut connection| connection.ask(&get()));
                note(answer.map(|answer| answer.status).map_err(|error| error.to_string()));
            }
        });
        scope.spawn(|| {
            block_on(async {
                let kept = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
                while going() {
                    let answer = kept.ask(request("GET", "/api/apps/v1/orders", &bearer(TOKEN)), b"").await;
                    note(answer.map(|answer| answer.status.as_u16()).map_err(|error| error.to_string()));
                }
            });
        });
        let renewed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3 {
                let pair = authority.server(&[NAME]);
                install(&gateway.place, &pair);
                wait_until(SOON, || shows(&gateway, &authority, &pair).then_some(())).expect("a renewal");
            }
        }));
        stop.store(true, Ordering::Relaxed);
        renewed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(failed.into_inner().unwrap(), [""; 0]);
    assert!(done.into_inner() > 50);
}

#[test]
fn a_bad_pair_leaves_the_one_before_in_force() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let before = authority.server(&[NAME]);
    install(&gateway.place, &before);
    wait_until(SOON, || shows(&gateway, &authority, &before).then_some(())).expect("a renewal");
    let (other, expired) = (authority.server(&[NAME]), authority.expired(&[NAME]));
    let missing = Pair { cert: String::new(), key: String::new() };
    let mixed = Pair { cert: other.cert.clone(), key: before.key.clone() };
    for bad in [missing, mixed, expired] {
        let count = failures(&gateway);
        install(&gateway.place, &bad);
        wait_until(SOON, || (failures(&gateway) > count).then_some(())).expect("a failure is counted");
        assert!(shows(&gateway, &authority, &before));
    }
    let said = wait_until(SOON, || Some(gateway.said()).filter(|said| said.contains("it is expired")));
    assert!(said.unwrap().contains("stays in force"));
    // Told to look again, it says it again.
    let count = failures(&gateway);
    gateway.signal("HUP");
    wait_until(SOON, || (failures(&gateway) > count).then_some(())).expect("SIGHUP is heard");
    install(&gateway.place, &other);
    gateway.signal("HUP");
    wait_until(SOON, || shows(&gateway, &authority, &other).then_some(())).expect("a good pair is taken");
}

/// The configuration may name other files; their later changes are taken over, too.
#[test]
fn other_files_are_taken_over_with_the_configuration() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let text = std::fs::read_to_string(gateway.place.path("gateway.toml")).unwrap();
    let (other, later, expired) =
        (authority.server(&[NAME]), authority.server(&[NAME]), authority.expired(&[NAME]));
    let write = |pair: &Pair| {
        gateway.place.write("other-cert.pem", &pair.cert);
        gateway.place.write("other-key.pem", &pair.key);
    };
    let named = text.replace("cert.pem", "other-cert.pem").replace("key.pem", "other-key.pem");
    assert_ne!(named, text);
    gateway.place.write("gateway.toml", &named);
    for (pair, why) in [(None, "other-cert.pem: "), (Some(&expired), "it is expired")] {
        pair.map(write);
        let done = gateway.place.run(&["reload"]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.err.contains(why), "{}", done.err);
        assert!(!shows(&gateway, &authority, &expired));
    }
    write(&other);
    gateway.place.ok(&["reload"]);
    assert!(shows(&gateway, &authority, &other));
    write(&later);
    wait_until(SOON, || shows(&gateway, &authority, &later).then_some(())).expect("a renewal");
}

/// As orchestrators do it: the files are links into a folder that is exchanged.
#[test]
fn exchanged_links_are_noticed() {
    let authority = Arc::new(Authority::new("root"));
    let gateway = gateway(&authority, "", &[]);
    let pair = authority.server(&[NAME]);
    gateway.place.write("new-cert.pem", &pair.cert);
    gateway.place.write("new-key.pem", &pair.key);
    for name in ["cert.pem", "key.pem"] {
        let link = gateway.place.path(&format!("link-{name}"));
        std::os::unix::fs::symlink(format!("new-{name}"), &link).unwrap();
        std::fs::rename(&link, gateway.place.path(name)).unwrap();
    }
    wait_until(SOON, || shows(&gateway, &authority, &pair).then_some(())).expect("a renewal");
}
