//! The life of a request on one screen: one line per door, and each door may refuse.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::auth::{Caller, Verdict};
use crate::core::Core;
use crate::cors::Cors;
use crate::forward::{self, Expects, Order, Upload};
use crate::head::{Head, Seen};
use crate::limits;
use crate::link::Link;
use crate::quota::{By, Key};
use crate::refusal::Refusal;
use crate::reply::{Answer, Content, Reply, Visit};
use crate::route::{Found, Goal, Method, Own, Path, Route, SERVED};
use crate::wheel::Ticks;

/// Answers one request, whatever comes.
pub(crate) async fn answer(link: Rc<Link>, request: Request<Incoming>) -> Response<Reply> {
    let (parts, body) = request.into_parts();
    let fields = link.core.scratch.fields(&parts.headers);
    let head = Head::of_hyper(&parts, &fields);
    let expects = head.seen.has(Seen::EXPECT);
    let expects = if expects { Expects::Continue } else { Expects::Nothing };
    let upload = Upload::new(link.clone(), body, expects);
    let mut visit = Visit::begin(&link, &parts, &head);
    let passed = doors(&link, &mut visit, &head).await;
    drop(fields);
    let outcome = match passed {
        Err(refusal) => Err(refusal),
        Ok(Passed::Here(answer)) => Ok(answer),
        Ok(Passed::On { order, body_bytes_max }) => {
            let wait = Ticks::from(order.forward.response_timeout);
            forward::send(&link, order, parts, upload.bounded(body_bytes_max, wait)).await
        }
    };
    visit.respond(outcome)
}

/// Where a request goes that every door let through.
enum Passed<'a> {
    /// The gateway answers itself.
    Here(Answer),
    /// To an upstream.
    On { order: Order<'a>, body_bytes_max: u64 },
}

/// Through the doors, one after the other.
async fn doors<'a>(
    link: &'a Link,
    visit: &mut Visit,
    head: &Head<'_>,
) -> Result<Passed<'a>, Refusal> {
    let core = &link.core;
    limits::check(head, &core.plan.limits)?;
    if Cors::is_preflight(head) || head.target == "*" {
        return Ok(Passed::Here(options(core, head, visit)?));
    }
    let path = Path::canonical(head.target)?;
    let found = core.plan.table.find(&path.path, Method::of(head.method))?;
    visit.route = Some(found.id);
    if forward::comes_back(head, &core.shared.pseudonym) {
        return Err(Refusal::Loop);
    }
    limits::body(head, found.route.body_bytes_max)?;
    let caller = authenticate(core, head, found, visit).await?;
    spend(link, found.route, caller.as_deref())?;
    let permit = core.in_flight.enter().ok_or(Refusal::Overloaded)?;
    let forward = match &found.route.goal {
        Goal::Own(own) => return Ok(Passed::Here(own_answer(core, *own, caller.as_deref()))),
        Goal::Upstream(forward) => forward,
    };
    let wants_socket = forward.websocket && head.asks_for_websocket();
    let handshake = wants_socket.then(|| forward::handshake(head, &visit.origin)).transpose()?;
    let authority = head.authority.and_then(|host| HeaderValue::try_from(host).ok());
    let order = Order {
        forward,
        method: Method::of(head.method),
        target: forward.target(&found.route.matcher, &path).map(Bytes::from),
        authority,
        seen: head.seen,
        caller,
        name: visit.name.clone(),
        permit,
        handshake,
    };
    Ok(Passed::On { order, body_bytes_max: found.route.body_bytes_max })
}

/// Who is calling; waits only for a key that is not here yet.
async fn authenticate(
    core: &Core,
    head: &Head<'_>,
    found: Found<'_>,
    visit: &mut Visit,
) -> Result<Option<Rc<Caller>>, Refusal> {
    let mode = found.route.auth;
    let caller = match core.door.check(head, mode, visit.at())? {
        Verdict::Pass(caller) => caller,
        Verdict::UnknownKey { seen } => {
            core.shared.asker.newer_than(seen).await;
            match core.door.check(head, mode, core.shared.clock.now())? {
                Verdict::Pass(caller) => caller,
                Verdict::UnknownKey { .. } => core.door.without_key(mode)?,
            }
        }
    };
    visit.user = caller.as_ref().map(|caller| caller.id);
    Ok(caller)
}

/// Whether the caller may call once more.
fn spend(link: &Link, route: &Route, caller: Option<&Caller>) -> Result<(), Refusal> {
    let Some(quota) = route.quota else { return Ok(()) };
    let buckets = &link.core.shared.buckets;
    let Some(by) = buckets.by(quota) else { return Ok(()) };
    let key = match (by, caller) {
        (By::Caller, Some(caller)) => Key::Caller(caller.id),
        (By::Caller, None) | (By::Address, _) => Key::address(link.peer),
    };
    buckets.spend(quota, key, link.core.age()).map_err(Refusal::Quota)
}

/// Answers what only asks which methods there are: a page's preflight, or `OPTIONS *`.
fn options(core: &Core, head: &Head<'_>, visit: &Visit) -> Result<Answer, Refusal> {
    if head.method != "OPTIONS" {
        return Err(Refusal::Malformed("Only OPTIONS may ask for everything."));
    }
    let mut response = Response::new(Content::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(SERVED));
    if Cors::is_preflight(head) {
        core.plan.cors.preflight(&visit.origin, response.headers_mut());
    }
    Ok(Answer { response, seen: Seen::default(), is_private: false })
}

/// What the gateway says of itself, from memory.
fn own_answer(core: &Core, own: Own, caller: Option<&Caller>) -> Answer {
    let ready = !core.shared.stop.is_leaving();
    let json = "application/json";
    let text = "text/plain; charset=utf-8";
    let (status, kind, body) = match own {
        Own::Index => (200, json, core.shared.index.clone()),
        Own::Live => (200, text, Bytes::from_static(b"live\n")),
        Own::Ready if ready => (200, text, Bytes::from_static(b"ready\n")),
        Own::Ready => (503, text, Bytes::from_static(b"draining\n")),
        Own::Health => {
            let told = core.shared.board.told();
            let is_admin = caller.is_some_and(|caller| caller.is_admin);
            (told.code, json, if is_admin { told.detailed.clone() } else { told.public.clone() })
        }
    };
    let mut response = Response::new(Content::Whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Answer { response, seen: Seen::default(), is_private: false }
}

/// The answer to a head that never became a request; counted and logged as one all the same.
pub(crate) fn refuse_at_the_gate(link: &Link, refusal: &Refusal) -> Response<Bytes> {
    let core = &link.core;
    let name = core.names.make();
    let mut response = refusal.answer(&name.request_id, "");
    let status = response.status().as_u16();
    core.counters.refused(refusal.kind());
    core.counters.answered(None, Method::Other, status, std::time::Duration::ZERO);
    let entry = crate::access::Entry {
        at: core.shared.clock.now(),
        request_id: name.request_id.as_bytes(),
        method: "",
        target: "",
        status,
        route: None,
        refusal: Some((refusal.kind(), None)),
        user: None,
        client: link.peer,
        took: std::time::Duration::ZERO,
        bytes_in: 0,
        bytes_out: response.body().len() as u64,
    };
    core.log.add(&entry, &core.counters.log_lines_lost);
    let id = http::HeaderName::from_static(contract::caller::REQUEST_ID);
    response.headers_mut().insert(id, name.request_id);
    response
}
