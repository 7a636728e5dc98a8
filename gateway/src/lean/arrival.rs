//! A request arrives: its head is read where it lies, walks through the doors, and what they made of
//! it is written down before anything waits.

use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;

use super::body::Body;
use super::caller::{Caller, poll_read};
use super::exchange::Exchange;
use super::job::Job;
use super::{Own, whole_own};
use crate::corridor::{self, Halt, Keys, Order, Passed, Wait};
use crate::grpc::Dialect;
use crate::head::{Head, Seen};
use crate::link::{Link, Stage};
use crate::refusal::Refusal;
use crate::rewrite;
use crate::visit::Visit;
use crate::way::Way;
use crate::wire::{self, After};

/// What a connection does next.
#[derive(Debug)]
pub(super) enum Step<'p> {
    /// Nothing: the caller is gone, or may not stay.
    Over,
    /// The rest of the connection goes the general way.
    General,
    /// What came is no request.
    Refused(Refusal),
    /// The request waits outside of the doors; its bytes are kept.
    Waits {
        visit: Box<Visit>,
        wait: Wait,
    },
    /// The gateway answers itself.
    Own(Box<Own>),
    Exchange(Box<Exchange<'p>>),
}

/// Waits for the next request. `waiting` is the visit of one whose bytes were kept, and what came of
/// its wait.
pub(super) fn poll<'p>(
    link: &'p Rc<Link>,
    caller: &mut Caller,
    waiting: &mut Option<(Visit, Keys)>,
    cx: &mut Context<'_>,
) -> Poll<Step<'p>> {
    let core = &link.core;
    if link.timer.poll(cx).is_ready() {
        return Poll::Ready(match link.stage() {
            Stage::Head => Step::Refused(Refusal::Slow),
            Stage::Idle | Stage::Serving => Step::Over,
        });
    }
    if core.is_closing() && caller.kept.is_empty() {
        return Poll::Ready(Step::Over);
    }
    loop {
        if let Some(mut bytes) = caller.take_news(core.plan.limits.head_bytes_max) {
            if let Some(step) = begin(link, caller, &mut bytes, waiting) {
                return Poll::Ready(step);
            }
            caller.keep_judged(bytes);
        }
        if !caller.kept.is_empty() {
            link.head_begins();
        }
        let mut buffer = core.buffer.borrow_mut();
        let read = match poll_read(&mut caller.stream, &mut buffer, cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Step::Over),
            Poll::Ready(Ok(read)) => read,
        };
        let bytes = buffer.get_mut(..read).unwrap_or_default();
        if !caller.kept.is_empty() {
            caller.keep(bytes);
        } else if let Some(step) = begin(link, caller, bytes, waiting) {
            return Poll::Ready(step);
        } else {
            caller.keep_judged(bytes.to_vec());
        }
    }
}

/// What the head at the beginning of some bytes came to.
enum Verdict<'p> {
    General,
    Waits { visit: Visit, wait: Wait },
    Own { response: Response<bytes::Bytes>, visit: Visit },
    On(Box<Exchange<'p>>),
}

/// Begins with the request at the front of `bytes`; `None` while its head is not whole.
fn begin<'p>(
    link: &'p Rc<Link>,
    caller: &mut Caller,
    bytes: &mut [u8],
    waiting: &mut Option<(Visit, Keys)>,
) -> Option<Step<'p>> {
    let core = &link.core;
    let parsed = match wire::request(bytes, &core.plan.limits, &core.scratch) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return None,
        // Another protocol, which the general way knows of (RFC 9113 section 3.4).
        Err(_) if link.is_fresh() && wire::is_preface(bytes) => {
            caller.keep(bytes);
            return Some(Step::General);
        }
        Err(_) if link.is_fresh() && wire::may_be_preface(bytes) => return None,
        Err(refusal) => {
            link.head_begins();
            return Some(Step::Refused(refusal));
        }
    };
    let head = parsed.head();
    let after = after(link, &head);
    let verdict = judge(link, &head, after, waiting);
    let (length, body) = (parsed.length, Body::from(parsed.framing));
    drop(parsed);
    let (_, rest) = bytes.split_at_mut_checked(length)?;
    Some(match verdict {
        Verdict::General => {
            caller.keep(bytes);
            Step::General
        }
        Verdict::Waits { visit, wait } => {
            caller.keep(bytes);
            Step::Waits { visit: Box::new(visit), wait }
        }
        Verdict::Own { response, visit } => own(link, caller, (response, visit), after, body, rest),
        Verdict::On(exchange) => on(link, caller, exchange, body, rest),
    })
}

