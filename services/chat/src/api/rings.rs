//! `POST /internal/rings`: events from a message service that shares no bus with this one.

use std::sync::Arc;

use axum::extract::State;
use chassis::caller::FromService;
use chassis::identity::Grant;
use chassis::json::Json;
use chassis::refuse::Refusal;
use contract::internal::{BATCH_ITEMS_MAX, Rings};
use contract::room::Done;

use super::Api;

pub(super) async fn ring(
    State(api): State<Api>,
    service: FromService,
    Json(rings): Json<Rings>,
) -> Result<Json<Done>, Refusal> {
    service.require(Grant::Rings)?;
    if rings.events.len() > BATCH_ITEMS_MAX {
        return Err(Refusal::invalid("events", format!("has to be at most {BATCH_ITEMS_MAX}")));
    }
    rings.events.into_iter().for_each(|event| api.bus.publish(Arc::new(event)));
    Ok(Json(Done { message: "The events were passed on.".to_owned(), room: None }))
}
