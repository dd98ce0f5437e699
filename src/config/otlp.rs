//! `[otlp]`: where the spans of requests are exported. A gateway that was built without the feature reads the section all
//! the same, so that every problem of a file is told at once, and then refuses it.

use http::{HeaderName, HeaderValue, Uri};

use super::raw;
use super::report::{Finding, Report};

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// Where they are POSTed.
    pub url: String,
    /// Of the requests without a trace, so many have one begun here: 0 to 1.
    pub sample: f64,
    /// `service.name` of the resource.
    pub service_name: String,
    /// What the collector is shown; its value is not printed.
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl Otlp {
    pub(super) fn check(raw: &raw::Otlp<'_>, report: &Report) -> Option<Self> {
        report.holds_by_default(raw.sample.key, "100%");
        report.holds_by_default(raw.service_name.key, "storegate");
        if !raw.is_present {
            return None;
        }
        let (url, sample) = (url(raw, report), sample(raw, report));
        let (service_name, header) = (service_name(raw, report), header(raw, report));
        if cfg!(not(feature = "otlp")) {
            let finding = Finding::error(raw.span.clone(), "this gateway was built without the feature otlp");
            let help = "build it with `cargo build --release --features otlp`, or remove this section";
            report.push(finding.help(help.to_owned()));
            return None;
        }
        Some(Self { url: url?, sample, service_name, header })
    }
}

/// The signal's URL, of that of the collector (OTLP 1.3, "OTLP/HTTP Request").
fn url(raw: &raw::Otlp<'_>, report: &Report) -> Option<String> {
    let given = raw.endpoint.as_ref()?;
    let text = given.get_ref().trim_end_matches('/');
    let is_base = text.parse::<Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && url.query().is_none()
            && !text.contains('#')
    });
    if is_base && !text.ends_with("/v1/traces") {
        return Some(format!("{text}/v1/traces"));
    }
    let finding = Finding::error(given.span(), "this is not the URL of a collector");
    report.push(finding.expected("scheme, host and port, such as http://127.0.0.1:4318; without /v1/traces"));
    None
}

fn sample(raw: &raw::Otlp<'_>, report: &Report) -> f64 {
    let Some(given) = raw.sample.as_ref() else { return 1.0 };
    let percent = given.get_ref().strip_suffix('%').filter(|number| {
        number.len() <= 20 && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    });
    match percent.and_then(|number| number.parse::<f64>().ok()) {
        Some(percent) if percent <= 100.0 => percent / 100.0,
        _ => {
            let finding = Finding::error(given.span(), "this is not a share of requests");
            report.push(finding.expected("a percentage from 0% to 100%, such as \"0.5%\""));
            1.0
        }
    }
}

fn service_name(raw: &raw::Otlp<'_>, report: &Report) -> String {
    const LONGEST: usize = 200;
    let Some(given) = raw.service_name.as_ref() else { return "storegate".to_owned() };
    let name = *given.get_ref();
    if name.trim().is_empty() || name.len() > LONGEST || name.chars().any(char::is_control) {
        report.push(
            Finding::error(given.span(), "this is not the name of a service")
                .expected(format!("1 to {LONGEST} bytes, not only blanks")),
        );
    }
    name.to_owned()
}