/// Whether the connection goes on behind the request.
fn after(link: &Link, head: &Head<'_>) -> After {
    let says_close = head.seen.has(Seen::CONNECTION) && head.lists("connection", "close");
    if says_close || link.core.is_closing() { After::Closes } else { After::Keeps }
}

/// Sends `head` through the doors, if it may go this way.
fn judge<'p>(
    link: &'p Rc<Link>,
    head: &Head<'_>,
    after: After,
    waiting: &mut Option<(Visit, Keys)>,
) -> Verdict<'p> {
    if Way::of(head) == Way::General {
        return Verdict::General;
    }
    link.request_begins();
    let (mut visit, keys) =
        waiting.take().unwrap_or_else(|| (Visit::begin(link, head), Keys::MayCome));
    let passed = corridor::pass(link, &mut visit, head, &keys, Way::Lean);
    if matches!(keys, Keys::MayCome) && !matches!(passed, Err(Halt::General)) {
        link.core.counters.lean_requests.add(1);
    }
    match passed {
        Err(Halt::Waits(wait)) => Verdict::Waits { visit, wait },
        Err(Halt::General) => {
            visit.begins_anew();
            Verdict::General
        }
        Err(Halt::Refused(refusal)) => {
            visit.dialect = Dialect::of(head);
            Verdict::Own { response: visit.refuse(&refusal), visit }
        }
        Ok(Passed::Here(response)) => Verdict::Own { response, visit },
        Ok(Passed::On(order)) => {
            let bytes = outbound(link, head, &order, &visit);
            Verdict::On(Box::new(Exchange::new(link, Job::new(order, visit, bytes, after))))
        }
    }
}

/// The head that the upstream gets.
fn outbound(link: &Link, head: &Head<'_>, order: &Order<'_, '_>, visit: &Visit) -> Vec<u8> {
    let mut out = link.core.spares.take();
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    order.forward.write_target(&order.route.matcher, &order.path, &mut out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    rewrite::request(head, order, visit, link, &mut out);
    out.extend_from_slice(b"\r\n");
    out
}

/// Answers without an upstream.
fn own<'p>(
    link: &Link,
    caller: &mut Caller,
    (response, visit): (Response<bytes::Bytes>, Visit),
    after: After,
    mut body: Body,
    rest: &mut [u8],
) -> Step<'p> {
    let after = match body.take(rest) {
        Ok(taken) => {
            caller.keep(rest.get(taken.read..).unwrap_or_default());
            after
        }
        Err(_) => After::Closes,
    };
    let own = Own { bytes: link.core.spares.take(), visit, after, rest: body };
    Step::Own(Box::new(whole_own(&response, own, &link.core)))
}

/// Goes on to an upstream, with what is here of the body.
fn on<'p>(
    link: &'p Rc<Link>,
    caller: &mut Caller,
    mut exchange: Box<Exchange<'p>>,
    mut body: Body,
    rest: &mut [u8],
) -> Step<'p> {
    let refusal = match body.take(rest) {
        Ok(taken) => {
            caller.keep(rest.get(taken.read..).unwrap_or_default());
            exchange.job.take_in(rest.get(..taken.kept).unwrap_or_default(), taken.data).err()
        }
        Err(_) => Some(Refusal::BROKEN_CHUNKS),
    };
    let Some(refusal) = refusal else {
        exchange.upload.body = body;
        return Step::Exchange(exchange);
    };
    let mut visit = exchange.job.visit;
    let response = visit.refuse(&refusal);
    own(link, caller, (response, visit), After::Closes, body, &mut [])
}
