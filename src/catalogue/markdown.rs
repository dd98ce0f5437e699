//! docs/errors.md.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::{CHAPTERS, Case, Entry};

const INTRODUCTION: &str = r#"# Errors

<!-- Made by `storegate errors --markdown`; the texts stand in src/catalogue. -->

Every refusal of the gateway is a JSON object with `Content-Type: application/json` and `Cache-Control: no-store`:

```json
{"message":"Insufficient scope. Required: write:products","code":"insufficient_scope","status":403,"required_scope":"write:products","request_id":"e2445e9fd847788cc8035a926023d988"}
```

`code` is for programs, `message` for people, `status` equals the HTTP status, and `request_id` is the answer's
`X-Request-Id`: quote it to the operator, who finds it in the access log, where `reason` says what the caller is not told. No
refusal repeats a credential. Every 401 carries `WWW-Authenticate: Bearer`; every 503 and 429 carries `Retry-After` in seconds.

Where the operator has set `errors.docs_url`, `doc` is a link to the code's place on a page like this one. A caller whose `Accept`
names `application/problem+json` and prefers it to `application/json`, and every caller where `errors.format` is `"problem"`, gets
problem details (RFC 9457) instead: `type` (the link, or `about:blank`), `title`, `status`, `detail` (the message), and `code`,
`request_id` and `required_scope` as above.

```json
{"type":"https://docs.example.com/errors#insufficient_scope","title":"Forbidden","status":403,"detail":"Insufficient scope. Required: write:products","code":"insufficient_scope","required_scope":"write:products","request_id":"e2445e9fd847788cc8035a926023d988"}
```

To gRPC requests (`POST` with `content-type: application/grpc`, or gRPC-Web) the answer is 200 with `grpc-status` and the message in
`grpc-message`, without a body: 16 (`UNAUTHENTICATED`) in place of 401, 7 (`PERMISSION_DENIED`) of 403, 3 (`INVALID_ARGUMENT`) of 400, 8
(`RESOURCE_EXHAUSTED`) of 429 and 431, 12 (`UNIMPLEMENTED`) of 404 and 405, 14 (`UNAVAILABLE`) of 502 and 503, 4 (`DEADLINE_EXCEEDED`)
of 408 and 504. The access log has status 200 and the `code`.

To see a decision step by step, the operator gives the same request to `storegate explain`. `storegate errors CODE` prints what stands
here of a code.

Errors of the upstream pass through as they are. HTTP/1 requests that cannot be read get the JSON body too, and the connection ends. In
HTTP/2, a malformed request ends its stream with `PROTOCOL_ERROR` (RFC 9113 section 8.1.1) without an answer; where only `:authority` or
`host` is wrong (none, two that differ, user information), the answer is 400 without a body. Neither is counted or in the access log: no
request has come about.
"#;

/// The whole page. Each code that the gateway answers is an anchor of its name.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut anchors = HashSet::new();
    for chapter in &CHAPTERS {
        push(&mut page, format_args!("\n## {}\n", chapter.title));
        if !chapter.introduction.is_empty() {
            push(&mut page, format_args!("\n{}\n", chapter.introduction));
        }
        for entry in chapter.entries {
            push(&mut page, format_args!("\n### {} `{}`\n\n", entry.status, entry.code));
            if anchors.insert(entry.code) {
                push(&mut page, format_args!("<a id=\"{}\"></a>\n\n", entry.code));
            }
            page.push_str(&cases(entry));
        }
    }
    page
}

/// What may have happened and what to do, as Markdown that reads well on a terminal too.
pub fn cases(entry: &Entry) -> String {
    entry.cases.iter().map(case).collect::<Vec<_>>().join("\n")
}

fn case(case: &Case) -> String {
    let mut text = String::new();
    let messages: Vec<String> = case.messages.iter().map(|message| format!("`{message}`")).collect();
    if !messages.is_empty() {
        push(&mut text, format_args!("{}\n\n", messages.join(", ")));
    }
    for (who, what) in [("Cause", case.cause), ("Caller", case.caller), ("Operator", case.operator)] {
        push(&mut text, format_args!("* {who}: {what}\n"));
    }
    text
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(more); // a string always takes it
}
