//! Codes of the identity provider.

use super::{Case, Chapter, Entry};

const NOTHING: &str = "nothing.";

/// A code with its causes, and what the client and the operator do about each.
macro_rules! entry {
    ($status:literal, $code:literal, $($cause:literal => $caller:literal, $operator:expr);+) => {
        Entry {
            status: $status,
            code: $code,
            cases: &[$(Case { messages: &[], cause: $cause, caller: $caller, operator: $operator }),+],
        }
    };
}

pub(super) const CHAPTER: Chapter = Chapter {
    title: "The identity provider",
    introduction: "\
Below `idp.base`, programs are answered with `error` and `error_description` (RFC 6749), and the same as `code` and \
`message` with `status` and `request_id`.

Errors of an authorization request go to the redirect URI. Where client or redirect URI are not proved, the person \
sees a page with the request id.

| At the redirect URI | Cause |
| --- | --- |
| `invalid_request`, `invalid_scope`, `unsupported_response_type` | as the `error_description` says |
| `unauthorized_client` | the client is disabled |
| `access_denied` | the person said no, or does not belong to the store |
| `login_required`, `consent_required`, `interaction_required`, `account_selection_required` | with `prompt=none` \
(or an `id_token_hint` of somebody else, or that cannot be verified): the person would have to be asked |
| `request_not_supported`, `request_uri_not_supported`, `registration_not_supported` | such parameters are not read |
| `temporarily_unavailable` | the replica cannot be read or changed; try again |

| Page | Cause | Remedy |
| --- | --- | --- |
| This link does not work | client or redirect URI is not proved; the page says what is wrong | `storegate \
oauth-client list` shows what is registered |
| This page has expired | the page was open for an hour, the session is another one, or the form was not made by this \
gateway in this browser | start again at the app |
| Cookies are switched off | the browser sent no cookie | behind TLS the issuer must be `https://…`, or browsers drop \
the `__Host-` cookie |
| Too many wrong attempts | the budgets of [guessing](identity-provider.md#guessing) | wait; `server.trusted_proxies` \
must list the load balancer, or all callers share one budget |",
    entries: &[
        entry!(
            400, "invalid_request",
            "a parameter is missing, malformed or stands twice, another Content-Type than form or JSON, a verifier \
                that is none, or two ways of client authentication."
                => "send what [identity-provider.md](identity-provider.md) says.", NOTHING
        ),
        entry!(
            400, "invalid_grant",
            "the code or refresh token is unknown, expired (a code after 60 s), used, revoked, another client's or \
                another redirect URI's, the verifier does not match, or the account, client or grant has ended."
                => "start anew at `/authorize`.",
            "standard error has the exact cause, with the request id. `refresh_token_reused` in \
                the metrics: two copies of a token are about."
        ),
        entry!(
            400, "unsupported_grant_type",
            "neither `authorization_code` nor `refresh_token`."
                => "apps' own credentials come from [token endpoints](token-endpoints.md).", NOTHING
        ),
        entry!(
            400, "invalid_scope",
            "a scope that is not known, that the client may not ask for, or, at a refresh, that was not granted."
                => "ask for less.", "`storegate oauth-client set-scopes` says what a client may ask for."
        ),
        entry!(
            401, "invalid_client",
            "unknown or disabled client, wrong or rotated secret, a secret from a public client, or a method of \
                authentication that is not served."
                => "compare it with what was given at registration.",
            "`storegate oauth-client list` shows the clients; `storegate oauth-client rotate-secret` makes a new secret."
        ),
        entry!(401, "missing_token", "UserInfo without a token." => "send it as Bearer.", NOTHING),
        entry!(
            401, "invalid_token",
            "UserInfo with a token that is unknown, expired or revoked, a refresh token, or another client's."
                => "refresh it, or sign in again.", NOTHING
        ),
        entry!(401, "login_required", "`POST /clients` without a merchant's session." => "sign in first.", NOTHING),
        entry!(
            403, "access_denied",
            "a client may not be registered: no merchant, another origin, or too many already."
                => "sign in as a merchant, on the page of this gateway.", NOTHING
        ),
        entry!(405, "method_not_allowed", "the path takes another method." => "use one that `Allow` lists.", NOTHING),
        entry!(
            429, "rate_limit_exceeded",
            "too many wrong secrets from this address, or of this client."
                => "wait as long as `Retry-After` says.",
            "behind a load balancer, `server.trusted_proxies` must list it, or all callers share one budget."
        ),
        entry!(
            503, "service_unavailable",
            "the replica cannot be read or changed, too many secrets are being checked, or there is no key yet."
                => "try again.", "`/readyz` says why."
        ),
    ],
};
