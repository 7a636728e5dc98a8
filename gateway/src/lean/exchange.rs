//! One exchange with an upstream: the request goes up, the answer comes down, at the same time where
//! they overlap; sent twice only when that is provably safe.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::Ended;
use super::body::Body;
use super::caller::{Caller, poll_read, poll_write};
use super::download::{Download, Progress};
use crate::config::Target;
use crate::corridor::Order;
use crate::limits::Permit;
use crate::link::Link;
use crate::metrics::PerUpstream;
use crate::pool::{self, Pool};
use crate::refusal::Refusal;
use crate::rewrite::Audience;
use crate::route::Forward;
use crate::visit::Visit;
use crate::wheel::Ticks;
use crate::wire::{After, whole};

/// Most bytes that are kept of what a caller sends before it was answered.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

/// What the doors and the head have made of a request.
#[derive(Debug)]
pub(super) struct Job<'p> {
    pub visit: Visit,
    pub audience: Audience,
    pub after: After,
    /// The head for the upstream, and what is here of the body.
    pub bytes: Vec<u8>,
    /// What the body may still have.
    allowed: u64,
    body_bytes_max: u64,
    forward: &'p Forward,
    target: &'p Target,
    _permit: Permit,
}

impl<'p> Job<'p> {
    fn new(order: Order<'p, '_>, visit: Visit, bytes: Vec<u8>, after: After) -> Self {
        Self {
            visit,
            audience: Audience::of(order.caller.as_deref()),
            after,
            bytes,
            allowed: order.route.body_bytes_max,
            body_bytes_max: order.route.body_bytes_max,
            forward: order.forward,
            target: order.target,
            _permit: order.permit,
        }
    }

    /// Takes the next part of the body, which has so many bytes of data, if the route allows them.
    pub(super) fn take_in(&mut self, part: &[u8], data: u64) -> Result<(), Refusal> {
        let too_large = Refusal::BodyTooLarge { max: self.body_bytes_max };
        self.allowed = self.allowed.checked_sub(data).ok_or(too_large)?;
        self.visit.took_in(data);
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    const fn has_a_body(&self) -> bool {
        self.allowed < self.body_bytes_max
    }

    /// From the request's last byte to the answer's head.
    fn wait(&self) -> Ticks {
        Ticks::from(self.forward.response_timeout)
    }
}

/// Why an exchange does not come to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// The upstream broke off before the first byte of an answer.
    Dead(io::Error),
    /// There is no connection.
    Unreachable(pool::Error),
    /// The upstream broke the rules, or broke off in its answer's head.
    Bad(&'static str),
    /// The caller may not have what it asks for, or sends what it may not.
    Refused(Refusal),
    /// The upstream was too slow.
    Late,
    /// The caller is gone, or takes nothing any more.
    Gone,
    /// The answer broke off; its head is out already.
    BrokeOff(&'static str),
    /// The answer made no progress; its head is out already.
    Stalled,
}

impl Failure {
    const fn is_the_upstreams(&self) -> bool {
        match self {
            Self::Dead(_)
            | Self::Unreachable(_)
            | Self::Bad(_)
            | Self::Late
            | Self::BrokeOff(_)
            | Self::Stalled => true,
            Self::Refused(_) | Self::Gone => false,
        }
    }
}

/// How far the request has gone up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// Nothing was given to the kernel.
    Unsent,
    /// What was sent still lies in `bytes`.
    Repeatable,
    /// Parts of the body are gone.
    Passing,
    /// The upstream takes no more; it may have answered before.
    Cut,
}

/// An exchange with one upstream.
#[derive(Debug)]
pub(super) struct Exchange<'p> {
    link: &'p Rc<Link>,
    pub job: Job<'p>,
    /// What is still to come of the request's body.
    pub body: Body,
    upload: Upload,
    /// How many of the job's bytes are sent.
    sent: usize,
    /// Whether the whole request is out.
    is_up: bool,
    /// Whether the body waits for the caller rather than for the upstream.
    is_starved: bool,
    download: Download,
}

impl<'p> Exchange<'p> {
    /// An exchange whose request, in `bytes`, has no body yet.
    pub(super) fn new(
        link: &'p Rc<Link>,
        order: Order<'p, '_>,
        visit: Visit,
        bytes: Vec<u8>,
        after: After,
    ) -> Self {
        Self {
            link,
            job: Job::new(order, visit, bytes, after),
            body: Body::Length(0),
            upload: Upload::Unsent,
            sent: 0,
            is_up: false,
            is_starved: false,
            download: Download::new(),
        }
    }

