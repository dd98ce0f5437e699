//! gateway.toml as the operator wrote it: every key with its place, nothing judged yet. Nothing
//! reads these types after the configuration has been checked.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) use super::document::Any;
use super::document::{Given, Section};
use super::keys::Form;
use super::report::Report;

pub(super) type Text<'d> = Given<&'d str>;
pub(super) type Texts<'d> = Given<Vec<Spanned<&'d str>>>;
pub(super) type Number = Given<i64>;

#[derive(Debug)]
pub(super) struct Document<'d> {
    pub(super) server: Server<'d>,
    pub(super) admin: Admin<'d>,
    pub(super) audit: Audit<'d>,
    pub(super) replica: Replica<'d>,
    pub(super) credentials: Credentials<'d>,
    pub(super) hasher: Hasher,
    pub(super) upstreams: Vec<Upstream<'d>>,
    pub(super) inject: Inject<'d>,
    pub(super) log: Log<'d>,
    pub(super) usage: Usage<'d>,
    pub(super) otlp: Otlp<'d>,
    pub(super) errors: Errors<'d>,
    pub(super) limits: Limits<'d>,
    pub(super) idp: Option<Idp<'d>>,
    pub(super) token_endpoints: Vec<TokenEndpoint<'d>>,
    pub(super) customer_tokens: Option<CustomerTokens<'d>>,
    pub(super) routes: Vec<Route<'d>>,
    /// Whether something stands there that is no route.
    pub(super) has_other_routes: bool,
}

#[derive(Debug)]
pub(super) struct Server<'d> {
    pub(super) listen: Texts<'d>,
    pub(super) threads: Number,
    pub(super) trusted_proxies: Texts<'d>,
    pub(super) unsafe_trust_any_proxy: Given<bool>,
    pub(super) header_timeout: Text<'d>,
    pub(super) body_timeout: Text<'d>,
    pub(super) min_body_rate: Number,
    pub(super) websocket_idle_timeout: Text<'d>,
    pub(super) grace_period: Text<'d>,
    pub(super) reload_on_change: Given<bool>,
    pub(super) path_case: Text<'d>,
    pub(super) max_head_bytes: Number,
    pub(super) max_header_fields: Number,
    pub(super) max_connections: Number,
    pub(super) max_connections_per_address: Number,
    pub(super) tls: Option<Tls<'d>>,
}

#[derive(Debug)]
pub(super) struct Tls<'d> {
    pub(super) cert: Text<'d>,
    pub(super) key: Text<'d>,
    pub(super) client_ca: Text<'d>,
    pub(super) client_auth: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Admin<'d> {
    pub(super) listen: Text<'d>,
    pub(super) tls: Option<AdminTls<'d>>,
}

#[derive(Debug)]
pub(super) struct AdminTls<'d> {
    pub(super) cert: Text<'d>,
    pub(super) key: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Audit<'d> {
    pub(super) keep: Text<'d>,
    pub(super) entries: Number,
}

#[derive(Debug)]
pub(super) struct Replica<'d> {
    pub(super) path: Text<'d>,
    pub(super) source: Text<'d>,
    pub(super) cache_entries: Number,
    pub(super) key_file: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Credentials<'d> {
    pub(super) client_id_prefix: Text<'d>,
    pub(super) client_secret_prefix: Text<'d>,
    pub(super) access_token_prefix: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Hasher {
    pub(super) threads: Number,
    pub(super) queue: Number,
}

#[derive(Debug)]
pub(super) struct Upstream<'d> {
    pub(super) name: Spanned<&'d str>,
    pub(super) span: Range<usize>,
    pub(super) servers: Texts<'d>,
    pub(super) connect_timeout: Text<'d>,
    pub(super) read_timeout: Text<'d>,
    pub(super) write_timeout: Text<'d>,
    pub(super) idle_timeout: Text<'d>,
    pub(super) balance: Text<'d>,
    pub(super) eject_after: Number,
    pub(super) eject_for: Text<'d>,
    pub(super) health: Option<Health<'d>>,
    pub(super) ca: Text<'d>,
    pub(super) client_cert: Text<'d>,
    pub(super) client_key: Text<'d>,
    pub(super) http2: Given<bool>,
}

