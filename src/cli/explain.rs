//! `storegate explain`: the live engine on the local replica, telling every step.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::failure::{Failure, load};
use super::output::Output;
use crate::admin::{Explanation, Injected};
use crate::app;
use crate::config::Config;
use crate::gate::{Decision, Pass, RawHead, Reason, Step, Told, Trail};
use crate::hasher::{Hasher, Verdict};
use crate::model::{ProofKey, Timestamp};
use crate::replica::{self, Replica};
use crate::telemetry::FingerprintKey;

/// Tell every step of the decision on a request
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A header field of the request; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The caller's address
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,
    /// The method
    method: String,
    /// The URL, or only its path and query
    url: String,
}

/// Keeps each step as a sentence.
struct Telling {
    steps: Vec<String>,
    key: Option<FingerprintKey>,
}

impl Trail for Telling {
    fn step(&mut self, step: Step<'_>) {
        let told = match (step, &self.key) {
            (Step::Digest(digest), Some(key)) => Told::Digest(Some(key.of_token(digest))),
            (step, _) => Told::from(step),
        };
        self.steps.push(told.to_string());
    }
}

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let config = load(config)?;
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| Failure::Usage(format!("{:?} is not a method", self.method)))?;
        let mut headers = HeaderMap::new();
        for header in &self.headers {
            let (name, value) = parse_header(header)?;
            headers.append(name, value);
        }
        if !headers.contains_key(http::header::HOST) {
            let host = HeaderValue::from_str(host(&self.url))
                .map_err(|_| Failure::Usage("the URL's host is malformed".into()))?;
            headers.insert(http::header::HOST, host);
        }
        let options =
            replica::Options { key_file: config.replica.key_file.clone(), ..replica::Options::default() };
        let replica = Replica::open(&config.replica.path, options).map_err(Failure::failed)?;
        let proof_key = ProofKey::random().map_err(Failure::failed)?;
        let hasher = Hasher::start(1, 1, proof_key.clone()).map_err(Failure::failed)?;
        let own = endpoints(&config);
        let upstreams: Vec<String> =
            config.upstreams.iter().map(|upstream| upstream.name.to_string()).collect();
        let gate = app::gate(config, proof_key);

        let raw = RawHead {
            method: &method,
            target: self.url.as_bytes(),
            authority: None,
            headers: &headers,
            peer: self.from,
        };
        // A gateway makes the key, and complains of one that cannot be used.
        let key = FingerprintKey::read(replica.path()).ok().flatten();
        let mut telling = Telling { steps: Vec::new(), key };
        let head = match gate.admit(&raw) {
            Ok(head) => head,
            Err(reason) => return print(output, refused(&reason, telling, None)),
        };
        let case = gate.settings().routes.case();
        let asked = case.literal(head.target.path());
        if let Some((path, whose)) = own.iter().find(|(path, _)| case.literal(path) == asked) {
            let step = format!("{path} belongs to {whose}, which answers itself");
            return print(output, answered_here(step, path));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Failure::failed)?;
        for _ in 0..2 {
            telling.steps.clear();
            match gate.decide(&head, &replica, Timestamp::now(), &mut telling) {
                Decision::Refuse(reason) => {
                    return print(output, refused(&reason, telling, Some(head.target.path())));
                }
                Decision::Prove(challenge) => {
                    let proof = hasher.prove(challenge.app, challenge.secret, Timestamp::now());
                    if runtime.block_on(proof) != Verdict::Proved {
                        return print(
                            output,
                            refused(&Reason::WrongSecret, telling, Some(head.target.path())),
                        );
                    }
                }
                Decision::Forward(route, pass) => {
                    let removed =
                        gate.strip(&headers, &pass, gate.settings().trusted_proxies.contains(self.from));
                    let injected = gate.identity(&pass);
                    let explanation = Explanation {
                        decision: match pass {
                            Pass::Permitted(_) => "forward",
                            Pass::Anonymous => "forward without identity",
                            Pass::Upstream => "forward with the caller's own credentials",
                        }
                        .to_owned(),
                        status: 200,
                        route: Some(route.pattern.to_string()),
                        upstream: upstreams.get(route.upstream).cloned(),
                        target: Some(head.target.path_and_query().into_owned()),
                        steps: telling.steps,
                        removed: removed.iter().map(ToString::to_string).collect(),
                        injected: injected
                            .iter()
                            .map(|(name, value)| Injected {
                                name: name.to_string(),
                                value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
                            })
                            .collect(),
                        ..Explanation::default()
                    };
                    return print(output, explanation);
                }
            }
        }
        Err(Failure::Failed("the app's record changes faster than its secret can be proved".to_owned()))
    }
}

/// The paths that the gateway answers itself, with whose they are.
fn endpoints(config: &Config) -> Vec<(Box<str>, String)> {
    let mut all = Vec::new();
    for endpoint in &config.token_endpoints {
        let whose = format!("a {} token endpoint", endpoint.platform.name());
        all.extend(endpoint.paths().into_iter().map(|path| (path, whose.clone())));
    }
    let customers = config.customer_tokens.iter();
    all.extend(customers.map(|tokens| (tokens.path.clone(), "a customer token endpoint".to_owned())));
    let provider = config.idp.iter().flat_map(crate::idp::Settings::paths);
    all.extend(provider.map(|path| (path, "the identity provider".to_owned())));
    all
}

fn answered_here(step: String, path: &str) -> Explanation {
    Explanation {
        decision: "answer here".to_owned(),
        status: 200,
        target: Some(path.to_owned()),
        steps: vec![step],
        ..Explanation::default()
    }
}

fn refused(reason: &Reason, telling: Telling, path: Option<&str>) -> Explanation {
    Explanation { target: path.map(str::to_owned), steps: telling.steps, ..Explanation::refused(reason) }
}

fn print(output: &Output, explanation: Explanation) -> Result<(), Failure> {
    output.result(&explanation, text);
    Ok(())
}

/// The steps and what came of them.
pub(super) fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    for (number, step) in explanation.steps.iter().enumerate() {
        text.push_str(&format!("{:>2}. {step}\n", number + 1));
    }
    match (&explanation.code, &explanation.reason) {
        (Some(code), Some(reason)) => {
            text.push_str(&format!("=> refused: {} {code}: {reason}\n", explanation.status));
            if let Some(message) = &explanation.message {
                text.push_str(&format!("   the caller is told: {message}\n"));
            }
            let remedies =
                [("caller", &explanation.caller_remedy), ("operator", &explanation.operator_remedy)];
            for (who, remedy) in remedies {
                if let Some(remedy) = remedy.as_ref().filter(|remedy| *remedy != "nothing.") {
                    text.push_str(&format!("   what the {who} can do: {remedy}\n"));
                }
            }
        }
        _ => {
            let to = explanation.upstream.as_ref().map(|upstream| format!(", to upstream {upstream}"));
            text.push_str(&format!("=> {}{}\n", explanation.decision, to.unwrap_or_default()));
            text.push_str(&format!("   target: {}\n", explanation.target.as_deref().unwrap_or_default()));
            for name in &explanation.removed {
                text.push_str(&format!("   removed: {name}\n"));
            }
            for header in &explanation.injected {
                text.push_str(&format!("   set: {}: {}\n", header.name, header.value));
            }
        }
    }
    text
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    // The value may be a secret: it is not quoted.
    let wrong = || Failure::Usage("a header is written 'Name: value'".to_owned());
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

/// The host of an absolute URL, which a client would send as `Host`.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or("localhost", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}
