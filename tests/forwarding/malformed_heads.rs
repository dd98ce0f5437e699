//! The catalogue of heads that are refused over HTTP/1, by what is wrong with them.

use crate::common::world::bearer;

/// What it is, its bytes, the status and the label that it is counted by.
pub(crate) type Case = (&'static str, Vec<u8>, u16, &'static str);

/// All of them.
pub(crate) fn catalogue() -> Vec<Case> {
    [line_ends(), request_lines(), hosts(), lengths(), field_lines(), targets(), nominations(), sizes()]
        .concat()
}

const HOST: &str = "Host: api.example.test\r\n";

/// A whole head with this request line.
fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\n{HOST}\r\n").into_bytes()
}

fn target(target: &str) -> Vec<u8> {
    line(&format!("GET {target} HTTP/1.1"))
}

/// A whole head with these field lines besides Host.
fn fields(lines: &str) -> Vec<u8> {
    format!("GET /public/a HTTP/1.1\r\n{HOST}{lines}\r\n\r\n").into_bytes()
}

/// The same with a chunked body behind it.
fn body(lines: &str) -> Vec<u8> {
    format!("POST /public/a HTTP/1.1\r\n{HOST}{lines}\r\n\r\n0\r\n\r\n").into_bytes()
}

/// A head with this instead of the line of Host.
fn host(lines: &str) -> Vec<u8> {
    format!("GET /public/a HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

fn line_ends() -> Vec<Case> {
    let rows = [
        ("a request line that ends with LF", format!("GET /public/a HTTP/1.1\n{HOST}\r\n")),
        ("a field that ends with LF", format!("GET /public/a HTTP/1.1\r\nX-A: b\n{HOST}\r\n")),
        ("a head that ends with LF LF", format!("GET /public/a HTTP/1.1\r\n{HOST}\n\n\r\n")),
        ("LF throughout", "GET /public/a HTTP/1.1\nHost: api.example.test\n\n".to_owned()),
        ("CR in a request line", format!("GET /public/a\rX HTTP/1.1\r\n{HOST}\r\n")),
        ("CR before CR LF", format!("GET /public/a HTTP/1.1\r\n{HOST}X-A: b\r\r\n\r\n")),
        ("CR in a value", format!("GET /public/a HTTP/1.1\r\n{HOST}X-A: b\rX-Scopes: c\r\n\r\n")),
        ("CR in a name", format!("GET /public/a HTTP/1.1\r\n{HOST}X\r-A: b\r\n\r\n")),
        ("LF CR", format!("GET /public/a HTTP/1.1\n\r{HOST}\r\n")),
        ("Host behind LF", "GET /public/a HTTP/1.1\r\nX: y\nHost: a.test\r\n\r\n".to_owned()),
        (
            "a transfer coding behind LF",
            format!("POST /public/a HTTP/1.1\r\n{HOST}X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
    ];
    rows.map(|(what, text)| (what, text.into_bytes(), 400, "line_end")).to_vec()
}

fn request_lines() -> Vec<Case> {
    let long = "A".repeat(65);
    let malformed = [
        ("two blanks before the target", "GET  /public/a HTTP/1.1".to_owned()),
        ("two blanks behind it", "GET /public/a  HTTP/1.1".to_owned()),
        ("a blank in the target", "GET /public/a b HTTP/1.1".to_owned()),
        ("a blank at the end", "GET /public/a HTTP/1.1 ".to_owned()),
        ("a blank at the beginning", " GET /public/a HTTP/1.1".to_owned()),
        ("tabs", "GET\t/public/a\tHTTP/1.1".to_owned()),
        ("a vertical tab", "GET\u{b}/public/a HTTP/1.1".to_owned()),
        ("no version", "GET /public/a".to_owned()),
        ("no target", "GET HTTP/1.1".to_owned()),
        ("an empty target", "GET  HTTP/1.1".to_owned()),
        ("no method", "/public/a HTTP/1.1".to_owned()),
        ("a method that is none", "G(T /public/a HTTP/1.1".to_owned()),
        ("a quoted method", "\"GET\" /public/a HTTP/1.1".to_owned()),
        ("a method with NUL", "GE\0T /public/a HTTP/1.1".to_owned()),
        ("a method beyond 64 bytes", format!("{long} /public/a HTTP/1.1")),
        ("a raw byte above ASCII", "GET /public/\u{f6} HTTP/1.1".to_owned()),
        ("NUL in the target", "GET /public/a\0 HTTP/1.1".to_owned()),
        ("DEL in the target", "GET /public/a\u{7f} HTTP/1.1".to_owned()),
        ("a control character in the target", "GET /public/\u{1b}a HTTP/1.1".to_owned()),
        ("an answer", "HTTP/1.1 200 OK".to_owned()),
        ("a field", "Host: a.test".to_owned()),
    ];
    let versions = [
        ("HTTP/0.9", "GET /public/a HTTP/0.9"),
        ("HTTP/1.2", "GET /public/a HTTP/1.2"),
        ("HTTP/1.10", "GET /public/a HTTP/1.10"),
        ("HTTP/01.1", "GET /public/a HTTP/01.1"),
        ("HTTP/2.0", "GET /public/a HTTP/2.0"),
        ("HTTP/3", "GET /public/a HTTP/3"),
        ("http/1.1", "GET /public/a http/1.1"),
        ("HTTPS/1.1", "GET /public/a HTTPS/1.1"),
        ("HTTP/1.1 and more", "GET /public/a HTTP/1.1x"),
        ("ICY", "GET /public/a ICY/1.1"),
    ];
    let methods = [
        ("TRACE", "TRACE /public/a HTTP/1.1"),
        ("TRACE of HTTP/1.0", "TRACE /public/a HTTP/1.0"),
        ("CONNECT of an authority", "CONNECT api.example.test:80 HTTP/1.1"),
        ("CONNECT of another one", "CONNECT 127.0.0.1:22 HTTP/1.1"),
        ("CONNECT of a path", "CONNECT /public/a HTTP/1.1"),
        ("CONNECT of a URL", "CONNECT http://api.example.test/ HTTP/1.1"),
    ];
    let mut cases: Vec<Case> =
        malformed.iter().map(|(what, text)| (*what, line(text), 400, "request_line")).collect();
    cases.extend(versions.map(|(what, text)| (what, line(text), 400, "version")));
    cases.extend(methods.map(|(what, text)| (what, line(text), 405, "method_never_served")));
    cases.push(("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400, "version"));
    cases
}

fn hosts() -> Vec<Case> {
    let long = format!("Host: {}\r\n", "a".repeat(256));
    let rows = [
        ("no Host", String::new()),
        ("an empty Host", "Host:\r\n".into()),
        ("a blank Host", "Host: \t \r\n".into()),
        ("an equal Host twice", format!("{HOST}{HOST}")),
        ("two hosts", format!("{HOST}Host: other.test\r\n")),
        ("two in other spellings", "hOST: a.test\r\nHosT: b.test\r\n".into()),
        ("an empty one behind it", format!("{HOST}Host:\r\n")),
        ("a list", "Host: a.test, b.test\r\n".into()),
        ("a user", "Host: user@api.example.test\r\n".into()),
        ("a user and a password", "Host: a:b@api.example.test\r\n".into()),
        ("a path", "Host: a.test/x\r\n".into()),
        ("a query", "Host: a.test?x\r\n".into()),
        ("a fragment", "Host: a.test#x\r\n".into()),
        ("a backslash", "Host: a.test\\x\r\n".into()),
        ("a URL", "Host: http://a.test\r\n".into()),
        ("a blank within", "Host: a.test b.test\r\n".into()),
        ("a tab within", "Host: a.test\tb.test\r\n".into()),
        ("a percent triplet", "Host: a%2etest\r\n".into()),
        ("a byte above ASCII", "Host: \u{e9}.test\r\n".into()),
        ("an empty label", "Host: a..test\r\n".into()),
        ("no name before the port", "Host: :80\r\n".into()),
        ("a port that is none", "Host: a.test:x\r\n".into()),
        ("an empty port", "Host: a.test:\r\n".into()),
        ("port 0", "Host: a.test:0\r\n".into()),
        ("port 65536", "Host: a.test:65536\r\n".into()),
        ("a signed port", "Host: a.test:+80\r\n".into()),
        ("two ports", "Host: a.test:80:80\r\n".into()),
        ("IPv6 without brackets", "Host: ::1\r\n".into()),
        ("an open bracket", "Host: [::1\r\n".into()),
        ("a zone", "Host: [fe80::1%25eth0]\r\n".into()),
        ("something behind a bracket", "Host: [::1].a.test\r\n".into()),
        ("a wildcard", "Host: *\r\n".into()),
        ("a header in place of it", "X-Forwarded-Host: a.test\r\n".into()),
        ("another spelling of its name", "H_ost: a.test\r\n".into()),
        ("256 bytes", long),
    ];
    let mut cases: Vec<Case> =
        rows.into_iter().map(|(what, text)| (what, host(&text), 400, "host")).collect();
    cases.push(("HTTP/1.0 without Host", b"GET /public/a HTTP/1.0\r\n\r\n".to_vec(), 400, "host"));
    cases
}

fn lengths() -> Vec<Case> {
    let lengths = [
        ("a length, then chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked"),
        ("chunks, then a length", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("chunks and a length of 0", "Transfer-Encoding: chunked\r\nContent-Length: 0"),
        ("a length and an unknown coding", "Content-Length: 3\r\nTransfer-Encoding: cow"),
        ("a length and an empty coding", "Content-Length: 3\r\nTransfer-Encoding:"),
        ("an equal length twice", "Content-Length: 5\r\nContent-Length: 5"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6"),
        ("two in other spellings", "content-length: 5\r\nCONTENT-LENGTH: 0"),
        ("a list of equal lengths", "Content-Length: 5, 5"),
        ("a list of lengths", "Content-Length: 5, 0"),
        ("a list with an empty member", "Content-Length: 5,"),
        ("a plus sign", "Content-Length: +5"),
        ("a minus sign", "Content-Length: -5"),
        ("minus zero", "Content-Length: -0"),
        ("hexadecimal", "Content-Length: 0x5"),
        ("hexadecimal digits", "Content-Length: a"),
        ("a fraction", "Content-Length: 5.0"),
        ("an exponent", "Content-Length: 5e0"),
        ("an underscore", "Content-Length: 1_0"),
        ("a blank within", "Content-Length: 5 0"),
        ("no digits", "Content-Length:"),
        ("words", "Content-Length: five"),
        ("quotes", "Content-Length: \"5\""),
        ("a parameter", "Content-Length: 5;x"),
        ("other digits", "Content-Length: \u{665}"),
        ("20 digits", "Content-Length: 18446744073709551616"),
        ("more than 64 bits", "Content-Length: 99999999999999999999"),
        ("a folded length", "Content-Length:\r\n\t5"),
        ("40 digits", "Content-Length: 0000000000000000000000000000000000000005"),
    ];
    let codings = [
        ("identity", "Transfer-Encoding: identity"),
        ("gzip", "Transfer-Encoding: gzip"),
        ("gzip, chunked", "Transfer-Encoding: gzip, chunked"),
        ("chunked, gzip", "Transfer-Encoding: chunked, gzip"),
        ("chunked, identity", "Transfer-Encoding: chunked, identity"),
        ("chunked, chunked", "Transfer-Encoding: chunked, chunked"),
        ("chunked and a comma", "Transfer-Encoding: chunked,"),
        ("a comma and chunked", "Transfer-Encoding: ,chunked"),
        ("chunked with a parameter", "Transfer-Encoding: chunked;q=1"),
        ("quoted", "Transfer-Encoding: \"chunked\""),
        ("xchunked", "Transfer-Encoding: xchunked"),
        ("chunkedx", "Transfer-Encoding: chunkedx"),
        ("two words", "Transfer-Encoding: chunked chunked"),
        ("cow", "Transfer-Encoding: cow"),
        ("nothing", "Transfer-Encoding:"),
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("chunked, then cow", "Transfer-Encoding: chunked\r\nTransfer-encoding: cow"),
        ("cow, then chunked", "Transfer-Encoding: cow\r\ntransfer-encoding: chunked"),
        ("identity, then chunked", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
    ];
    let mut cases: Vec<Case> = lengths.map(|(what, text)| (what, body(text), 400, "content_length")).to_vec();
    cases.extend(codings.map(|(what, text)| (what, body(text), 400, "transfer_coding")));
    let old = format!("POST /public/a HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    cases.push(("chunks in HTTP/1.0", old.into_bytes(), 400, "transfer_coding"));
    cases
}

fn field_lines() -> Vec<Case> {
    let folded = [
        ("a fold", "X-A: b\r\n c"),
        ("a fold with a tab", "X-A: b\r\n\tc"),
        ("a fold of nothing", "X-A: b\r\n "),
        ("a folded coding", "Transfer-Encoding:\r\n chunked"),
        ("a field that begins with a blank", "X-A: b\r\n Transfer-Encoding: chunked"),
    ];
    let names = [
        ("a blank before the colon", "X-A : b"),
        ("a tab before the colon", "X-A\t: b"),
        ("a coding with a blank before the colon", "Transfer-Encoding : chunked"),
        ("a length with a blank before the colon", "Content-Length : 5"),
        ("a token with a blank before the colon", "Authorization : Bearer x"),
        ("a blank in a name", "X A: b"),
        ("no colon", "nothing"),
        ("an empty name", ": b"),
        ("a pseudo-field", ":authority: other.test"),
        ("a path as pseudo-field", ":path: /api"),
        ("a byte above ASCII", "X-\u{e9}: b"),
        ("NUL in a name", "X\0A: b"),
        ("NUL behind a name", "Transfer-Encoding\0: chunked"),
        ("a quote", "\"X-A\": b"),
        ("brackets", "X[A]: b"),
        ("a slash", "X/A: b"),
        ("an equals sign", "X=A: b"),
        ("a request line", "GET /public/b HTTP/1.1"),
        ("a colon behind a fold", "Transfer-Encoding\r\n : chunked"),
    ];
    let values = [
        ("NUL in a value", "X-A: b\0c"),
        ("NUL at the end", "X-A: b\0"),
        ("DEL in a value", "X-A: b\u{7f}"),
        ("an escape in a value", "X-A: \u{1b}[31m"),
        ("a form feed", "X-A: b\u{c}"),
        ("a vertical tab before a coding", "Transfer-Encoding: \u{b}chunked"),
        ("a vertical tab behind a coding", "Transfer-Encoding: chunked\u{b}"),
        ("a backspace in a length", "Content-Length: 5\u{8}"),
        ("NUL in a token", "Authorization: Bearer a\0b"),
    ];
    let mut cases: Vec<Case> = folded.map(|(what, text)| (what, fields(text), 400, "folded_field")).to_vec();
    cases.extend(names.map(|(what, text)| (what, fields(text), 400, "field_name")));
    cases.extend(values.map(|(what, text)| (what, fields(text), 400, "field_value")));
    let first = b"GET /public/a HTTP/1.1\r\n Host: api.example.test\r\n\r\n".to_vec();
    cases.push(("a fold of the request line", first, 400, "folded_field"));
    cases
}

fn targets() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("a bare word", "public/a", "target_form"),
        ("a dot", ".", "target_form"),
        ("an asterisk", "*", "target_form"),
        ("an authority", "api.example.test:80", "target_form"),
        ("a backslash first", "\\public\\a", "target_raw_byte"),
        ("another scheme", "ftp://api.example.test/public/a", "target_form"),
        ("a file", "file:///etc/passwd", "target_form"),
        ("a scheme of scripts", "javascript:alert(1)", "target_form"),
        ("another authority", "http://other.test/public/a", "target_authority"),
        ("another port", "http://api.example.test:8081/public/a", "target_authority"),
        ("a user in the authority", "http://user@api.example.test/public/a", "target_authority"),
        ("an authority behind a user", "http://api.example.test@other.test/public/a", "target_authority"),
        ("an empty authority", "http:///public/a", "target_authority"),
        ("a backslash in the authority", "http://api.example.test\\@other.test/", "target_raw_byte"),
        ("a fragment", "/public/a#b", "target_fragment"),
        ("a fragment in the query", "/public/a?b#c", "target_fragment"),
        ("an empty fragment", "/public/a#", "target_fragment"),
        ("a fragment before dots", "/public/a#/../../api", "target_fragment"),
        ("a backslash", "/public\\a", "target_raw_byte"),
        ("a quote", "/public/\"a", "target_raw_byte"),
        ("angle brackets", "/public/<a>", "target_raw_byte"),
        ("braces", "/public/{a}", "target_raw_byte"),
        ("a bar", "/public/a|b", "target_raw_byte"),
        ("a caret", "/public/a^b", "target_raw_byte"),
        ("a backtick", "/public/`a`", "target_raw_byte"),
        ("a quote in the query", "/public/a?b=\"", "target_raw_byte"),
        ("a percent sign alone", "/public/a%", "target_bad_percent"),
        ("half a triplet", "/public/a%2", "target_bad_percent"),
        ("other digits", "/public/a%zz", "target_bad_percent"),
        ("an old way to write Unicode", "/public/%u002e%u002e/", "target_bad_percent"),
        ("an encoded NUL", "/public/a%00", "target_encoded_control"),
        ("NUL before an ending", "/public/a%00.png", "target_encoded_control"),
        ("an encoded line end", "/public/a%0d%0aX-Scopes:%20b", "target_encoded_control"),
        ("an encoded DEL", "/public/a%7f", "target_encoded_control"),
        ("an encoded slash", "/public/a%2fb", "target_encoded_slash"),
        ("the same in upper case", "/public/a%2Fb", "target_encoded_slash"),
        ("dots and an encoded slash", "/public/..%2f..%2fapi", "target_encoded_slash"),
        ("an encoded backslash", "/public/..%5c..%5capi", "target_encoded_backslash"),
        ("dots beyond the root", "/public/../../a", "target_leaves_root"),
        ("encoded dots beyond the root", "/%2e%2E/a", "target_leaves_root"),
        ("half encoded dots", "/.%2e/a", "target_leaves_root"),
        ("dots with parameters", "/public/..;/api/apps/v1/orders", "target_dot_parameters"),
        ("encoded dots with parameters", "/public/%2e%2E%3bx/api", "target_dot_parameters"),
        ("one dot with parameters", "/public/.;x/a", "target_dot_parameters"),
    ]
    .map(|(what, text, reason)| (what, target(text), 400, reason))
    .to_vec();
    cases.push(("OPTIONS *", line("OPTIONS * HTTP/1.1"), 400, "target_form"));
    let two = b"GET http://other.test/public/a HTTP/1.1\r\nHost: other.test\r\nHost: a.test\r\n\r\n".to_vec();
    cases.push(("an absolute target with two hosts", two, 400, "host"));
    let none = b"GET http://api.example.test/public/a HTTP/1.1\r\n\r\n".to_vec();
    cases.push(("an absolute target without Host", none, 400, "host"));
    cases
}

fn nominations() -> Vec<Case> {
    let refused = [
        "authorization",
        "X-Client-Id",
        "X-CLIENT-SECRET",
        "x_store_id",
        "X.Scopes",
        "X-Forwarded-For",
        "x_forwarded_proto",
        "Forwarded",
        "X-Real-IP",
        "Host",
        "Via",
        "Cookie",
        "Content-Length",
        "Transfer-Encoding",
        "X-Request-Id",
        "close, X-Store-Id",
        "keep-alive ,\tX-Store-Id ,,",
    ];
    let malformed =
        ["\"X-Store-Id\"", "X Store", ":authority", "a;b", "(close)", "a,b,c,d,e,f,g,h,i,j", "\u{e9}"];
    let mut cases: Vec<Case> = refused
        .map(|name| (name, fields(&format!("Connection: {name}")), 400, "connection_nomination"))
        .to_vec();
    let twice = fields("Connection: close\r\nConnection: X-Store-Id");
    cases.push(("on the second line", twice, 400, "connection_nomination"));
    cases.extend(
        malformed.map(|name| (name, fields(&format!("Connection: {name}")), 400, "connection_malformed")),
    );
    cases
}

fn sizes() -> Vec<Case> {
    let long = "a".repeat(33 * 1024);
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: a\r\n")).collect::<String>() + "X-Z: a";
    let half = format!("X-A: {0}\r\nX-B: {0}", &long[..17 * 1024]);
    vec![
        ("a long value", fields(&format!("X-Long: {long}")), 431, "head_bytes"),
        ("a long name", fields(&format!("{long}: x")), 431, "head_bytes"),
        ("a long target", target(&format!("/public/{long}")), 431, "head_bytes"),
        ("a long query", target(&format!("/public/a?{long}")), 431, "head_bytes"),
        ("a long cookie", fields(&format!("Cookie: {long}")), 431, "head_bytes"),
        ("a long token", fields(&bearer(&long)[0]), 431, "head_bytes"),
        ("long together", fields(&half), 431, "head_bytes"),
        ("100 fields and Host", fields(&many(99)), 431, "head_fields"),
        ("256 fields and Host", fields(&many(255)), 431, "head_fields"),
        ("1000 fields", fields(&many(999)), 431, "head_fields"),
    ]
}
