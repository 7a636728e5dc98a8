//! Sends a request to its upstream and brings the answer back, streaming both ways; sends it twice
//! only when that is provably safe.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;

use super::body::{Download, Upload};
use super::multiplexed;
use super::reply::{Answer, Becomes, Content};
use super::trailers::{self, From};
use super::upgrade::{self, Handshake};
use crate::config::Protocol;
use crate::corridor::Order;
use crate::grpc::Dialect;
use crate::head::{self, Head, Seen};
use crate::limits::Permit;
use crate::link::Link;
use crate::metrics::PerUpstream;
use crate::pool::{self, Carrier, Connection, Place, Pool};
use crate::refusal::Refusal;
use crate::rewrite::{self, Audience, Maker};
use crate::route::Forward;
use crate::visit::Visit;
use crate::wheel::Ticks;
use crate::wire;

/// What is left of an order when its request has been written.
#[derive(Debug)]
pub(super) struct Job<'p> {
    forward: &'p Forward,
    pub method: crate::route::Method,
    body_bytes_max: u64,
    audience: Audience,
    permit: Permit,
    /// What the caller wants to become of the connection.
    pub handshake: Option<Handshake>,
    host: Host,
}

/// Who says which host a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Caller,
    /// The caller names none: it is the endpoint that the request goes to.
    Endpoint,
}

impl<'p> Job<'p> {
    pub(super) fn new(head: &Head<'_>, order: Order<'p, '_>) -> Self {
        let is_named = head.authority.is_some() || head.seen.has(Seen::HOST);
        Self {
            host: if is_named { Host::Caller } else { Host::Endpoint },
            forward: order.forward,
            method: order.method,
            body_bytes_max: order.route.body_bytes_max,
            audience: Audience::of(order.caller.as_deref()),
            permit: order.permit,
            handshake: order.handshake,
        }
    }

    /// From the request's last byte to the answer's head.
    pub(super) fn wait(&self) -> Ticks {
        Ticks::from(self.forward.response_timeout)
    }
}

/// The request as the upstream gets it.
pub(super) fn outbound(
    head: &Head<'_>,
    order: &Order<'_, '_>,
    visit: &Visit,
    upload: &Upload,
) -> Result<Request<()>, Refusal> {
    const BAD: Refusal = Refusal::Malformed("The target cannot be forwarded.");
    let mut target = Vec::new();
    order.forward.write_target(&order.route.matcher, &order.path, &mut target);
    let target = PathAndQuery::from_maybe_shared(target).map_err(|_| BAD)?;
    let mut headers = HeaderMap::with_capacity(head.fields.len() + 12);
    rewrite::request(head, order, visit, upload.link(), &mut headers);
    frame(head, order, upload, &mut headers);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method.as_bytes()).map_err(|_| BAD)?;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    Ok(request)
}

/// Frames the request as its upstream's protocol does, whatever the caller's is.
fn frame(head: &Head<'_>, order: &Order<'_, '_>, upload: &Upload, headers: &mut HeaderMap) {
    let protocol = order.forward.protocol;
    let is_open = !upload.is_end_stream() && !head.seen.has(Seen::CONTENT_LENGTH);
    if is_open {
        headers.remove(header::CONTENT_LENGTH);
        trailers::announce(head.each(Seen::TRAILER), Dialect::Http, From::Caller, headers);
    }
    match protocol {
        Protocol::Http1 if is_open => {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Protocol::Http1 => {}
        Protocol::H2c => {
            headers.remove(header::TRANSFER_ENCODING);
            if trailers::asks(head) {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            }
        }
    }
    if head.version == head::Version::Http2 && protocol == Protocol::Http1 {
        join_cookies(headers);
    }
}

/// Puts the crumbs of `Cookie` together, which only HTTP/2 may send apart (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, cookie);
    }
}

/// Why an exchange with an upstream ended without an answer.
pub(super) enum Failure {
    Late,
    Broken(Box<TrySendError<Request<Upload>>>),
}

/// An exchange with one upstream.
pub(super) struct Exchange<'a> {
    pub link: &'a Rc<Link>,
    pub job: &'a Job<'a>,
    pub pool: &'a Pool,
    pub counts: &'a PerUpstream,
    /// Where the request is.
    pub place: Place,
}

/// Sends the request; gives the upstream's answer, its body still coming. Dropping it cancels the
/// request at the upstream.
pub(super) async fn send(
    link: &Rc<Link>,
    job: Job<'_>,
    request: Request<()>,
    upload: Upload,
) -> Result<Answer, Refusal> {
    let core = &link.core;
    let id = job.forward.upstream;
    let (Some((pool, place)), Some(counts)) = (core.enter(id), core.counters.upstream(id)) else {
        return Err(Refusal::Internal("a route leads to no upstream"));
    };
    let request = request.map(|()| upload.bounded(job.body_bytes_max, job.wait()));
    let exchange = Exchange { link, job: &job, pool, counts, place };
    let outcome = match (&job.handshake, job.forward.protocol) {
        // Rare, and large: kept out of every other request's future.
        (Some(_), _) => Box::pin(upgrade::open(exchange, request)).await,
        (None, Protocol::H2c) => Box::pin(multiplexed::run(exchange, request)).await,
        (None, Protocol::Http1) => exchange.run(request).await,
    };
    let (response, source, becomes) = outcome.inspect_err(|refusal| {
        if refusal.kind().status() >= 500 {
            counts.failed.add(1);
        }
    })?;
    let content = |incoming| {
        let download = Download::new(link.clone(), source, incoming, job.permit);
        Content::Upstream(Box::new(download))
    };
    Ok(Answer { response: response.map(content), maker: Maker::Upstream(job.audience), becomes })
}

