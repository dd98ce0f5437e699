//! Connections follow their credential: what ends it ends them, within a second.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::time::{Duration, Instant};

use common::world::{self, MAIN, TOKEN, bearer};
use common::{Client, Gateway, Place, Session, Settings};

/// A WebSocket in the name of a caller, open.
fn websocket(gateway: &Gateway, credential: &[String]) -> Client {
    let mut client = gateway.websocket("/free/websocket", credential);
    assert!(client.echoes());
    client
}

#[test]
fn what_ends_a_credential_ends_its_websockets() {
    type Ending = (&'static str, fn() -> Vec<String>, fn(&Place));
    let rows: [Ending; 7] = [
        ("the token is revoked", || bearer(TOKEN), |place| drop(place.ok(&["token", "revoke", TOKEN]))),
        ("the secret is rotated", client, |place| drop(place.ok(&["app", "rotate-secret", MAIN.client_id]))),
        ("the app is disabled", client, |place| drop(place.ok(&["app", "disable", MAIN.client_id]))),
        ("it is uninstalled", || bearer(TOKEN), |place| drop(place.ok(&["uninstall", MAIN.client_id, "22"]))),
        ("the store is suspended", client, |place| drop(place.ok(&["store", "suspend", "22"]))),
        ("its address is no longer allowed", client, |place| {
            drop(place.ok(&["app", "allow-ip", MAIN.client_id, "192.0.2.0/24"]));
        }),
        (
            "the signing key is rotated",
            || bearer(&Session::of(&MAIN, 22, 501).token()),
            |place| {
                drop(place.ok(&["app", "rotate-signing-key", MAIN.client_id]));
            },
        ),
    ];
    for (what, credential, end) in rows {
        let gateway = Gateway::start(&Settings::default());
        let mut kept = websocket(&gateway, &bearer(world::TOKEN_BOUND));
        let mut ended = websocket(&gateway, &credential());
        end(&gateway.place);
        let begin = Instant::now();
        assert_eq!(ended.exactly(4), [0x88, 2, 3, 0xF0], "{what}: close code 1008");
        assert!(ended.is_closed(), "{what}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}: {:?}", begin.elapsed());
        if what != "the store is suspended" {
            kept.send(b"\x81\x02on");
            assert_eq!(kept.exactly(4), b"\x81\x02on", "{what}: another app's");
        }
        let metrics = gateway.admin("/metrics").text();
        assert!(metrics.contains("storegate_connections_cut_total "), "{metrics}");
    }
}

fn client() -> Vec<String> {
    world::client(&MAIN, "22")
}

#[test]
fn an_overlapping_rotation_ends_nothing() {
    let gateway = Gateway::start(&Settings::default());
    let mut kept = websocket(&gateway, &client());
    gateway.place.ok(&["app", "rotate-secret", MAIN.client_id, "--overlap", "1h"]);
    gateway.place.ok(&["store", "suspend", "23"]);
    std::thread::sleep(Duration::from_millis(1200)); // the book is gone through twice
    kept.send(b"\x81\x02on");
    assert_eq!(kept.exactly(4), b"\x81\x02on");
}
