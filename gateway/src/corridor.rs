//! The life of a request on one screen: one line per door, and each door may refuse. Both ways come
//! through here.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use crate::auth::{Caller, Verdict};
use crate::config::Target;
use crate::core::Core;
use crate::cors::Cors;
use crate::general::{Handshake, handshake};
use crate::head::Head;
use crate::limits::{self, Permit};
use crate::link::Link;
use crate::quota::{By, Key};
use crate::refusal::Refusal;
use crate::rewrite;
use crate::route::{Forward, Found, Goal, Method, Own, Path, Route, SERVED};
use crate::visit::Visit;

/// Where a request goes that every door let through.
#[derive(Debug)]
pub(crate) enum Passed<'p, 'h> {
    /// The gateway answers itself.
    Here(Response<Bytes>),
    /// To an upstream.
    On(Order<'p, 'h>),
}

/// What the doors have made of a request: borrowed from the configuration and from its head.
#[derive(Debug)]
pub(crate) struct Order<'p, 'h> {
    pub route: &'p Route,
    pub forward: &'p Forward,
    pub target: &'p Target,
    pub path: Path<'h>,
    pub method: Method,
    pub caller: Option<Rc<Caller>>,
    pub permit: Permit,
    /// What the caller wants to become of the connection.
    pub handshake: Option<Handshake>,
}

/// Why a request stops at a door.
#[derive(Debug)]
pub(crate) enum Halt {
    Refused(Refusal),
    /// Its token names a key that is not among those of this generation; it may be at the issuer.
    Keyless {
        seen: u64,
    },
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What to do about a key that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// They may be fetched, and the request tried again.
    MayCome,
    /// They were fetched: there are no others.
    AreThere,
}

/// Through the doors, one after the other. Never waits.
pub(crate) fn pass<'p, 'h>(
    link: &'p Link,
    visit: &mut Visit,
    head: &Head<'h>,
    keys: Keys,
) -> Result<Passed<'p, 'h>, Halt> {
    let core = &link.core;
    limits::check(head)?;
    if Cors::is_preflight(head) || head.target == "*" || rewrite::ends_here(head) {
        return Ok(Passed::Here(options(core, head, visit)?));
    }
    let path = Path::canonical(head.target)?;
    let found = core.plan.table.find(&path.path, visit.method)?;
    visit.route = Some(found.id);
    if rewrite::comes_back(head, &core.shared.pseudonym) {
        return Err(Refusal::Loop.into());
    }
    limits::body(head, found.route.body_bytes_max)?;
    let caller = authenticate(core, head, found, visit, keys)?;
    spend(link, found.route, caller.as_deref())?;
    let permit = core.in_flight.enter().ok_or(Refusal::Overloaded)?;
    let forward = match &found.route.goal {
        Goal::Own(own) => return Ok(Passed::Here(own_answer(core, *own, caller.as_deref()))),
        Goal::Upstream(forward) => forward,
    };
    let handshake = socket(core, head, forward, visit)?;
    let Some(target) = core.plan.upstreams.get(forward.upstream.0) else {
        return Err(Refusal::Internal("a route leads to no upstream").into());
    };
    let method = visit.method;
    let route = found.route;
    Ok(Passed::On(Order { route, forward, target, path, method, caller, permit, handshake }))
}

/// The WebSocket that the request asks for, where its route has one.
fn socket(
    core: &Core,
    head: &Head<'_>,
    forward: &Forward,
    visit: &Visit,
) -> Result<Option<Handshake>, Refusal> {
    if !forward.websocket || !head.asks_for_websocket() {
        return Ok(None);
    }
    if core.is_closing() {
        // It would be closed right away: whoever comes again finds another gateway.
        return Err(Refusal::Overloaded);
    }
    handshake(head, &visit.origin).map(Some)
}

/// Who is calling.
fn authenticate(
    core: &Core,
    head: &Head<'_>,
    found: Found<'_>,
    visit: &mut Visit,
    keys: Keys,
) -> Result<Option<Rc<Caller>>, Halt> {
    let mode = found.route.auth;
    let caller = match (core.door.check(head, mode, visit.at())?, keys) {
        (Verdict::Pass(caller), _) => caller,
        (Verdict::UnknownKey { seen }, Keys::MayCome) => return Err(Halt::Keyless { seen }),
        (Verdict::UnknownKey { .. }, Keys::AreThere) => core.door.without_key(mode)?,
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

/// Answers what only asks which methods there are: a page's preflight, `OPTIONS *`, or an `OPTIONS`
/// that may go no further.
fn options(core: &Core, head: &Head<'_>, visit: &Visit) -> Result<Response<Bytes>, Refusal> {
    if head.method != "OPTIONS" {
        return Err(Refusal::Malformed("Only OPTIONS may ask for everything."));
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(SERVED));
    if Cors::is_preflight(head) {
        core.plan.cors.preflight(&visit.origin, response.headers_mut());
    }
    Ok(response)
}

/// What the gateway says of itself, from memory.
fn own_answer(core: &Core, own: Own, caller: Option<&Caller>) -> Response<Bytes> {
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
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
