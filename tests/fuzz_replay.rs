//! The fuzz targets on stable: every committed case of `fuzz/corpus`, and mutations of them from a
//! fixed seed. `fuzz/README.md` says how cases come to be.

#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../fuzz/src/lib.rs"]
mod properties;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Mutations of each target; those that change a database are dear.
const MUTATIONS: usize = 2000;
const DEAR: [(&str, usize); 2] = [("import", 300), ("config", 800)];

#[test]
fn authorization() {
    replay("authorization");
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn credentials() {
    replay("credentials");
}

#[test]
fn field() {
    replay("field");
}

#[test]
fn forwarded() {
    replay("forwarded");
}

#[test]
fn head() {
    replay("head");
}

#[test]
fn host() {
    replay("host");
}

#[test]
fn import() {
    replay("import");
}

#[test]
fn parameters() {
    replay("parameters");
}

#[test]
fn query() {
    replay("query");
}

#[test]
fn routes() {
    replay("routes");
}

#[test]
fn secret_hash() {
    replay("secret_hash");
}

#[test]
fn session_token() {
    replay("session_token");
}

#[test]
fn target() {
    replay("target");
}

#[test]
fn trace_context() {
    replay("trace_context");
}

#[test]
fn words() {
    replay("words");
}

#[test]
fn every_target_is_built_replayed_and_has_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let here = include_str!("fuzz_replay.rs");
    for (name, _) in properties::ALL {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
        let target = fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("properties::{name}::check(data)")), "{name} checks another thing");
        assert!(here.contains(&format!("replay(\"{name}\")")), "{name} is not replayed");
        assert!((1..=200).contains(&corpus(name).len()), "{name} has no cases, or too many");
    }
}

fn replay(name: &str) {
    let (_, check) = properties::ALL.into_iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    let run = |case: &[u8], origin: &str| {
        if catch_unwind(AssertUnwindSafe(|| check(case))).is_err() {
            panic!("{origin} breaks a property of {name}: b\"{}\"", case.escape_ascii());
        }
    };
    for (file, case) in &corpus {
        run(case, file);
    }
    let count = DEAR.iter().find(|(dear, _)| *dear == name).map_or(MUTATIONS, |(_, count)| *count);
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ name.len() as u64);
    for number in 0..count {
        let (file, case) = &corpus[chance.below(corpus.len())];
        let other = &corpus[chance.below(corpus.len())].1;
        run(&mutated(case, other, &mut chance), &format!("mutation {number}, of {file},"));
    }
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut cases: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    cases.sort();
    cases
}

/// One to four small changes, of which some take a piece of another case.
fn mutated(case: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    const ODD: [&[u8]; 16] = [
        b"\0", b"\r\n", b"\n", b" ", b"\t", b"%", b"%2e", b"..", b"//", b";", b"_", b",", b"\xff", b"\"",
        b"0", b"-",
    ];
    let mut case = case.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(case.len() + 1);
        let end = (at + 1 + chance.below(8)).min(case.len());
        match chance.below(6) {
            0 => drop(case.drain(at..end.max(at))),
            1 if at < case.len() => case[at] ^= 1 << chance.below(8),
            2 => drop(case.splice(at..at, ODD[chance.below(ODD.len())].iter().copied())),
            3 => {
                let from = chance.below(other.len() + 1);
                let to = (from + chance.below(24)).min(other.len());
                drop(case.splice(at..at, other[from..to].iter().copied()));
            }
            4 => {
                let piece = case[at..end.max(at)].to_vec();
                drop(case.splice(at..at, piece));
            }
            _ => case.truncate(at.max(case.len() / 2)),
        }
    }
    case
}

/// xorshift64*: the same mutations on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % end.max(1)
    }
}
