//! `GET /api/messages/room/{room_id}`.

use axum::extract::State;
use chassis::caller::Acting;
use chassis::json::{Json, Path, Query};
use contract::RoomId;
use contract::message::Message;
use serde::Deserialize;

use super::page_size;
use crate::error::{Error, invalid};
use crate::reading::Reading;
use crate::store::messages::Page;

/// Most messages that can be skipped; whoever wants to go further back pages by `before`.
const OFFSET_MAX: u32 = 100_000;

/// Where the page lies, and how long it is.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    before: Option<u64>,
    after: Option<u64>,
    /// Counted from the newest.
    offset: Option<u32>,
    limit: Option<u32>,
}

/// A page of a history, ascending: the newest one when nothing else is asked for.
pub(super) async fn list_messages(
    State(reading): State<Reading>,
    Acting(person): Acting,
    Path(room): Path<RoomId>,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<Message>>, Error> {
    let page = page(&asked)?;
    reading.history(person.id, &room, page, page_size(asked.limit)).await.map(Json)
}

fn page(asked: &Asked) -> Result<Page, Error> {
    match (asked.before, asked.after, asked.offset) {
        (Some(before), None, None) => Ok(Page::Before(before)),
        (None, Some(after), None) => Ok(Page::After(after)),
        (None, None, Some(skip)) if skip > OFFSET_MAX => {
            Err(invalid("offset", "must be at most 100000; page by before instead"))
        }
        (None, None, skip) => Ok(Page::Newest { skip: skip.unwrap_or(0) }),
        (Some(_), Some(_), _) => Err(invalid("after", "goes without before")),
        (_, _, Some(_)) => Err(invalid("offset", "goes without before and after")),
    }
}
