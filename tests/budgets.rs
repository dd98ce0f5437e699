//! The budget of failed attempts: guessing gets dear, and nobody else notices.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use common::world::{self, BCRYPT, MAIN};
use common::{Gateway, Settings};

fn limits(text: &str) -> Settings {
    Settings { rest: format!("[limits]\n{text}"), ..Settings::default() }
}

fn wrong(client_id: &str, number: usize) -> Vec<String> {
    let mut lines = world::pair(client_id, &format!("sx_secret_wrong{number}"));
    lines.push("X-Store-Id: 22".into());
    lines
}

#[test]
fn failures_past_the_budget_are_429_and_success_never_is() {
    let gateway = Gateway::start(&limits("address_failures = 5\naddress_failures_per_second = 1"));
    let good = world::client(&MAIN, "22");
    let mut codes = Vec::new();
    for number in 0..12 {
        let answer = gateway.ask("GET /api/apps/v1/orders", &wrong(MAIN.client_id, number));
        if answer.status == 429 {
            let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=5).contains(&wait), "{wait}");
            assert_eq!(answer.code(), "rate_limit_exceeded");
        }
        codes.push(answer.status);
        assert_eq!(gateway.orders(&good), 200, "the same address with the right secret");
    }
    assert_eq!(codes[..5], [401; 5], "{codes:?}");
    assert!(codes[5..].contains(&429), "{codes:?}");
    let none: [&str; 0] = [];
    assert_eq!(gateway.ask("GET /api/apps/v1/orders", &none).status, 401, "no attempt, no charge");
}

#[test]
fn a_proved_secret_is_heard_whatever_strangers_do() {
    let gateway = Gateway::start(&limits("address_failures = 40\naddress_failures_per_second = 1"));
    // Unproved: each wrong secret costs a computation, and two use the address's budget up.
    let spent: Vec<u16> = (0..4).map(|number| gateway.orders(&wrong(BCRYPT.client_id, number))).collect();
    assert_eq!(spent, [401, 401, 429, 429]);
    let good = world::client(&BCRYPT, "22");
    assert_eq!(gateway.orders(&good), 429, "it was not proved yet, and shares the address");

    let gateway = Gateway::start(&limits("address_failures = 40\naddress_failures_per_second = 1"));
    assert_eq!(gateway.orders(&good), 200, "proved");
    for number in 0..60 {
        gateway.orders(&wrong(BCRYPT.client_id, number));
        assert_eq!(gateway.orders(&good), 200, "after {number} wrong ones");
    }
}

#[test]
fn no_budget_no_429() {
    let gateway = Gateway::start(&limits("address_failures = 0\nclient_failures = 0"));
    for number in 0..30 {
        assert_eq!(gateway.orders(&wrong(BCRYPT.client_id, number)), 401);
    }
}
