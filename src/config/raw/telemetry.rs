//! What the gateway tells of itself.

use std::ops::Range;

use super::{Number, Text};
use crate::config::document::{Given, Section};

#[derive(Debug)]
pub(in crate::config) struct Log<'d> {
    pub(in crate::config) access: Text<'d>,
    pub(in crate::config) format: Text<'d>,
    pub(in crate::config) level: Text<'d>,
    pub(in crate::config) recent_decisions: Number,
}

impl<'d> Log<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Usage<'d> {
    pub(in crate::config) enabled: Given<bool>,
    pub(in crate::config) keep_minutes: Text<'d>,
    pub(in crate::config) keep_hours: Text<'d>,
    pub(in crate::config) keep_days: Text<'d>,
    pub(in crate::config) pairs: Number,
    pub(in crate::config) top: Number,
    pub(in crate::config) alerts: Alerts<'d>,
}

impl<'d> Usage<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Alerts<'d> {
    pub(in crate::config) learning: Text<'d>,
    pub(in crate::config) spike_calls: Number,
    pub(in crate::config) spike_factor: Number,
    pub(in crate::config) webhook: Text<'d>,
    pub(in crate::config) secret: Text<'d>,
}

impl<'d> Alerts<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Otlp<'d> {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) is_present: bool,
    pub(in crate::config) endpoint: Text<'d>,
    pub(in crate::config) sample: Text<'d>,
    pub(in crate::config) service_name: Text<'d>,
    pub(in crate::config) header: Text<'d>,
}

impl<'d> Otlp<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Errors<'d> {
    pub(in crate::config) format: Text<'d>,
    pub(in crate::config) docs_url: Text<'d>,
}

impl<'d> Errors<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
        let errors = Self { format: section.text("format"), docs_url: section.text("docs_url") };
        section.finish();
        errors
    }
}
