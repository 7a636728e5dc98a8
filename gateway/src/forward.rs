//! Sends a request to its upstream and brings the answer back, streaming both ways; sends it twice
//! only when that is provably safe.

mod body;
mod head;
mod upgrade;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;

pub(crate) use body::{Download, Error as BodyError, Expects, Upload};
pub(crate) use head::comes_back;
pub(crate) use upgrade::{Handshake, Tunnel, handshake};

use crate::auth::Caller;
use crate::core::Name;
use crate::head::Seen;
use crate::limits::Permit;
use crate::link::Link;
use crate::metrics::PerUpstream;
use crate::pool::{Connection, Pool};
use crate::refusal::Refusal;
use crate::reply::{Answer, Content};
use crate::route::{Forward, Method};
use crate::wheel::Ticks;

/// What the doors have made of a request.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub forward: &'a Forward,
    pub method: Method,
    /// Path and query for the upstream; `None` when they are as they came.
    pub target: Option<Bytes>,
    /// Of an absolute target.
    pub authority: Option<HeaderValue>,
    /// The fields that are there.
    pub seen: Seen,
    pub caller: Option<Rc<Caller>>,
    pub name: Name,
    pub permit: Permit,
    /// What the caller wants to become of the connection.
    pub handshake: Option<Handshake>,
}

/// Why an exchange with an upstream ended without an answer.
enum Failure {
    Late,
    Broken(Box<TrySendError<Request<Upload>>>),
}

/// An exchange with one upstream.
struct Exchange<'a> {
    link: &'a Rc<Link>,
    order: &'a Order<'a>,
    name: &'a str,
    pool: &'a Rc<Pool>,
    counts: &'a PerUpstream,
}

/// Sends the request; gives the upstream's answer, its body still coming. Dropping it cancels the
/// request at the upstream.
pub(crate) async fn send(
    link: &Rc<Link>,
    order: Order<'_>,
    parts: Parts,
    upload: Upload,
) -> Result<Answer, Refusal> {
    let core = &link.core;
    let id = order.forward.upstream;
    let target = core.plan.upstreams.get(id.0);
    let (Some(target), Some(pool), Some(counts)) =
        (target, core.pools.get(id.0), core.counters.upstream(id))
    else {
        return Err(Refusal::Internal("a route leads to no upstream"));
    };
    let request = head::outbound(parts, &order, link, target)?;
    let exchange = Exchange { link, order: &order, name: &target.name, pool, counts };
    let outcome = match order.handshake {
        // Rare, and large: kept out of every other request's future.
        Some(_) => Box::pin(upgrade::open(&exchange, request.map(|()| upload))).await,
        None => exchange.run(request.map(|()| upload)).await,
    };
    let (found, source) = outcome.inspect_err(|refusal| {
        if refusal.kind().status() >= 500 {
            counts.failed.add(1);
        }
    })?;
    let Found { response, seen } = found;
    let content = |incoming| {
        Content::Upstream(Download::new(link.clone(), pool.clone(), source, incoming, order.permit))
    };
    Ok(Answer { response: response.map(content), seen, is_private: order.caller.is_some() })
}

/// An upstream's answer and the fields that it has.
struct Found {
    response: Response<Incoming>,
    seen: Seen,
}

/// The connection that an answer's body comes on; none behind a 101.
type Source = Option<Connection>;

impl Exchange<'_> {
    /// On a kept connection where there is one, else on a new one.
    async fn run(&self, request: Request<Upload>) -> Result<(Found, Source), Refusal> {
        let Some(connection) = self.pool.reuse() else {
            let anew = Box::pin(self.run_anew(request));
            return anew.await;
        };
        self.counts.reused.add(1);
        let spare = self.spare(&request);
        let mut failure = match self.attempt(connection, request).await {
            Ok((response, connection)) => return self.accept(response, Some(connection)),
            Err(failure) => failure,
        };
        // It may have died unseen: once, a new one takes its place, if the upstream cannot have acted
        // on the request (RFC 9110 section 9.2.2).
        let again = match &mut failure {
            Failure::Late => None,
            Failure::Broken(error) => error.take_message().or(spare),
        };
        // In its box before the wait, so that nothing of it lies in this future.
        let anew = again.map(|request| Box::pin(self.run_anew(request)));
        let Some(anew) = anew else { return Err(self.refusal(failure)) };
        self.counts.replaced.add(1);
        anew.await
    }

    /// On a new connection. Rare, so that its future is kept out of the others.
    async fn run_anew(&self, request: Request<Upload>) -> Result<(Found, Source), Refusal> {
        self.counts.opened.add(1);
        let opened = self.pool.open().await;
        let connection = opened.map_err(|error| self.unreachable(&error))?;
        match self.attempt(connection, request).await {
            Ok((response, connection)) => self.accept(response, Some(connection)),
            Err(failure) => Err(self.refusal(failure)),
        }
    }

    /// A copy of a request that may be sent twice.
    fn spare(&self, request: &Request<Upload>) -> Option<Request<Upload>> {
        let may = self.order.method.is_idempotent() && request.body().is_end_stream();
        may.then(|| {
            let mut spare = Request::new(Upload::empty(self.link.clone()));
            *spare.method_mut() = request.method().clone();
            *spare.uri_mut() = request.uri().clone();
            *spare.headers_mut() = request.headers().clone();
            spare
        })
    }

    fn unreachable(&self, error: &crate::pool::Error) -> Refusal {
        let cause = chassis::refuse::chain(error).into();
        Refusal::Unreachable { upstream: self.name.into(), cause }
    }

    async fn attempt(
        &self,
        mut connection: Connection,
        request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        self.link.deadline.set(Ticks::from(self.order.forward.response_timeout));
        let sent = self.before_deadline(connection.sender.try_send_request(request)).await;
        match sent {
            Some(Ok(response)) => Ok((response, connection)),
            Some(Err(error)) => Err(Failure::Broken(Box::new(error))),
            None => Err(Failure::Late),
        }
    }

    /// What `future` comes to, if it does before the exchange's deadline.
    async fn before_deadline<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.link.deadline.poll(cx).map(|()| None),
        })
        .await
    }

    /// Why there is no answer: the caller's body, or the upstream.
    fn refusal(&self, failure: Failure) -> Refusal {
        if let Some(fault) = self.link.take_fault() {
            return fault;
        }
        match failure {
            Failure::Late if self.link.starved.get() => Refusal::Slow,
            Failure::Late => Refusal::Timeout {
                upstream: self.name.into(),
                after: self.order.forward.response_timeout,
            },
            Failure::Broken(error) => self.broken(&chassis::refuse::chain(error.error())),
        }
    }

    fn broken(&self, cause: &str) -> Refusal {
        Refusal::Upstream { upstream: self.name.into(), cause: cause.into() }
    }

    /// Makes an ordinary answer fit for the caller.
    fn accept(
        &self,
        mut response: Response<Incoming>,
        source: Source,
    ) -> Result<(Found, Source), Refusal> {
        self.link.deadline.clear();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.broken("it switched protocols without being asked"));
        }
        // An intermediary speaks for itself (RFC 9112 section 2.3).
        *response.version_mut() = Version::HTTP_11;
        let seen = head::inbound(response.headers_mut()).map_err(|cause| self.broken(cause))?;
        Ok((Found { response, seen }, source))
    }
}