#[derive(Debug)]
pub(super) struct Health<'d> {
    pub(super) span: Range<usize>,
    pub(super) path: Text<'d>,
    /// Whether the key is there: of the wrong type is another mistake than absent.
    pub(super) has_path: bool,
    pub(super) tcp: Given<bool>,
    /// Whether the key is there.
    pub(super) has_tcp: bool,
    pub(super) interval: Text<'d>,
    pub(super) timeout: Text<'d>,
    pub(super) healthy_after: Number,
    pub(super) unhealthy_after: Number,
}

#[derive(Debug)]
pub(super) struct Inject<'d> {
    pub(super) store: Text<'d>,
    pub(super) scopes: Text<'d>,
    pub(super) client: Text<'d>,
    pub(super) installation: Text<'d>,
    pub(super) method: Text<'d>,
    pub(super) subject: Text<'d>,
    pub(super) client_cert_subject: Text<'d>,
    pub(super) client_cert_fingerprint: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Limits<'d> {
    pub(super) requests_per_second: Number,
    pub(super) burst: Number,
    pub(super) shared: Text<'d>,
    pub(super) address_failures: Number,
    pub(super) address_failures_per_second: Number,
    pub(super) client_failures: Number,
    pub(super) client_failures_per_second: Number,
}

#[derive(Debug)]
pub(super) struct Idp<'d> {
    pub(super) span: Range<usize>,
    pub(super) issuer: Text<'d>,
    pub(super) base: Text<'d>,
    pub(super) login: Text<'d>,
    pub(super) login_key_file: Text<'d>,
    pub(super) session_idle: Text<'d>,
    pub(super) session_life: Text<'d>,
    pub(super) key_life: Text<'d>,
    pub(super) brand: Brand<'d>,
}

#[derive(Debug)]
pub(super) struct Brand<'d> {
    pub(super) name: Text<'d>,
    pub(super) logo: Text<'d>,
    pub(super) color: Text<'d>,
    pub(super) color_dark: Text<'d>,
    pub(super) help_url: Text<'d>,
    pub(super) privacy_url: Text<'d>,
    pub(super) terms_url: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Log<'d> {
    pub(super) access: Text<'d>,
    pub(super) format: Text<'d>,
    pub(super) level: Text<'d>,
    pub(super) recent_decisions: Number,
}

#[derive(Debug)]
pub(super) struct Usage<'d> {
    pub(super) enabled: Given<bool>,
    pub(super) keep_minutes: Text<'d>,
    pub(super) keep_hours: Text<'d>,
    pub(super) keep_days: Text<'d>,
    pub(super) pairs: Number,
    pub(super) top: Number,
    pub(super) alerts: Alerts<'d>,
}

#[derive(Debug)]
pub(super) struct Alerts<'d> {
    pub(super) learning: Text<'d>,
    pub(super) spike_calls: Number,
    pub(super) spike_factor: Number,
    pub(super) webhook: Text<'d>,
    pub(super) secret: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Otlp<'d> {
    pub(super) span: Range<usize>,
    pub(super) is_present: bool,
    pub(super) endpoint: Text<'d>,
    pub(super) sample: Text<'d>,
    pub(super) service_name: Text<'d>,
    pub(super) header: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Errors<'d> {
    pub(super) format: Text<'d>,
    pub(super) docs_url: Text<'d>,
}

#[derive(Debug)]
pub(super) struct TokenEndpoint<'d> {
    pub(super) span: Range<usize>,
    pub(super) path: Text<'d>,
    pub(super) platform: Text<'d>,
    pub(super) ttl: Text<'d>,
    pub(super) requests_per_minute: Number,
    pub(super) implicit_scopes: Texts<'d>,
    pub(super) issuer: Text<'d>,
}

#[derive(Debug)]
pub(super) struct CustomerTokens<'d> {
    pub(super) path: Text<'d>,
    pub(super) ttl: Text<'d>,
    pub(super) scopes: Texts<'d>,
}

