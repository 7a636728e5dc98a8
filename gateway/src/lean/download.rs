//! The way down: an answer's heads, then its body, as far as the caller takes them.

use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::answer::{self, HEADROOM, LAST_CHUNK, TAILROOM};
use super::body::Body;
use super::caller::{Caller, poll_read, poll_write};
use super::failure::Failure;
use super::job::Job;
use crate::core::Core;
use crate::pool::HEAD_BYTES_MAX;
use crate::rewrite;
use crate::wire::{self, AnswerHead, status_line};

/// Most interim answers before the final one (RFC 9110 section 15.2).
const INTERIM_MAX: usize = 64;

const TOO_LARGE: Failure = Failure::Bad("its answer's head is too large");
const HEAD_BROKE_OFF: Failure = Failure::Bad("its answer broke off");
const BODY_BROKE_OFF: Failure = Failure::BrokeOff("the answer's body broke off");
const BODY_BROKEN: Failure = Failure::BrokeOff("the answer's chunked body is broken");

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Moved,
    Waits,
    /// The whole answer is out.
    Done,
}

/// What is read next.
#[derive(Debug)]
enum Stage {
    /// A head, of which so much is here.
    Head(Vec<u8>),
    Body(Body),
    /// Nothing: all of it was read.
    Read,
}

/// The way down.
#[derive(Debug)]
pub(super) struct Download {
    stage: Stage,
    interim: usize,
    /// What the caller did not take yet, and how much of that it has.
    left: Vec<u8>,
    sent: usize,
    has_begun: bool,
    keeps: bool,
}

