//! "Put it in front of your API" in README.md, done as it stands there: every command is run, and prints what it
//! says, but for ids, secrets and times.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::gateway::Running;
use common::place::{Done, bare, finish};
use common::{Place, RecordingUpstream, ask, request};

/// A block of the section: what it is written in, and its text.
fn blocks(section: &str) -> Vec<(&str, &str)> {
    let fenced = section.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).collect()
}

/// The commands of a block of console output, each with what it prints.
fn dialogue(block: &str) -> Vec<(String, Vec<String>)> {
    let mut turns: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), turns.last_mut()) {
            (Some(command), _) => turns.push((command.to_owned(), Vec::new())),
            (None, Some((command, _))) if command.ends_with('\\') => {
                command.pop();
                command.push_str(line.trim_start());
            }
            (None, Some((_, printed))) => printed.push(line.to_owned()),
            (None, None) => panic!("{line} belongs to no command"),
        }
    }
    turns
}

/// Words as a shell splits them; the section has no other quoting.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What the examples name, and what it is in truth: ids and secrets that the program made up.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// Learns the values of a printed example from the true output, which must agree in everything else.
    fn learn(&mut self, command: &str, printed: &[String], done: &Done) {
        assert_eq!(done.code, 0, "{command}: {done:?}");
        let out = format!("{}{}", done.out, done.err);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), printed.len(), "{command}: {out}");
        // A second later it ends in 23h 59m.
        let is_time = |line: &str| line.starts_with("ends in ");
        for (line, example) in lines.iter().zip(printed) {
            if is_time(line) && is_time(example) {
                continue;
            }
            let (own, shown): (Vec<_>, Vec<_>) = (line.split(' ').collect(), example.split(' ').collect());
            assert_eq!(own.len(), shown.len(), "{command}: {line} / {example}");
            for (own, shown) in own.into_iter().zip(shown) {
                let is_made_up = shown.len() > 30;
                assert!(
                    own == shown || is_made_up && own.len() == shown.len(),
                    "{command}: {line} / {example}"
                );
                self.0.insert(shown.trim_end_matches(':').to_owned(), own.trim_end_matches(':').to_owned());
            }
        }
    }

    /// The command with the true values. A shortened one (`sx_at_f3bb…`) stands for what begins so.
    fn resolve(&self, command: &str) -> Vec<String> {
        let resolve = |word: String| {
            word.split(' ')
                .map(|part| {
                    let found = match part.strip_suffix('…') {
                        Some(begin) => {
                            self.0.iter().find(|(shown, _)| shown.starts_with(begin)).map(|(_, own)| own)
                        }
                        None => self.0.get(part),
                    };
                    found.cloned().unwrap_or_else(|| part.to_owned())
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
        words(command).into_iter().map(resolve).collect()
    }
}

#[test]
fn the_way_to_a_first_request_is_as_the_readme_says() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split_once("## Put it in front of your API\n").unwrap().1;
    let section = section.split_once("\n### ").unwrap().0;
    let blocks = blocks(section);
    let upstream = RecordingUpstream::start();
    let toml = blocks.iter().find(|(kind, _)| *kind == "toml").unwrap().1;
    for named in ["127.0.0.1:8080", "127.0.0.1:9000"] {
        assert_eq!(toml.matches(named).count(), 1, "{named}");
    }
    let toml = toml
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9000", &upstream.address.to_string());
    let place = Place::with(&(toml + "\n[admin]\nlisten = \"127.0.0.1:0\"\n"));

    // Building is left out: this test would wait for it for minutes. Its first block is the stand-in for the API.
    let mut shells = blocks.iter().filter(|(kind, _)| *kind == "sh");
    let (stand_in, build) = (shells.next().unwrap().1, shells.next().unwrap().1);
    assert!(stand_in.starts_with("python3 -c") && shells.next().is_none());
    let mut commands = build.lines().count();
    let mut counted = None;

    let mut names = Names::default();
    let mut running: Option<Running> = None;
    let mut gateway = None;
    let start = Instant::now();
    for (command, printed) in
        blocks.iter().filter(|(kind, _)| *kind == "console").flat_map(|(_, text)| dialogue(text))
    {
        commands += 1;
        let given = names.resolve(&command);
        match (given[0].as_str(), given[1].as_str()) {
            ("storegate", "run") => {
                let mut started = Running::start(place.command(&["run"]));
                gateway = Some(started.ready().0);
                running = Some(started);
                assert_eq!(printed, ["ready listen=127.0.0.1:8080 admin=127.0.0.1:9180"]);
            }
            ("storegate", "explain") => {
                let done = storegate(&place, &given);
                assert_eq!(done.out.lines().count(), printed.len(), "{}", done.out);
                assert_eq!(done.out.lines().last(), printed.last().map(String::as_str));
            }
            ("storegate", _) => {
                let done = storegate(&place, &given);
                names.learn(&command, &printed, &done);
            }
            ("curl", address) => {
                let path = address.strip_prefix("127.0.0.1:8080").unwrap();
                let lines: Vec<&String> = given
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| *n > 0 && given[n - 1] == "-H")
                    .map(|(_, line)| line)
                    .collect();
                let answer = ask(gateway.unwrap(), request(&format!("GET {path}"), &lines));
                assert_eq!(answer.status, 200, "{given:?}: {}", answer.text());
                if counted.is_none() {
                    counted = Some((commands, start.elapsed()));
                    received(&upstream, &printed, &names);
                }
            }
            other => panic!("what is {other:?}?"),
        }
    }
    let (commands, took) = counted.unwrap();
    assert_eq!(commands, 8);
    assert!(section.contains("eight commands and one file"));
    assert!(took < Duration::from_secs(60), "{took:?} without the build");
    println!("{commands} commands, of which those after the build took {took:?}");
    let mut running = running.unwrap();
    running.signal("TERM");
    assert_eq!(running.end(Duration::from_secs(20)), Some(0));
}

fn storegate(place: &Place, words: &[String]) -> Done {
    let mut command = bare(&words[1..].iter().map(String::as_str).collect::<Vec<_>>());
    // As who follows the README does: in the folder of gateway.toml.
    command.current_dir(place.path("."));
    finish(command, "")
}

/// The upstream received the lines that README.md shows, and has their names and values.
fn received(upstream: &RecordingUpstream, printed: &[String], names: &Names) {
    let seen = upstream.one();
    let lines: Vec<(&str, &str)> = printed[1..].iter().map(|line| line.split_once(": ").unwrap()).collect();
    let shown_of_gateway: Vec<_> = lines.iter().filter(|(name, _)| name.starts_with("x-")).collect();
    assert!(shown_of_gateway.len() > 8, "{printed:?}");
    for (name, shown) in shown_of_gateway {
        let value = seen.field(name).unwrap_or_else(|| panic!("no {name}"));
        let expected = names.0.get(*shown).map_or(*shown, String::as_str);
        match *name {
            "x-request-id" => assert_eq!(value.len(), shown.len()),
            "x-forwarded-host" => assert_eq!(value, "api.example.test", "what this test calls"),
            _ => assert_eq!(value, expected, "{name}"),
        }
    }
}
