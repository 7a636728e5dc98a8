//! One exchange with an upstream: the request goes up, the answer comes down, at the same time where
//! they overlap; sent twice only when that is provably safe.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::caller::{Caller, poll_read};
use super::download::{Download, Progress};
use super::failure::Failure;
use super::job::Job;
use super::upload::Upload;
use super::{Ended, Own, say, whole_own};
use crate::link::{AHEAD_BYTES_MAX, Link};
use crate::metrics::PerUpstream;
use crate::pool::{Place, Pool};
use crate::refusal::Refusal;
use crate::wire::After;

/// An exchange with one upstream.
#[derive(Debug)]
pub(super) struct Exchange<'p> {
    link: &'p Rc<Link>,
    pub job: Job<'p>,
    pub upload: Upload,
    download: Download,
}

impl<'p> Exchange<'p> {
    /// An exchange whose request has no body yet.
    pub(super) const fn new(link: &'p Rc<Link>, job: Job<'p>) -> Self {
        Self { link, job, upload: Upload::new(), download: Download::new() }
    }

    /// From the request in hand to the last byte of its answer.
    pub(super) async fn run(mut self: Box<Self>, caller: &mut Caller) -> Ended {
        let core = &self.link.core;
        let id = self.job.forward.upstream;
        let (Some((pool, mut place)), Some(counts)) = (core.enter(id), core.counters.upstream(id))
        else {
            return self.refuse(caller, Refusal::Internal("a route leads to no upstream")).await;
        };
        let outcome = self.relay(caller, pool, &mut place, counts).await;
        self.link.deadline.clear();
        let Err(failure) = outcome else { return self.end() };
        if failure.is_the_upstreams() {
            counts.failed.add(1);
        }
        let refusal = failure.refusal(&mut self.job, &place);
        // However long the caller takes to read why, nothing is in flight any more.
        drop(place);
        match refusal {
            Some(refusal) => self.refuse(caller, refusal).await,
            None => Ended::Gone,
        }
    }

    /// On a kept connection where there is one, else on a new one, which also takes the place of a
    /// kept one that died unseen, once, if the upstream cannot have acted on the request.
    async fn relay(
        &mut self,
        caller: &mut Caller,
        pool: &Pool,
        place: &mut Place,
        counts: &PerUpstream,
    ) -> Result<(), Failure> {
        if let Some(upstream) = place.reuse_lean() {
            counts.reused.add(1);
            match self.attempt(caller, upstream, place).await {
                Err(Failure::Dead(_)) if self.upload.may_repeat(&self.job) => {
                    counts.replaced.add(1);
                }
                ended => return ended,
            }
        }
        counts.opened.add(1);
        let connected = Box::pin(pool.connect(place)).await;
        let upstream = connected.map_err(Failure::Unreachable)?;
        self.upload.repeat();
        self.attempt(caller, upstream, place).await
    }

    /// Moves bytes both ways until the answer is out; keeps the connection if it can be kept.
    async fn attempt(
        &mut self,
        caller: &mut Caller,
        mut upstream: TcpStream,
        place: &Place,
    ) -> Result<(), Failure> {
        self.link.deadline.set(self.job.wait());
        poll_fn(|cx| self.poll(caller, &mut upstream, cx)).await?;
        if self.upload.is_up() && self.download.keeps() {
            place.lean.keep(upstream);
        }
        Ok(())
    }

    fn poll(
        &mut self,
        caller: &mut Caller,
        upstream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let Self { link, job, upload, download } = self;
        if let Err(failure) = upload.poll(link, job, caller, upstream, cx) {
            return Poll::Ready(Err(failure));
        }
        // Before something was sent nothing can be an answer to it.
        while !upload.is_unsent() {
            match download.poll(&link.core, job, caller, upstream, cx) {
                Ok(Progress::Done) => return Poll::Ready(Ok(())),
                // A head that trickles has no longer than one that does not come.
                Ok(Progress::Moved) if !download.has_begun() => {}
                Ok(Progress::Moved) => link.deadline.set(link.core.waits.body_idle),
                Ok(Progress::Waits) => break,
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        if self.upload.is_up() && !self.download.has_begun() && self.is_gone(caller, cx) {
            return Poll::Ready(Err(Failure::Gone));
        }
        self.link.deadline.poll(cx).map(|()| Err(self.lateness()))
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
        } else if self.upload.is_starved() {
            Failure::Refused(Refusal::Slow)
        } else {
            Failure::Late
        }
    }

    /// The answer is out.
    fn end(self) -> Ended {
        self.link.core.spares.give_back(self.job.bytes);
        Ended::Whole(self.job.after, self.upload.body)
    }

    /// Tells the caller, if it can still be told.
    async fn refuse(mut self, caller: &mut Caller, refusal: Refusal) -> Ended {
        if self.download.has_begun() {
            self.job.visit.broke_off(refusal.kind(), "the answer had begun");
            return Ended::Gone;
        }
        let is_clear = !matches!(refusal, Refusal::Slow | Refusal::Malformed(_));
        let after = if is_clear { self.job.after } else { After::Closes };
        let response = self.job.visit.refuse(&refusal);
        let mut bytes = self.job.bytes;
        bytes.clear();
        bytes.extend_from_slice(self.download.interim_left());
        let own = Own { bytes, visit: self.job.visit, after, rest: self.upload.body };
        say(self.link, caller, whole_own(&response, own, &self.link.core)).await
    }
}