impl Download {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Head(Vec::new()),
            interim: 0,
            left: Vec::new(),
            sent: 0,
            has_begun: false,
            keeps: false,
        }
    }

    /// Whether the final answer is on its way to the caller.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether the upstream's connection can serve another request.
    pub(super) const fn keeps(&self) -> bool {
        self.keeps
    }

    /// Whether it is the caller that takes nothing.
    pub(super) const fn waits_for_caller(&self) -> bool {
        !self.left.is_empty()
    }

    /// What the caller did not take yet of interim answers, before the final one has begun.
    pub(super) fn interim_left(&self) -> &[u8] {
        self.left.get(self.sent..).unwrap_or_default()
    }

    /// One step: sends what is left, or reads and passes on.
    pub(super) fn poll(
        &mut self,
        core: &Core,
        job: &mut Job<'_>,
        caller: &mut Caller,
        upstream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Result<Progress, Failure> {
        if self.waits_for_caller() {
            return self.flush(caller, core, cx);
        }
        if matches!(self.stage, Stage::Read) {
            return Ok(Progress::Done);
        }
        let mut buffer = core.buffer.borrow_mut();
        let from = HEADROOM + self.recall(&mut buffer);
        let end = buffer.len().saturating_sub(TAILROOM);
        let room = buffer.get_mut(from..end).unwrap_or_default();
        let part = match poll_read(upstream, room, cx) {
            Poll::Pending => return Ok(Progress::Waits),
            Poll::Ready(Ok(0)) => return self.ended(),
            Poll::Ready(Ok(read)) => HEADROOM..from + read,
            Poll::Ready(Err(error)) => return Err(self.broken(error)),
        };
        let out = match self.stage {
            Stage::Head(_) if !may_be_whole(&buffer, from, &part) => {
                self.stage = Stage::Head(buffer.get(part).unwrap_or_default().to_vec());
                0..0
            }
            Stage::Head(_) => self.heads(core, job, &mut buffer, part)?,
            Stage::Body(_) | Stage::Read => self.body(job, &mut buffer, part)?,
        };
        self.pass(caller, core, buffer.get(out).unwrap_or_default(), cx)
    }

    /// Brings what is here of the head back to where the rest of it is read; gives its length.
    fn recall(&self, buffer: &mut [u8]) -> usize {
        let Stage::Head(partial) = &self.stage else { return 0 };
        answer::put(buffer, HEADROOM, partial);
        partial.len()
    }

    /// Sends what the caller takes of `bytes`, and keeps the rest.
    fn pass(
        &mut self,
        caller: &mut Caller,
        core: &Core,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Progress, Failure> {
        let sent = if bytes.is_empty() || self.waits_for_caller() {
            0
        } else {
            match poll_write(&mut caller.stream, bytes, cx) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(_)) => return Err(Failure::Gone),
                Poll::Pending => 0,
            }
        };
        let left = bytes.get(sent..).unwrap_or_default();
        if !left.is_empty() {
            if self.left.capacity() == 0 {
                self.left = core.spares.take();
            }
            self.left.extend_from_slice(left);
        }
        Ok(self.progress())
    }

    fn flush(
        &mut self,
        caller: &mut Caller,
        core: &Core,
        cx: &mut Context<'_>,
    ) -> Result<Progress, Failure> {
        match poll_write(&mut caller.stream, self.left.get(self.sent..).unwrap_or_default(), cx) {
            Poll::Pending => return Ok(Progress::Waits),
            Poll::Ready(Err(_)) => return Err(Failure::Gone),
            Poll::Ready(Ok(sent)) => self.sent += sent,
        }
        if self.sent >= self.left.len() {
            core.spares.give_back(std::mem::take(&mut self.left));
            self.sent = 0;
        }
        Ok(self.progress())
    }

    const fn progress(&self) -> Progress {
        match self.stage {
            Stage::Read if !self.waits_for_caller() => Progress::Done,
            Stage::Read | Stage::Head(_) | Stage::Body(_) => Progress::Moved,
        }
    }

    /// The upstream has ended the connection.
    fn ended(&mut self) -> Result<Progress, Failure> {
        match &self.stage {
            Stage::Body(Body::UntilClose) => {
                self.stage = Stage::Read;
                self.left.extend_from_slice(LAST_CHUNK);
                Ok(Progress::Moved)
            }
            Stage::Read => Ok(Progress::Done),
            Stage::Head(_) | Stage::Body(_) => {
                Err(self.broken(io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }

    fn broken(&self, error: io::Error) -> Failure {
        match &self.stage {
            Stage::Head(partial) if partial.is_empty() && self.interim == 0 => Failure::Dead(error),
            Stage::Head(_) => HEAD_BROKE_OFF,
            Stage::Body(_) | Stage::Read => BODY_BROKE_OFF,
        }
    }

    /// Reads the heads in `part` of `buffer`: interim ones go on as they are, the final one is
    /// rewritten. Gives where what goes out stands.
    fn heads(
        &mut self,
        core: &Core,
        job: &mut Job<'_>,
        buffer: &mut [u8],
        mut part: Range<usize>,
    ) -> Result<Range<usize>, Failure> {
        loop {
            let bytes = buffer.get(part.clone()).unwrap_or_default();
            let parsed = wire::answer(bytes, &core.scratch, job.visit.method);
            let Some(head) = parsed.map_err(Failure::Bad)? else {
                self.stage = Stage::Head(bytes.to_vec());
                return if bytes.len() > HEAD_BYTES_MAX { Err(TOO_LARGE) } else { Ok(0..0) };
            };
            if head.length > HEAD_BYTES_MAX {
                return Err(TOO_LARGE);
            }
            part.start += head.length;
            if head.status >= 200 {
                let mut new = core.spares.take();
                answer::rewrite(&head, core, job, &mut new);
                (self.has_begun, self.keeps) = (true, head.keeps);
                self.stage = Stage::Body(head.framing.into());
                drop(head);
                let rest = self.body(job, buffer, part)?;
                let out = self.join(&new, buffer, rest);
                core.spares.give_back(new);
                return Ok(out);
            }
            self.interim(&head)?;
        }
    }

    /// Passes an interim answer on (RFC 9110 section 15.2). Nobody was asked to continue, so that a
    /// `100 Continue` is for nobody.
    fn interim(&mut self, head: &AnswerHead<'_>) -> Result<(), Failure> {
        self.interim += 1;
        match head.status {
            101 => Err(Failure::Bad("it switched protocols without being asked")),
            _ if self.interim > INTERIM_MAX => Err(Failure::Bad("it answers without an end")),
            100 => Ok(()),
            status => {
                status_line(status, head.reason, &mut self.left);
                rewrite::interim(&head.fields, &mut self.left);
                self.left.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }

    /// Puts the new head right before the beginning of the body; gives where both stand.
    fn join(&mut self, head: &[u8], buffer: &mut [u8], rest: Range<usize>) -> Range<usize> {
        if let Some(start) = rest.start.checked_sub(head.len()) {
            answer::put(buffer, start, head);
            return start..rest.end;
        }
        // It has grown beyond its room: rare enough to be copied.
        self.left.extend_from_slice(head);
        rest
    }

    /// Takes the part of the body in `part` of `buffer`; gives where what goes out stands.
    fn body(
        &mut self,
        job: &mut Job<'_>,
        buffer: &mut [u8],
        part: Range<usize>,
    ) -> Result<Range<usize>, Failure> {
        let Stage::Body(body) = &mut self.stage else { return Ok(0..0) };
        let outgoing = answer::take(body, buffer, part).map_err(|_| BODY_BROKEN)?;
        if body.is_done() {
            self.stage = Stage::Read;
            // Whatever stands behind an answer would be taken for the next one.
            self.keeps &= !outgoing.is_over_long;
        }
        job.visit.bytes_out += outgoing.data;
        Ok(outgoing.part)
    }
}

/// Whether `part` of `buffer`, which is new from `from` on, may be a whole head now: one that comes
/// byte by byte is not parsed again for each of them, unless it has grown too large.
fn may_be_whole(buffer: &[u8], from: usize, part: &Range<usize>) -> bool {
    let news = buffer.get(from.saturating_sub(3)..part.end).unwrap_or_default();
    from == part.start || part.len() > HEAD_BYTES_MAX || wire::ends_a_head(news)
}
