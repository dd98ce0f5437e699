//! `[usage]`: who calls how much, and how long that is known.

use std::time::Duration;

use super::raw;
use super::report::{Finding, Report};
use super::value;
use crate::model::Secret;
use crate::usage::{Alerts, Settings, Watch, Webhook};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What is counted of apps and stores, and for how long.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Whether calls are counted at all; they are by default.
    pub enabled: bool,
    /// How long counts are kept, and how many.
    pub settings: Settings,
    /// What is unusual, and who is told.
    pub alerts: Alerts,
}

impl Usage {
    pub(super) fn check(raw: &raw::Usage<'_>, report: &Report) -> Self {
        Self {
            enabled: value::flag(report, &raw.enabled, true),
            settings: Settings {
                minutes: value::duration(report, &raw.keep_minutes, DAY, HOUR..=DAY * 7),
                hours: value::duration(report, &raw.keep_hours, DAY * 30, DAY..=DAY * 365),
                days: value::duration(report, &raw.keep_days, DAY * 400, DAY..=DAY * 3650),
                pairs: value::number(report, &raw.pairs, 1000, 10..=100_000),
                top: value::number(report, &raw.top, 50, 0..=1000),
            },
            alerts: alerts(&raw.alerts, report),
        }
    }
}

fn alerts(raw: &raw::Alerts<'_>, report: &Report) -> Alerts {
    let learning = value::duration(report, &raw.learning, DAY, HOUR..=DAY * 30);
    let calls = value::number(report, &raw.spike_calls, 100, 1..=1_000_000);
    Alerts {
        watch: Watch {
            learning: i64::try_from(learning.as_secs()).unwrap_or(i64::MAX),
            factor: value::number(report, &raw.spike_factor, 5, 2..=1000) as f64,
            calls: u32::try_from(calls).unwrap_or(u32::MAX),
        },
        webhook: webhook(raw, report),
    }
}

fn webhook(raw: &raw::Alerts<'_>, report: &Report) -> Option<Webhook> {
    const SHORTEST: usize = 16;
    let Some(url) = raw.webhook.as_ref() else {
        if let Some(secret) = raw.secret.as_ref() {
            let finding = Finding::warning(secret.span(), "without `webhook` nothing is signed");
            report.push(finding.help("set `usage.alerts.webhook`".to_owned()));
        }
        return None;
    };
    let parsed = url.get_ref().parse::<http::Uri>().ok();
    let is_url = parsed.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if !is_url {
        let finding = Finding::error(url.span(), "this is not the URL of a webhook");
        report.push(finding.expected("a URL such as https://alerts.example.com/storegate, without a user"));
        return None;
    }
    match raw.secret.as_ref() {
        Some(secret) if secret.get_ref().len() >= SHORTEST => Some(Webhook {
            url: (*url.get_ref()).to_owned(),
            secret: Secret::new((*secret.get_ref()).to_owned()),
        }),
        Some(secret) => {
            let finding = Finding::error(secret.span(), "this secret is too short");
            report.push(finding.expected("16 characters or more, such as `openssl rand -hex 32` prints"));
            None
        }
        None => {
            let finding =
                Finding::error(url.span(), "a webhook needs a secret that its receiver knows as well");
            report.push(finding.help("set `usage.alerts.secret`, best as \"file:PATH\"".to_owned()));
            None
        }
    }
}