/// An upstream's answer, the connection that its body comes on, and what becomes of the caller's.
pub(super) type Found = (Response<Incoming>, Source, Becomes);

/// What an answer's body comes on, and the place that its request has until then; none behind a 101.
pub(super) type Source = Option<(Carrier, Place)>;

impl Exchange<'_> {
    /// On a kept connection where there is one, else on a new one.
    async fn run(self, request: Request<Upload>) -> Result<Found, Refusal> {
        let Some(connection) = self.place.reuse_general() else {
            let anew = Box::pin(self.run_anew(request));
            return anew.await;
        };
        self.counts.reused.add(1);
        let spare = self.spare(&request);
        let mut failure = match self.attempt(connection, request).await {
            Ok((response, connection)) => return self.accept_on(response, connection),
            Err(failure) => failure,
        };
        // It may have died unseen: once, a new one takes its place, if the upstream cannot have acted
        // on the request (RFC 9110 section 9.2.2).
        let again = match &mut failure {
            Failure::Late => None,
            Failure::Broken(error) => error.take_message().or(spare),
        };
        let Some(request) = again else { return Err(self.refusal(failure)) };
        self.counts.replaced.add(1);
        // In its box before the wait, so that nothing of it lies in this future.
        let anew = Box::pin(self.run_anew(request));
        anew.await
    }

    /// On a new connection. Rare, so that its future is kept out of the others.
    async fn run_anew(mut self, request: Request<Upload>) -> Result<Found, Refusal> {
        self.counts.opened.add(1);
        let opened = self.pool.open(&mut self.place).await;
        let connection = opened.map_err(|error| self.unreachable(&error))?;
        match self.attempt(connection, request).await {
            Ok((response, connection)) => self.accept_on(response, connection),
            Err(failure) => Err(self.refusal(failure)),
        }
    }

    /// A copy of a request that may be sent twice.
    fn spare(&self, request: &Request<Upload>) -> Option<Request<Upload>> {
        let may = self.job.method.is_idempotent() && request.body().is_end_stream();
        may.then(|| {
            let mut spare = Request::new(Upload::empty(self.link.clone()));
            *spare.method_mut() = request.method().clone();
            *spare.uri_mut() = request.uri().clone();
            *spare.headers_mut() = request.headers().clone();
            spare
        })
    }

    pub(super) fn unreachable(&self, error: &pool::Error) -> Refusal {
        if let pool::Error::Busy = error {
            return Refusal::Overloaded;
        }
        let cause = chassis::refuse::chain(error).into();
        Refusal::Unreachable { endpoint: self.place.name.clone(), cause }
    }

    async fn attempt(
        &self,
        mut connection: Connection,
        request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        self.link.deadline.set(self.job.wait());
        let sent =
            self.before_deadline(connection.sender.try_send_request(self.named(request))).await;
        match sent {
            Some(Ok(response)) => Ok((response, connection)),
            Some(Err(error)) => Err(Failure::Broken(Box::new(error))),
            None => Err(Failure::Late),
        }
    }

    /// The request with the host that it is for, where the caller has named none (RFC 9112 section
    /// 3.2).
    pub(super) fn named(&self, mut request: Request<Upload>) -> Request<Upload> {
        if self.job.host == Host::Endpoint {
            request.headers_mut().insert(header::HOST, self.place.host.clone());
        }
        request
    }

    /// What `future` comes to, if it does before the exchange's deadline.
    pub(super) async fn before_deadline<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.link.deadline.poll(cx).map(|()| None),
        })
        .await
    }

    /// Why there is no answer: the caller's body, or the upstream.
    pub(super) fn refusal(&self, failure: Failure) -> Refusal {
        if let Some(fault) = self.link.take_fault() {
            return fault;
        }
        match failure {
            Failure::Late if self.link.starved.get() => Refusal::Slow,
            Failure::Late => Refusal::Timeout {
                endpoint: self.place.name.clone(),
                after: self.job.forward.response_timeout,
            },
            Failure::Broken(error) => self.broken(&chassis::refuse::chain(error.error())),
        }
    }

    pub(super) fn broken(&self, cause: &str) -> Refusal {
        Refusal::Upstream { endpoint: self.place.name.clone(), cause: cause.into() }
    }

    /// As [`Exchange::accept`], on a connection of its own.
    pub(super) fn accept_on(
        self,
        response: Response<Incoming>,
        mut connection: Connection,
    ) -> Result<Found, Refusal> {
        if response.version() != Version::HTTP_11 {
            // hyper would speak an older version on it from now on.
            connection.retire();
        }
        self.accept(response, Carrier::Connection(connection))
    }

    /// Makes an ordinary answer fit for the caller.
    pub(super) fn accept(
        self,
        mut response: Response<Incoming>,
        carrier: Carrier,
    ) -> Result<Found, Refusal> {
        self.link.deadline.clear();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.broken("it switched protocols without being asked"));
        }
        let version = u8::from(response.version() != Version::HTTP_10);
        let status = response.status().as_u16();
        let fields = self.link.core.scratch.fields(response.headers());
        wire::answer_framing(&fields, status, version, self.job.method)
            .map_err(|cause| self.broken(cause))?;
        drop(fields);
        // An intermediary speaks for itself (RFC 9112 section 2.3).
        *response.version_mut() = Version::HTTP_11;
        Ok((response, Some((carrier, self.place)), Becomes::Http))
    }
}
