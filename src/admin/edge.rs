//! What happens to every request of the admin listener: its id, and the body of a refusal, in which the
//! id stands.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;

use super::Control;
use super::refused::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// The other end of a connection, which the listener puts into each of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) has_tls: bool,
}

/// How a request is called.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// The outermost layer.
pub(super) async fn pass(State(control): State<Arc<Control>>, mut request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers());
    let path = request.uri().path();
    let counted = path.starts_with("/admin/") || path.starts_with("/api/");
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let mut response = next.run(request).await;
    let refusal = response.extensions_mut().remove::<Refusal>();
    if counted {
        let code = refusal.as_ref().map_or("", |refusal| refusal.code);
        control.status.metrics().admin_call(code);
    }
    if let Some(refusal) = refusal {
        let body = Json(refusal.body(response.status(), &request_id)).into_response();
        let (head, body) = body.into_parts();
        *response.body_mut() = body;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().extend(head.headers);
    }
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if counted {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// The caller's, if it is a usable one; a new one otherwise.
fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let usable = sent.filter(|text| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
    });
    usable.map_or_else(new_id, str::to_owned)
}

fn new_id() -> String {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => HEXLOWER.encode(&bytes),
        Err(_) => "-".to_owned(), // a call that needs a secret fails for the same reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_taken_over_or_made() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(text))]);
            request_id(&headers)
        };
        assert_eq!(of("deploy-7/step:2"), "deploy-7/step:2");
        for text in ["", "a b", "a\"b", "<script>"] {
            assert_eq!(of(text).len(), 32, "{text:?}");
        }
        assert_ne!(new_id(), new_id());
    }
}
