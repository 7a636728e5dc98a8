//! `POST /internal/messages/batch`.

use axum::extract::State;
use chassis::caller::FromService;
use chassis::hop::Hop;
use chassis::identity::Grant;
use chassis::json::{Json, parse};
use chassis::refuse::Refusal;
use contract::internal::{BATCH_ITEMS_MAX, Batch, BatchItem, BatchResult, BatchResults};
use serde_json::value::RawValue;

use crate::command::{Draft, Novelty, Sent};
use crate::writer::{Pending, Writer};

/// Stores the items that can be stored, in their order; each is answered by itself.
pub(super) async fn send_batch(
    State(writer): State<Writer>,
    service: FromService,
    hop: Hop,
    Json(batch): Json<Batch>,
) -> Result<Json<BatchResults>, Refusal> {
    service.require(Grant::Batch)?;
    if batch.items.len() > BATCH_ITEMS_MAX {
        return Err(Refusal::invalid("items", "must be at most 256"));
    }
    let request_id = hop.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
    // All are handed in before any is waited for, so that they share commits.
    let pending: Vec<_> = batch.items.iter().map(|item| hand_in(&writer, item)).collect();
    let mut results = Vec::with_capacity(pending.len());
    for item in pending {
        let settled = match item {
            Ok(item) => item.sent().await.map_err(Refusal::from),
            Err(refusal) => Err(refusal),
        };
        results.push(settled.map_or_else(|refusal| refused(&refusal, request_id), stored));
    }
    Ok(Json(BatchResults { results }))
}

fn hand_in(writer: &Writer, item: &RawValue) -> Result<Pending, Refusal> {
    let item: BatchItem = parse(item.get().as_bytes())?;
    let (author, draft) = Draft::of_item(item)?;
    Ok(writer.submit(author, draft)?)
}

fn stored(sent: Sent) -> BatchResult {
    let Sent { message, novelty } = sent;
    let dup = novelty == Novelty::Repeat;
    let status = if dup { 200 } else { 201 };
    let (seq, n) = (message.seq, message.n);
    BatchResult::Stored { status, message: Box::new(message), seq, n, dup }
}

fn refused(refusal: &Refusal, request_id: &str) -> BatchResult {
    refusal.log(request_id, "/internal/messages/batch");
    let problem = refusal.problem(request_id);
    BatchResult::Refused { status: problem.status, problem: Box::new(problem) }
}
