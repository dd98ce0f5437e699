//! What the standard endpoint says of itself (RFC 8414).

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::failure::Failure;
use super::{Served, answer};
use crate::model::Requester;

/// Where it stands (RFC 8414 section 3).
pub(super) const PATH: &str = "/.well-known/oauth-authorization-server";

pub(super) async fn document(
    State(served): State<Arc<Served>>,
    Extension(requester): Extension<Requester>,
    method: Method,
) -> Response {
    let mut remark = served.remark("metadata");
    let mut response = if method == Method::GET || method == Method::HEAD {
        answer::json(StatusCode::OK, &served.metadata(&requester))
    } else {
        remark.code = Failure::Method.code();
        let body = json!({"error": "invalid_request", "error_description": "This resource is for GET only."});
        let mut response = answer::json(StatusCode::METHOD_NOT_ALLOWED, &body);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    };
    response.extensions_mut().insert(remark);
    response
}

impl Served {
    fn metadata(&self, requester: &Requester) -> serde_json::Value {
        let issuer = self.endpoint.issuer.as_deref().map_or_else(
            || format!("{}://{}", if requester.secure { "https" } else { "http" }, requester.host),
            str::to_owned,
        );
        let methods = ["client_secret_basic", "client_secret_post"];
        let at = |path: &str| format!("{}{path}", issuer.trim_end_matches('/'));
        json!({
            "issuer": issuer,
            "token_endpoint": at(&self.endpoint.path),
            "introspection_endpoint": at(&self.endpoint.sibling("introspect")),
            "revocation_endpoint": at(&self.endpoint.sibling("revoke")),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
        })
    }
}
