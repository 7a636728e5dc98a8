//! A caller's socket on the lean way, and what was read from it before its time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
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

/// Reads into `room` as much as is there; gives how much, 0 at the end.
pub(super) fn poll_read(
    stream: &mut TcpStream,
    room: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut room = ReadBuf::new(room);
    ready!(Pin::new(stream).poll_read(cx, &mut room))?;
    Poll::Ready(Ok(room.filled().len()))
}

/// Writes what it can of `bytes`; gives how much.
pub(super) fn poll_write(
    stream: &mut TcpStream,
    bytes: &[u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(stream).poll_write(cx, bytes)) {
        Ok(0) if !bytes.is_empty() => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(written),
    }
}
