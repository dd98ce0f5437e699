//! What happens to every request of the admin listener: its id, the plainness of its path, and the body
//! of a refusal, in which the id stands.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;

use super::Control;
use super::refused::{Refusal, Refused};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// The other end of a connection, which the listener puts in.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerAddress(pub(super) IpAddr);

/// Where a request came from, and how it is called.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) peer: IpAddr,
    pub(super) request_id: String,
}

/// The outermost layer.
pub(super) async fn pass(State(control): State<Arc<Control>>, mut request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers());
    let path = request.uri().path();
    let counted = path.starts_with("/admin/") || path.starts_with("/api/");
    let mut response = match request.extensions().get::<PeerAddress>() {
        Some(PeerAddress(peer)) if is_plain(path) => {
            let edge = Edge { peer: *peer, request_id: request_id.clone() };
            request.extensions_mut().insert(edge);
            next.run(request).await
        }
        Some(_) => Refused::Invalid(
            "The path must be written plainly: without percent signs, empty segments and dot segments."
                .to_owned(),
        )
        .into_response(),
        None => Refused::Unavailable("The peer is not known.".to_owned()).into_response(),
    };
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

/// Whether a path has one reading only. No name in a path of ours needs an escape, so that what is
/// refused here could only be an attempt to have a path judged as one thing and served as another.
fn is_plain(path: &str) -> bool {
    let segments = path.strip_prefix('/').map(|rest| rest.split('/'));
    path == "/"
        || segments.is_some_and(|mut segments| {
            segments.all(|segment| {
                !matches!(segment, "" | "." | "..")
                    && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:".contains(&b))
            })
        })
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
    fn paths_are_plain_or_refused() {
        for path in ["/", "/healthz", "/admin/v1/apps/sx_app_1.~-", "/api/apps/7/rotate-secret"] {
            assert!(is_plain(path), "{path}");
        }
        let refused = [
            "",
            "*",
            "admin",
            "/%61dmin/v1/stores",
            "/admin%2fv1/stores",
            "/admin/v1/operators/%31",
            "/admin/v1/../v1/stores",
            "/./healthz",
            "//healthz",
            "/healthz/",
            "/admin//v1",
            "/admin\\v1",
            "/admin/v1/stores;x=1",
            "/admin/v1/é",
        ];
        for path in refused {
            assert!(!is_plain(path), "{path}");
        }
    }

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
