//! From what went wrong to what a client reads: over HTTP a [`Refusal`], on a socket an `err`.

use chassis::refuse::Refusal;
use contract::live::{Fault, ServerFrame};

/// The `err` frame of a refusal; `id` is the request's, where it had one.
pub(crate) fn fault(id: Option<u64>, refusal: &Refusal) -> ServerFrame {
    let code = refusal.kind();
    let wait = refusal.wait().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    ServerFrame::Err(Fault {
        id,
        code,
        status: code.status(),
        detail: refusal.problem("").detail,
        retry: code.worth_retrying(),
        retry_after_ms: wait,
    })
}