#[derive(Debug)]
pub(super) struct Route<'d> {
    pub(super) span: Range<usize>,
    pub(super) path: Text<'d>,
    pub(super) upstream: Text<'d>,
    /// Whether the key is there: of the wrong type is another mistake than absent.
    pub(super) has_upstream: bool,
    pub(super) auth: Any<'d>,
    pub(super) scopes: Scopes<'d>,
    pub(super) methods: Texts<'d>,
    /// Whether the key is there.
    pub(super) has_methods: bool,
    pub(super) rate: Option<Rate>,
    pub(super) platform: Text<'d>,
}

#[derive(Debug)]
pub(super) struct Rate {
    pub(super) per_second: Number,
    pub(super) burst: Number,
}

#[derive(Debug)]
pub(super) enum Scopes<'d> {
    Absent,
    /// One string or list for all methods.
    Same(&'d Spanned<DeValue<'d>>),
    /// `{ read = …, write = … }`.
    Split {
        span: Range<usize>,
        read: Any<'d>,
        write: Any<'d>,
    },
}

/// The forms of `auth`.
const AUTH: &[Form] = &[
    Form::Word(Cow::Borrowed(&["public", "upstream"])),
    Form::Words(Cow::Borrowed(&["bearer", "session", "client_credentials"])),
];

impl<'d> Document<'d> {
    pub(super) fn read(table: &'d Spanned<DeTable<'d>>, report: &'d Report) -> Self {
        let mut root = Section::root(table, report);
        let routes = root.sections("route");
        let document = Self {
            server: Server::read(root.section("server")),
            admin: Admin::read(root.section("admin")),
            audit: Audit::read(root.section("audit")),
            replica: Replica::read(root.section("replica")),
            credentials: Credentials::read(root.section("credentials")),
            hasher: Hasher::read(root.section("hasher")),
            upstreams: root
                .named_sections("upstream")
                .into_iter()
                .map(|(name, section)| Upstream::read(name, section))
                .collect(),
            inject: Inject::read(root.section("inject")),
            log: Log::read(root.section("log")),
            usage: Usage::read(root.section("usage")),
            otlp: Otlp::read(root.section("otlp")),
            errors: Errors::read(root.section("errors")),
            limits: Limits::read(root.section("limits")),
            idp: Idp::read(root.section("idp")),
            token_endpoints: root
                .sections("token_endpoint")
                .into_iter()
                .flatten()
                .map(TokenEndpoint::read)
                .collect(),
            customer_tokens: CustomerTokens::read(root.section("customer_tokens")),
            has_other_routes: routes.is_none(),
            routes: routes.into_iter().flatten().map(Route::read).collect(),
        };
        root.finish();
        document
    }
}

impl<'d> Server<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let tls = section.section("tls");
        let server = Self {
            listen: section.texts("listen"),
            threads: section.number("threads"),
            trusted_proxies: section.texts("trusted_proxies"),
            unsafe_trust_any_proxy: section.flag("unsafe_trust_any_proxy"),
            header_timeout: section.text("header_timeout"),
            body_timeout: section.text("body_timeout"),
            min_body_rate: section.number("min_body_rate"),
            websocket_idle_timeout: section.text("websocket_idle_timeout"),
            grace_period: section.text("grace_period"),
            reload_on_change: section.flag("reload_on_change"),
            path_case: section.text("path_case"),
            max_head_bytes: section.number("max_head_bytes"),
            max_header_fields: section.number("max_header_fields"),
            max_connections: section.number("max_connections"),
            max_connections_per_address: section.number("max_connections_per_address"),
            tls: Tls::read(tls),
        };
        section.finish();
        server
    }
}

impl<'d> Tls<'d> {
    fn read(mut section: Section<'d>) -> Option<Self> {
        let present = section.is_present();
        let help = "[server.tls] needs both `cert` and `key`, the paths of two PEM files";
        section.require("cert", help);
        section.require("key", help);
        let tls = Self {
            cert: section.text("cert"),
            key: section.text("key"),
            client_ca: section.text("client_ca"),
            client_auth: section.text("client_auth"),
        };
        section.finish();
        present.then_some(tls)
    }
}

impl<'d> Admin<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let tls = AdminTls::read(section.section("tls"));
        let admin = Self { listen: section.text("listen"), tls };
        section.finish();
        admin
    }
}

