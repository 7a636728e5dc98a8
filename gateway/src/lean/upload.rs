//! The way up: a request's head and what is here of its body, then the rest as it comes.

use std::mem;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::body::Body;
use super::caller::{Caller, poll_read, poll_write};
use super::failure::Failure;
use super::job::Job;
use crate::link::Link;
use crate::refusal::Refusal;

/// How far the request has gone up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was given to the kernel.
    Unsent,
    /// What was sent still lies in the job's bytes.
    Repeatable,
    /// Parts of the body are gone.
    Passing,
    /// All of it is out.
    Up,
    /// The upstream takes no more; it may have answered before.
    Cut,
}

/// The way up.
#[derive(Debug)]
pub(super) struct Upload {
    /// What is still to come of the body.
    pub body: Body,
    stage: Stage,
    /// How many of the job's bytes are sent.
    sent: usize,
    /// Whether the body waits for the caller rather than for the upstream.
    is_starved: bool,
}

impl Upload {
    /// The way up of a request whose head alone is to be sent, or what is here with it.
    pub(super) const fn new() -> Self {
        let body = Body::Length(0);
        Self { body, stage: Stage::Unsent, sent: 0, is_starved: false }
    }

    /// Whether the whole request is out.
    pub(super) fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// Whether the body waits for the caller.
    pub(super) const fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// Whether nothing was sent, so that nothing can have been answered.
    pub(super) fn is_unsent(&self) -> bool {
        self.stage == Stage::Unsent
    }

    /// Whether the request may be sent once more, if the upstream said nothing to it (RFC 9110 section
    /// 9.2.2). A body is never sent twice, whatever the method.
    pub(super) fn may_repeat(&self, job: &Job<'_>) -> bool {
        match self.stage {
            Stage::Unsent => true,
            Stage::Repeatable | Stage::Up => job.visit.method.is_idempotent() && !job.has_a_body(),
            Stage::Passing | Stage::Cut => false,
        }
    }

    /// Begins anew, on another connection.
    pub(super) const fn repeat(&mut self) {
        (self.stage, self.sent, self.is_starved) = (Stage::Unsent, 0, false);
    }

    /// Sends what can be sent now.
    pub(super) fn poll(
        &mut self,
        link: &Link,
        job: &mut Job<'_>,
        caller: &mut Caller,
        upstream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        while !matches!(self.stage, Stage::Up | Stage::Cut) {
            match job.bytes.get(self.sent..).filter(|left| !left.is_empty()) {
                Some(left) => match poll_write(upstream, left, cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(written)) => self.has_sent(written, link),
                    Poll::Ready(Err(error)) if self.is_unsent() => {
                        return Err(Failure::Dead(error));
                    }
                    // What it has said before it ended is still to be read.
                    Poll::Ready(Err(_)) => self.stage = Stage::Cut,
                },
                None if self.body.is_done() => {
                    // From here on the upstream's time runs.
                    link.deadline.set(job.wait());
                    (self.stage, self.is_starved) = (Stage::Up, false);
                }
                None => {
                    if self.fetch(link, job, caller, cx)?.is_pending() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn has_sent(&mut self, written: usize, link: &Link) {
        self.sent += written;
        if self.stage == Stage::Unsent {
            self.stage = Stage::Repeatable;
        }
        if !self.body.is_done() {
            link.deadline.set(link.core.waits.body_idle);
        }
    }

    /// Takes the next part of the body from the caller.
    fn fetch(
        &mut self,
        link: &Link,
        job: &mut Job<'_>,
        caller: &mut Caller,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Failure> {
        let core = &link.core;
        // Whoever waits holds no buffer.
        (self.stage, self.sent) = (Stage::Passing, 0);
        core.spares.give_back(mem::take(&mut job.bytes));
        let mut buffer = core.buffer.borrow_mut();
        let read = match poll_read(&mut caller.stream, &mut buffer, cx) {
            Poll::Pending => {
                if !mem::replace(&mut self.is_starved, true) {
                    link.deadline.set(core.waits.body_idle);
                }
                return Ok(Poll::Pending);
            }
            Poll::Ready(Ok(0) | Err(_)) => {
                return Err(Failure::Refused(Refusal::SHORT_BODY));
            }
            Poll::Ready(Ok(read)) => read,
        };
        self.is_starved = false;
        job.bytes = core.spares.take();
        let part = buffer.get_mut(..read).unwrap_or_default();
        let taken = self.body.take(part).map_err(|_| Failure::Refused(Refusal::BROKEN_CHUNKS))?;
        caller.keep(part.get(taken.read..).unwrap_or_default());
        let part = part.get(..taken.kept).unwrap_or_default();
        job.take_in(part, taken.data).map_err(Failure::Refused)?;
        Ok(Poll::Ready(()))
    }
}
