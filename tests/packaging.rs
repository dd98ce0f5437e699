//! What packages are made of: units, examples for nginx, installation.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a program that need not be installed; `None` where it is not.
fn optional(program: &str, arguments: &[&str], folder: &Path) -> Option<Output> {
    let found = ["", "/usr/sbin/", "/usr/bin/"].map(|place| format!("{place}{program}"));
    found.iter().find_map(|program| Command::new(program).args(arguments).current_dir(folder).output().ok())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Keys and values of a unit, in their order.
fn settings(unit: &str) -> Vec<(&str, &str)> {
    unit.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect()
}

#[test]
fn the_units_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["storegate.service", "storegate.socket"] {
        // The program need not be installed where it is tested.
        let unit = read(&format!("packaging/systemd/{name}"));
        let unit = unit.replace("/usr/bin/storegate", env!("CARGO_BIN_EXE_storegate"));
        fs::write(folder.path().join(name), unit).unwrap();
    }
    let verify = ["verify", "--man=no", "./storegate.service", "./storegate.socket"];
    if let Some(output) = optional("systemd-analyze", &verify, folder.path()) {
        assert!(output.status.success() && said(&output).trim().is_empty(), "{}", said(&output));
        // In tenths; README and docs say 1.5. Older versions cannot look at a file.
        let security = ["security", "--offline=yes", "--no-pager", "--threshold=20", "./storegate.service"];
        let output = optional("systemd-analyze", &security, folder.path()).unwrap();
        let is_old = said(&output).contains("unrecognized option");
        assert!(output.status.success() || is_old, "{}", said(&output));
    }
}

/// What the program relies on when it runs under the unit.
#[test]
fn the_service_fits_the_program() {
    let unit = read("packaging/systemd/storegate.service");
    let settings = settings(&unit);
    let of = |key: &str| settings.iter().find(|(own, _)| *own == key).unwrap_or_else(|| panic!("no {key}")).1;
    assert_eq!((of("Type"), of("NotifyAccess")), ("notify", "main"));
    assert!(of("WatchdogSec").parse::<u32>().unwrap() >= 10);
    // The default of server.grace_period is 10 s.
    assert!(of("TimeoutStopSec").parse::<u32>().unwrap() > 10);
    assert!(of("RestrictAddressFamilies").contains("AF_UNIX"), "commands and the next process come by it");
    assert!(
        !settings.iter().any(|(key, _)| *key == "KillMode"),
        "a process that leaves is told to stop, too"
    );
    for key in ["ExecStart", "ExecReload"] {
        let (program, arguments) = of(key).split_once(' ').unwrap();
        assert_eq!(program, "/usr/bin/storegate");
        let arguments = arguments.split(' ').chain(["--help"]);
        let output = Command::new(env!("CARGO_BIN_EXE_storegate")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{key}: {}", said(&output));
    }
}

/// The examples of docs/deploy.md, both in one nginx, where one is installed.
#[test]
fn nginx_takes_the_examples() {
    let document = read("docs/deploy.md");
    let examples: Vec<&str> =
        document.split("```nginx\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 2);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("tls")).unwrap();
    let pair = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
    fs::write(at("tls/fullchain.pem"), pair.cert.pem()).unwrap();
    fs::write(at("tls/privkey.pem"), pair.signing_key.serialize_pem()).unwrap();
    let own: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};\n"))
        .concat();
    let text =
        format!("pid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{own}{}}}\n", examples.concat());
    fs::write(at("nginx.conf"), text).unwrap();
    let prefix = folder.path().to_str().unwrap();
    let arguments = ["-t", "-p", prefix, "-c", "nginx.conf", "-e", "stderr"];
    if let Some(output) = optional("nginx", &arguments, folder.path()) {
        assert!(output.status.success() && !said(&output).contains("[warn]"), "{}", said(&output));
    }
}

#[test]
fn make_installs_everything_and_builds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().to_str().unwrap();
    let make = |arguments: &[&str]| {
        let mut command = Command::new("make");
        // `make test` has its own variables in the environment.
        command.args(arguments).current_dir(root()).env_remove("MAKEFLAGS").env_remove("MAKEOVERRIDES");
        command.output().unwrap()
    };
    let binary = format!("BINARY={}", env!("CARGO_BIN_EXE_storegate"));
    let destination = format!("DESTDIR={target}");
    let output = make(&["install", "install-systemd", "PREFIX=/usr", &binary, &destination]);
    assert!(output.status.success(), "{}", said(&output));
    for file in [
        "usr/bin/storegate",
        "usr/share/man/man1/storegate.1",
        "usr/share/man/man1/storegate-app-rotate-secret.1",
        "usr/share/bash-completion/completions/storegate",
        "usr/share/zsh/site-functions/_storegate",
        "usr/share/fish/vendor_completions.d/storegate.fish",
        "usr/lib/systemd/system/storegate.service",
        "usr/lib/systemd/system/storegate.socket",
        "usr/lib/sysusers.d/storegate.conf",
    ] {
        assert!(fs::metadata(folder.path().join(file)).is_ok_and(|found| found.len() > 100), "{file}");
    }
    let output = make(&["install", "BINARY=missing", &destination]);
    assert!(!output.status.success() && said(&output).contains("run make build first"), "{}", said(&output));
}

/// The image is not built here; that its recipe names what is in the tree can be seen.
#[test]
fn the_container_recipe_names_what_there_is() {
    let recipe = read("packaging/Containerfile");
    assert!(recipe.contains("--locked --profile dist") && read("Cargo.toml").contains("[profile.dist]"));
    let last = recipe.rsplit("FROM ").next().unwrap();
    assert!(
        last.contains("\nUSER 65532:65532\n") && last.contains("ENTRYPOINT [\"/usr/bin/storegate\"]"),
        "{last}"
    );
}
