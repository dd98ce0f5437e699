//! Codes of the admin API.

use super::{Case, Chapter, Entry};

const NOTHING: &str = "nothing.";

/// A code with its causes and what the caller does about each.
macro_rules! entry {
    ($status:literal, $code:literal, $($cause:literal => $caller:literal),+) => {
        Entry {
            status: $status,
            code: $code,
            cases: &[$(Case { messages: &[], cause: $cause, caller: $caller, operator: NOTHING }),+],
        }
    };
}

pub(super) const CHAPTER: Chapter = Chapter {
    title: "The admin API",
    introduction: "\
The API of the admin listener answers errors with `message`, `code`, `status` and `request_id`. Every 401 carries \
`WWW-Authenticate: Bearer`, every 429 and 503 `Retry-After`, every 405 `Allow`.

An answer of success with a field `warning`: the change is committed and a new secret is valid, but a gateway on this \
machine did not confirm it and may still take the old one. The warning names the process.

`POST /admin/v1/reload` answers 422 where the configuration is refused; its body has the `problem`, as `storegate \
check` prints it, and nothing was changed.",
    entries: &[
        entry!(
            400, "invalid_request",
            "malformed JSON, an unknown or repeated field, a value out of range, an unknown parameter, a foreign \
                cursor, or `Authorization` or `Idempotency-Key` twice."
                => "correct what the message names; durations are written `24h`.",
            "a path with percent signs, dot or empty segments; no Host or two." => "write the path plainly."
        ),
        entry!(401, "missing_token", "no Bearer token." => "send the token of `admin.token` or of an operator."),
        entry!(
            401, "invalid_token",
            "the token is neither that of `admin.token` nor of an operator."
                => "`storegate operator list` shows who has one; add the operator anew for a new token.",
            "the call needs the token of `admin.token` itself: `/admin/v1/reload` and `/admin/v1/decisions`."
                => "call in the name of who runs the gateway, or use `storegate reload` and `storegate why` there."
        ),
        entry!(
            403, "forbidden",
            "the operator lacks the permission that the message names, or would give one that it lacks."
                => "`storegate operator set-permissions` gives it.",
            "an operator would change or remove itself." => "let another one do it, or the holder of `admin.token`.",
            "only the token of `admin.token` will do." => "use that."
        ),
        entry!(
            404, "not_found",
            "no such path, store, app, installation, token or operator." => "the lists show what there is.",
            "no decision on a request with this id is kept (any more)." => "`log.recent_decisions` says how many are."
        ),
        entry!(405, "method_not_allowed", "the path takes another method." => "use one that `Allow` lists."),
        entry!(408, "invalid_request", "the body did not come within 10 s." => "send it at once."),
        entry!(
            409, "conflict",
            "the store, app, domain or operator exists already." => "choose another name, or use what is there.",
            "the app is not installed in the store." => "install it first.",
            "the reload is meant for a gateway with another configuration file." => "ask that one."
        ),
        entry!(
            409, "already_done",
            "a call with this idempotency key was carried out; its answer is not kept (any more, or yet)."
                => "try once more; the message names what it was done to. Rotate a secret that was lost."
        ),
        entry!(413, "invalid_request", "the body is larger than 64 KiB." => "split it, or use `storegate import`."),
        entry!(
            421, "misdirected_request",
            "Host is neither an address nor `localhost`, without TLS: a web page whose name leads here, or a proxy that \
                passes its own name on."
                => "call the listener by its address; make the proxy send `Host: localhost`."
        ),
        entry!(
            422, "idempotency_key_reused",
            "the idempotency key was used for another path or body." => "take a new key for each call."
        ),
        entry!(
            429, "rate_limit_exceeded",
            "too many calls with unknown tokens from this address."
                => "wait as long as `Retry-After` says, and send a correct token."
        ),
        entry!(
            503, "service_unavailable",
            "the replica cannot be used now, another writer is at work, too many calls are under way, or too many \
                idempotency keys are remembered."
                => "try again; `/readyz` says why."
        ),
    ],
};
