//! An answer on its way to the caller, and the record of the request that goes with it: whatever
//! becomes of a request, it is counted and logged once, when its last byte has left.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use contract::caller::{REQUEST_ID, TRACEPARENT};
use contract::{Kind, Timestamp, UserId};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, Uri};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::access::Entry;
use crate::core::Name;
use crate::cors::Origin;
use crate::forward::{self, Download};
use crate::head::{Head, Seen};
use crate::link::Link;
use crate::refusal::Refusal;
use crate::route::{Method, RouteId};

/// The status in the log of a request whose caller went away before the answer.
const GONE: u16 = 499;
/// Length of a `traceparent` (W3C Trace Context section 3.2.2).
const TRACEPARENT_BYTES: usize = 55;

/// What the corridor came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub response: Response<Content>,
    /// Fields that the response has.
    pub seen: Seen,
    /// Whether it was made for one caller.
    pub is_private: bool,
}

/// The bytes of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    Whole(Bytes),
    Upstream(Download),
}

/// An answer's body, as hyper sends it.
#[derive(Debug)]
pub(crate) struct Reply {
    content: Content,
    visit: Visit,
}

/// The record of one request.
#[derive(Debug)]
pub(crate) struct Visit {
    link: Rc<Link>,
    began: Instant,
    at: Timestamp,
    method: http::Method,
    uri: Uri,
    pub name: Name,
    pub origin: Origin,
    pub route: Option<RouteId>,
    pub user: Option<UserId>,
    refusal: Option<(Kind, Option<Box<str>>)>,
    status: u16,
    bytes_out: u64,
}

impl Visit {
    /// A request has come in.
    pub(crate) fn begin(link: &Rc<Link>, parts: &Parts, head: &Head<'_>) -> Self {
        let core = &link.core;
        let mut name = core.names.make();
        if head.seen.has(Seen::REQUEST_ID)
            && let Some(id) = only(head, REQUEST_ID).filter(|id| chassis::hop::is_request_id(id))
        {
            name.request_id = HeaderValue::from_bytes(id).unwrap_or(name.request_id);
        }
        if head.seen.has(Seen::TRACE)
            && let Some(trace) = only(head, TRACEPARENT).filter(|trace| is_traceparent(trace))
        {
            name.traceparent = HeaderValue::from_bytes(trace).unwrap_or(name.traceparent);
        }
        Self {
            link: link.clone(),
            began: Instant::now(),
            at: core.shared.clock.now(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            name,
            origin: core.plan.cors.origin(head),
            route: None,
            user: None,
            refusal: None,
            status: GONE,
            bytes_out: 0,
        }
    }

    /// When it came in.
    pub(crate) const fn at(&self) -> Timestamp {
        self.at
    }

    /// Writes the answer, whichever way the request went.
    pub(crate) fn respond(mut self, outcome: Result<Answer, Refusal>) -> Response<Reply> {
        let answer = outcome.unwrap_or_else(|refusal| self.refuse(&refusal));
        let Answer { mut response, seen, is_private } = answer;
        self.status = response.status().as_u16();
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static(REQUEST_ID), self.name.request_id.clone());
        let is_late = matches!(self.refusal, Some((Kind::RequestTimeout, _)));
        if is_late || self.link.is_broken() {
            // Nobody can tell when or where the next request would begin.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if is_private {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        self.link.core.plan.cors.decorate(&self.origin, seen, headers);
        response.map(|content| Reply { content, visit: self })
    }

    /// The answer ends before its end: the caller can but see that, and the log says why.
    fn broke_off(&mut self, error: &forward::BodyError) {
        use forward::BodyError::{Caller, Refused, Stalled, Upstream};
        let kind = match error {
            Stalled => Kind::UpstreamTimeout,
            Upstream(_) | Caller(_) | Refused => Kind::UpstreamFailed,
        };
        self.refusal = Some((kind, Some(chassis::refuse::chain(error).into())));
    }

    fn refuse(&mut self, refusal: &Refusal) -> Answer {
        let kind = refusal.kind();
        self.link.core.counters.refused(kind);
        let cause = refusal.cause();
        if let (Kind::Internal, Some(cause)) = (kind, &cause) {
            let id = self.name.request_id.to_str().unwrap_or_default();
            tracing::error!(request.id = id, %cause, "A request met a fault of ours");
        }
        self.refusal = Some((kind, cause.map(|cause: Cow<'_, str>| cause.into())));
        let response = refusal.answer(&self.name.request_id, self.uri.path());
        Answer { response: response.map(Content::Whole), seen: Seen::default(), is_private: false }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let core = &self.link.core;
        let took = self.began.elapsed();
        let method = Method::of(self.method.as_str());
        core.counters.answered(self.route, method, self.status, took);
        let route = self.route.and_then(|route| core.plan.table.routes().get(route.0));
        let entry = Entry {
            at: self.at,
            request_id: self.name.request_id.as_bytes(),
            method: self.method.as_str(),
            target: self.uri.path_and_query().map_or("*", |target| target.as_str()),
            status: self.status,
            route: route.map(|route| &*route.name),
            refusal: self.refusal.as_ref().map(|(kind, cause)| (*kind, cause.as_deref())),
            user: self.user,
            client: self.link.peer,
            took,
            bytes_in: self.link.bytes_in.get(),
            bytes_out: self.bytes_out,
        };
        core.log.add(&entry, &core.counters.log_lines_lost);
        self.link.request_ends();
    }
}

/// The field `name`, if it stands there once.
fn only<'a>(head: &Head<'a>, name: &str) -> Option<&'a [u8]> {
    let mut lines = head.all(name);
    lines.next().filter(|_| lines.next().is_none())
}

/// `00-<32 hexadecimal digits>-<16>-<2>`, neither id zero (W3C Trace Context section 3.2.2).
fn is_traceparent(text: &[u8]) -> bool {
    let mut parts = text.split(|b| *b == b'-');
    let hex = |part: Option<&[u8]>, length: usize| {
        part.is_some_and(|part| {
            part.len() == length && part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let zero = |range| text.get(range).is_none_or(|id: &[u8]| id.iter().all(|b| *b == b'0'));
    text.len() == TRACEPARENT_BYTES
        && parts.next() == Some(b"00")
        && hex(parts.next(), 32)
        && hex(parts.next(), 16)
        && hex(parts.next(), 2)
        && !zero(3..35)
        && !zero(36..52)
}

impl Body for Reply {
    type Data = Bytes;
    type Error = forward::BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, forward::BodyError>>> {
        let reply = self.get_mut();
        let polled = match &mut reply.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Content::Upstream(download) => download.poll_data(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(data))) => reply.visit.bytes_out += data.len() as u64,
            Poll::Ready(Some(Err(error))) => reply.visit.broke_off(error),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled.map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Upstream(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Upstream(download) => download.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_taken_to_the_letter() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good.as_bytes()));
        for bad in [
            "",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }
}
