//! Synthetic credentials: what is told and, more, what is not.

use std::net::Ipv4Addr;

use super::*;
use crate::usage::tests::{NOON, sample};
use crate::usage::{Sample, Verdict};

const DAY: i64 = 86_400;
const WATCH: Watch = Watch { learning: DAY, factor: 5.0, calls: 100 };

fn shown(kind: Kind, caller: &str) -> Sample {
    Sample { kind: Some(kind), caller: caller.parse().ok(), ..sample(1, 22, Verdict::Forwarded) }
}

/// Feeds so many calls in each minute from the start; gives the minutes of the alerts.
fn minutes(minutes: std::ops::Range<i64>, calls: impl Fn(i64) -> u32) -> Vec<i64> {
    let mut detector = Detector::new(WATCH);
    let call = shown(Kind::ClientCredentials, "192.0.2.7");
    let mut told = Vec::new();
    for minute in minutes {
        for _ in 0..calls(minute) {
            detector.look(minute * 60, &call, |alert| {
                assert!(matches!(alert.what, Unusual::Spike { .. }), "{alert:?}");
                told.push(minute);
            });
        }
    }
    told
}

/// Not random, and even enough.
fn noise(minute: i64) -> u32 {
    (minute.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as u32
}

#[test]
fn what_is_no_spike() {
    let days = |days: i64| 0..days * 1440;
    type Pattern = fn(i64) -> u32;
    let rows: [(&str, std::ops::Range<i64>, Pattern); 12] = [
        ("never used", days(3), |_| 0),
        ("steady", days(3), |_| 30),
        ("noise", days(3), |m| 20 + noise(m)),
        ("few calls among none", days(3), |m| if m == 3000 { 100 } else { 0 }),
        ("a first day of anything", days(1), |m| if m == 700 { 5000 } else { 1 }),
        ("four times the usual", days(3), |m| if m > 4000 { 160 } else { 40 }),
        ("day and night", days(4), |m| if (480..1200).contains(&(m % 1440)) { 150 } else { 2 }),
        ("a nightly job", days(4), |m| if (180..190).contains(&(m % 1440)) { 600 } else { 1 }),
        ("a nightly job, half an hour late", days(4), |m| {
            let start = if m / 1440 == 3 { 210 } else { 175 };
            if (start..start + 10).contains(&(m % 1440)) { 600 } else { 1 }
        }),
        ("an hourly job", days(3), |m| if m % 60 == 0 { 400 } else { 0 }),
        ("slow growth", days(5), |m| (m / 20) as u32),
        ("a gap of a day", days(3), |m| if m / 1440 == 1 { 0 } else { 60 }),
    ];
    for (name, range, pattern) in rows {
        assert_eq!(minutes(range, pattern), [0; 0], "{name}");
    }
}

#[test]
fn what_is_a_spike() {
    type Pattern = fn(i64) -> u32;
    let rows: [(&str, Pattern, usize); 5] = [
        ("ten times the usual", |m| if m == 3000 { 300 } else { 30 }, 1),
        ("many calls after none", |m| if m == 3000 { 500 } else { u32::from(m % 60 == 0) }, 1),
        (
            "at night what is usual by day",
            |m| {
                if (480..1200).contains(&(m % 1440)) || m == 1440 * 2 + 120 { 300 } else { 2 }
            },
            1,
        ),
        ("one told of a lasting one in the hour", |m| if (3000..3030).contains(&m) { 400 } else { 30 }, 1),
        ("two, hours apart", |m| if m == 3000 || m == 3300 { 700 } else { 30 }, 2),
    ];
    for (name, pattern, count) in rows {
        let told = minutes(0..4 * 1440, pattern);
        assert_eq!(told.len(), count, "{name}: {told:?}");
    }
}

#[test]
fn addresses() {
    type Row<'r> = (&'r str, Kind, &'r [(i64, &'r str)], &'r [&'r str]);
    let rows: [Row<'_>; 8] = [
        ("a first day of anything", Kind::Bearer, &[(0, "192.0.2.1"), (3600, "198.51.100.1")], &[]),
        ("the same network", Kind::Bearer, &[(0, "192.0.2.1"), (2 * DAY, "192.0.2.200")], &[]),
        ("the same site", Kind::Bearer, &[(0, "2001:db8:1::1"), (2 * DAY, "2001:db8:1:ffff::2")], &[]),
        ("a browser", Kind::Session, &[(0, "192.0.2.1"), (2 * DAY, "198.51.100.1")], &[]),
        (
            "another network",
            Kind::ClientCredentials,
            &[(0, "192.0.2.1"), (2 * DAY, "198.51.100.9")],
            &["198.51.100.0/24"],
        ),
        ("another site", Kind::Bearer, &[(0, "192.0.2.1"), (2 * DAY, "2001:db8:2::1")], &["2001:db8:2::/48"]),
        (
            "each is told once",
            Kind::Bearer,
            &[
                (0, "192.0.2.1"),
                (2 * DAY, "198.51.100.1"),
                (2 * DAY + 9, "198.51.100.2"),
                (3 * DAY, "203.0.113.1"),
            ],
            &["198.51.100.0/24", "203.0.113.0/24"],
        ),
        ("no address", Kind::Bearer, &[(0, "192.0.2.1"), (2 * DAY, "")], &[]),
    ];
    for (name, kind, calls, expected) in rows {
        let mut detector = Detector::new(WATCH);
        let mut told = Vec::new();
        for (at, caller) in calls {
            detector.look(NOON + at, &shown(kind, caller), |alert| match alert.what {
                Unusual::NewAddress { network } => told.push(network.to_string()),
                other => panic!("{name}: {other:?}"),
            });
        }
        assert_eq!(told, expected, "{name}");
    }
}

