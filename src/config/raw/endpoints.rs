//! What the gateway answers itself: token endpoints and the identity provider.

use std::ops::Range;

use super::{Number, Text, Texts};
use crate::config::document::Section;

#[derive(Debug)]
pub(in crate::config) struct TokenEndpoint<'d> {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) path: Text<'d>,
    pub(in crate::config) platform: Text<'d>,
    pub(in crate::config) ttl: Text<'d>,
    pub(in crate::config) requests_per_minute: Number,
    pub(in crate::config) implicit_scopes: Texts<'d>,
    pub(in crate::config) issuer: Text<'d>,
}

impl<'d> TokenEndpoint<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct CustomerTokens<'d> {
    pub(in crate::config) path: Text<'d>,
    pub(in crate::config) ttl: Text<'d>,
    pub(in crate::config) scopes: Texts<'d>,
}

impl<'d> CustomerTokens<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Option<Self> {
        let present = section.is_present();
        section.require("path", "write `path = \"/v2/customers/tokens\"`");
        let customers =
            Self { path: section.text("path"), ttl: section.text("ttl"), scopes: section.texts("scopes") };
        section.finish();
        present.then_some(customers)
    }
}

#[derive(Debug)]
pub(in crate::config) struct Idp<'d> {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) issuer: Text<'d>,
    pub(in crate::config) base: Text<'d>,
    pub(in crate::config) login: Text<'d>,
    pub(in crate::config) login_key_file: Text<'d>,
    pub(in crate::config) session_idle: Text<'d>,
    pub(in crate::config) session_life: Text<'d>,
    pub(in crate::config) key_life: Text<'d>,
    pub(in crate::config) brand: Brand<'d>,
}

impl<'d> Idp<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Option<Self> {
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

#[derive(Debug)]
pub(in crate::config) struct Brand<'d> {
    pub(in crate::config) name: Text<'d>,
    pub(in crate::config) logo: Text<'d>,
    pub(in crate::config) color: Text<'d>,
    pub(in crate::config) color_dark: Text<'d>,
    pub(in crate::config) help_url: Text<'d>,
    pub(in crate::config) privacy_url: Text<'d>,
    pub(in crate::config) terms_url: Text<'d>,
}

impl<'d> Brand<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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
