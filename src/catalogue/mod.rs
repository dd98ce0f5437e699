//! The catalogue of errors: what each code means, and what to do. `storegate errors` prints it, and
//! docs/errors.md is made of it. A test holds it to every code and message that the gate has.

mod admin;
mod caller;
mod gateway;
mod identity;
mod markdown;
mod request;
mod store;

use serde::Serialize;

use crate::gate::{Code, Reason};
pub use markdown::{cases, markdown};

/// Codes that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// Its heading.
    pub title: &'static str,
    /// What holds for all of them; Markdown, may be empty.
    pub introduction: &'static str,
    /// The codes.
    pub entries: &'static [Entry],
}

/// One code with one status.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Entry {
    /// The HTTP status.
    pub status: u16,
    /// The `code` of the body.
    pub code: &'static str,
    /// What may have happened.
    pub cases: &'static [Case],
}

/// One thing that may have happened. All texts are Markdown.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Case {
    /// The `message`s of the body; `…` stands for what differs.
    pub messages: &'static [&'static str],
    /// Why it is answered.
    pub cause: &'static str,
    /// What the caller can do.
    pub caller: &'static str,
    /// What the operator can do.
    pub operator: &'static str,
}

/// Every chapter, in the order of the documentation.
pub const CHAPTERS: [Chapter; 6] =
    [request::CHAPTER, caller::CHAPTER, store::CHAPTER, gateway::CHAPTER, identity::CHAPTER, admin::CHAPTER];

/// Every entry, with its chapter.
pub fn entries() -> impl Iterator<Item = (&'static Chapter, &'static Entry)> {
    CHAPTERS.iter().flat_map(|chapter| chapter.entries.iter().map(move |entry| (chapter, entry)))
}

/// What may have happened where a request was refused.
pub fn case_of(reason: &Reason) -> Option<&'static Case> {
    let (code, message) = (reason.code(), reason.message());
    let (_, entry) = entries().find(|(_, entry)| {
        (entry.status, entry.code) == (code.status().as_u16(), code.name())
            && entry.cases.iter().any(|case| case.has(&message))
    })?;
    entry.cases.iter().find(|case| case.has(&message))
}

impl Case {
    /// Whether `message` is one of its messages.
    fn has(&self, message: &str) -> bool {
        self.messages.iter().any(|pattern| fits(pattern, message))
    }
}

/// Whether a message is the one that `…` stands in.
fn fits(pattern: &str, message: &str) -> bool {
    pattern.strip_suffix('…').map_or(pattern == message, |start| message.starts_with(start))
}

impl Entry {
    const fn of(code: Code, cases: &'static [Case]) -> Self {
        Self { status: code.status().as_u16(), code: code.name(), cases }
    }
}

#[cfg(test)]
mod tests;
