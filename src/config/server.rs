//! `[server]` and `[admin]`: the two listeners.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::raw;
use super::report::{Finding, Report};
use super::value;
use crate::gate::PathCase;
use crate::model::AddressList;

/// The public listener.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where requests are accepted; at least one address, `127.0.0.1:8080` by default. Port 0 picks
    /// a free one.
    pub listen: Vec<SocketAddr>,
    /// Worker threads, at least 1; one per core by default (`0` in the file).
    pub threads: usize,
    /// The peers whose `X-Forwarded-For` is believed; none by default.
    pub trusted_proxies: AddressList,
    /// The time to receive a complete request head; 10 s by default.
    pub header_timeout: Duration,
    /// The time of waiting for a body that is looked at as a whole; 20 s by default.
    pub body_timeout: Duration,
    /// What that time must bring on average, in bytes per second; 240 by default. 0: anything.
    pub min_body_rate: u64,
    /// How long nobody may send on a WebSocket; 5 minutes by default.
    pub websocket_idle_timeout: Duration,
    /// The time that requests under way get at shutdown; 10 s by default.
    pub grace_period: Duration,
    /// Whether a changed file is put in force by itself, which is the default.
    pub reload_on_change: bool,
    /// Whether literal parts of routes match without regard to case, which is the default.
    pub path_case: PathCase,
    /// The largest request head, in bytes; 32 KiB by default.
    pub max_head_bytes: usize,
    /// The most header fields of a request; 100 by default.
    pub max_header_fields: usize,
    /// The most connections that are open at once; 65,536 by default.
    pub max_connections: usize,
    /// The most connections of one address that is no trusted proxy; no limit by default (`0`).
    pub max_connections_per_address: Option<usize>,
    /// The certificate; plain HTTP by default.
    pub tls: Option<Tls>,
}

/// What TLS is served with. The files are read when the gateway starts; `cert` and `key` again when
/// they or their names change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// What the certificates of clients are verified with; none are asked for by default.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates of clients are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The authorities that sign them, PEM.
    pub authorities: PathBuf,
    /// Whether clients without one are refused, which is the default.
    pub required: bool,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where health, metrics and the admin API are served; `127.0.0.1:9180` by default. Without TLS
    /// always loop-back.
    pub listen: SocketAddr,
    /// The certificate; plain HTTP by default.
    pub tls: Option<AdminTls>,
}

/// What TLS the admin listener speaks. The files are read at start, and again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Server {
    pub(super) fn check(raw: &raw::Server<'_>, folder: &Path, report: &Report) -> Self {
        let threads = value::number(report, &raw.threads, 0, 0..=1024);
        let cases = [("insensitive", PathCase::Insensitive), ("sensitive", PathCase::Sensitive)];
        Self {
            listen: listen(&raw.listen, report),
            threads: if threads == 0 { cores() } else { threads },
            trusted_proxies: trusted_proxies(raw, report),
            header_timeout: value::duration(
                report,
                &raw.header_timeout,
                seconds(10),
                seconds(1)..=seconds(300),
            ),
            body_timeout: value::duration(report, &raw.body_timeout, seconds(20), seconds(1)..=seconds(3600)),
            min_body_rate: value::number(report, &raw.min_body_rate, 240, 0..=1_000_000) as u64,
            websocket_idle_timeout: value::duration(
                report,
                &raw.websocket_idle_timeout,
                seconds(300),
                seconds(1)..=seconds(86_400),
            ),
            grace_period: value::duration(report, &raw.grace_period, seconds(10), seconds(0)..=seconds(3600)),
            reload_on_change: value::flag(report, &raw.reload_on_change, true),
            path_case: value::word(report, &raw.path_case, PathCase::Insensitive, &cases),
            max_head_bytes: value::number(report, &raw.max_head_bytes, 32 * 1024, 1024..=64 * 1024),
            max_header_fields: value::number(report, &raw.max_header_fields, 100, 10..=256),
            max_connections: value::number(report, &raw.max_connections, 65_536, 16..=10_000_000),
            max_connections_per_address: Some(value::number(
                report,
                &raw.max_connections_per_address,
                0,
                0..=10_000_000,
            ))
            .filter(|&most| most > 0),
            tls: raw.tls.as_ref().and_then(|tls| Tls::check(tls, folder, report)),
        }
    }
}

impl Tls {
    fn check(raw: &raw::Tls<'_>, folder: &Path, report: &Report) -> Option<Self> {
        let cert = value::path(report, &raw.cert, folder);
        let key = value::path(report, &raw.key, folder);
        let clients = ClientCertificates::check(raw, folder, report);
        Some(Self { cert: cert?, key: key?, clients })
    }
}

impl ClientCertificates {
    fn check(raw: &raw::Tls<'_>, folder: &Path, report: &Report) -> Option<Self> {
        let words = [("required", true), ("optional", false)];
        let required = value::word(report, &raw.client_auth, true, &words);
        if let (Some(given), None) = (raw.client_auth.as_ref(), raw.client_ca.as_ref()) {
            report.push(
                Finding::error(given.span(), "there is nothing to verify the certificates of clients with")
                    .help("name the file with their authorities: `client_ca = \"clients.pem\"`".to_owned()),
            );
        }
        Some(Self { authorities: value::path(report, &raw.client_ca, folder)?, required })
    }
}

