//! `[upstream.NAME]`: where requests go.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::raw;
use super::report::{Finding, Report};
use super::upstream_tls::UpstreamTls;
use super::value;
use crate::proxy::{Balance, Ejection, HealthCheck, MOST_SERVERS, Probe};

/// A group of servers that serve the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// What routes call it.
    pub name: String,
    /// Its servers, at least one, without doubles.
    pub servers: Vec<Server>,
    /// The time to open a connection; 2 s by default.
    pub connect_timeout: Duration,
    /// The longest silence of the server while its answer is awaited; 30 s by default.
    pub read_timeout: Duration,
    /// The longest time that the server takes no byte of the request; 30 s by default.
    pub write_timeout: Duration,
    /// How long a connection is kept that no request uses; 60 s by default.
    pub idle_timeout: Duration,
    /// How requests are spread over the servers; in turn by default.
    pub balance: Balance,
    /// When a server that fails is left out; for 10 s after 5 failures by default.
    pub ejection: Ejection,
    /// How servers are checked; not at all by default.
    pub health: Option<HealthCheck>,
    /// Whether HTTP/2 is spoken; HTTP/1.1 by default.
    pub http2: bool,
    /// How TLS is spoken to the servers that have it.
    pub tls: UpstreamTls,
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// With or without TLS.
    pub scheme: Scheme,
    /// A name or an address, lower-case; an IPv6 address without brackets.
    pub host: String,
    /// The port; by default that of the scheme.
    pub port: u16,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// With TLS.
    Https,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl Upstream {
    /// `own` are the gateway's listeners, which no request may be sent to.
    pub(super) fn check(raw: &raw::Upstream<'_>, own: &[SocketAddr], folder: &Path, report: &Report) -> Self {
        let ms = Duration::from_millis;
        let io = ms(10)..=Duration::from_secs(3600);
        let default = Duration::from_secs(30);
        let connect = ms(10)..=Duration::from_secs(60);
        let name = *raw.name.get_ref();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
            report.push(
                Finding::error(raw.name.span(), "this cannot be the name of an upstream")
                    .expected("1 to 64 letters, digits, underscores and hyphens"),
            );
        }
        let servers = servers(raw, own, report);
        Self {
            name: name.to_owned(),
            http2: value::flag(report, &raw.http2, false),
            tls: UpstreamTls::check(raw, &servers, folder, report),
            servers,
            connect_timeout: value::duration(report, &raw.connect_timeout, Duration::from_secs(2), connect),
            read_timeout: value::duration(report, &raw.read_timeout, default, io.clone()),
            write_timeout: value::duration(report, &raw.write_timeout, default, io),
            idle_timeout: value::duration(report, &raw.idle_timeout, SECOND * 60, SECOND..=SECOND * 3600),
            balance: value::word(
                report,
                &raw.balance,
                Balance::RoundRobin,
                &[("round_robin", Balance::RoundRobin), ("least_connections", Balance::LeastConnections)],
            ),
            ejection: Ejection {
                after: times(report, &raw.eject_after, 5, 0..=1000),
                length: value::duration(report, &raw.eject_for, SECOND * 10, ms(100)..=SECOND * 300),
            },
            health: raw.health.as_ref().map(|health| health_check(health, report)),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn times(report: &Report, given: &raw::Number, default: usize, range: RangeInclusive<usize>) -> u32 {
    u32::try_from(value::number(report, given, default, range)).unwrap_or(u32::MAX)
}

fn health_check(raw: &raw::Health<'_>, report: &Report) -> HealthCheck {
    let path = raw.path.as_ref().and_then(|path| {
        let allowed = |b: u8| b.is_ascii_graphic() && b != b'#';
        let valid = path.get_ref().starts_with('/') && path.get_ref().bytes().all(allowed);
        if !valid || path.get_ref().len() > 1024 {
            report.push(
                Finding::error(path.span(), "this is not a path to ask for")
                    .expected("a slash and up to 1023 visible ASCII characters, such as /healthz"),
            );
            return None;
        }
        Some(Box::from(*path.get_ref()))
    });
    report.holds_by_default(raw.tcp.key, false);
    let tcp = raw.tcp.as_ref().filter(|tcp| *tcp.get_ref());
    if let (true, Some(tcp)) = (raw.has_path, tcp) {
        report.push(
            Finding::error(tcp.span(), "a check asks for a path or for a connection, not for both")
                .help("remove `tcp`: a check that asks for a path needs a connection anyway".to_owned()),
        );
    }
    // What is there and wrong has been reported.
    if !raw.has_path && tcp.is_none() && (raw.tcp.is_some() || !raw.has_tcp) {
        report.push(
            Finding::error(raw.span.clone(), "this section does not say what a check asks for")
                .expected("`path = \"/healthz\"`, or `tcp = true` to open a connection only"),
        );
    }
    let ms = Duration::from_millis;
    HealthCheck {
        probe: path.map_or(Probe::Tcp, Probe::Http),
        interval: value::duration(report, &raw.interval, SECOND * 5, ms(100)..=SECOND * 3600),
        timeout: value::duration(report, &raw.timeout, SECOND, ms(10)..=SECOND * 60),
        healthy_after: times(report, &raw.healthy_after, 2, 1..=1000),
        unhealthy_after: times(report, &raw.unhealthy_after, 3, 1..=1000),
    }
}

fn servers(raw: &raw::Upstream<'_>, own: &[SocketAddr], report: &Report) -> Vec<Server> {
    let Some(given) = raw.servers.as_ref() else { return Vec::new() };
    if given.get_ref().is_empty() {
        report.push(
            Finding::error(given.span(), "an upstream needs a server")
                .expected("at least one URL, such as \"http://127.0.0.1:9000\"")
                .whole_file(),
        );
    }
    if given.get_ref().len() > MOST_SERVERS {
        report.push(
            Finding::error(given.span(), "these are too many servers")
                .expected(format!("at most {MOST_SERVERS}; put a load balancer of their own before more")),
        );
    }
    let mut seen = HashSet::new();
    let mut servers = Vec::new();
    for text in given.get_ref() {
        let server = match Server::parse(text.get_ref()) {
            Ok(server) => server,
            Err(message) => {
                report.push(refused(text, message));
                continue;
            }
        };
        if own.iter().any(|listener| server.reaches(*listener)) {
            report.push(
                Finding::error(text.span(), "the gateway itself listens here")
                    .help("write the address of the API that the gateway protects".to_owned()),
            );
        } else if !seen.insert(server.clone()) {
            report.push(Finding::error(text.span(), "this server stands in the list already"));
        }
        servers.push(server);
    }
    servers
}

fn refused(text: &Spanned<&str>, message: &'static str) -> Finding {
    let url = *text.get_ref();
    // Only what is harmless is repeated.
    let plain = !url.is_empty() && url.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    let completed = format!("http://{url}");
    let help = (plain && Server::parse(&completed).is_ok()).then(|| format!("write \"{completed}\""));
    Finding::error(text.span(), message)
        .expected("scheme, host and port, such as http://127.0.0.1:9000 or https://api.example.com")
        .help(help)
}

impl Server {
    fn parse(url: &str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = url.split_once("://") else { return Err("this URL has no scheme") };
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            _ => return Err("servers are spoken to by http or https"),
        };
        if rest.contains('@') {
            return Err("a server's URL carries no user name or password");
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err("a server's URL has no path, query or fragment: the request's own path is forwarded");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let Some((host, port)) = rest.split_once(']') else { return Err(HOST) };
                let address: Ipv6Addr = host.parse().map_err(|_| HOST)?;
                (address.to_string(), (!port.is_empty()).then_some(port))
            }
            None => match authority.split_once(':') {
                Some((host, _)) => (name(host)?, Some(&authority[host.len()..])),
                None => (name(authority)?, None),
            },
        };
        let port = port.map_or(Some(default_port), |port| {
            let digits = port.strip_prefix(':')?;
            let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| plain)
        });
        Ok(Self { scheme, host, port: port.ok_or("a port is a number from 1 to 65535")? })
    }

    /// Whether a request to this server would arrive at `listener`, as far as the text tells.
    fn reaches(&self, listener: SocketAddr) -> bool {
        let address = match self.host.as_str() {
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host => host.parse::<IpAddr>().ok(),
        };
        let Some(address) = address.map(|address| address.to_canonical()) else { return false };
        // The unspecified address, as a destination, is this machine.
        let local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
        let own = listener.ip().to_canonical();
        self.port == listener.port() && (address == own || (local(address) && local(own)))
    }
}

