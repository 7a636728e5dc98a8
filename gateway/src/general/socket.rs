//! A caller's socket as the frames of HTTP/2 are read from it: first what was read before, then what
//! comes; and an eye on how long the caller takes nothing.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::net::TcpStream;

use crate::link::Link;

/// A caller's socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Rc<TcpStream>,
    /// What was read before.
    ahead: Vec<u8>,
    link: Rc<Link>,
}

impl Socket {
    pub(super) const fn new(stream: Rc<TcpStream>, ahead: Vec<u8>, link: Rc<Link>) -> Self {
        Self { stream, ahead, link }
    }

    /// Does `write` as soon as the socket takes something.
    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let written = loop {
            match self.stream.poll_write_ready(cx) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => break Poll::Ready(written),
            }
        };
        match (self.link.is_stalled(), written.is_pending()) {
            (false, true) => self.link.stalls(),
            (true, false) => self.link.resumed(),
            (true, true) | (false, false) => {}
        }
        written
    }
}

impl Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if !socket.ahead.is_empty() {
            let now = socket.ahead.len().min(cursor.remaining());
            cursor.put_slice(socket.ahead.get(..now).unwrap_or_default());
            socket.ahead.drain(..now);
            if socket.ahead.is_empty() {
                // An idle connection holds no buffer.
                socket.ahead = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        let mut buffer = socket.link.core.buffer.borrow_mut();
        let room = buffer.len().min(cursor.remaining());
        let room = buffer.get_mut(..room).unwrap_or_default();
        loop {
            ready!(socket.stream.poll_read_ready(cx))?;
            match socket.stream.try_read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    cursor.put_slice(room.get(..read).unwrap_or_default());
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |stream| stream.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket holds nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever runs the connection ends it.
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
        self.poll_with(cx, |stream| stream.try_write_vectored(parts))
    }
}
