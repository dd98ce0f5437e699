//! Who calls how much.

use std::collections::BTreeMap;

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::Call;
use super::refused::{ErrorBody, Refused};
use crate::model::{ClientId, Permission, StoreId, Timestamp};
use crate::usage::{self, Filter, Period};

/// Calls of 24 hours where nothing else is asked for.
const DAY: i64 = 86_400;

/// The lengths of time that calls are counted by.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum By {
    Minute,
    Hour,
    Day,
}

/// Which calls are counted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only of this app.
    client_id: Option<String>,
    /// Only of this store.
    store_id: Option<u64>,
    /// Each period of this length (UTC) by itself; all together by default.
    #[param(inline)]
    by: Option<By>,
    /// Unix seconds: not before the period in which this lies; 24 hours ago by default.
    since: Option<i64>,
    /// The most rows that are given.
    #[param(minimum = 1, maximum = 10000, default = 100)]
    limit: Option<u32>,
}

/// Who calls how much.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    /// Where the first period begins, Unix seconds.
    since: i64,
    /// The latest first where they are by period, the most calls first elsewhere.
    rows: Vec<Row>,
    /// Whether there are more rows.
    truncated: bool,
}

/// Calls of one app in one store.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Row {
    /// The start of the period, Unix seconds.
    at: Option<i64>,
    /// `*`: all apps without a row of their own. Null: no app was found.
    client_id: Option<String>,
    /// `*`: all stores without a row of their own. Null: the calls did not come as far as a store.
    store_id: Option<StoreName>,
    calls: u64,
    refused: u64,
    broken: u64,
    /// Body bytes received from clients.
    bytes_in: u64,
    /// Body bytes sent to clients.
    bytes_out: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Refusals by code.
    refusals: BTreeMap<String, u64>,
}

/// A store's id, or `*`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum StoreName {
    Id(u64),
    Others(String),
}

impl From<usage::Row> for Row {
    fn from(found: usage::Row) -> Self {
        let usage::Row { at, client_id, store_id, calls, refused, broken, bytes_in, bytes_out, .. } = found;
        let store_id = store_id.map(|store| match store {
            usage::StoreName::Id(id) => StoreName::Id(id),
            usage::StoreName::Others(sign) => StoreName::Others(sign.into()),
        });
        let (p50_ms, p99_ms, refusals) = (found.p50_ms, found.p99_ms, found.refusals);
        Self {
            at,
            client_id,
            store_id,
            calls,
            refused,
            broken,
            bytes_in,
            bytes_out,
            p50_ms,
            p99_ms,
            refusals,
        }
    }
}

/// Tells who calls how much: calls, refusals, bytes and times of each app in each store.
#[utoipa::path(get, path = "/admin/v1/usage", tag = "usage", operation_id = "usage", params(Which),
    responses((status = 200, description = "The counts.", body = Usage),
        (status = "default", description = "Refused.", body = ErrorBody)))]
pub(super) async fn show(call: Call) -> Result<Json<Usage>, Refused> {
    let filter = call.query::<Which>()?.filter(Timestamp::now().0)?;
    let report = call.see(Permission::ViewApps, move |control| {
        control.status.usage(&filter).map_err(|error| Refused::Unavailable(format!("{error}.")))
    });
    let usage::Report { since, rows, truncated } = report.await?;
    Ok(Json(Usage { since, rows: rows.into_iter().map(Row::from).collect(), truncated }))
}

impl Which {
    fn filter(self, now: i64) -> Result<Filter, Refused> {
        let app = self.client_id.map(|text| ClientId::parse(&text)).transpose();
        let store = self.store_id.map(|number| StoreId::new(number).ok_or(())).transpose();
        let limit = self.limit.unwrap_or(100);
        if !(1..=usage::MOST_ROWS).contains(&limit) {
            return Err(Refused::Invalid(format!("limit is 1 to {}.", usage::MOST_ROWS)));
        }
        Ok(Filter {
            by: self.by.map(|by| match by {
                By::Minute => Period::Minute,
                By::Hour => Period::Hour,
                By::Day => Period::Day,
            }),
            since: self.since.unwrap_or(now - DAY).max(0),
            app: app.map_err(|why| Refused::Invalid(format!("client_id is malformed: {why}.")))?,
            store: store.map_err(|()| Refused::Invalid("store_id is no store id.".to_owned()))?,
            limit,
        })
    }
}