const HOST: &str = "this is neither a host name nor an address";

/// A DNS name (RFC 1123 section 2.1, and the underscores that container networks use) or an IPv4
/// address.
fn name(host: &str) -> Result<String, &'static str> {
    let label = |label: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let valid = match numeric {
        true => host.parse::<Ipv4Addr>().is_ok(),
        false => host.len() <= 253 && host.split('.').all(label),
    };
    if valid { Ok(host.to_ascii_lowercase()) } else { Err(HOST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_servers() {
        let rows = [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://127.0.0.1", "http://127.0.0.1:80"),
            ("HTTPS://API.Example.com/", "https://api.example.com:443"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("http://[2001:DB8::1]", "http://[2001:db8::1]:80"),
            ("http://store_api:1", "http://store_api:1"),
        ];
        for (url, expected) in rows {
            assert_eq!(Server::parse(url).unwrap().to_string(), expected);
        }
        let refused = [
            "",
            "127.0.0.1:9000",
            "localhost",
            "ftp://a",
            "http:/a",
            "http://",
            "http:///",
            "http://:80",
            "http://a:",
            "http://a:0",
            "http://a:+8",
            "http://a:00080",
            "http://a:65536",
            "http://a:1:2",
            "http://a/b",
            "http://a//",
            "http://a?b",
            "http://a#b",
            "http://user:word@a",
            "http://a b",
            "http://a..b",
            "http://-a",
            "http://ä",
            "http://1.2.3",
            "http://256.1.1.1",
            "http://1.2.3.4.5",
            "http://::1",
            "http://[::1",
            "http://[::1]9000",
            "http://[]",
            "http://[127.0.0.1]",
        ];
        for url in refused {
            assert!(Server::parse(url).is_err(), "{url} was accepted");
        }
    }
}
