//! `storegate reload`.

use std::path::Path;

use serde::Serialize;

use super::failure::Failure;
use super::gateways::{self, Gateways};
use super::output::Output;
use crate::admin::{ReloadReport, ReloadRequest, ReloadResult};

/// Put the changed configuration in force
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

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

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let found = Gateways::find(config)?;
        let file = std::path::absolute(config).map_err(Failure::failed)?;
        let request = ReloadRequest { config: Some(file) };
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
        let refused = reports.gateways.iter().find_map(|one| one.report.problem.as_deref());
        if output.json || refused.is_none() {
            output.result(&reports, |all| all.gateways.iter().map(text).collect());
        }
        match refused {
            None => Ok(()),
            Some(problem) => {
                output.message(problem);
                let what = "nothing was changed: the configuration before stays in force";
                Err(Failure::Failed(what.to_owned()))
            }
        }
    }
}

fn text(report: &Report) -> String {
    let Report { admin, report } = report;
    let mut text: String = report.warnings.iter().map(|warning| format!("{warning}\n")).collect();
    match report.result {
        ReloadResult::Applied => {
            text.push_str(&format!(
                "{} is in force (gateway {admin}, sha256 {})\n",
                report.file, report.checksum
            ));
        }
        ReloadResult::Refused => {}
    }
    if !report.needs_restart.is_empty() {
        text.push_str(&format!("only a restart changes {}\n", report.needs_restart.join(", ")));
    }
    text
}
