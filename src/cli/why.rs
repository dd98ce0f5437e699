//! `storegate why`: one of the running gateway's recent decisions.

use std::path::Path;

use super::explain;
use super::failure::Failure;
use super::gateways::{self, Gateways};
use super::output::Output;
use super::when;
use crate::admin::Past;

/// Tell every step of a recent decision
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The X-Request-Id of the answer, which also stands in the access log
    #[arg(value_name = "REQUEST_ID", value_parser = request_id)]
    request_id: String,
}

/// What a request id consists of: ours are hexadecimal, those of trusted proxies may have more.
fn request_id(text: &str) -> Result<String, String> {
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b);
    match !text.is_empty() && text.len() <= 128 && text.bytes().all(is_fine) {
        true => Ok(text.to_owned()),
        false => Err("a request id has 1 to 128 letters, digits and -_.:/+=".to_owned()),
    }
}

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let found = Gateways::find(config)?;
        let path = format!("/admin/v1/decisions/{}", self.request_id);
        let mut asked = false;
        for &address in &found.addresses {
            match found.ask(address, &path)? {
                None => {}
                Some((200, body)) => {
                    let past: Past = serde_json::from_value(body).map_err(Failure::failed)?;
                    output.result(&past, text);
                    return Ok(());
                }
                Some((404, _)) => asked = true,
                Some((status, body)) => return Err(gateways::complaint(address, status, &body)),
            }
        }
        if !asked {
            return Err(gateways::nobody(config));
        }
        Err(Failure::Failed(format!(
            "no decision on request {} is kept: a gateway keeps the last log.recent_decisions since its start",
            self.request_id
        )))
    }
}

fn text(past: &Past) -> String {
    let mut text =
        format!("{} {}", past.method, past.explanation.target.as_deref().unwrap_or("(unreadable)"));
    for (what, value) in [("host", &past.host), ("from", &past.caller)] {
        if let Some(value) = value {
            text.push_str(&format!(", {what} {value}"));
        }
    }
    let (when, milliseconds) = (when::ago(past.time as i64), past.total_us as f64 / 1000.0);
    text.push_str(&format!("\n{when}, status {}, {milliseconds:.1} ms", past.explanation.status));
    if let Some(upstream) = past.upstream_us {
        text.push_str(&format!(", {:.1} ms of them the upstream's", upstream as f64 / 1000.0));
    }
    if let Some(ended) = &past.ended {
        text.push_str(&format!(", ended by the gateway: {ended}"));
    }
    text.push('\n');
    text.push_str(&explain::text(&past.explanation));
    text
}
