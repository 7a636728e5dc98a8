//! Stands between a caller's socket and hyper, and lets whole, well-framed messages through: one at
//! a time, so that hyper never sees a byte behind the request that it is serving. What hyper would
//! read over (a `Content-Length` beside a `Transfer-Encoding`, bare line feeds) is refused here.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use crate::limits::Framing;
use crate::link::{AHEAD_BYTES_MAX, Link, Stage};
use crate::refusal::Refusal;
use crate::wire::{self, Broken, Chunks};

/// What may pass next.
#[derive(Debug)]
enum Pass {
    /// Nothing before a whole head is here.
    Head,
    /// So many bytes.
    Bytes(u64),
    /// So many bytes, then a chunked body.
    Chunked(u64, Chunks),
    /// Nothing more, ever.
    Nothing,
    /// Nothing either: the connection speaks HTTP/2, which others read.
    Streams,
}

/// A caller's socket as hyper sees it.
#[derive(Debug)]
pub(super) struct Gate {
    stream: TcpStream,
    link: Rc<Link>,
    pass: Pass,
    /// What was read and did not pass yet.
    kept: Vec<u8>,
    /// How many of the kept bytes are known to be no whole head.
    judged: usize,
}

impl Gate {
    /// A gate before `stream`, of which `kept` was read already.
    pub(super) const fn new(stream: TcpStream, kept: Vec<u8>, link: Rc<Link>) -> Self {
        Self { stream, link, pass: Pass::Head, kept, judged: 0 }
    }

    /// Whether the caller does not take what hyper still has to write.
    pub(super) fn is_stalled(&self) -> bool {
        self.link.is_stalled()
    }

    /// Whether the connection speaks HTTP/2.
    pub(super) const fn has_streams(&self) -> bool {
        matches!(self.pass, Pass::Streams)
    }

    /// The socket, and what was read from it and did not pass.
    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.kept)
    }

    /// Reads at most `max` bytes into the core's buffer; gives how many, 0 at the end.
    fn fill(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<usize>> {
        let mut buffer = self.link.core.buffer.borrow_mut();
        let room = buffer.len().min(max);
        let mut room = ReadBuf::new(buffer.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        Poll::Ready(Ok(room.filled().len()))
    }

    /// Ready when it is settled what may pass: a head, or nothing any more. A head that comes in one
    /// piece passes at once, and is never kept.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.link.stage() == Stage::Serving {
            return self.poll_ahead(cx);
        }
        if self.link.is_stalled() {
            // Whoever takes no answers gets to ask for no more: they would be kept without a bound.
            self.link.wait_for_end(cx.waker());
            return Poll::Pending;
        }
        if !self.kept.is_empty() && self.judge_kept() {
            return Poll::Ready(Ok(()));
        }
        let link = self.link.clone();
        loop {
            let read = ready!(self.fill(cx, usize::MAX))?;
            if read == 0 {
                self.pass = Pass::Nothing;
                return Poll::Ready(Ok(()));
            }
            let buffer = link.core.buffer.borrow();
            let part = buffer.get(..read).unwrap_or_default();
            if !self.kept.is_empty() {
                self.kept.extend_from_slice(part);
                if self.judge_kept() {
                    return Poll::Ready(Ok(()));
                }
            } else if self.settle_head(judge(part, &link)) {
                self.let_through(part, cursor);
                return Poll::Ready(Ok(()));
            } else {
                self.kept.extend_from_slice(part);
                self.judged = read;
            }
        }
    }

    /// Before the answer is complete: keeps what comes, and notices when nothing ever will.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.kept.is_empty() {
            let read = ready!(self.fill(cx, AHEAD_BYTES_MAX))?;
            if read == 0 {
                self.pass = Pass::Nothing;
                return Poll::Ready(Ok(()));
            }
            let buffer = self.link.core.buffer.borrow();
            self.kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
        self.link.wait_for_end(cx.waker());
        Poll::Pending
    }

    /// Whether the kept bytes settle what may pass: a whole head does, and one that is refused.
    fn judge_kept(&mut self) -> bool {
        let judged = std::mem::replace(&mut self.judged, self.kept.len());
        if judged > 0 && self.kept.len() <= self.link.core.plan.limits.head_bytes_max {
            // A head that comes byte by byte is not parsed again for each of them.
            let news = self.kept.get(judged.saturating_sub(3)..).unwrap_or_default();
            if !wire::ends_a_head(news) {
                return false;
            }
        }
        let verdict = judge(&self.kept, &self.link);
        self.settle_head(verdict)
    }

    /// Whether `verdict` settles what may pass.
    fn settle_head(&mut self, verdict: Result<Option<Pass>, Refusal>) -> bool {
        match verdict {
            Ok(None) => {
                self.link.head_begins();
                false
            }
            Ok(Some(Pass::Streams)) => {
                self.pass = Pass::Streams;
                true
            }
            Ok(Some(pass)) => {
                (self.pass, self.judged) = (pass, 0);
                self.link.request_begins();
                true
            }
            Err(refusal) => {
                self.pass = Pass::Nothing;
                self.link.head_begins();
                self.link.put_fault(refusal);
                true
            }
        }
    }

    /// Lets through what may pass of what the socket has, or the end.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let max = match &self.pass {
            Pass::Bytes(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let read = ready!(self.fill(cx, max.min(cursor.remaining())))?;
        let link = self.link.clone();
        let buffer = link.core.buffer.borrow();
        self.let_through(buffer.get(..read).unwrap_or_default(), cursor);
        Poll::Ready(Ok(()))
    }

    /// Lets through what may pass of `part`, as far as there is room; keeps the rest.
    fn let_through(&mut self, part: &[u8], cursor: &mut ReadBufCursor<'_>) {
        let (now, later) = part.split_at(part.len().min(cursor.remaining()));
        let (passed, outcome) = advance(&mut self.pass, now);
        let (now, held) = now.split_at(passed.min(now.len()));
        cursor.put_slice(now);
        self.kept.extend_from_slice(held);
        self.kept.extend_from_slice(later);
        self.settle(outcome);
    }

    /// Lets nothing more through when a body turned out broken.
    fn settle(&mut self, outcome: Result<(), Broken>) {
        if outcome.is_err() {
            self.pass = Pass::Nothing;
            self.link.break_body();
        }
    }
}

