//! `[idp]`: the identity provider.

use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use url::{Host, Url};

use super::raw;
use super::report::{Finding, Report};
use super::value;
use crate::idp::{Brand, Color, Login, Settings};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How much a button must stand out from the page (WCAG 2.2 success criterion 1.4.11).
const CONTRAST: f64 = 3.0;

/// The pages' own colours, light and dark.
const PAPER: Color = Color([0xff; 3]);
const NIGHT: Color = Color([0x17, 0x1a, 0x21]);

/// The section, where there is one. `taken` is what other endpoints serve.
pub(super) fn check(
    raw: Option<&raw::Idp<'_>>,
    taken: &[Box<str>],
    folder: &Path,
    report: &Report,
) -> Option<Settings> {
    let raw = raw?;
    let minute = Duration::from_secs(60);
    let session_life = value::duration(report, &raw.session_life, 14 * DAY, minute..=400 * DAY);
    let session_idle = value::duration(report, &raw.session_idle, 12 * HOUR, minute..=400 * DAY);
    if let (Some(given), true) = (&*raw.session_idle, session_idle > session_life) {
        report.push(
            Finding::warning(given.span(), "nobody stays signed in as long as this")
                .help("choose less than `session_life`".to_owned()),
        );
    }
    let settings = Settings {
        issuer: issuer(&raw.issuer, report),
        base: base(&raw.base, report),
        login: login(raw, folder, report),
        session_idle,
        session_life,
        key_life: value::duration(report, &raw.key_life, 90 * DAY, DAY..=3650 * DAY),
        brand: brand(&raw.brand, folder, report),
    };
    let paths = settings.paths();
    if let Some(path) = taken.iter().find(|path| paths.iter().any(|own| own.eq_ignore_ascii_case(path))) {
        let span = raw.base.as_ref().map_or(raw.span.clone(), Spanned::span);
        report.push(
            Finding::error(span, format!("a token endpoint serves {path} already"))
                .help("give one of them other paths".to_owned()),
        );
    }
    Some(settings)
}

fn issuer(given: &raw::Text<'_>, report: &Report) -> String {
    let default = "http://127.0.0.1:8080".to_owned();
    report.holds_by_default(given.key, default.as_str());
    let Some(given) = &**given else { return default };
    let text = *given.get_ref();
    let wrong = |message: &str| {
        report.push(Finding::error(given.span(), message).expected(
            "https:// and a host, or http:// and a loop-back address, with the port and nothing behind it",
        ));
        default.clone()
    };
    let Ok(url) = Url::parse(text) else { return wrong("this is not a URL") };
    if url.origin().ascii_serialization() != text {
        return wrong("this is not the origin of a URL as clients compare it");
    }
    match is_safe(&url) {
        true => text.to_owned(),
        false => wrong("passwords and tokens would travel unencrypted"),
    }
}

/// `https`, or `http` to this very machine.
fn is_safe(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.host().is_some() && (url.scheme() == "https" || (url.scheme() == "http" && is_local))
}

fn base(given: &raw::Text<'_>, report: &Report) -> String {
    let default = "/api/oauth".to_owned();
    report.holds_by_default(given.key, default.as_str());
    let Some(given) = &**given else { return default };
    let text = *given.get_ref();
    let plain = |segment: &str| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(letter)
    };
    match text.strip_prefix('/').is_some_and(|rest| text.len() <= 128 && rest.split('/').all(plain)) {
        true => text.to_owned(),
        false => {
            report.push(
                Finding::error(given.span(), "this cannot be what paths begin with")
                    .expected("segments of letters, digits, '-', '_', '.' and '~', such as /api/oauth"),
            );
            default
        }
    }
}

fn login(raw: &raw::Idp<'_>, folder: &Path, report: &Report) -> Login {
    let key_file = value::path(report, &raw.login_key_file, folder);
    report.holds_by_default(raw.login.key, "builtin");
    let given = match &*raw.login {
        Some(given) if *given.get_ref() != "builtin" => given,
        _ => {
            if let Some(key) = &*raw.login_key_file {
                report.push(
                    Finding::error(key.span(), "nothing is signed with this key")
                        .help("set `login` to the URL of the platform's login page".to_owned()),
                );
            }
            return Login::Builtin;
        }
    };
    if !is_page(given) {
        report.push(
            Finding::error(given.span(), "this is no login page")
                .expected("\"builtin\", or an https URL without a fragment (http on a loop-back address)"),
        );
        return Login::Builtin;
    }
    let Some(key_file) = key_file else {
        if raw.login_key_file.is_none() {
            report.push(
                Finding::error(given.span(), "without a key nobody could tell the page's answers from forged ones")
                    .help("name a file with `login_key_file`; it holds the 32 or more characters that both sides sign with".to_owned()),
            );
        }
        return Login::Builtin;
    };
    Login::External { url: (*given.get_ref()).to_owned(), key_file }
}

fn is_page(given: &Spanned<&str>) -> bool {
    let Ok(url) = Url::parse(given.get_ref()) else { return false };
    is_safe(&url) && url.fragment().is_none() && url.username().is_empty()
}

fn brand(raw: &raw::Brand<'_>, folder: &Path, report: &Report) -> Brand {
    let color = |given: &raw::Text<'_>, default: [u8; 3], page: Color| {
        report.holds_by_default(given.key, Color(default).css());
        let Some(given) = &**given else { return Color(default) };
        let Some(color) = Color::parse(given.get_ref()) else {
            report.push(Finding::error(given.span(), "this is not a color").expected("as in \"#1f5eff\""));
            return Color(default);
        };
        if color.contrast(page) < CONTRAST {
            report.push(
                Finding::warning(given.span(), "buttons of this color hardly stand out from the page")
                    .help(format!("choose one with a contrast of 3:1 or more to {}", page.css())),
            );
        }
        color
    };
    let link = |given: &raw::Text<'_>| {
        let given = given.as_ref()?;
        let text = *given.get_ref();
        let fine = Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http" | "mailto"));
        if !fine {
            report.push(Finding::error(given.span(), "this is no link").expected("an https or mailto URL"));
        }
        fine.then(|| text.to_owned())
    };
    Brand {
        name: name(&raw.name, report),
        logo: value::path(report, &raw.logo, folder),
        color: color(&raw.color, [0x1f, 0x5e, 0xff], PAPER),
        color_dark: color(&raw.color_dark, [0x7a, 0xa2, 0xff], NIGHT),
        help_url: link(&raw.help_url),
        privacy_url: link(&raw.privacy_url),
        terms_url: link(&raw.terms_url),
    }
}

fn name(given: &raw::Text<'_>, report: &Report) -> String {
    let default = "storegate".to_owned();
    report.holds_by_default(given.key, default.as_str());
    let Some(given) = &**given else { return default };
    let text = given.get_ref().trim();
    if (1..=60).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    report.push(Finding::error(given.span(), "this is not a name").expected("1 to 60 characters"));
    default
}
