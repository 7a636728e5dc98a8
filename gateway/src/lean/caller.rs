//! A caller's socket on the lean way, and what was read from it before its time.

use std::io;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::wire;

/// A caller's end of its connection.
#[derive(Debug)]
pub(super) struct Caller {
    pub stream: TcpStream,
    /// What was read and belongs to no request yet.
    pub kept: Vec<u8>,
    /// How many of the kept bytes are known to be no whole head.
    judged: usize,
}

impl Caller {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, kept: Vec::new(), judged: 0 }
    }

    /// Keeps `bytes`, which nobody has looked at.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// The kept bytes, if they may be a whole head now. A head that comes byte by byte is not parsed
    /// again for each of them, unless it has grown beyond `head_max`.
    pub(super) fn take_news(&mut self, head_max: usize) -> Option<Vec<u8>> {
        let judged = self.judged;
        if self.kept.len() == judged {
            return None;
        }
        self.judged = self.kept.len();
        let news = self.kept.get(judged.saturating_sub(3)..).unwrap_or_default();
        let is_worth_it = judged == 0 || self.kept.len() > head_max || wire::ends_a_head(news);
        is_worth_it.then(|| {
            self.judged = 0;
            std::mem::take(&mut self.kept)
        })
    }

    /// Keeps `bytes`, which are no whole head.
    pub(super) fn keep_judged(&mut self, bytes: Vec<u8>) {
        self.judged = bytes.len();
        self.kept = bytes;
    }
}

/// Reads into `room` as much as is there; gives how much, 0 at the end. A read that leaves room has
/// emptied the socket: the next one waits for news instead of asking for nothing.
pub(super) fn poll_read(
    stream: &mut TcpStream,
    room: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let mut last = None;
        let read = stream.try_io(Interest::READABLE, || {
            let (_, read) = recv(&*stream, &mut *room, RecvFlags::empty())?;
            if read == 0 || read == room.len() {
                return Ok(read);
            }
            last = Some(read);
            // What tells the event loop that there is no more.
            Err(io::ErrorKind::WouldBlock.into())
        });
        match (read, last) {
            (_, Some(read)) | (Ok(read), None) => return Poll::Ready(Ok(read)),
            (Err(error), None) if is_passing(&error) => {}
            (Err(error), None) => return Poll::Ready(Err(error)),
        }
    }
}

/// Writes what it can of `bytes`, which are some; gives how much.
pub(super) fn poll_write(
    stream: &mut TcpStream,
    bytes: &[u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let written =
            stream.try_io(Interest::WRITABLE, || Ok(send(&*stream, bytes, SendFlags::NOSIGNAL)?));
        match written {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Err(error) if is_passing(&error) => {}
            written => return Poll::Ready(written),
        }
    }
}

/// Whether the same call is to be made again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