/// What the head at the beginning of `bytes` lets pass; `None` while it is not whole.
fn judge(bytes: &[u8], link: &Link) -> Result<Option<Pass>, Refusal> {
    let head = match wire::request(bytes, &link.core.plan.limits, &link.core.scratch) {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(None),
        Err(_) if link.is_fresh() && wire::is_preface(bytes) => return Ok(Some(Pass::Streams)),
        Err(_) if link.is_fresh() && wire::may_be_preface(bytes) => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let length = head.length as u64;
    Ok(Some(match head.framing {
        Framing::Empty => Pass::Bytes(length),
        Framing::Length(body) => Pass::Bytes(length.saturating_add(body)),
        Framing::Chunked => Pass::Chunked(length, Chunks::new()),
    }))
}

/// How many of `bytes` may pass; what may pass next moves on by as many. Nothing of the part of a
/// body that turns out broken passes.
fn advance(pass: &mut Pass, bytes: &[u8]) -> (usize, Result<(), Broken>) {
    let plain = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    let (passed, is_whole) = match pass {
        Pass::Head | Pass::Nothing | Pass::Streams => return (0, Ok(())),
        Pass::Bytes(left) => {
            let passed = plain(*left);
            *left -= passed as u64;
            (passed, *left == 0)
        }
        Pass::Chunked(left, chunks) => {
            let head = plain(*left);
            *left -= head as u64;
            match chunks.walk(bytes.get(head..).unwrap_or_default()) {
                Ok(walked) => (head + walked, chunks.is_done()),
                Err(broken) => return (head, Err(broken)),
            }
        }
    };
    if is_whole {
        *pass = Pass::Head;
    }
    (passed, Ok(()))
}

impl Read for Gate {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        let room = cursor.remaining();
        if let Pass::Head = gate.pass {
            ready!(gate.poll_head(cx, &mut cursor))?;
        }
        let has_passed = cursor.remaining() < room;
        match gate.pass {
            Pass::Nothing | Pass::Streams => {}
            _ if has_passed => {}
            _ if gate.kept.is_empty() => return gate.poll_pass(cx, &mut cursor),
            _ => {
                // An idle connection holds no buffer.
                let kept = std::mem::take(&mut gate.kept);
                gate.let_through(&kept, &mut cursor);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Gate {
    /// Keeps an eye on how long the caller takes nothing.
    fn watch<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match (self.link.is_stalled(), written.is_pending()) {
            (false, true) => self.link.stalls(),
            (true, false) => self.link.resumed(),
            (true, true) | (false, false) => {}
        }
        written
    }
}

impl Write for Gate {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        let written = Pin::new(&mut gate.stream).poll_write(cx, bytes);
        gate.watch(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket holds nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever runs the connection ends it, or goes on with it as a tunnel.
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        let written = Pin::new(&mut gate.stream).poll_write_vectored(cx, parts);
        gate.watch(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(pass: &mut Pass, bytes: &str) -> Option<usize> {
        let (passed, outcome) = advance(pass, bytes.as_bytes());
        outcome.ok().map(|()| passed)
    }

    #[test]
    fn nothing_behind_a_request_passes_before_it_is_answered() {
        let mut pass = Pass::Bytes(5);
        assert_eq!(passes(&mut pass, "abc"), Some(3));
        assert_eq!(passes(&mut pass, "deGET /"), Some(2));
        assert!(matches!(pass, Pass::Head));
        let mut pass = Pass::Chunked(2, Chunks::new());
        assert_eq!(passes(&mut pass, "\r\n5\r\nhello\r\n0\r\n\r\nGET /"), Some(17));
        assert!(matches!(pass, Pass::Head));
    }

    #[test]
    fn nothing_of_a_broken_part_passes_but_its_head_does() {
        let mut pass = Pass::Chunked(2, Chunks::new());
        assert_eq!(advance(&mut pass, b"\r\nzz\r\n"), (2, Err(Broken)));
    }
}
