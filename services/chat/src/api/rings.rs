//! `POST /internal/rings`: events from a message service that shares no bus with this one.

use std::sync::Arc;

use axum::extract::State;
use chassis::caller::FromService;
use chassis::identity::Grant;
use chassis::json::Json;
use chassis::refuse::Refusal;
use contract::internal::{BATCH_ITEMS_MAX, Rings};
use http::StatusCode;

use super::Api;

pub(super) async fn ring(
    State(api): State<Api>,
    service: FromService,
    Json(rings): Json<Rings>,
) -> Result<StatusCode, Refusal> {
    service.require(Grant::Rings)?;
    if rings.events.len() > BATCH_ITEMS_MAX {
        return Err(Refusal::invalid("events", format!("has to be at most {BATCH_ITEMS_MAX}")));
    }
    rings.events.into_iter().for_each(|event| api.bus.publish(Arc::new(event)));
    Ok(StatusCode::NO_CONTENT)
}
