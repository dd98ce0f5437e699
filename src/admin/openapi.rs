//! The OpenAPI document, made from the handlers: a route is served because it is described, and the other
//! way round (`OpenApiRouter`).

use axum::Json;
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

/// The frame of the document.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "storegate admin API",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        description = "Stores, apps, installations, access tokens and operators of a storegate replica. \
            What changes a credential is in force when the answer comes. An answer to a change has a field \
            `warning` where a gateway on the machine did not confirm it.",
    ),
    security(("bearer" = [])),
    modifiers(&Frame),
    tags(
        (name = "stores", description = "The tenants that requests act on."),
        (name = "apps", description = "The clients that call, and their secrets."),
        (name = "installations", description = "Apps in stores."),
        (name = "tokens", description = "Access tokens."),
        (name = "operators", description = "Who may use this API."),
        (name = "usage", description = "Who calls how much."),
        (name = "audit", description = "Who changed what."),
        (name = "platform", description = "Calls that the platform's own dashboard makes."),
        (name = "health", description = "Whether the gateway works."),
    )
)]
pub(super) struct Document;

struct Frame;

impl Modify for Frame {
    fn modify(&self, document: &mut OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some("The token of admin.token, or of an operator.".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The document of this API.
#[utoipa::path(get, path = "/admin/v1/openapi.json", tag = "health", operation_id = "openapi", security(()),
    responses((status = 200, description = "This document.", body = serde_json::Value)))]
pub(super) async fn openapi() -> Json<OpenApi> {
    Json(super::document())
}
