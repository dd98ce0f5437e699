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
The API of the admin listener answers errors with `message`, `code` and `status`, without a request id.

An answer of 200 with a `warning` that is not null: the change is committed and the new secret is valid, but a gateway \
on this machine did not confirm it and may still take the old one. The warning names the process.

`POST /admin/v1/reload` answers 422 where the configuration is refused; its body has the `problem`, as `storegate \
check` prints it, and nothing was changed.",
    entries: &[
        entry!(
            400, "invalid_request",
            "malformed JSON, an unknown field, no duration, or `Authorization` twice."
                => "correct the body; durations are written `24h`.",
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
            "the operator lacks the permission that the message names."
                => "remove the operator and add it with that permission."
        ),
        entry!(
            404, "not_found",
            "no such path or no such app." => "`storegate app list` shows the apps' numbers.",
            "no decision on a request with this id is kept (any more)." => "`log.recent_decisions` says how many are."
        ),
        entry!(405, "method_not_allowed", "the path takes another method." => "use POST."),
        entry!(
            409, "conflict",
            "the configuration that a reload names is not the one that the gateway runs with."
                => "ask the gateway that runs with it, or name none."
        ),
        entry!(
            421, "misdirected_request",
            "Host is neither an address nor `localhost`: a web page whose name leads here, or a proxy that passes its own \
                name on." => "call the listener by its address; make the proxy send `Host: localhost`."
        ),
        entry!(
            503, "service_unavailable",
            "the replica cannot be used now." => "try again; `/readyz` says why."
        ),
    ],
};
