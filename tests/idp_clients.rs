//! Real clients sign people in at a running gateway: a certified OpenID library (openid-client), Authlib, and a
//! browser (Chromium). `make clients` installs the libraries into `target/clients`; what is not there is skipped with
//! a word.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic, and says what it skips

mod common;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Gateway, Place, RecordingUpstream, Settings};

const EMAIL: &str = "rahim@example.com";
const PASSWORD: &str = "correct horse battery";

/// A gateway with one person, one client, and a place for the client's own website.
struct World {
    gateway: Gateway,
    issuer: String,
    redirect_uri: String,
    client_id: String,
    client_secret: String,
}

/// A port that nobody listens on at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl World {
    fn start() -> Self {
        let (port, site) = (free_port(), free_port());
        let issuer = format!("http://127.0.0.1:{port}");
        let settings = Settings {
            listen: format!("127.0.0.1:{port}"),
            rest: format!("[idp]\nissuer = \"{issuer}\"\n[idp.brand]\nname = \"Bazaar\"\n"),
            ..Settings::default()
        };
        let upstream = RecordingUpstream::start();
        let place = Place::with(&settings.toml(&upstream.address.to_string()));
        place.ok(&["store", "add", "22", "--name", "Nakshi Home"]);
        let person = ["customer:42", "--store", "22", "--email", EMAIL, "--name", "Rahim Uddin"];
        let add = [&["user", "add"], &person[..], &["--password", "-"]].concat();
        assert_eq!(place.run_with(&add, PASSWORD).code, 0);
        let site = format!("http://127.0.0.1:{site}");
        let (redirect_uri, goodbye) = (format!("{site}/callback"), format!("{site}/goodbye"));
        let client = place.json(&[
            "oauth-client",
            "add",
            "--name",
            "Dhaka Reader",
            "--redirect-uri",
            &redirect_uri,
            "--post-logout-redirect-uri",
            &goodbye,
            "--scopes",
            "openid profile email phone store",
        ]);
        let text = |name: &str| client[name].as_str().unwrap().to_owned();
        let (client_id, client_secret) = (text("client_id"), text("client_secret"));
        Self { gateway: Gateway::start_in(place, upstream), issuer, redirect_uri, client_id, client_secret }
    }

    fn arguments(&self) -> [&str; 6] {
        [&self.issuer, &self.client_id, &self.client_secret, &self.redirect_uri, EMAIL, PASSWORD]
    }
}

fn installed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients")
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/idp_clients").join(name)
}

/// Runs a client to its end; it says `ok` for each thing it did.
fn run(mut command: Command, gateway: &Gateway, expected: &[&str]) {
    command.env("MODULES", installed()).stdin(Stdio::null());
    let done = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}{err}\nthe gateway said: {}", gateway.said());
    for line in expected {
        assert!(out.contains(&format!("{line}: ok")), "{line} is missing: {out}{err}");
    }
    print!("{out}");
}

fn is_there(what: &str, path: &Path) -> bool {
    let there = path.exists();
    if !there {
        println!("skipped: {what} is not installed; run `make clients`");
    }
    there
}

#[test]
fn openid_client_completes_everything() {
    if !is_there("openid-client", &installed().join("node_modules/openid-client")) {
        return;
    }
    let world = World::start();
    let mut command = Command::new("node");
    command.arg(script("openid_client.mjs")).args(world.arguments());
    run(command, &world.gateway, &["openid-client client_secret_basic", "openid-client client_secret_post"]);
}

#[test]
fn authlib_completes_everything() {
    let python = installed().join("venv/bin/python");
    if !is_there("Authlib", &python) {
        return;
    }
    let world = World::start();
    let mut command = Command::new(python);
    command.arg(script("authlib_client.py")).args(world.arguments());
    run(command, &world.gateway, &["Authlib client_secret_basic", "Authlib client_secret_post"]);
}

#[test]
fn people_sign_in_with_a_browser() {
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let chromium = chromium.iter().map(PathBuf::from).find(|path| path.exists());
    let Some(chromium) = chromium else {
        println!("skipped: Chromium is not installed");
        return;
    };
    if !is_there("puppeteer-core", &installed().join("node_modules/puppeteer-core")) {
        return;
    }
    let world = World::start();
    let authorize = format!(
        "{}/api/oauth/authorize?client_id={}&redirect_uri={}&response_type=code&state=s\
         &scope=openid+profile+email+phone+store",
        world.issuer, world.client_id, world.redirect_uri
    );
    let mut command = Command::new("node");
    command.arg(script("browser.mjs")).args([&authorize, &world.redirect_uri, EMAIL, PASSWORD]);
    command.env("CHROMIUM", chromium);
    let walks =
        ["Chromium light desktop", "Chromium light phone", "Chromium dark desktop", "Chromium dark phone"];
    run(command, &world.gateway, &walks);
}
