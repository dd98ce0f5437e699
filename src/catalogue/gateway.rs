//! Codes about the gateway itself and the upstream.

use super::{Case, Chapter, Entry};
use crate::gate::Code;

const COME_BACK: &str = "try again after `Retry-After`. The credential was not judged: do not replace it.";

pub(super) const CHAPTER: Chapter = Chapter {
    title: "The gateway and the upstream",
    introduction: "",
    entries: &[
        Entry::of(
            Code::RateLimitExceeded,
            &[
                Case {
                    messages: &["Too many requests. Try again later."],
                    cause: "the app has used up what it may do in this store, or on this route; on routes without \
                        credentials, the address has. The answer has `RateLimit-Policy` and `RateLimit`. The request \
                        was in order otherwise, and was not forwarded.",
                    caller: "wait as long as `Retry-After` says; spread requests so that `r` of `RateLimit` does \
                        not reach 0.",
                    operator: "`storegate_rate_limited_total` says on which routes. Raise \
                        `limits.requests_per_second` and `limits.burst`, or the `rate` of the route.",
                },
                Case {
                    messages: &["Too many failed attempts. Try again later."],
                    cause: "the caller's address has used up its budget of failed attempts (`invalid_token` and \
                        `invalid_client`; a wrong secret that cost a bcrypt computation counts as 20), or the app its \
                        budget of wrong bcrypt secrets and the address failed lately. Requests with valid tokens, with \
                        SHA-256 secrets and with bcrypt secrets that were proved are answered as ever, from that \
                        address too.",
                    caller: "stop retrying the credential that was refused; wait as long as `Retry-After` says and \
                        send a correct one.",
                    operator: "`caller` in the access log is the address that is counted. If it is your load \
                        balancer's, list the balancer in `server.trusted_proxies`, or all callers share one budget. \
                        The budgets stand in `[limits]`.",
                },
            ],
        ),
        Entry::of(
            Code::ServiceUnavailable,
            &[
                Case {
                    messages: &["Credentials cannot be checked at the moment. Try again shortly."],
                    cause: "the replica cannot be read: gone, damaged, or on a disk that fails.",
                    caller: COME_BACK,
                    operator: "`/readyz` and standard error name the reason; requests work again as soon as the \
                        file can be read, without a restart.",
                },
                Case {
                    messages: &["Too many secrets are being checked. Try again shortly."],
                    cause: "the bcrypt queue is full, or a check waited longer than 5 s: many apps with bcrypt \
                        secrets called for the first time, or somebody guesses.",
                    caller: COME_BACK,
                    operator: "raise `hasher.threads` or `hasher.queue`; rotate busy apps to a secret made here \
                        (`storegate app rotate-secret`), which needs no bcrypt.",
                },
            ],
        ),
        Entry::of(
            Code::BadGateway,
            &[Case {
                messages: &["The upstream service could not be reached."],
                cause: "no server of the upstream accepted a connection, none of its names can be resolved, TLS to \
                    it failed, or it broke off before its answer.",
                caller: "try again later. Whether a write took place is unknown if the upstream broke off.",
                operator: "`storegate check --connect` tries every server; `storegate_upstream_servers` says which \
                    state they are in; standard error has one line with the kind of failure and the request id.",
            }],
        ),
        Entry::of(
            Code::GatewayTimeout,
            &[Case {
                messages: &["The upstream service did not answer in time."],
                cause: "connecting took longer than `connect_timeout` (on the last server that was tried), the \
                    answer was silent for longer than `read_timeout`, its head was not complete a second later, or the \
                    request could not be written within `write_timeout`.",
                caller: "try again later; the upstream may have done the work all the same.",
                operator: "compare `storegate_upstream_seconds` with the limits of `[upstream.NAME]`.",
            }],
        ),
    ],
};
