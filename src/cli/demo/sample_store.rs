//! The sample store API behind the demo's gateway: orders, products, and an echo of the identity
//! headers that it received. It authenticates nobody: that is the gateway's work.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// What a store API needs to know of a caller.
const IDENTITY: [&str; 6] =
    ["x-store-id", "x-scopes", "x-client-id", "x-installation-id", "x-auth-method", "x-request-id"];

/// The API's routes.
pub(super) fn router() -> Router {
    Router::new()
        .route("/api/apps/v1/orders", get(orders).post(create_order))
        .route("/api/apps/v1/orders/{id}", get(order))
        .route("/api/apps/v1/products", get(products))
        .route("/echo", get(echo))
        .fallback(not_found)
}

fn received(headers: &HeaderMap) -> Value {
    let pairs = IDENTITY.iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), Value::from(value)))
    });
    Value::Object(pairs.collect())
}

fn sample_orders(headers: &HeaderMap) -> Vec<Value> {
    let store = headers.get("x-store-id").and_then(|value| value.to_str().ok()).unwrap_or("?");
    vec![
        json!({"id": 7001, "store_id": store, "total": "1450.00", "currency": "BDT", "status": "paid"}),
        json!({"id": 7002, "store_id": store, "total": "320.50", "currency": "BDT", "status": "pending"}),
    ]
}

async fn orders(headers: HeaderMap) -> Json<Value> {
    let orders = sample_orders(&headers);
    let pagination = json!({"page": 1, "limit": 50, "total": orders.len()});
    Json(json!({"data": orders, "pagination": pagination, "status": 200, "received": received(&headers)}))
}

async fn order(Path(id): Path<u64>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    match sample_orders(&headers).into_iter().find(|order| order["id"] == id) {
        Some(order) => {
            (StatusCode::OK, Json(json!({"data": order, "status": 200, "received": received(&headers)})))
        }
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({"message": "No such order.", "code": "not_found", "status": 404})),
        ),
    }
}

async fn create_order(headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let answer = json!({"message": "Order created.", "data": {"id": 7003}, "status": 201, "received": received(&headers)});
    (StatusCode::CREATED, Json(answer))
}

async fn products(headers: HeaderMap) -> Json<Value> {
    let products = json!([
        {"id": 11, "title": "Nakshi kantha quilt", "price": "4200.00"},
        {"id": 12, "title": "Jamdani scarf", "price": "1850.00"},
    ]);
    Json(json!({"data": products, "status": 200, "received": received(&headers)}))
}

async fn echo(headers: HeaderMap) -> Json<Value> {
    Json(json!({"received": received(&headers)}))
}

async fn not_found() -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({"message": "No such resource.", "code": "not_found", "status": 404})))
}
