//! One direction of a tunnel. What is read passes through the core's buffer and is written at once;
//! only what the other side does not take is kept, and nothing more is read until it is gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::frames::{Frames, Place, Sender};

/// Steps that a direction may take before others of its core have their turn; one carries as much
/// as the core's buffer holds.
const STEPS_MAX: usize = 8;

/// One direction.
#[derive(Debug)]
pub(super) struct Direction {
    frames: Frames,
    /// What was read and not taken yet.
    rest: Bytes,
    source: Source,
    out: Out,
}

/// The side that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Open,
    Ended,
    /// It cannot be written to either.
    Broken,
}

/// The side that is written to.
#[derive(Debug)]
enum Out {
    Open,
    /// Gets these last bytes when the frame in progress has ended.
    Parting(Bytes),
    /// Gets what is left, and its end.
    Last,
    /// Gets nothing any more; what still comes is read and dropped, so that the peer is not cut off
    /// while it reads its last bytes.
    Shut,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    Still,
    Moved,
    /// One of the two sides broke off.
    Broken,
}

impl Direction {
    /// A direction whose first bytes, `early`, are here already.
    pub(super) fn new(sender: Sender, early: Vec<u8>) -> Self {
        let mut frames = Frames::new(sender);
        frames.follow(&early);
        Self { frames, rest: early.into(), source: Source::Open, out: Out::Open }
    }

    /// Whether it still takes in what comes.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.out, Out::Open | Out::Parting(_))
    }

    /// Whether nothing will be written any more.
    pub(super) const fn is_shut(&self) -> bool {
        matches!(self.out, Out::Shut)
    }

    /// Whether nothing will be read any more either.
    pub(super) fn is_over(&self) -> bool {
        self.is_shut() && self.source != Source::Open
    }

    /// Whether the side that is read is gone, for writing, too.
    pub(super) fn is_cut_off(&self) -> bool {
        self.source == Source::Broken
    }

    /// Whether its sender has closed by a frame of its own.
    pub(super) fn is_closed(&self) -> bool {
        self.frames.place() == Place::Closed
    }

    /// Ends the direction with `farewell` as soon as that can stand there; without it where it
    /// never can.
    pub(super) fn part(&mut self, farewell: Bytes) {
        if self.is_open() {
            self.out = Out::Parting(farewell);
            self.settle();
        }
    }

    /// Ends the direction with what has been written until now.
    pub(super) fn cut(&mut self) {
        if !self.is_shut() {
            self.rest = Bytes::new();
            self.out = Out::Last;
        }
    }

    /// Goes on until it has to wait, or others have their turn.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        buffer: &mut [u8],
    ) -> Progress {
        let mut progress = Progress::Still;
        for _ in 0..STEPS_MAX {
            match self.step(cx, from, to, buffer) {
                Poll::Pending => return progress,
                Poll::Ready(Ok(())) => progress = progress.max(Progress::Moved),
                Poll::Ready(Err(_)) => progress = Progress::Broken,
            }
        }
        cx.waker().wake_by_ref();
        progress
    }

    fn step(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        buffer: &mut [u8],
    ) -> Poll<io::Result<()>> {
        match self.out {
            Out::Open | Out::Parting(_) | Out::Last if !self.rest.is_empty() => self.flush(cx, to),
            Out::Open | Out::Parting(_) => self.pass(cx, from, to, buffer),
            Out::Last => {
                self.out = Out::Shut;
                // A peer that is gone needs no end.
                Pin::new(to).poll_shutdown(cx).map(|_| Ok(()))
            }
            Out::Shut if self.source == Source::Open => self.read(cx, from, buffer).map_ok(drop),
            Out::Shut => Poll::Pending,
        }
    }

    /// Passes on what is there now, as far as the other side takes it.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        buffer: &mut [u8],
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.read(cx, from, buffer));
        let Ok(part @ [_, ..]) = read else {
            self.out = Out::Last;
            return Poll::Ready(read.map(drop));
        };
        let part = self.follow(part);
        let written = match Pin::new(to).poll_write(cx, part) {
            Poll::Ready(written) => self.written(written)?,
            Poll::Pending => 0,
        };
        // Without anything left, this allocates nothing.
        self.rest = Bytes::copy_from_slice(part.get(written..).unwrap_or_default());
        self.settle();
        Poll::Ready(Ok(()))
    }

    /// Reads what is there now; nothing at the end. A short read ends the readiness of the socket,
    /// so that none is tried in vain after it.
    fn read<'b>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        buffer: &'b mut [u8],
    ) -> Poll<io::Result<&'b [u8]>> {
        let mut room = ReadBuf::new(buffer);
        let read = ready!(Pin::new(from).poll_read(cx, &mut room));
        let length = room.filled().len();
        match read {
            Ok(()) if length == 0 => self.source = Source::Ended,
            Ok(()) => {}
            Err(_) => self.source = Source::Broken,
        }
        Poll::Ready(read.map(|()| buffer.get(..length).unwrap_or_default()))
    }

    fn flush(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> Poll<io::Result<()>> {
        let written = ready!(Pin::new(to).poll_write(cx, &self.rest));
        let written = self.written(written)?;
        self.rest.advance(written.min(self.rest.len()));
        if self.rest.is_empty() {
            // Also gives its memory back.
            self.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Looks at what came of a write.
    fn written(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        let written = match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            other => other,
        };
        if written.is_err() {
            self.rest = Bytes::new();
            self.out = Out::Shut;
        }
        written
    }

    /// The part of `part` that still goes on: nothing behind the frame in progress when a direction
    /// parts.
    fn follow<'b>(&mut self, part: &'b [u8]) -> &'b [u8] {
        if let Out::Parting(_) = self.out {
            let length = self.frames.finish(part);
            return part.get(..length).unwrap_or(part);
        }
        self.frames.follow(part);
        part
    }

    /// Says farewell if this is the moment.
    fn settle(&mut self) {
        let Out::Parting(farewell) = &self.out else { return };
        match self.frames.place() {
            Place::Within => return,
            Place::Between => self.rest = [&self.rest[..], &farewell[..]].concat().into(),
            Place::Closed | Place::Lost => {}
        }
        self.out = Out::Last;
    }
}
