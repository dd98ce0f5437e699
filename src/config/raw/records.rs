//! The replica, what it says of callers, and how secrets are compared.

use super::{Number, Text};
use crate::config::document::Section;

#[derive(Debug)]
pub(in crate::config) struct Replica<'d> {
    pub(in crate::config) path: Text<'d>,
    pub(in crate::config) source: Text<'d>,
    pub(in crate::config) cache_entries: Number,
    pub(in crate::config) key_file: Text<'d>,
}

impl<'d> Replica<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
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

#[derive(Debug)]
pub(in crate::config) struct Audit<'d> {
    pub(in crate::config) keep: Text<'d>,
    pub(in crate::config) entries: Number,
}

impl<'d> Audit<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
        let audit = Self { keep: section.text("keep"), entries: section.number("entries") };
        section.finish();
        audit
    }
}

#[derive(Debug)]
pub(in crate::config) struct Credentials<'d> {
    pub(in crate::config) client_id_prefix: Text<'d>,
    pub(in crate::config) client_secret_prefix: Text<'d>,
    pub(in crate::config) access_token_prefix: Text<'d>,
}

impl<'d> Credentials<'d> {
    pub(super) fn read(mut section: Section<'d>) -> Self {
        let credentials = Self {
            client_id_prefix: section.text("client_id_prefix"),
            client_secret_prefix: section.text("client_secret_prefix"),
            access_token_prefix: section.text("access_token_prefix"),
        };
        section.finish();
        credentials
    }
}

#[derive(Debug)]
pub(in crate::config) struct Hasher {
    pub(in crate::config) threads: Number,
    pub(in crate::config) queue: Number,
}

impl Hasher {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let hasher = Self { threads: section.number("threads"), queue: section.number("queue") };
        section.finish();
        hasher
    }
}
