//! Which requests go where, how many, and with what.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::{Any, Number, Text, Texts};
use crate::config::document::Section;
use crate::config::keys::Form;

#[derive(Debug)]
pub(in crate::config) struct Route<'d> {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) path: Text<'d>,
    pub(in crate::config) upstream: Text<'d>,
    /// Whether the key is there: of the wrong type is another mistake than absent.
    pub(in crate::config) has_upstream: bool,
    pub(in crate::config) auth: Any<'d>,
    pub(in crate::config) scopes: Scopes<'d>,
    pub(in crate::config) methods: Texts<'d>,
    /// Whether the key is there.
    pub(in crate::config) has_methods: bool,
    pub(in crate::config) rate: Option<Rate>,
    pub(in crate::config) platform: Text<'d>,
}

impl<'d> Route<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) enum Scopes<'d> {
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

impl<'d> Scopes<'d> {
    pub(super) fn read(route: &mut Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Rate {
    pub(in crate::config) per_second: Number,
    pub(in crate::config) burst: Number,
}

impl Rate {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let present = section.is_present();
        section.require("per_second", "write `rate = { per_second = 50, burst = 100 }`");
        let rate = Self { per_second: section.number("per_second"), burst: section.number("burst") };
        section.finish();
        present.then_some(rate)
    }
}

#[derive(Debug)]
pub(in crate::config) struct Limits<'d> {
    pub(in crate::config) requests_per_second: Number,
    pub(in crate::config) burst: Number,
    pub(in crate::config) shared: Text<'d>,
    pub(in crate::config) address_failures: Number,
    pub(in crate::config) address_failures_per_second: Number,
    pub(in crate::config) client_failures: Number,
    pub(in crate::config) client_failures_per_second: Number,
}

impl<'d> Limits<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Inject<'d> {
    pub(in crate::config) store: Text<'d>,
    pub(in crate::config) scopes: Text<'d>,
    pub(in crate::config) client: Text<'d>,
    pub(in crate::config) installation: Text<'d>,
    pub(in crate::config) method: Text<'d>,
    pub(in crate::config) subject: Text<'d>,
    pub(in crate::config) client_cert_subject: Text<'d>,
    pub(in crate::config) client_cert_fingerprint: Text<'d>,
}

impl<'d> Inject<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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
