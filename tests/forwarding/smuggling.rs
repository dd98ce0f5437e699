//! Bodies and what follows them: no bytes of a client become a request that the gateway has not decided.
//!
//! Every case carries a second request, to a path that needs credentials and has none. Decided, it
//! is 401; the upstream can only see it where two readers disagreed on where the first one ends.

use std::net::Shutdown;
use std::time::Duration;

use crate::common::{Client, Exchange, Gateway, Settings, request, wait_until};

const SMUGGLED: &str = "GET /api/apps/v1/smuggled HTTP/1.1\r\nHost: api.example.test\r\n\r\n";

/// What the upstream may have of a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing.
    Nothing,
    /// One request with exactly this body.
    Whole(&'static str),
    /// At most the beginning of one request, never its end.
    Broken,
}
use Seen::{Broken, Nothing, Whole};

/// What it is, the request line, field lines, what follows the head, and what comes of it.
type Case = (&'static str, &'static str, &'static str, String, Seen);

const POST: &str = "POST /public/a HTTP/1.1";

fn chunked(what: &'static str, body: impl Into<String>, seen: Seen) -> Case {
    (what, POST, "Transfer-Encoding: chunked", body.into() + SMUGGLED, seen)
}

fn chunks() -> Vec<Case> {
    let long_extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(100_000));
    let many_trailers = format!("3\r\nabc\r\n0\r\n{}\r\n", "X-A: b\r\n".repeat(20_000));
    vec![
        // In order.
        chunked("one chunk", "3\r\nabc\r\n0\r\n\r\n", Whole("abc")),
        chunked("three chunks", "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", Whole("abc")),
        chunked("no chunk", "0\r\n\r\n", Whole("")),
        chunked("leading zeros", "0003\r\nabc\r\n000\r\n\r\n", Whole("abc")),
        chunked(
            "letters in both cases",
            "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            Whole("01234567890123456789"),
        ),
        chunked(
            "a request as a chunk",
            format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
            Whole(SMUGGLED),
        ),
        // Extensions and trailers end here.
        chunked("an extension", "3;a=b\r\nabc\r\n0;c\r\n\r\n", Whole("abc")),
        chunked("a quoted extension", "3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n", Whole("abc")),
        chunked("a trailer", "3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n", Whole("abc")),
        chunked(
            "an owned name as trailer",
            "3\r\nabc\r\n0\r\nX-Store-Id: 66\r\nX-Scopes: admin\r\n\r\n",
            Whole("abc"),
        ),
        chunked("a length as trailer", "3\r\nabc\r\n0\r\nContent-Length: 99\r\n\r\n", Whole("abc")),
        chunked("a coding as trailer", "3\r\nabc\r\n0\r\nTransfer-Encoding: cow\r\n\r\n", Whole("abc")),
        chunked("Host as trailer", "3\r\nabc\r\n0\r\nHost: other.test\r\n\r\n", Whole("abc")),
        // Forgiven by Pingora, which then ends the connection: an empty size is 0, and what stands where trailers
        // may stand is dropped whatever it is.
        chunked("no size", "\r\nabc\r\n0\r\n\r\n", Whole("")),
        chunked("an empty line as size", "\r\n\r\n", Whole("")),
        chunked("a last chunk without its end", "3\r\nabc\r\n0\r\n", Whole("abc")),
        // Of another reader this would be chunks of 3 and 0; here it is an extension, and goes on as one chunk.
        chunked("LF in an extension", "3;a\nabc\r\nxyz\r\n0\r\n\r\n", Whole("xyz")),
        // Sizes that are none.
        chunked("words", "zz\r\n0\r\n\r\n", Broken),
        chunked("a prefix", "0x3\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("a prefix of octal", "0o3\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("a plus sign", "+3\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("a minus sign", "-3\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("minus zero", "-0\r\n\r\n", Broken),
        chunked("an underscore", "1_0\r\n0123456789abcdef\r\n0\r\n\r\n", Broken),
        chunked("a point", "3.0\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("a blank within", "1 0\r\n0123456789abcdef\r\n0\r\n\r\n", Broken),
        chunked("a tab before", "\t3\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("NUL", "3\0\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("other digits", "\u{663}\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("quotes", "\"3\"\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("64 bits", "ffffffffffffffff\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("63 bits", "7fffffffffffffff\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("more than 64 bits", "10000000000000000\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("32 bits more than meant", "100000003\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("64 bits more than meant", "10000000000000003\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("a size without an end", "3".repeat(100_000), Broken),
        chunked("zeros without an end", "0".repeat(100_000), Broken),
        chunked("an extension without an end", long_extension, Broken),
        chunked("trailers without an end", many_trailers, Broken),
        // Line ends.
        chunked("LF behind a size", "3\nabc\r\n0\r\n\r\n", Broken),
        chunked("CR behind a size", "3\rabc\r\n0\r\n\r\n", Broken),
        chunked("CR CR LF behind a size", "3\r\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("LF behind a chunk", "3\r\nabc\n0\r\n\r\n", Broken),
        chunked("CR behind a chunk", "3\r\nabc\r0\r\n\r\n", Broken),
        chunked("nothing behind a chunk", "3\r\nabc0\r\n\r\n", Broken),
        chunked("more than the chunk", "3\r\nabcdef\r\n0\r\n\r\n", Broken),
        chunked("less than the chunk", "5\r\nabc\r\n0\r\n\r\n", Broken),
        chunked("LF behind the last chunk", "3\r\nabc\r\n0\n\n", Broken),
        chunked("no last chunk", "3\r\nabc\r\n", Broken),
        chunked("no chunks at all", "", Broken),
        chunked("a body without chunks", "abc", Broken),
    ]
}

fn lengths() -> Vec<Case> {
    let own = |what, line, fields, body: &str, seen| (what, line, fields, body.to_owned() + SMUGGLED, seen);
    vec![
        own("a length", POST, "Content-Length: 3", "abc", Whole("abc")),
        own("leading zeros", POST, "Content-Length: 0003", "abc", Whole("abc")),
        own("a body of GET", "GET /public/a HTTP/1.1", "Content-Length: 3", "abc", Whole("abc")),
        own("a body of DELETE", "DELETE /public/a HTTP/1.1", "Content-Length: 3", "abc", Whole("abc")),
        own("a body of OPTIONS", "OPTIONS /public/a HTTP/1.1", "Content-Length: 3", "abc", Whole("abc")),
        own("a body of another method", "FROB /public/a HTTP/1.1", "Content-Length: 3", "abc", Whole("abc")),
        own("length 0", POST, "Content-Length: 0", "", Whole("")),
        own("no length", POST, "X-A: b", "", Whole("")),
        own("no length, and a body", POST, "X-A: b", "abc", Whole("")),
        own("less than the body", POST, "Content-Length: 3", "abcdef", Whole("abc")),
        own("another spelling of a length", POST, "Content_Length: 3", "", Whole("")),
        own("another spelling of a coding", POST, "Transfer_Encoding: chunked", "", Whole("")),
        own("HTTP/1.0 with a length", "POST /public/a HTTP/1.0", "Content-Length: 3", "abc", Whole("abc")),
        own("HTTP/1.0 without one", "POST /public/a HTTP/1.0", "X-A: b", "abc", Whole("")),
        own(
            "HTTP/1.0 that stays",
            "POST /public/a HTTP/1.0",
            "Connection: keep-alive\r\nContent-Length: 3",
            "abc",
            Whole("abc"),
        ),
        // Framings that contradict each other: CL.TE, TE.CL, TE.TE.
        own("CL.TE", POST, "Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\n", Nothing),
        own("TE.CL", POST, "Transfer-Encoding: chunked\r\nContent-Length: 4", "5c\r\n", Nothing),
        own("TE.TE", POST, "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow", "0\r\n\r\n", Nothing),
        own(
            "TE.TE by a blank",
            POST,
            "Transfer-Encoding : chunked\r\nContent-Length: 5",
            "0\r\n\r\n",
            Nothing,
        ),
        own("TE.TE by a fold", POST, "X: y\r\n Transfer-Encoding: chunked", "0\r\n\r\n", Nothing),
        own("TE.TE by a line feed", POST, "X: y\nTransfer-Encoding: chunked", "0\r\n\r\n", Nothing),
        own("TE.TE by a vertical tab", POST, "Transfer-Encoding: \u{b}chunked", "0\r\n\r\n", Nothing),
        own("CL.CL", POST, "Content-Length: 0\r\nContent-Length: 3", "abc", Nothing),
        own("a length of several readings", POST, "Content-Length: 0, 3", "abc", Nothing),
        own(
            "TE.0",
            "OPTIONS /public/a HTTP/1.1",
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
            "0\r\n\r\n",
            Nothing,
        ),
        own(
            "HTTP/1.0 with chunks",
            "POST /public/a HTTP/1.0",
            "Transfer-Encoding: chunked",
            "0\r\n\r\n",
            Nothing,
        ),
        own(
            "a length that Connection names",
            POST,
            "Connection: Content-Length\r\nContent-Length: 3",
            "abc",
            Nothing,
        ),
        own(
            "a coding that Connection names",
            POST,
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
            Nothing,
        ),
        // Refused for another reason, with a body.
        own("a body of a refusal", "POST /api/apps/v1/orders HTTP/1.1", "Content-Length: 3", "abc", Nothing),
        own(
            "a chunked body of a refusal",
            "POST /unknown HTTP/1.1",
            "Transfer-Encoding: chunked",
            "0\r\n\r\n",
            Nothing,
        ),
        own("a body of HEAD, refused", "HEAD /unknown HTTP/1.1", "Content-Length: 3", "abc", Nothing),
        own(
            "a refusal that was not awaited",
            "POST /unknown HTTP/1.1",
            "Content-Length: 3\r\nExpect: 100-continue",
            "abc",
            Nothing,
        ),
        own(
            "CONNECT with a body",
            "CONNECT api.example.test:80 HTTP/1.1",
            "Content-Length: 3",
            "abc",
            Nothing,
        ),
        own("TRACE with a body", "TRACE /public/a HTTP/1.1", "Content-Length: 3", "abc", Nothing),
        // Upgrades: what follows is no tunnel until the upstream has said so.
        own(
            "a WebSocket that is refused upstream",
            "GET /public/a HTTP/1.1",
            "Connection: Upgrade\r\nUpgrade: websocket",
            "",
            Whole(""),
        ),
        own(
            "an upgrade that Connection does not name",
            "GET /public/a HTTP/1.1",
            "Upgrade: websocket",
            "",
            Whole(""),
        ),
        own(
            "h2c",
            "GET /public/a HTTP/1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
            "",
            Whole(""),
        ),
        own(
            "an upgrade of POST",
            POST,
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3",
            "abc",
            Whole("abc"),
        ),
        own(
            "two upgrades",
            "GET /public/a HTTP/1.1",
            "Connection: Upgrade\r\nUpgrade: h2c, websocket",
            "",
            Whole(""),
        ),
        own(
            "an upgrade without credentials",
            "GET /api/apps/v1/orders HTTP/1.1",
            "Connection: Upgrade\r\nUpgrade: websocket",
            "",
            Nothing,
        ),
    ]
}

/// Sends everything at once, and reads answers until the connection has ended. A client that `stays` until it
/// was answered is one that nothing is broken off for.
fn send(gateway: &Gateway, bytes: &[u8], stays: bool) -> Vec<u16> {
    let mut client = Client::connect(gateway.address);
    let mut stream = client.stream().try_clone().unwrap();
    let bytes = bytes.to_vec();
    let sender = std::thread::spawn(move || {
        // It may be refused before it was sent.
        let _ = std::io::Write::write_all(&mut stream, &bytes);
        if !stays {
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    let mut statuses = Vec::new();
    while let Ok(response) = client.answer(false) {
        statuses.push(response.status);
        let _ = client.stream().shutdown(Shutdown::Write);
    }
    sender.join().unwrap();
    statuses
}

fn is_as_meant(seen: &[Exchange], meant: Seen) -> bool {
    match (meant, seen) {
        (Nothing, []) | (Broken, []) => true,
        (Broken, [one]) => !one.complete,
        (Whole(body), [one]) => one.complete && one.body == body.as_bytes(),
        _ => false,
    }
}

#[test]
fn no_body_hides_a_request() {
    let gateway = Gateway::start(&Settings::default());
    let cases: Vec<Case> = [chunks(), lengths()].concat();
    let mut statuses = Vec::new();
    for (number, (what, line, fields, rest, meant)) in cases.iter().enumerate() {
        // Each has its own path, by which the upstream tells them apart.
        let line = line.replace("/public/a", &format!("/public/{number}"));
        let head = format!("{line}\r\nHost: api.example.test\r\n{fields}\r\n\r\n{rest}");
        statuses.push(send(&gateway, head.as_bytes(), *meant != Broken));
        // No answer was left over for the next who shares a connection to the upstream.
        let probe = gateway.ask("GET /public/probe", &[""; 0]);
        assert_eq!((probe.status, probe.text().as_str()), (200, "{\"received\":0}"), "{what}");
    }
    let quiet = wait_until(Duration::from_secs(10), || {
        let before = gateway.upstream.heads();
        std::thread::sleep(Duration::from_millis(200));
        (gateway.upstream.heads() == before).then_some(())
    });
    assert!(quiet.is_some());
    let seen = gateway.upstream.take();
    let mut wrong = Vec::new();
    for (number, (what, .., meant)) in cases.iter().enumerate() {
        let of_case = |one: &&Exchange| one.target() == format!("/public/{number}");
        let of_case: Vec<_> = seen.iter().filter(of_case).cloned().collect();
        if !is_as_meant(&of_case, *meant) {
            let summary: Vec<_> = of_case.iter().map(|one| (one.line(), one.length, one.complete)).collect();
            wrong.push(format!("{what}: answered {:?}, seen {summary:?}", statuses[number]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let is_known =
        |one: &Exchange| one.target().starts_with("/public/") && !one.target().contains("smuggled");
    assert!(seen.iter().all(is_known), "{:?}", seen.iter().find(|one| !is_known(one)));
    let owned = ["x-store-id", "x-scopes", "content_length", "transfer_encoding"];
    assert!(seen.iter().all(|one| owned.iter().all(|name| one.field(name).is_none())));
    assert_eq!(seen.iter().filter(|one| one.target() == "/public/probe").count(), cases.len());
    assert!(cases.len() >= 88, "{} cases", cases.len());
    println!("{} bodies and what follows them over HTTP/1", cases.len());
}

/// Requests sent in one go are answered in order, each decided by itself.
#[test]
fn requests_in_one_go_are_decided_one_by_one() {
    let gateway = Gateway::start(&Settings::default());
    let ordinary = request("GET /public/a", &[""; 0]);
    let second = request("GET /public/b", &[""; 0]);
    let statuses = send(&gateway, &[ordinary, SMUGGLED.as_bytes().to_vec(), second].concat(), true);
    let allowed: [&[u16]; 3] = [&[200], &[200, 401], &[200, 401, 200]];
    assert!(allowed.contains(&&*statuses), "{statuses:?}");
    let targets: Vec<_> = gateway.upstream.take().iter().map(Exchange::target).collect();
    assert_eq!(targets, ["/public/a", "/public/b"][..targets.len()]);
}