    /// From the request in hand to the last byte of its answer.
    pub(super) async fn run(mut self: Box<Self>, caller: &mut Caller) -> Ended {
        let core = &self.link.core;
        let id = self.job.forward.upstream;
        let (Some(pool), Some(counts)) = (core.pools.get(id.0), core.counters.upstream(id)) else {
            let refusal = Refusal::Internal("a route leads to no upstream");
            return self.fail(caller, Failure::Refused(refusal)).await;
        };
        let outcome = self.relay(caller, pool, counts).await;
        self.link.deadline.clear();
        match outcome {
            Ok(()) => self.end(),
            Err(failure) => {
                if failure.is_the_upstreams() {
                    counts.failed.add(1);
                }
                self.fail(caller, failure).await
            }
        }
    }

    /// On a kept connection where there is one, else on a new one, which also takes the place of a
    /// kept one that died unseen, once, if the upstream cannot have acted on the request (RFC 9110
    /// section 9.2.2).
    async fn relay(
        &mut self,
        caller: &mut Caller,
        pool: &Pool,
        counts: &PerUpstream,
    ) -> Result<(), Failure> {
        if let Some(upstream) = pool.lean.reuse() {
            counts.reused.add(1);
            match self.attempt(caller, upstream, pool).await {
                Err(Failure::Dead(_)) if self.may_repeat() => counts.replaced.add(1),
                ended => return ended,
            }
        }
        counts.opened.add(1);
        let connected = Box::pin(pool.connect()).await;
        let upstream = connected.map_err(Failure::Unreachable)?;
        (self.sent, self.is_up, self.upload) = (0, false, Upload::Unsent);
        self.attempt(caller, upstream, pool).await
    }

    fn may_repeat(&self) -> bool {
        match self.upload {
            Upload::Unsent => true,
            // A body is never sent twice, whatever the method.
            Upload::Repeatable => self.job.visit.method.is_idempotent() && !self.job.has_a_body(),
            Upload::Passing | Upload::Cut => false,
        }
    }

    /// Moves bytes both ways until the answer is out; keeps the connection if it can be kept.
    async fn attempt(
        &mut self,
        caller: &mut Caller,
        mut upstream: TcpStream,
        pool: &Pool,
    ) -> Result<(), Failure> {
        self.link.deadline.set(self.job.wait());
        poll_fn(|cx| self.poll(caller, &mut upstream, cx)).await?;
        if self.is_up && self.download.keeps() {
            pool.lean.keep(upstream);
        }
        Ok(())
    }

