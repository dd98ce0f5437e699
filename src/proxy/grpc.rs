//! Refusals in the form that gRPC clients read: trailers only, with a gRPC status (the protocol over
//! HTTP/2, "Responses"). To them an HTTP status other than 200 is a broken transport.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};

use super::answer::X_REQUEST_ID;
use crate::gate::{Code, Reason};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The content type of the answer when a gRPC client asks.
pub(super) fn content_type(request: &RequestHeader) -> Option<&'static str> {
    if request.method == Method::POST { family(&request.headers) } else { None }
}

/// `application/grpc`, alone or with a format (`+proto`) or parameters; likewise gRPC-Web.
fn family(headers: &HeaderMap) -> Option<&'static str> {
    const FAMILIES: [&str; 3] = ["application/grpc-web-text", "application/grpc-web", "application/grpc"];
    let sent = headers.get(CONTENT_TYPE)?.as_bytes();
    FAMILIES.into_iter().find(|family| {
        let (Some(start), next) = (sent.get(..family.len()), sent.get(family.len())) else { return false };
        start.eq_ignore_ascii_case(family.as_bytes()) && matches!(next, None | Some(b'+' | b';' | b' '))
    })
}

/// The head of the answer, which is all of it.
pub(super) fn head(
    reason: &Reason,
    content_type: &'static str,
    request_id: &HeaderValue,
) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(5))?;
    head.insert_header(CONTENT_TYPE, HeaderValue::from_static(content_type))?;
    head.insert_header(GRPC_STATUS, HeaderValue::from(status(reason.code())))?;
    head.insert_header(GRPC_MESSAGE, percent_encoded(&reason.message()))?;
    head.insert_header(X_REQUEST_ID, request_id.clone())?;
    Ok(head)
}

/// The status codes of gRPC that say the same.
fn status(code: Code) -> u16 {
    match code {
        Code::InvalidRequest | Code::MissingStoreId | Code::InvalidStoreId => 3, // INVALID_ARGUMENT
        Code::GatewayTimeout | Code::RequestTimeout => 4,                        // DEADLINE_EXCEEDED
        Code::StoreSuspended | Code::StoreMismatch | Code::IpNotAllowed | Code::InsufficientScope => 7, // PERMISSION_DENIED
        Code::RateLimitExceeded | Code::HeadTooLarge => 8, // RESOURCE_EXHAUSTED
        Code::NotFound | Code::MethodNotAllowed => 12,     // UNIMPLEMENTED
        Code::ServiceUnavailable | Code::BadGateway => 14, // UNAVAILABLE
        Code::MissingToken
        | Code::InvalidToken
        | Code::InvalidClient
        | Code::CredentialNotAccepted
        | Code::NotInstalled => 16, // UNAUTHENTICATED
    }
}

/// The encoding of `grpc-message`: printable ASCII other than the percent sign stands for itself.
fn percent_encoded(message: &str) -> HeaderValue {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7F.. => {
                text.push('%');
                text.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
            }
            _ => text.push(char::from(byte)),
        }
    }
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_grpc() {
        let rows = [
            ("application/grpc", Some("application/grpc")),
            ("Application/gRPC+proto", Some("application/grpc")),
            ("application/grpc;charset=utf-8", Some("application/grpc")),
            ("application/grpc-web+proto", Some("application/grpc-web")),
            ("application/grpc-web-text", Some("application/grpc-web-text")),
            ("application/grpcish", None),
            ("application/grp", None),
            ("application/json", None),
            ("text/application/grpc", None),
            ("", None),
        ];
        for (sent, expected) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(sent));
            assert_eq!(family(&headers), expected, "{sent}");
        }
        assert_eq!(family(&HeaderMap::new()), None);
    }

    #[test]
    fn messages_are_percent_encoded() {
        let rows = [
            ("No such route.", "No such route."),
            ("100%", "100%25"),
            ("a\r\nb", "a%0D%0Ab"),
            ("ä", "%C3%A4"),
            ("\u{7f}~", "%7F~"),
        ];
        for (message, expected) in rows {
            assert_eq!(percent_encoded(message), expected);
        }
    }
}
