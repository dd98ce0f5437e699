//! Files that are missing, unreadable, damaged or built to do harm.

use proptest::prelude::*;

use super::*;

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    let load =
        |path: &Path| Config::load(path).err().map(|problems| problems.to_string()).unwrap_or_default();
    let missing = load(&path);
    assert!(missing.contains("gateway.toml") && missing.contains("storegate demo"), "{missing}");
    assert!(load(folder.path()).contains("cannot be read"));
    std::fs::write(&path, b"[server]\n# \xFF\n").unwrap();
    assert!(load(&path).contains("gateway.toml:2:3"), "{}", load(&path));
    std::fs::write(&path, "#".repeat(MAX_BYTES + 1)).unwrap();
    assert!(load(&path).contains("too large"));
    std::fs::write(&path, SHIPPED).unwrap();
    let (config, _) = Config::load(&path).unwrap();
    assert_eq!(config.replica.path, folder.path().join("storegate.db"));
}

/// TOML can write what moves a terminal's cursor or reorders its text; no message repeats it.
#[test]
fn no_diagnostic_acts_on_the_terminal() {
    const OPTIONAL: &str = "[server.tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n[upstream.more]\n\
        servers = [\"http://a\"]\nbalance = \"round_robin\"\nca = \"c\"\n[[route]]\npath = \"/x/{a}/{*b}\"\n\
        upstream = \"more\"\nauth = [\"bearer\"]\nscopes = { read = \"read:{a}\" }\nmethods = [\"GET\"]\n";
    let text = format!("{SHIPPED}\n{OPTIONAL}");
    let strings: Vec<_> = text
        .match_indices('"')
        .collect::<Vec<_>>()
        .chunks(2)
        .filter_map(|pair| Some((pair.first()?.0 + 1, pair.get(1)?.0)))
        .collect();
    assert!(strings.len() > 40, "{}", strings.len());
    let hostile = [
        "\\u001b[2J",
        "/a/{\\u001b[2J}",
        "/{*\\u001b[2J}/x",
        "/{a\t}",
        "http://\\u0007:1",
        "read:{\\u0009}",
        "x\\u007fy",
    ];
    for (start, end) in strings {
        for value in hostile {
            let text = format!("{}{value}{}", &text[..start], &text[end..]);
            let shown = match Config::parse(&text, "gateway.toml") {
                Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
                Err(problems) => problems.to_string(),
            };
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{value}: {shown:?}");
        }
    }
}

#[test]
fn hostile_files_cost_little() {
    let texts = [
        "a".repeat(MAX_BYTES),
        format!("a = {}", "[".repeat(MAX_BYTES - 4)),
        format!("a = {}", "{a=".repeat(300_000)),
        format!("{}a = 1", "a.".repeat(500_000)),
        "[[route]]\npath='/a'\n".repeat(50_000),
        (0..100_000).map(|n| format!("k{n}=1\n")).collect(),
        format!("server = {{ {} }}", (0..50_000).map(|n| format!("k{n}=1,")).collect::<String>()),
        format!("[server]\nlisten = [{}]", "'127.0.0.1:0',".repeat(70_000)),
        (0..5_000).map(|n| format!("[[route]]\npath='/a'\nmethods=['M{n}']\nauth='public'\n")).collect(),
        (0..9_000).map(|n| format!("[upstream.u{n}]\n[[route]]\npath='/{n}'\nupstream='v{n}'\n")).collect(),
        format!("[[route]]\npath='{}'", (0..90_000).map(|n| format!("/{{c{n}}}")).collect::<String>()),
        format!("[[route]]\npath='/{}'", "{".repeat(1000)),
        format!("[[route]]\nmethods=[{}]", (0..90_000).map(|n| format!("'M{n}',")).collect::<String>()),
        format!("[[route]]\npath='/'\nscopes=[{}]", "'a',".repeat(90_000)),
        format!("[inject]\nstore = '{}'", "é".repeat(500_000)),
    ];
    for text in texts {
        let Err(Problems::Invalid { diagnostics, .. }) = Config::parse(&text, "gateway.toml") else {
            panic!("accepted")
        };
        assert!(diagnostics.len() <= Report::MOST);
        let shown: usize = diagnostics.iter().map(|d| d.to_string().len()).sum();
        assert!(shown < 200_000, "{shown}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        _ = Config::parse(&text, "gateway.toml").map_err(|problems| problems.to_string());
    }

    #[test]
    fn arbitrary_toml_never_panics(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "'", "\"", "\"\"\"", "\n", "\t", " ", "#", "\\", "é",
                "server", "listen", "upstream", "api", "route", "path", "scopes", "auth", "inject", "store", "tls",
                "'/a/{x}'", "'http://a'", "'none'", "'10s'", "1", "-1", "1.5", "true", "1979-05-27", "\u{0}", "\r",
            ]),
            0..40,
        )
    ) {
        _ = Config::parse(&words.concat(), "gateway.toml").map_err(|problems| problems.to_string());
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0..SHIPPED.len(), length in 0..80_usize, insert in "\\PC{0,6}") {
        prop_assume!(SHIPPED.is_char_boundary(at));
        let mut end = (at + length).min(SHIPPED.len());
        while !SHIPPED.is_char_boundary(end) {
            end += 1;
        }
        let text = format!("{}{insert}{}", &SHIPPED[..at], &SHIPPED[end..]);
        _ = Config::parse(&text, "gateway.toml").map_err(|problems| problems.to_string());
    }
}
