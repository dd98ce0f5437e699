//! Where requests go.

use std::ops::Range;

use toml::Spanned;

use super::{Number, Text, Texts};
use crate::config::document::{Given, Section};

#[derive(Debug)]
pub(in crate::config) struct Upstream<'d> {
    pub(in crate::config) name: Spanned<&'d str>,
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) servers: Texts<'d>,
    pub(in crate::config) connect_timeout: Text<'d>,
    pub(in crate::config) read_timeout: Text<'d>,
    pub(in crate::config) write_timeout: Text<'d>,
    pub(in crate::config) idle_timeout: Text<'d>,
    pub(in crate::config) balance: Text<'d>,
    pub(in crate::config) eject_after: Number,
    pub(in crate::config) eject_for: Text<'d>,
    pub(in crate::config) health: Option<Health<'d>>,
    pub(in crate::config) ca: Text<'d>,
    pub(in crate::config) client_cert: Text<'d>,
    pub(in crate::config) client_key: Text<'d>,
    pub(in crate::config) http2: Given<bool>,
}

impl<'d> Upstream<'d> {
    pub(super) fn read(name: Spanned<&'d str>, mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Health<'d> {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) path: Text<'d>,
    /// Whether the key is there: of the wrong type is another mistake than absent.
    pub(in crate::config) has_path: bool,
    pub(in crate::config) tcp: Given<bool>,
    /// Whether the key is there.
    pub(in crate::config) has_tcp: bool,
    pub(in crate::config) interval: Text<'d>,
    pub(in crate::config) timeout: Text<'d>,
    pub(in crate::config) healthy_after: Number,
    pub(in crate::config) unhealthy_after: Number,
}

impl<'d> Health<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Option<Self> {
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
