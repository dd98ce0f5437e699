//! The transcripts of docs/transcripts.md are what the commands print, numbers and ids apart. To take over what is
//! printed now, run with STOREGATE_TAKE_TRANSCRIPTS=1 and read the difference.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::time::Duration;

use common::world::{MAIN, client};
use common::{Gateway, Settings, ask, request, wait_until};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/transcripts.md");
const SOON: Duration = Duration::from_secs(20);
const NONE: [&str; 0] = [];

/// A command with what it printed.
fn transcript(arguments: &[&str], printed: &str) -> String {
    let quoted = |word: &&str| match word.contains([' ', '{']) {
        true => format!("'{word}'"),
        false => (*word).to_owned(),
    };
    let line = arguments.iter().map(quoted).collect::<Vec<_>>().join(" ");
    format!("$ storegate {line}\n{}\n", printed.trim_end())
}

/// What stays the same from run to run: without numbers, ids, and the width and order that depend on them.
fn constant(transcript: &str) -> Vec<String> {
    let word = |word: &str| -> String {
        let is_id = word.len() >= 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id || word == "-" {
            return "#".to_owned();
        }
        let mut constant = String::new();
        for c in word.chars() {
            match c {
                '0'..='9' | '.' if constant.ends_with('#') => {}
                '0'..='9' => constant.push('#'),
                c => constant.push(c),
            }
        }
        constant
    };
    // A time is told in ms, or not at all; of an instant it is told how long ago.
    let line = |line: &str| {
        let words = line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
        words.replace("# ms", "#").replace("just now", "#s ago")
    };
    let mut lines: Vec<String> = transcript.lines().map(line).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_page_shows_what_the_commands_print() {
    let gateway = Gateway::start(&Settings::default());
    let place = &gateway.place;
    let mut now = Vec::new();

    let id = format!("X-Client-Id: {}", MAIN.client_id);
    let arguments = ["explain", "GET", "/api/apps/v1/orders", "-H", &id, "-H", "X-Client-Secret: wrong"];
    now.push(transcript(&arguments, &place.ok(&arguments)));

    let refused = gateway.ask("GET /api/apps/v1/customers/9", &client(&MAIN, "22"));
    assert_eq!(refused.status, 403, "{}", refused.text());
    let id = refused.field("x-request-id").unwrap();
    let told = || Some(place.run(&["why", &id])).filter(|done| done.code == 0);
    now.push(transcript(&["why", &id], &wait_until(SOON, told).expect("it is kept").out));

    assert_eq!(gateway.orders(&client(&MAIN, "22")), 200);
    assert_eq!(gateway.ask("GET /nowhere", &NONE).status, 404);
    let arguments = ["usage", "--since", "1h"];
    let counted = || {
        Some(place.ok(&arguments)).filter(|text| text.lines().count() == 3 && text.contains("not_found=1"))
    };
    now.push(transcript(&arguments, &wait_until(SOON, counted).expect("three calls")));

    std::thread::scope(|threads| {
        let top = threads.spawn(|| place.ok(&["top", "--once"]));
        let calls = || {
            gateway.orders(&client(&MAIN, "22"));
            ask(gateway.address, request("GET /api/apps/v1/orders", &NONE));
            top.is_finished().then_some(())
        };
        wait_until(SOON, calls).expect("a frame");
        now.push(transcript(&["top", "--once"], &top.join().unwrap()));
    });

    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut parts: Vec<String> = page.split("```").map(str::to_owned).collect();
    let blocks = || (1..).step_by(2);
    assert_eq!(parts.len(), 2 * now.len() + 1, "a block for each of {now:?}");
    if std::env::var_os("STOREGATE_TAKE_TRANSCRIPTS").is_some() {
        for (at, transcript) in blocks().zip(&now) {
            parts[at] = format!("console\n{transcript}");
        }
        std::fs::write(PAGE, parts.join("```")).unwrap();
    }
    for (at, transcript) in blocks().zip(&now) {
        let shown = parts[at].strip_prefix("console\n").unwrap();
        assert_eq!(constant(shown), constant(transcript), "not what docs/transcripts.md has:\n{transcript}");
    }
}

#[test]
fn what_differs_in_more_than_numbers_differs() {
    for (one, other, same) in [
        ("a 1.5 ms", "a 22.75 ms", true),
        ("b\na", "a\nb", true),
        ("why f2565f0bc0679ed2", "why d2cca55e657ecd81", true),
        ("3s ago, x", "just now, x", true),
        ("a", "b", false),
        ("status 403, a", "status 403", false),
        ("scope read:orders", "scope write:orders", false),
        ("", "a", false),
    ] {
        assert_eq!(constant(one) == constant(other), same, "{one:?} {other:?}");
    }
}
