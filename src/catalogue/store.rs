//! Codes about the store, and what may be done there.

use super::{Case, Chapter, Entry};
use crate::gate::Code;

pub(super) const CHAPTER: Chapter = Chapter {
    title: "Which store, and what for",
    introduction: "",
    entries: &[
        Entry::of(
            Code::MissingStoreId,
            &[Case {
                messages: &["X-Store-Id header (or store_id param) is required with client credentials."],
                cause: "the secret is right, and no store is named. An app may be installed in many stores.",
                caller: "send `X-Store-Id`, or `store_id` in the query. Tokens need neither.",
                operator: "nothing.",
            }],
        ),
        Entry::of(
            Code::InvalidStoreId,
            &[Case {
                messages: &[
                    "Invalid store id: digits only, without sign or leading zero.",
                    "The store id may be sent only once.",
                    "X-Store-Id header and store_id param name different stores.",
                ],
                cause: "as the message says. An id is 1 to 9007199254740991; `022`, `22.0`, `+22`, `1e3` and \
                    `22, 23` are none. An empty line beside a filled one counts as twice.",
                caller: "send the id once, as plain digits. Do not let JavaScript format it as a floating-point \
                    number.",
                operator: "nothing.",
            }],
        ),
        Entry::of(
            Code::NotInstalled,
            &[Case {
                messages: &["App is not installed for this store."],
                cause: "the secret is right; the app has no active installation in this store, or there is no such \
                    store.",
                caller: "ask the merchant to install the app, or check the store's number.",
                operator: "`storegate app show CLIENT_ID` lists the installations; `storegate install CLIENT_ID \
                    STORE_ID` makes one.",
            }],
        ),
        Entry::of(
            Code::StoreMismatch,
            &[Case {
                messages: &["X-Store-Id names another store than the access token."],
                cause: "a token is for one store, and the request names a different one.",
                caller: "use the token of that store, or leave `X-Store-Id` out.",
                operator: "nothing.",
            }],
        ),
        Entry::of(
            Code::StoreSuspended,
            &[Case {
                messages: &["This store is suspended."],
                cause: "the credential is right and the store is suspended.",
                caller: "stop, and try again when the merchant says so; retrying does not help.",
                operator: "`storegate store resume STORE_ID` ends it.",
            }],
        ),
        Entry::of(
            Code::InsufficientScope,
            &[Case {
                messages: &["Insufficient scope. Required: …"],
                cause: "one of the scopes that the route demands, which `required_scope` and the challenge name \
                    too, is not among the scopes in force. Those are the installation's; of an access token with \
                    scopes of its own, the ones that both have.",
                caller: "ask for the scope at installation, or for a token that has it.",
                operator: "`storegate explain` shows what is required. `storegate install CLIENT_ID STORE_ID \
                    --scopes \"…\"` sets what the merchant grants.",
            }],
        ),
    ],
};