impl<'d> AdminTls<'d> {
    fn read(mut section: Section<'d>) -> Option<Self> {
        let present = section.is_present();
        let help = "[admin.tls] needs both `cert` and `key`, the paths of two PEM files";
        section.require("cert", help);
        section.require("key", help);
        let tls = Self { cert: section.text("cert"), key: section.text("key") };
        section.finish();
        present.then_some(tls)
    }
}

impl<'d> Audit<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let audit = Self { keep: section.text("keep"), entries: section.number("entries") };
        section.finish();
        audit
    }
}

impl<'d> Replica<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let replica = Self {
            path: section.text("path"),
            source: section.text("source"),
            cache_entries: section.number("cache_entries"),
            key_file: section.text("key_file"),
        };
        section.finish();
        replica
    }
}

impl<'d> Credentials<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let credentials = Self {
            client_id_prefix: section.text("client_id_prefix"),
            client_secret_prefix: section.text("client_secret_prefix"),
            access_token_prefix: section.text("access_token_prefix"),
        };
        section.finish();
        credentials
    }
}

impl Hasher {
    fn read(mut section: Section<'_>) -> Self {
        let hasher = Self { threads: section.number("threads"), queue: section.number("queue") };
        section.finish();
        hasher
    }
}

impl<'d> Upstream<'d> {
    fn read(name: Spanned<&'d str>, mut section: Section<'d>) -> Self {
        section.require("servers", "write `servers = [\"http://127.0.0.1:9000\"]`");
        let upstream = Self {
            name,
            span: section.span(),
            servers: section.texts("servers"),
            connect_timeout: section.text("connect_timeout"),
            read_timeout: section.text("read_timeout"),
            write_timeout: section.text("write_timeout"),
            ca: section.text("ca"),
            client_cert: section.text("client_cert"),
            client_key: section.text("client_key"),
            http2: section.flag("http2"),
            idle_timeout: section.text("idle_timeout"),
            balance: section.text("balance"),
            eject_after: section.number("eject_after"),
            eject_for: section.text("eject_for"),
            health: Health::read(section.section("health")),
        };
        section.finish();
        upstream
    }
}

impl<'d> Health<'d> {
    fn read(mut section: Section<'d>) -> Option<Self> {
        let present = section.is_present();
        let health = Self {
            span: section.span(),
            path: section.text("path"),
            has_path: section.has("path"),
            tcp: section.flag("tcp"),
            has_tcp: section.has("tcp"),
            interval: section.text("interval"),
            timeout: section.text("timeout"),
            healthy_after: section.number("healthy_after"),
            unhealthy_after: section.number("unhealthy_after"),
        };
        section.finish();
        present.then_some(health)
    }
}

impl<'d> Inject<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let inject = Self {
            store: section.text("store"),
            scopes: section.text("scopes"),
            client: section.text("client"),
            installation: section.text("installation"),
            method: section.text("method"),
            subject: section.text("subject"),
            client_cert_subject: section.text("client_cert_subject"),
            client_cert_fingerprint: section.text("client_cert_fingerprint"),
        };
        section.finish();
        inject
    }
}

impl<'d> Limits<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let limits = Self {
            requests_per_second: section.number("requests_per_second"),
            burst: section.number("burst"),
            shared: section.text("shared"),
            address_failures: section.number("address_failures"),
            address_failures_per_second: section.number("address_failures_per_second"),
            client_failures: section.number("client_failures"),
            client_failures_per_second: section.number("client_failures_per_second"),
        };
        section.finish();
        limits
    }
}

impl<'d> Idp<'d> {
    fn read(mut section: Section<'d>) -> Option<Self> {
        let present = section.is_present();
        let idp = Self {
            span: section.span(),
            issuer: section.text("issuer"),
            base: section.text("base"),
            login: section.text("login"),
            login_key_file: section.text("login_key_file"),
            session_idle: section.text("session_idle"),
            session_life: section.text("session_life"),
            key_life: section.text("key_life"),
            brand: Brand::read(section.section("brand")),
        };
        section.finish();
        present.then_some(idp)
    }
}

impl<'d> Brand<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let brand = Self {
            name: section.text("name"),
            logo: section.text("logo"),
            color: section.text("color"),
            color_dark: section.text("color_dark"),
            help_url: section.text("help_url"),
            privacy_url: section.text("privacy_url"),
            terms_url: section.text("terms_url"),
        };
        section.finish();
        brand
    }
}