#[test]
fn who_roams_is_not_told_of_again_and_again() {
    let mut detector = Detector::new(WATCH);
    let mut told = 0;
    for hour in 0..24 * 20 {
        let caller = Ipv4Addr::from(0x0a00_0000 | (hour as u32 * 7) << 8).to_string();
        detector.look(NOON + hour * HOUR / 4, &shown(Kind::Bearer, &caller), |_| told += 1);
    }
    assert_eq!(told, 0, "more networks a day than are kept");
}

#[test]
fn strangers_raise_no_alarm() {
    let mut detector = Detector::new(WATCH);
    detector.look(NOON, &shown(Kind::ClientCredentials, "192.0.2.1"), |_| ());
    let claimed = Sample { proved: false, ..shown(Kind::ClientCredentials, "198.51.100.1") };
    let nobody = Sample { app: None, ..shown(Kind::ClientCredentials, "198.51.100.1") };
    for call in [claimed, nobody] {
        (0..10_000).for_each(|_| detector.look(NOON + 2 * DAY, &call, |alert| panic!("{alert:?}")));
    }
}

#[test]
fn tokens_are_told_by_their_store() {
    let mut detector = Detector::new(WATCH);
    let of_store = |store| Sample { kind: Some(Kind::Bearer), ..sample(1, store, Verdict::Forwarded) };
    for minute in 0..2 * 1440 {
        (0..200).for_each(|_| detector.look(minute * 60, &of_store(22), |alert| panic!("{alert:?}")));
        detector.look(minute * 60, &of_store(23), |alert| panic!("{alert:?}"));
    }
    let mut told = Vec::new();
    (0..200).for_each(|_| detector.look(2 * DAY, &of_store(23), |alert| told.push(alert)));
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].store_id, told[0].what.clone()),
        (Some(23), Unusual::Spike { calls: 101, usual: 1.0 })
    );
    let json = serde_json::to_value(&told[0]).unwrap();
    assert_eq!((&json["type"], &json["calls"]), (&"spike".into(), &101.into()), "{json}");
}

#[test]
fn patterns_outlive_a_restart_and_nonsense_does_no_harm() {
    let mut before = Detector::new(WATCH);
    before.look(NOON, &shown(Kind::Bearer, "192.0.2.1"), |_| ());
    let mut after = Detector::new(WATCH);
    after.remember(&before.text());
    let mut told = 0;
    after.look(NOON + 2 * DAY, &shown(Kind::Bearer, "198.51.100.1"), |_| told += 1);
    assert_eq!(told, 1);
    for nonsense in ["", "{", "[]", "null", r#"{"calls": [[[1, 1, 1], {}]]}"#] {
        let mut detector = Detector::new(WATCH);
        detector.remember(nonsense);
        detector.look(NOON, &shown(Kind::Bearer, "192.0.2.1"), |alert| panic!("{alert:?}"));
    }
}

#[test]
fn memory_and_alerts_are_bounded() {
    let mut detector = Detector::new(Watch { learning: 0, ..WATCH });
    let (mut told, mut counted) = (0, 0);
    for app in 0..MOST as i64 * 3 {
        let call = Sample {
            app: Some(crate::usage::tests::app(app)),
            ..shown(Kind::ClientCredentials, "192.0.2.1")
        };
        detector.look(NOON, &call, |alert| {
            counted += 1;
            told += u32::from(alert.is_told);
        });
    }
    assert!(detector.patterns.calls_of.len() <= MOST && detector.patterns.places_of.len() <= MOST);
    assert_eq!((counted, told), (MOST as u32 * 3, TOLD_PER_MINUTE));
    for number in 0..1000u32 {
        let caller = Ipv4Addr::from(0x0a00_0000 | number << 8).to_string();
        detector.look(NOON, &shown(Kind::Bearer, &caller), |_| ());
    }
    assert!(detector.patterns.places_of.values().all(|places| places.networks.len() <= NETWORKS));
}
