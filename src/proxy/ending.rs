//! What the gateway ends of its own accord while somebody still holds it open, and how often it did.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why the gateway ended a connection, a request or a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The credential ended before the WebSocket or stream that was opened with it.
    Credential,
    /// The client did not complete the TLS handshake in time.
    TlsHandshake,
    /// The client did not complete a request head in time.
    RequestHead,
    /// The client sent the request's body more slowly than it may.
    RequestBody,
    /// The client took the answer more slowly than it may.
    Response,
    /// The upstream sent its answer more slowly than it may.
    UpstreamAnswer,
    /// Neither side of a WebSocket sent anything for too long.
    WebSocketIdle,
}

impl Ending {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Credential,
        Self::TlsHandshake,
        Self::RequestHead,
        Self::RequestBody,
        Self::Response,
        Self::UpstreamAnswer,
        Self::WebSocketIdle,
    ];

    /// Its name in the metrics and the access log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::TlsHandshake => "tls_handshake",
            Self::RequestHead => "request_head",
            Self::RequestBody => "request_body",
            Self::Response => "response",
            Self::UpstreamAnswer => "upstream_answer",
            Self::WebSocketIdle => "websocket_idle",
        }
    }

    /// Whether the client is answered after it, if no answer has begun.
    pub(super) fn is_answered(self) -> bool {
        matches!(self, Self::RequestBody | Self::UpstreamAnswer)
    }
}

/// How often each came about.
#[derive(Debug, Default)]
pub struct Endings {
    counts: [AtomicU64; Ending::ALL.len()],
    failed_handshakes: AtomicU64,
}

impl Endings {
    pub(super) fn count(&self, ending: Ending) {
        self.counts[ending as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed_handshake(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Each with its count since the start.
    pub fn counts(&self) -> impl Iterator<Item = (Ending, u64)> {
        Ending::ALL.into_iter().map(|ending| (ending, self.counts[ending as usize].load(Ordering::Relaxed)))
    }

    /// TLS handshakes that came to nothing since the start, other than for slowness.
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_by_itself() {
        let endings = Endings::default();
        for (position, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(position, ending as usize);
            (0..=position).for_each(|_| endings.count(ending));
        }
        let counts: Vec<u64> = endings.counts().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7]);
    }
}
