//! The record of one request: whatever becomes of it, and whichever way it takes, it is counted and
//! logged once, when its last byte has left.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use contract::{Kind, Timestamp, UserId};
use http::Response;
use tokio::time::Instant;

use crate::access::Entry;
use crate::cors::{Cors, Origin};
use crate::grpc::{self, Dialect};
use crate::head::Head;
use crate::link::Link;
use crate::name::Name;
use crate::refusal::Refusal;
use crate::route::{Method, RouteId};

/// What is remembered of a method, in bytes.
const METHOD_BYTES_MAX: usize = 32;
/// The status of a visit that leaves no record, since another one begins in its place.
const ANEW: u16 = 0;
/// The status in the log of a request whose caller went away before the answer.
const GONE: u16 = 499;

/// One request, from its head to the last byte of its answer.
#[derive(Debug)]
pub(crate) struct Visit {
    link: Rc<Link>,
    began: Instant,
    at: Timestamp,
    pub method: Method,
    /// Method and target as they came, one after the other.
    text: Vec<u8>,
    method_bytes: usize,
    pub name: Name,
    pub origin: Origin,
    /// How refusals are told.
    pub dialect: Dialect,
    pub route: Option<RouteId>,
    pub user: Option<UserId>,
    refusal: Option<(Kind, Option<Box<str>>)>,
    status: u16,
    pub bytes_out: u64,
}

impl Visit {
    /// A request has come in.
    pub(crate) fn begin(link: &Rc<Link>, head: &Head<'_>) -> Self {
        let core = &link.core;
        let mut visit = Self::new(link, Method::of(head.method), core.names.of(head));
        let method = head.method.as_bytes();
        let method = method.get(..METHOD_BYTES_MAX).unwrap_or(method);
        visit.text.extend_from_slice(method);
        visit.text.extend_from_slice(head.target.as_bytes());
        visit.method_bytes = method.len();
        visit.origin = core.plan.cors.origin(head);
        visit
    }

    /// Something has come in that never became a request.
    pub(crate) fn of_nothing(link: &Rc<Link>) -> Self {
        Self::new(link, Method::Other, link.core.names.make())
    }

    fn new(link: &Rc<Link>, method: Method, name: Name) -> Self {
        let (began, at) = link.core.moment();
        Self {
            link: link.clone(),
            began,
            at,
            method,
            text: link.core.spares.take(),
            method_bytes: 0,
            name,
            origin: Origin::Absent,
            dialect: Dialect::Http,
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

    /// The rules of origins that hold for it.
    pub(crate) fn cors(&self) -> &Cors {
        &self.link.core.plan.cors
    }

    /// So many bytes of its body have come.
    pub(crate) fn took_in(&self, bytes: u64) {
        self.link.bytes_in.set(self.link.bytes_in.get() + bytes);
    }

    /// The caller gets an answer with `status`.
    pub(crate) const fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Whether the caller was told that it is too slow.
    pub(crate) const fn is_late(&self) -> bool {
        matches!(self.refusal, Some((Kind::RequestTimeout, _)))
    }

    /// The answer to a request that is not served.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) -> Response<Bytes> {
        let kind = refusal.kind();
        self.link.core.counters.refused(kind);
        let cause = refusal.cause();
        if let (Kind::Internal, Some(cause)) = (kind, &cause) {
            let id = self.name.request_id_text();
            tracing::error!(request.id = id, %cause, "A request met a fault of ours");
        }
        self.refusal = Some((kind, cause.map(|cause: Cow<'_, str>| cause.into())));
        let path = self.target().split('?').next().unwrap_or_default();
        match self.dialect {
            Dialect::Http => refusal.answer(self.name.request_id_text(), path),
            Dialect::Grpc => grpc::refuse(refusal),
        }
    }

    /// The request goes another way, where its record begins anew: there is none of this one.
    pub(crate) const fn begins_anew(&mut self) {
        self.status = ANEW;
    }

    /// The answer ends before its end: the caller can but see that, and the log says why.
    pub(crate) fn broke_off(&mut self, kind: Kind, cause: impl Into<Box<str>>) {
        self.refusal = Some((kind, Some(cause.into())));
    }

    fn method_text(&self) -> &str {
        str::from_utf8(self.text.get(..self.method_bytes).unwrap_or_default()).unwrap_or_default()
    }

    fn target(&self) -> &str {
        str::from_utf8(self.text.get(self.method_bytes..).unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let core = &self.link.core;
        if self.status == ANEW {
            core.spares.give_back(std::mem::take(&mut self.text));
            return self.link.request_ends();
        }
        let took = self.began.elapsed();
        core.counters.answered(self.route, self.method, self.status, took);
        let route = self.route.and_then(|route| core.plan.table.routes().get(route.0));
        let entry = Entry {
            at: self.at,
            request_id: self.name.request_id(),
            method: self.method_text(),
            target: self.target(),
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
        core.spares.give_back(std::mem::take(&mut self.text));
        self.link.request_ends();
    }
}