impl<'d> Log<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let log = Self {
            access: section.text("access"),
            format: section.text("format"),
            level: section.text("level"),
            recent_decisions: section.number("recent_decisions"),
        };
        section.finish();
        log
    }
}

impl<'d> Usage<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let alerts = Alerts::read(section.section("alerts"));
        let usage = Self {
            enabled: section.flag("enabled"),
            keep_minutes: section.text("keep_minutes"),
            keep_hours: section.text("keep_hours"),
            keep_days: section.text("keep_days"),
            pairs: section.number("pairs"),
            top: section.number("top"),
            alerts,
        };
        section.finish();
        usage
    }
}

impl<'d> Alerts<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let alerts = Self {
            learning: section.text("learning"),
            spike_calls: section.number("spike_calls"),
            spike_factor: section.number("spike_factor"),
            webhook: section.text("webhook"),
            secret: section.text("secret"),
        };
        section.finish();
        alerts
    }
}

impl<'d> Otlp<'d> {
    fn read(mut section: Section<'d>) -> Self {
        section.require("endpoint", "write `endpoint = \"http://127.0.0.1:4318\"`");
        let otlp = Self {
            span: section.span(),
            is_present: section.is_present(),
            endpoint: section.text("endpoint"),
            sample: section.text("sample"),
            service_name: section.text("service_name"),
            header: section.text("header"),
        };
        section.finish();
        otlp
    }
}

impl<'d> Errors<'d> {
    fn read(mut section: Section<'d>) -> Self {
        let errors = Self { format: section.text("format"), docs_url: section.text("docs_url") };
        section.finish();
        errors
    }
}

impl<'d> TokenEndpoint<'d> {
    fn read(mut section: Section<'d>) -> Self {
        section.require("path", "write `path = \"/oauth/token\"`");
        section.require("platform", "write `platform = \"standard\"`, or the platform whose clients call");
        let endpoint = Self {
            span: section.span(),
            path: section.text("path"),
            platform: section.text("platform"),
            ttl: section.text("ttl"),
            requests_per_minute: section.number("requests_per_minute"),
            implicit_scopes: section.texts("implicit_scopes"),
            issuer: section.text("issuer"),
        };
        section.finish();
        endpoint
    }
}

impl<'d> CustomerTokens<'d> {
    fn read(mut section: Section<'d>) -> Option<Self> {
        let present = section.is_present();
        section.require("path", "write `path = \"/v2/customers/tokens\"`");
        let customers =
            Self { path: section.text("path"), ttl: section.text("ttl"), scopes: section.texts("scopes") };
        section.finish();
        present.then_some(customers)
    }
}

impl<'d> Route<'d> {
    fn read(mut section: Section<'d>) -> Self {
        section.require("path", "write `path = \"/api/{resource}/{*rest}\"`");
        let route = Self {
            span: section.span(),
            path: section.text("path"),
            upstream: section.text("upstream"),
            has_upstream: section.has("upstream"),
            auth: section.one_of("auth", AUTH),
            scopes: Scopes::read(&mut section),
            methods: section.texts("methods"),
            has_methods: section.has("methods"),
            rate: Rate::read(section.section("rate")),
            platform: section.text("platform"),
        };
        section.finish();
        route
    }
}

impl Rate {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let present = section.is_present();
        section.require("per_second", "write `rate = { per_second = 50, burst = 100 }`");
        let rate = Self { per_second: section.number("per_second"), burst: section.number("burst") };
        section.finish();
        present.then_some(rate)
    }
}

impl<'d> Scopes<'d> {
    fn read(route: &mut Section<'d>) -> Self {
        let Some(value) = *route.one_of("scopes", &[Form::Text, Form::Texts, Form::Section]) else {
            return Self::Absent;
        };
        let Some(mut split) = route.inline("scopes", value) else { return Self::Same(value) };
        let scopes = Self::Split {
            span: split.span(),
            read: split.one_of("read", &[Form::Text, Form::Texts]),
            write: split.one_of("write", &[Form::Text, Form::Texts]),
        };
        split.finish();
        scopes
    }
}
