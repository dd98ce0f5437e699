//! gateway.toml as the operator wrote it: every key with its place, nothing judged yet. Nothing
//! reads these types after the configuration has been checked.

mod endpoints;
mod listeners;
mod records;
mod routes;
mod telemetry;
mod upstreams;

use toml::Spanned;
use toml::de::DeTable;

pub(super) use super::document::Any;
use super::document::{Given, Section};
use super::report::Report;
pub(super) use endpoints::{Brand, CustomerTokens, Idp, TokenEndpoint};
pub(super) use listeners::{Admin, Server, Tls};
pub(super) use records::{Audit, Credentials, Hasher, Replica};
pub(super) use routes::{Inject, Limits, Rate, Route, Scopes};
pub(super) use telemetry::{Alerts, Errors, Log, Otlp, Usage};
pub(super) use upstreams::{Health, Upstream};

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
