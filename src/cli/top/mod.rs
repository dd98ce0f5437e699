//! `storegate top`: a gateway at work, drawn anew every few seconds. All comes from its metrics and its
//! readiness, so that it costs the gateway a scrape.

mod frame;
mod scrape;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::gateways::{self, Gateways};
use super::output::Output;
use crate::model::parse_duration;
use frame::Frame;
use scrape::Scrape;

/// Draws over the frame before, without wrapping long lines, and leaves the terminal as it was.
const HOME: &str = "\x1b[H\x1b[?7l";
const END_OF_LINE: &str = "\x1b[K\n";
const END: &str = "\x1b[J\x1b[?7h";

/// Watch a running gateway: requests, refusals, times, the busiest apps and stores
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print one frame and end, as with --json; a terminal is redrawn otherwise
    #[arg(long)]
    once: bool,
    /// The time from one frame to the next, 200ms to 1h; rates are of this time
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(200)..=Duration::from_secs(3600);
    match parse_duration(text)? {
        interval if range.contains(&interval) => Ok(interval),
        _ => Err("choose 200ms to 1h".to_owned()),
    }
}

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let found = Gateways::find(config)?;
        let Some(mut before) = look_all(&found)? else { return Err(gateways::nobody(config)) };
        let is_live = std::io::stdout().is_terminal() && !self.once && !output.json;
        if is_live {
            draw("\x1b[2J");
        }
        loop {
            std::thread::sleep(self.interval);
            let Some(now) = look_all(&found)? else { return Err(gateways::nobody(config)) };
            let frames: Vec<Frame> = now
                .iter()
                .filter_map(|(address, look)| {
                    let (_, before) = before.iter().find(|(other, _)| other == address)?;
                    let (scrape, reasons) = look;
                    Some(Frame::between(address.to_string(), reasons.clone(), &before.0, scrape))
                })
                .collect();
            if self.once || output.json {
                output.result(&frames, |frames| text(frames));
                return Ok(());
            }
            let frame = text(&frames);
            let drawn = if is_live {
                let lines: Vec<&str> = frame.lines().collect();
                draw(&format!("{HOME}{}{END_OF_LINE}{END}", lines.join(END_OF_LINE)))
            } else {
                draw(&format!("{frame}\n"))
            };
            if !drawn {
                return Ok(()); // nobody reads any more
            }
            before = now;
        }
    }
}

type Look = (Scrape, Vec<String>);

/// Every gateway that answers; `None` where none does.
fn look_all(found: &Gateways) -> Result<Option<Vec<(SocketAddr, Look)>>, Failure> {
    let mut looks = Vec::new();
    for &address in &found.addresses {
        let Some((200, metrics)) = found.read(address, "/metrics")? else { continue };
        let scrape = Scrape::parse(&metrics, Instant::now());
        let reasons = match found.read(address, "/readyz")? {
            None => vec!["it does not answer".to_owned()],
            Some((200, _)) => Vec::new(),
            Some((_, body)) => reasons(&body),
        };
        looks.push((address, (scrape, reasons)));
    }
    Ok((!looks.is_empty()).then_some(looks))
}

fn reasons(body: &str) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let reasons = body["reasons"].as_array().into_iter().flatten();
    let mut reasons: Vec<String> = reasons.filter_map(|one| one.as_str().map(str::to_owned)).collect();
    if reasons.is_empty() {
        reasons.push("without a reason".to_owned());
    }
    reasons
}

fn text(frames: &[Frame]) -> String {
    frames.iter().map(Frame::text).collect::<Vec<_>>().join("\n\n")
}

/// Whether anybody reads.
fn draw(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}