fn header(raw: &raw::Otlp<'_>, report: &Report) -> Option<(HeaderName, HeaderValue)> {
    let given = raw.header.as_ref()?;
    let read = given.get_ref().split_once(':').and_then(|(name, value)| {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let mut value = HeaderValue::from_str(value.trim()).ok().filter(|value| !value.is_empty())?;
        value.set_sensitive(true);
        Some((name, value))
    });
    if read.is_none() {
        let finding = Finding::error(given.span(), "this is not a header field");
        report.push(finding.expected("a name, a colon and a value, such as \"Authorization: Bearer …\""));
    }
    read
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Problems};

    const REST: &str = "[upstream.api]\nservers = ['http://a']\n[[route]]\npath = '/a'\nscopes = 'none'\n";

    fn read(section: &str) -> Result<Config, Vec<String>> {
        match Config::parse(&format!("[otlp]\n{section}\n{REST}"), "gateway.toml") {
            Ok((config, warnings)) => {
                assert_eq!(warnings, []);
                Ok(config)
            }
            Err(Problems::Unreadable { error, .. }) => panic!("{error}"),
            Err(Problems::Invalid { diagnostics, .. }) => {
                Err(diagnostics.iter().map(|one| format!("{}: {one}", one.line)).collect())
            }
        }
    }

    #[cfg(not(feature = "otlp"))]
    #[test]
    fn a_build_without_it_says_so() {
        let told = read("endpoint = 'http://127.0.0.1:4318'").unwrap_err();
        let [one] = &told[..] else { panic!("{told:?}") };
        assert!(one.starts_with("1: ") && one.contains("without the feature otlp"), "{one}");
        assert!(one.contains("--features otlp") && one.contains("remove this section"), "{one}");
        // Beside what else is wrong.
        assert_eq!(read("endpoint = 'nowhere'\nsample = '7'").unwrap_err().len(), 3);
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn what_is_accepted() {
        let otlp = |section: &str| read(section).unwrap_or_else(|told| panic!("{told:?}")).otlp.unwrap();
        let least = otlp("endpoint = 'http://127.0.0.1:4318'");
        assert_eq!((&*least.url, least.sample), ("http://127.0.0.1:4318/v1/traces", 1.0));
        assert_eq!((&*least.service_name, &least.header), ("storegate", &None));
        let most = otlp(
            "endpoint = 'https://otlp.example.com/a/'\nsample = '0.5%'\nservice_name = 'edge 1'\n\
             header = 'Authorization: Bearer hunter2'",
        );
        assert_eq!((&*most.url, most.sample), ("https://otlp.example.com/a/v1/traces", 0.005));
        let (name, value) = most.header.clone().unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("authorization", &b"Bearer hunter2"[..]));
        assert!(!format!("{most:?}").contains("hunter2"), "{most:?}");
        for (text, share) in [("0%", 0.0), ("100%", 1.0), ("25.0%", 0.25)] {
            assert_eq!(otlp(&format!("endpoint = 'http://a'\nsample = '{text}'")).sample, share);
        }
    }

    #[test]
    fn what_is_refused() {
        let good = "endpoint = 'http://127.0.0.1:4318'\n";
        let rows: &[(&str, &str)] = &[
            ("", "`otlp.endpoint` is missing"),
            ("sample = '1%'", "`otlp.endpoint` is missing"),
            ("endpoint = ''", "URL of a collector"),
            ("endpoint = '127.0.0.1:4318'", "URL of a collector"),
            ("endpoint = 'localhost'", "URL of a collector"),
            ("endpoint = 'grpc://127.0.0.1:4317'", "URL of a collector"),
            ("endpoint = 'http://user:hunter2@127.0.0.1'", "URL of a collector"),
            ("endpoint = 'http://127.0.0.1/?a=b'", "URL of a collector"),
            ("endpoint = 'http://127.0.0.1/#a'", "URL of a collector"),
            ("endpoint = 'http://127.0.0.1:4318/v1/traces'", "without /v1/traces"),
            ("endpoint = 5", "cannot be a whole number"),
            (&format!("{good}sample = 0.1"), "cannot be a number with a fraction"),
            (&format!("{good}sample = '0.1'"), "share of requests"),
            (&format!("{good}sample = '%'"), "share of requests"),
            (&format!("{good}sample = '101%'"), "share of requests"),
            (&format!("{good}sample = '-1%'"), "share of requests"),
            (&format!("{good}sample = 'nan%'"), "share of requests"),
            (&format!("{good}sample = 'inf%'"), "share of requests"),
            (&format!("{good}sample = '1e1%'"), "share of requests"),
            (&format!("{good}service_name = ' '"), "name of a service"),
            (&format!("{good}service_name = \"a\\nb\""), "name of a service"),
            (&format!("{good}service_name = '{}'", "a".repeat(201)), "name of a service"),
            (&format!("{good}header = 'hunter2'"), "header field"),
            (&format!("{good}header = 'hun ter: hunter2'"), "header field"),
            (&format!("{good}header = 'Authorization:'"), "header field"),
            (&format!("{good}header = \"a: hunter2\\r\\nb: c\""), "header field"),
            (&format!("{good}headers = 'a: hunter2'"), "unknown key"),
        ];
        for (section, why) in rows {
            let told = read(section).err().unwrap_or_else(|| panic!("accepted: {section}"));
            assert!(told.iter().any(|one| one.contains(why)), "{section}: {told:?}");
            assert!(!told.iter().any(|one| one.contains("hunter2")), "{section}: {told:?}");
        }
    }
}
