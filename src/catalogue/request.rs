//! Codes about the request itself.

use super::{Case, Chapter, Entry};
use crate::gate::Code;

const IN_THE_LOG: &str = "nothing; the access log's `reason` has the exact cause.";

pub(super) const CHAPTER: Chapter = Chapter {
    title: "The request",
    introduction: "",
    entries: &[
        Entry::of(
            Code::InvalidRequest,
            &[
                Case {
                    messages: &["Provide either a Bearer token or X-Client-Id + X-Client-Secret, not both."],
                    cause: "two credentials in one request.",
                    caller: "send one of them.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["The Authorization header may be sent only once."],
                    cause: "`Authorization` on two lines, empty ones included.",
                    caller: "send it once; look for a proxy or a client library that adds its own.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["The header of a token may be sent only once."],
                    cause: "`X-Shopify-Access-Token` or `X-Moltin-Customer-Token` on two lines.",
                    caller: "send it once.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["Malformed request target: …"],
                    cause: "the path has no normal form: an encoded slash (`%2F`) or backslash, a control \
                        character, a bad percent sign, a raw byte above 0x7F, a fragment, `..` beyond the root; or \
                        an absolute URL for another host than `Host`.",
                    caller: "encode each path segment once, and put no slashes into segments.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["Path parameters and empty segments are not supported here."],
                    cause: "the path has parameters (`;x=y`) or two slashes in a row, and a reader who drops them \
                        would take it elsewhere.",
                    caller: "leave them out.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["Malformed request head: …"],
                    cause: "the bytes of the head are not HTTP/1.1: a line without CR LF, a folded header, a blank \
                        before a colon, a control character, a transfer coding other than `chunked`.",
                    caller: "use an HTTP library; the message names the rule.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["Exactly one valid Host header is required."],
                    cause: "no Host, or something that is no host name with an optional port.",
                    caller: "send the host that you connect to; HTTP/1.0 clients too.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["The request states the length of its body in more than one way."],
                    cause: "several lengths, a list of them, or Content-Length beside Transfer-Encoding.",
                    caller: "send one `Content-Length` or `Transfer-Encoding: chunked`.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["The body does not have the length or the chunks that the head announces."],
                    cause: "a malformed chunk, or a body that is shorter or longer than it said.",
                    caller: "look at what cuts or rewrites the body on the way.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &[
                        "The Connection header may not name credential, identity, forwarding or framing headers.",
                    ],
                    cause: "`Connection` lists a header that the gateway reads or sets, `Cookie`, `Host`, `Via`, \
                        `Content-Length` or `Transfer-Encoding`.",
                    caller: "remove it from `Connection`.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["Malformed Connection header."],
                    cause: "a member of `Connection` is no header name, or there are more than 9.",
                    caller: "send `keep-alive`, `close` or nothing.",
                    operator: IN_THE_LOG,
                },
                Case {
                    messages: &["Malformed X-Forwarded-For header."],
                    cause: "a proxy that the operator trusts sent something other than addresses.",
                    caller: "nothing: it is the operator's.",
                    operator: "make the proxy write plain addresses and discard what its clients send.",
                },
            ],
        ),
        Entry::of(
            Code::HeadTooLarge,
            &[Case {
                messages: &["The request head is too large."],
                cause: "target and header fields together exceed `server.max_head_bytes` (32 KiB), or there are \
                    more than `server.max_header_fields` (100). In the metrics this is `code=\"head_too_large\"`, \
                    with the reason `head_bytes` or `head_fields`.",
                caller: "send fewer or shorter headers; large cookies and tokens are the usual reason. Body size \
                    does not count.",
                operator: "raise the two keys if your clients need more, up to 64 KiB and 256 fields.",
            }],
        ),
        Entry::of(
            Code::RequestTimeout,
            &[Case {
                messages: &["The request body came too slowly."],
                cause: "while the gateway waited for the body it came at less than `server.min_body_rate` (240 bytes a \
                    second) over `server.body_timeout` (20 s), or not at all. The upstream has received a part of the \
                    request at most. The connection is closed.",
                caller: "send the body as one piece, or try again over a better network. Where `Content-Length` is \
                    larger than the body, correct it.",
                operator: "raise `body_timeout` for clients that pause while they send; \
                    `storegate_slow_peers_total{at=\"request_body\"}` counts them.",
            }],
        ),
        Entry::of(
            Code::NotFound,
            &[Case {
                messages: &["No such route."],
                cause: "no `[[route]]` has the path. The credentials were not looked at. A 404 with another body \
                    comes from the upstream.",
                caller: "check the path and its version segment.",
                operator: "`storegate explain GET /the/path` shows the route that is chosen. Add a route, and mind \
                    that `{name}` takes exactly one segment and `{*name}` the rest.",
            }],
        ),
        Entry::of(
            Code::MethodNotAllowed,
            &[Case {
                messages: &[
                    "Method not allowed on this route; see the Allow header.",
                    "This method is not supported.",
                ],
                cause: "the route lists `methods` and this is none of them; or the method is TRACE, which is \
                    never forwarded.",
                caller: "use a method that `Allow` lists.",
                operator: "extend `methods` of the route, or leave the key out. The most specific path decides \
                    alone: a broader route does not take over the methods that it does not list.",
            }],
        ),
    ],
};
