//! Codes about who is calling.

use super::{Case, Chapter, Entry};
use crate::gate::Code;

pub(super) const CHAPTER: Chapter = Chapter {
    title: "Who is calling",
    introduction: "",
    entries: &[
        Entry::of(
            Code::MissingToken,
            &[Case {
                messages: &["Access denied. Provide Bearer token or X-Client-Id + X-Client-Secret."],
                cause: "no complete credential: none at all, an id without a secret or the other way round, an \
                    empty value, `Bearer` with nothing after it, another scheme such as Basic, a token in the query \
                    only, or a header in another spelling (`X_Client_Id`).",
                caller: "send `Authorization: Bearer <token>`, or both `X-Client-Id` and `X-Client-Secret`.",
                operator: "if the caller did send one, a proxy in between removed it.",
            }],
        ),
        Entry::of(
            Code::InvalidToken,
            &[Case {
                messages: &["Invalid or expired access token.", "Invalid or expired customer token."],
                cause: "an access token is malformed, of another family, unknown, revoked, or expired; or its app is \
                    disabled or no longer installed, or the secret that it was obtained with has ended. A customer token \
                    also ends with its customer, and counts in its own store only. A session token may also have another algorithm than HS256, a \
                    signature of another key, a missing or wrong claim, a life above 600 s, or an `iat` more than 10 s \
                    ahead. These are not told apart to the caller; the challenge has `error=\"invalid_token\"`.",
                caller: "get a new token. For session tokens, ask the dashboard for a fresh one with each request \
                    and check the clock of the machine that signs.",
                operator: "`reason` in the access log says which it was; `storegate app show CLIENT_ID` shows the \
                    app's state and installations.",
            }],
        ),
        Entry::of(
            Code::InvalidClient,
            &[
                Case {
                    messages: &["Invalid client_id."],
                    cause: "the id is malformed, sent twice, or unknown, or the app is disabled.",
                    caller: "compare it with what was given at creation. Beware of blanks and line ends in \
                        environment variables.",
                    operator: "`storegate app list` shows the ids; `storegate app enable CLIENT_ID` ends a \
                        disablement.",
                },
                Case {
                    messages: &["Invalid client_secret."],
                    cause: "the secret is malformed, sent twice, wrong, of another app, or rotated out.",
                    caller: "compare it with what was given at creation.",
                    operator: "a secret cannot be read back. `storegate app rotate-secret CLIENT_ID --overlap 24h` \
                        makes a new one while the old one works on.",
                },
            ],
        ),
        Entry::of(
            Code::CredentialNotAccepted,
            &[Case {
                messages: &["This route does not accept this kind of credential. Accepted: …"],
                cause: "the route's `auth` does not list the kind. The credential itself was not checked.",
                caller: "use one of the kinds that the message names.",
                operator: "extend `auth` of the route if that is not meant.",
            }],
        ),
        Entry::of(
            Code::IpNotAllowed,
            &[Case {
                messages: &["Requests from this address are not allowed for this app."],
                cause: "the app has an address list and the caller's address is not on it. It binds client \
                    credentials and access tokens, not session tokens.",
                caller: "call from a listed address; behind NAT, its public address counts.",
                operator: "`caller` in the access log is the address that was compared. If it is your load \
                    balancer's, list the balancer in `server.trusted_proxies`. `storegate app allow-ip CLIENT_ID \
                    CIDR…` sets the whole list.",
            }],
        ),
    ],
};