    fn poll(
        &mut self,
        caller: &mut Caller,
        upstream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        if !self.is_up
            && self.upload != Upload::Cut
            && let Err(failure) = self.send(caller, upstream, cx)
        {
            return Poll::Ready(Err(failure));
        }
        loop {
            let Self { link, job, download, .. } = self;
            match download.poll(&link.core, job, caller, upstream, cx) {
                Ok(Progress::Done) => return Poll::Ready(Ok(())),
                Ok(Progress::Moved) => self.link.deadline.set(self.link.core.waits.body_idle),
                Ok(Progress::Waits) => break,
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        if self.is_up && !self.download.has_begun() && self.is_gone(caller, cx) {
            return Poll::Ready(Err(Failure::Gone));
        }
        self.link.deadline.poll(cx).map(|()| Err(self.lateness()))
    }

    /// Sends what can be sent of the request now.
    fn send(
        &mut self,
        caller: &mut Caller,
        upstream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        loop {
            while let Some(left) = self.job.bytes.get(self.sent..).filter(|left| !left.is_empty()) {
                match poll_write(upstream, left, cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(written)) => self.has_sent(written),
                    // What it has said before it ended is still to be read.
                    Poll::Ready(Err(error)) if self.upload == Upload::Unsent => {
                        return Err(Failure::Dead(error));
                    }
                    Poll::Ready(Err(_)) => {
                        self.upload = Upload::Cut;
                        return Ok(());
                    }
                }
            }
            if self.body.is_done() {
                (self.is_up, self.is_starved) = (true, false);
                if !self.download.has_begun() {
                    self.link.deadline.set(self.job.wait());
                }
                return Ok(());
            }
            if self.fetch(caller, cx)?.is_pending() {
                return Ok(());
            }
        }
    }

    fn has_sent(&mut self, written: usize) {
        self.sent += written;
        if self.upload == Upload::Unsent {
            self.upload = Upload::Repeatable;
        }
        if !self.body.is_done() {
            self.link.deadline.set(self.link.core.waits.body_idle);
        }
    }

    /// Takes the next part of the body from the caller.
    fn fetch(&mut self, caller: &mut Caller, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        let core = &self.link.core;
        let mut buffer = core.buffer.borrow_mut();
        let read = match poll_read(&mut caller.stream, &mut buffer, cx) {
            Poll::Pending => {
                if !std::mem::replace(&mut self.is_starved, true) {
                    self.link.deadline.set(core.waits.body_idle);
                }
                return Ok(Poll::Pending);
            }
            Poll::Ready(Ok(0) | Err(_)) => {
                let refusal = Refusal::Malformed("The body broke off.");
                return Err(Failure::Refused(refusal));
            }
            Poll::Ready(Ok(read)) => read,
        };
        self.is_starved = false;
        let part = buffer.get_mut(..read).unwrap_or_default();
        let taken = self.body.take(part).map_err(|_| Failure::Refused(super::BROKEN_BODY))?;
        caller.keep(part.get(taken.read..).unwrap_or_default());
        (self.upload, self.sent) = (Upload::Passing, 0);
        self.job.bytes.clear();
        let part = part.get(..taken.kept).unwrap_or_default();
        self.job.take_in(part, taken.data).map_err(Failure::Refused)?;
        Ok(Poll::Ready(()))
    }

    /// Whether the caller has ended its side: what comes from one that waits is kept for later.
    fn is_gone(&self, caller: &mut Caller, cx: &mut Context<'_>) -> bool {
        while caller.kept.len() < AHEAD_BYTES_MAX {
            let mut buffer = self.link.core.buffer.borrow_mut();
            let room = buffer.get_mut(..AHEAD_BYTES_MAX).unwrap_or_default();
            match poll_read(&mut caller.stream, room, cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0) | Err(_)) => return true,
                Poll::Ready(Ok(read)) => caller.keep(room.get(..read).unwrap_or_default()),
            }
        }
        false
    }

    /// Whose time is over.
    fn lateness(&self) -> Failure {
        if self.download.waits_for_caller() {
            Failure::Gone
        } else if self.download.has_begun() {
            Failure::Stalled
        } else if self.is_starved {
            Failure::Refused(Refusal::Slow)
        } else {
            Failure::Late
        }
    }

    /// The answer is out.
    fn end(self) -> Ended {
        let spares = &self.link.core.spares;
        spares.give_back(self.job.bytes);
        Ended::Whole(self.job.after, self.body)
    }

    /// Tells the caller, if it can still be told.
    async fn fail(mut self, caller: &mut Caller, failure: Failure) -> Ended {
        let refusal = match self.refusal(failure) {
            Some(refusal) if !self.download.has_begun() => refusal,
            Some(_) | None => return Ended::Gone,
        };
        let response = self.job.visit.refuse(&refusal);
        let is_clear = !matches!(refusal, Refusal::Slow | Refusal::Malformed(_));
        let after = if is_clear { self.job.after } else { After::Closes };
        let mut bytes = self.job.bytes;
        bytes.clear();
        bytes.extend_from_slice(self.download.interim_left());
        whole(&response, &mut self.job.visit, &self.link.core, after, &mut bytes);
        let visit = self.job.visit;
        let own = super::Own { bytes, visit, after, rest: self.body };
        super::say(self.link, caller, own).await
    }

    /// What the caller is told, and the log.
    fn refusal(&mut self, failure: Failure) -> Option<Refusal> {
        use contract::Kind::{UpstreamFailed, UpstreamTimeout};
        let upstream = self.job.target.name.clone();
        Some(match failure {
            Failure::Dead(error) => {
                Refusal::Upstream { upstream, cause: chassis::refuse::chain(&error).into() }
            }
            Failure::Unreachable(error) => {
                Refusal::Unreachable { upstream, cause: chassis::refuse::chain(&error).into() }
            }
            Failure::Bad(cause) => Refusal::Upstream { upstream, cause: cause.into() },
            Failure::Refused(refusal) => refusal,
            Failure::Late => {
                Refusal::Timeout { upstream, after: self.job.forward.response_timeout }
            }
            Failure::Gone => return None,
            Failure::BrokeOff(cause) => {
                self.job.visit.broke_off(UpstreamFailed, cause);
                return None;
            }
            Failure::Stalled => {
                self.job.visit.broke_off(UpstreamTimeout, "the answer's body made no progress");
                return None;
            }
        })
    }
}
