//! The life of a request on one screen: one line per door, and each door may refuse. Both ways come
//! through here.

use std::rc::Rc;

use bytes::Bytes;
use chassis::Stop;
use chassis::revocation::Revocations;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use crate::auth::{Caller, Door, Outcome, Presented, Reach, Verdict};
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
use crate::route::{Auth, Forward, Found, Goal, Method, Own, Path, Route, SERVED};
use crate::visit::Visit;
use crate::way::Way;

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
    /// What the upstream gets in the place of a machine key.
    pub bearer: Option<HeaderValue>,
    pub permit: Permit,
    /// What the caller wants to become of the connection.
    pub handshake: Option<Handshake>,
}

/// Why a request stops at a door.
#[derive(Debug)]
pub(crate) enum Halt {
    Refused(Refusal),
    /// It may pass when something has come.
    Waits(Wait),
    /// It came the lean way and leads where only the general one does; nothing was spent on it.
    General,
}

/// What a request waits for, outside of the doors.
#[derive(Debug)]
pub(crate) enum Wait {
    /// Its token names a key that is not among those of this generation; it may be at the issuer.
    Keys { seen: u64 },
    /// A token for its machine key.
    Token(Presented),
}

impl Wait {
    /// Ends when it has come, or will not for now. Safe to drop.
    pub(crate) async fn over(self, link: &Link) -> Keys {
        let core = &link.core;
        match self {
            Self::Keys { seen } => {
                core.shared.asker.newer_than(seen).await;
                Keys::AreThere
            }
            Self::Token(presented) => {
                let digest = presented.digest;
                let outcome = match &core.shared.exchange {
                    Some(exchange) => exchange.trade(presented, link.peer).await,
                    None => Outcome::Away,
                };
                core.door.learn(&digest, &outcome, core.moment().1);
                Keys::Exchanged(outcome)
            }
        }
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What to do about a key that is not here.
#[derive(Debug)]
pub(crate) enum Keys {
    /// They may be fetched, and the request tried again.
    MayCome,
    /// They were fetched: there are no others.
    AreThere,
    /// The request's machine key was traded for this.
    Exchanged(Outcome),
}

/// Through the doors, one after the other, of a request that came by `way`. Never waits.
pub(crate) fn pass<'p, 'h>(
    link: &'p Link,
    visit: &mut Visit,
    head: &Head<'h>,
    keys: &Keys,
    way: Way,
) -> Result<Passed<'p, 'h>, Halt> {
    let core = &link.core;
    limits::check(head)?;
    if Cors::is_preflight(head) || head.target == "*" || rewrite::ends_here(head) {
        return Ok(Passed::Here(options(core, head, visit)?));
    }
    let path = Path::canonical(head.target)?;
    let found = core.plan.table.find(&path.path, visit.method)?;
    if way == Way::Lean && Way::to(found.route) == Way::General {
        return Err(Halt::General);
    }
    visit.route = Some(found.id);
    if rewrite::comes_back(head, &core.shared.pseudonym) {
        return Err(Refusal::Loop.into());
    }
    limits::body(head, found.route.body_bytes_max)?;
    let (caller, bearer) = authenticate(core, head, found, visit, keys)?;
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
    Ok(Passed::On(Order {
        route,
        forward,
        target,
        path,
        method,
        caller,
        bearer,
        permit,
        handshake,
    }))
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

/// Who is calling, and what an upstream is told instead of a machine key.
fn authenticate(
    core: &Core,
    head: &Head<'_>,
    found: Found<'_>,
    visit: &mut Visit,
    keys: &Keys,
) -> Result<(Option<Rc<Caller>>, Option<HeaderValue>), Halt> {
    let mode = found.route.auth;
    let (caller, bearer) = match (core.door.check(head, mode, visit.at())?, keys) {
        (Verdict::Pass(caller), _) => (caller, None),
        (Verdict::Exchanged(caller, bearer), _) => (Some(caller), Some(bearer)),
        (Verdict::UnknownKey { seen }, Keys::MayCome) => {
            return Err(Halt::Waits(Wait::Keys { seen }));
        }
        (Verdict::UnknownApiKey(presented), Keys::MayCome) => {
            return Err(Halt::Waits(Wait::Token(presented)));
        }
        (Verdict::UnknownApiKey(_), Keys::Exchanged(outcome)) => {
            (Door::without_token(mode, outcome)?, None)
        }
        (Verdict::UnknownKey { .. } | Verdict::UnknownApiKey(_), _) => {
            (core.door.without_key(mode)?, None)
        }
    };
    let caller = seen_as_it_is(core, found.route, caller)?;
    visit.user = caller.as_ref().map(|caller| caller.id);
    Ok((caller, bearer))
}

/// Lets a caller with scopes on only where they are seen. An upstream that does not get the token would
/// hear of the owner and of all of the owner's roles.
fn seen_as_it_is(
    core: &Core,
    route: &Route,
    caller: Option<Rc<Caller>>,
) -> Result<Option<Rc<Caller>>, Refusal> {
    let is_scoped = caller.as_ref().is_some_and(|caller| caller.reach == Reach::Scoped);
    if !is_scoped || tells_scopes(core, &route.goal) {
        return Ok(caller);
    }
    match route.auth {
        Auth::Required | Auth::Optional => Err(Refusal::Scoped),
        Auth::None | Auth::Passthrough => Ok(None),
    }
}

/// Whether whoever answers sees the token; the gateway itself does.
fn tells_scopes(core: &Core, goal: &Goal) -> bool {
    match goal {
        Goal::Own(_) => true,
        Goal::Upstream(forward) => {
            let target = core.plan.upstreams.get(forward.upstream.0);
            target.is_some_and(|target| target.settings.forward_authorization)
        }
    }
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

/// Whether callers may come: a status and a line.
pub(crate) fn readiness(stop: &Stop, revocations: &Revocations) -> (u16, &'static str) {
    if stop.is_leaving() {
        (503, "draining\n")
    } else if !revocations.is_known() {
        (503, "starting\n")
    } else {
        (200, "ready\n")
    }
}

/// What the gateway says of itself, from memory.
fn own_answer(core: &Core, own: Own, caller: Option<&Caller>) -> Response<Bytes> {
    let json = "application/json";
    let text = "text/plain; charset=utf-8";
    let (status, kind, body) = match own {
        Own::Index => (200, json, core.shared.index.clone()),
        Own::Live => (200, text, Bytes::from_static(b"live\n")),
        Own::Ready => {
            let (status, word) = readiness(&core.shared.stop, &core.shared.revocations);
            (status, text, Bytes::from_static(word.as_bytes()))
        }
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
