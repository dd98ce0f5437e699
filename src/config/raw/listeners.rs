//! What listens, and for whom.

use super::{Number, Text, Texts};
use crate::config::document::{Given, Section};

#[derive(Debug)]
pub(in crate::config) struct Server<'d> {
    pub(in crate::config) listen: Texts<'d>,
    pub(in crate::config) threads: Number,
    pub(in crate::config) trusted_proxies: Texts<'d>,
    pub(in crate::config) unsafe_trust_any_proxy: Given<bool>,
    pub(in crate::config) header_timeout: Text<'d>,
    pub(in crate::config) body_timeout: Text<'d>,
    pub(in crate::config) min_body_rate: Number,
    pub(in crate::config) websocket_idle_timeout: Text<'d>,
    pub(in crate::config) grace_period: Text<'d>,
    pub(in crate::config) reload_on_change: Given<bool>,
    pub(in crate::config) path_case: Text<'d>,
    pub(in crate::config) max_head_bytes: Number,
    pub(in crate::config) max_header_fields: Number,
    pub(in crate::config) max_connections: Number,
    pub(in crate::config) max_connections_per_address: Number,
    pub(in crate::config) tls: Option<Tls<'d>>,
}

impl<'d> Server<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Tls<'d> {
    pub(in crate::config) cert: Text<'d>,
    pub(in crate::config) key: Text<'d>,
    pub(in crate::config) client_ca: Text<'d>,
    pub(in crate::config) client_auth: Text<'d>,
}

impl<'d> Tls<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Option<Self> {
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

#[derive(Debug)]
pub(in crate::config) struct Admin<'d> {
    pub(in crate::config) listen: Text<'d>,
    pub(in crate::config) tls: Option<AdminTls<'d>>,
}

impl<'d> Admin<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
        let tls = AdminTls::read(section.section("tls"));
        let admin = Self { listen: section.text("listen"), tls };
        section.finish();
        admin
    }
}

#[derive(Debug)]
pub(in crate::config) struct AdminTls<'d> {
    pub(in crate::config) cert: Text<'d>,
    pub(in crate::config) key: Text<'d>,
}

impl<'d> AdminTls<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Option<Self> {
        let present = section.is_present();
        let help = "[admin.tls] needs both `cert` and `key`, the paths of two PEM files";
        section.require("cert", help);
        section.require("key", help);
        let tls = Self { cert: section.text("cert"), key: section.text("key") };
        section.finish();
        present.then_some(tls)
    }
}