impl Admin {
    const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9180);

    pub(super) fn check(raw: &raw::Admin<'_>, listen: &[SocketAddr], folder: &Path, report: &Report) -> Self {
        let tls = raw.tls.as_ref().and_then(|tls| {
            let (cert, key) = (value::path(report, &tls.cert, folder), value::path(report, &tls.key, folder));
            Some(AdminTls { cert: cert?, key: key? })
        });
        report.holds_by_default(raw.listen.key, Self::DEFAULT.to_string());
        let Some(given) = raw.listen.as_ref() else { return Self { listen: Self::DEFAULT, tls } };
        let Some(address) = value::address(report, given) else {
            return Self { listen: Self::DEFAULT, tls };
        };
        // Whoever reads along at this listener gets the keys of the gateway.
        if raw.tls.is_none() && !address.ip().to_canonical().is_loopback() {
            report.push(
                Finding::error(
                    given.span(),
                    "the admin listener would be reachable from other machines, without encryption",
                )
                .expected("a loop-back address, such as 127.0.0.1:9180 or [::1]:9180")
                .help(
                    "keep it on 127.0.0.1 and reach it through an SSH tunnel or an agent on this machine, \
                     or give it a certificate in [admin.tls]"
                        .to_owned(),
                ),
            );
        }
        if listen.iter().any(|other| collide(*other, address)) {
            report.push(
                Finding::error(given.span(), "[server] listens on this address already")
                    .expected("a port of its own"),
            );
        }
        Self { listen: address, tls }
    }
}

/// The cores this process may use; 1 where that is unknown.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Whether the second of two listeners could not be opened.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let all = |address: SocketAddr| address.ip().is_unspecified();
    let family = a.is_ipv4() == b.is_ipv4();
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || (family && (all(a) || all(b))))
}

fn listen(raw: &raw::Texts<'_>, report: &Report) -> Vec<SocketAddr> {
    const MOST: usize = 64;
    let default = vec![SocketAddr::from(([127, 0, 0, 1], 8080))];
    report.holds_by_default(raw.key, vec![default[0].to_string()]);
    let Some(given) = raw.as_ref() else { return default };
    if !(1..=MOST).contains(&given.get_ref().len()) {
        report.push(
            Finding::error(given.span(), "a gateway listens on one address at least, and on 64 at most")
                .expected("a list such as [\"127.0.0.1:8080\"]")
                .whole_file(),
        );
        return default;
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for text in given.get_ref() {
        let Some(address) = value::address(report, text) else { continue };
        if addresses.iter().any(|other| collide(*other, address)) {
            report.push(Finding::error(text.span(), "an earlier address of the list covers this one"));
        }
        addresses.push(address);
    }
    addresses
}

fn trusted_proxies(raw: &raw::Server<'_>, report: &Report) -> AddressList {
    report.holds_by_default(raw.trusted_proxies.key, Vec::<String>::new());
    let given = raw.trusted_proxies.as_ref().map_or(&[][..], |list| list.get_ref());
    report.holds_by_default(raw.unsafe_trust_any_proxy.key, false);
    let trust_any = raw.unsafe_trust_any_proxy.as_ref().filter(|flag| *flag.get_ref());
    if let Some(flag) = trust_any {
        report.push(Finding::warning(
            flag.span(),
            "with this, any caller may be able to choose the address it appears to come from",
        ));
    }
    let mut networks: Vec<IpNet> = Vec::new();
    let mut wide = Vec::new();
    for text in given {
        let Ok(network) = AddressList::parse_entry(text.get_ref()) else {
            report.push(
                Finding::error(text.span(), "this is not a network").expected(
                    "an address or a network, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32",
                ),
            );
            continue;
        };
        if let IpNet::V6(mapped) = network
            && mapped.addr().to_ipv4_mapped().is_some()
        {
            report.push(
                Finding::error(text.span(), "this network never matches: such peers count as IPv4")
                    .help("write the IPv4 network".to_owned()),
            );
            continue;
        }
        if network.prefix_len() == 0 && trust_any.is_none() {
            report.push(any_proxy(text.span()));
            continue;
        }
        if is_wide(&network) {
            wide.push(text.span());
        }
        networks.push(network);
    }
    // Two halves are the whole.
    if trust_any.is_none() && IpNet::aggregate(&networks).iter().any(|network| network.prefix_len() == 0) {
        report.push(any_proxy(raw.trusted_proxies.as_ref().map_or(0..0, Spanned::span)));
    } else if trust_any.is_none() {
        wide.into_iter().for_each(|span| report.push(wide_proxy(span)));
    }
    AddressList::new(networks)
}

/// Whether a network is larger than those that one operator has: a /8 like 10.0.0.0/8, a /20 of the
/// largest networks; the unique local addresses (RFC 4193) are as private as 10.0.0.0/8.
fn is_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < 8,
        IpNet::V6(network) => network.prefix_len() < 20 && !network.addr().is_unique_local(),
    }
}

fn any_proxy(span: Range<usize>) -> Finding {
    Finding::error(span, "this trusts every address, so that callers could forge theirs")
        .expected("the networks of your own proxies")
        .help(
            "if nothing but your proxies can reach this port, set `unsafe_trust_any_proxy = true`".to_owned(),
        )
}

fn wide_proxy(span: Range<usize>) -> Finding {
    Finding::warning(span, "this trusts more addresses than proxies have").help(
        "list the networks of your own proxies: whoever calls from here chooses the address it appears to come from"
            .to_owned(),
    )
}
