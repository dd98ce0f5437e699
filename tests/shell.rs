//! Completions and man pages: made of the same source as `--help`.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::place::{Done, bare, finish};

fn storegate(arguments: &[&str]) -> Done {
    finish(bare(arguments), "")
}

/// Every command, as the words behind the program's name; found in the help of each.
fn commands() -> Vec<Vec<String>> {
    let mut found = vec![vec![]];
    let mut next = 0;
    while next < found.len() {
        let words: Vec<String> = found[next].clone();
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let help = storegate(&arguments).out;
        let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
        for line in listed.lines().take_while(|line| !line.is_empty()) {
            // Those that begin further in go on with the description of the line before.
            let name =
                line.strip_prefix("  ").filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            let name = name.and_then(|rest| rest.split(' ').next());
            if let Some(name) = name.filter(|name| *name != "help") {
                found.push([words.clone(), vec![name.to_owned()]].concat());
            }
        }
        next += 1;
    }
    assert!(found.len() > 40, "{found:?}");
    found
}

#[test]
fn every_command_has_its_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("share/man/man1");
    let done = storegate(&["man", target.to_str().unwrap()]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    let named = |words: &Vec<String>| {
        ["storegate".to_owned()].iter().chain(words).cloned().collect::<Vec<_>>().join("-") + ".1"
    };
    let expected: BTreeSet<String> = commands().iter().map(named).collect();
    let entries = std::fs::read_dir(&target).unwrap().flatten();
    let written: BTreeSet<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(written, expected);
    for page in &written {
        let text = std::fs::read_to_string(target.join(page)).unwrap();
        for part in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", "gateway.toml"] {
            assert!(text.contains(part), "{page}: {part}");
        }
    }
    let json = storegate(&["man", "--json", target.to_str().unwrap()]).json();
    assert_eq!(json["pages"].as_array().unwrap().len(), expected.len(), "a second time is no failure");
    let in_the_way = folder.path().join("file");
    std::fs::write(&in_the_way, "").unwrap();
    let refused = storegate(&["man", in_the_way.to_str().unwrap()]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
    assert!(refused.err.contains("file"), "{}", refused.err);
    assert_eq!(storegate(&["man"]).code, 2);
}

/// Runs a script in a shell; `None` where the shell is not installed.
fn shell(program: &str, arguments: &[&str], script: &Path) -> Option<(bool, String)> {
    let output = Command::new(program).args(arguments).arg(script).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).unwrap()))
}

#[test]
fn completions_load() {
    let folder = tempfile::tempdir().unwrap();
    for (name, program, check) in
        [("bash", "bash", "-n"), ("zsh", "zsh", "-n"), ("fish", "fish", "--no-execute")]
    {
        let done = storegate(&["completions", name]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{name}");
        for word in ["rotate-secret", "take-over", "completions"] {
            assert!(done.out.contains(word), "{name} does not know {word}");
        }
        let script = folder.path().join(name);
        std::fs::write(&script, &done.out).unwrap();
        match shell(program, &[check], &script) {
            Some(outcome) => assert_eq!(outcome, (true, String::new()), "{name}"),
            None => assert_ne!(name, "bash", "bash is everywhere"),
        }
    }
    for (arguments, named) in [(&["completions"][..], "SHELL"), (&["completions", "tcsh"], "tcsh")] {
        let done = storegate(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{done:?}");
        assert!(done.err.contains(named), "{}", done.err);
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = storegate(&["completions", "bash"]).out;
    for (line, expected, not) in [
        ("storegate ", &["run", "store", "completions", "man"][..], "add"),
        ("storegate app rot", &["rotate-secret", "rotate-signing-key"], "list"),
        ("storegate run --t", &["--take-over"], "--json"),
        ("storegate completions f", &["fish"], "bash"),
    ] {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let last = words.len() - 1;
        let (current, previous) =
            (line.split(' ').nth(last).unwrap(), line.split(' ').nth(last - 1).unwrap());
        let test = format!(
            "{script}\nCOMP_WORDS=({}) COMP_CWORD={last}\n_storegate storegate '{current}' '{previous}'\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" ")
        );
        let file = folder.path().join("test.bash");
        std::fs::write(&file, test).unwrap();
        let (_, said) = shell("bash", &["--norc"], &file).unwrap();
        let offered: Vec<&str> = said.lines().collect();
        assert!(expected.iter().all(|word| offered.contains(word)), "{line}: {said}");
        assert!(!offered.contains(&not), "{line}: {said}");
    }
}
