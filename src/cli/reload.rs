//! `storegate reload`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::failure::Failure;
use super::gateways::{self, Gateways};
use super::output::{Output, table};
use crate::admin::{ReloadReport, ReloadRequest, ReloadResult, Replayed};

/// Put the changed configuration in force
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Change nothing; take the recent decisions again and tell which would change
    #[arg(long)]
    dry_run: bool,
    /// Look at this file in place of the configuration's own
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    candidate: Option<PathBuf>,
    /// Refuse where more of the recent decisions would change
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_changed: Option<f64>,
}

#[derive(Serialize)]
struct Reports {
    gateways: Vec<Report>,
}

#[derive(Serialize)]
struct Report {
    admin: String,
    #[serde(flatten)]
    report: ReloadReport,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "a percentage is written 0.1%, from 0% to 100%".to_owned())
}

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let found = Gateways::find(config)?;
        let absolute = |path: &Path| std::path::absolute(path).map_err(Failure::failed);
        let request = ReloadRequest {
            config: Some(absolute(config)?),
            dry_run: self.dry_run,
            candidate: self.candidate.as_deref().map(absolute).transpose()?,
            max_changed: self.max_changed,
        };
        let mut reports = Vec::new();
        for &address in &found.addresses {
            match found.post(address, "/admin/v1/reload", &request)? {
                None | Some((409, _)) => {} // gone, or another configuration's
                Some((status @ (200 | 422), body)) => match serde_json::from_value(body.clone()) {
                    Ok(report) => reports.push(Report { admin: address.to_string(), report }),
                    Err(_) => return Err(gateways::complaint(address, status, &body)),
                },
                Some((status, body)) => return Err(gateways::complaint(address, status, &body)),
            }
        }
        if reports.is_empty() {
            return Err(gateways::nobody(config));
        }
        let reports = Reports { gateways: reports };
        let told: String = reports.gateways.iter().map(text).collect();
        if output.json || !told.is_empty() {
            output.result(&reports, |_| told);
        }
        let Some(problem) = reports.gateways.iter().find_map(|one| one.report.problem.as_deref()) else {
            return Ok(());
        };
        output.message(problem);
        let what = if self.dry_run { "it would be refused" } else { "nothing was changed" };
        Err(Failure::Failed(format!("{what}: the configuration before stays in force")))
    }
}

fn text(Report { admin, report }: &Report) -> String {
    let mut text: String = report.warnings.iter().map(|warning| format!("{warning}\n")).collect();
    text.push_str(&report.decisions.as_ref().map(replayed).unwrap_or_default());
    match report.result {
        ReloadResult::Applied => {
            text.push_str(&format!(
                "{} is in force (gateway {admin}, sha256 {})\n",
                report.file, report.checksum
            ));
        }
        ReloadResult::Checked => {
            text.push_str(&format!("{} can be put in force (gateway {admin})\n", report.file));
        }
        ReloadResult::Refused => {}
    }
    if !report.needs_restart.is_empty() {
        text.push_str(&format!("only a restart changes {}\n", report.needs_restart.join(", ")));
    }
    text
}

fn replayed(replayed: &Replayed) -> String {
    let Replayed { decisions, changed, unknown, changes } = replayed;
    let mut text = match decisions {
        0 => "no recent decisions are kept: nothing could be taken again\n".to_owned(),
        _ => format!(
            "{decisions} recent decisions taken again: {changed} would change, {unknown} may ({:.2} %)\n",
            replayed.percent()
        ),
    };
    if !changes.is_empty() {
        let row = |change: &crate::admin::Change| {
            let what = format!("{} → {}", change.before, change.after);
            vec![
                change.count.to_string(),
                format!("{} {}", change.method, change.path),
                what,
                change.request_id.clone(),
            ]
        };
        let rows: Vec<_> = changes.iter().map(row).collect();
        text.push_str(&table(&["COUNT", "LATEST", "DECISION", "REQUEST ID"], &rows));
    }
    text
}
