//! Bodies on their way through: counted, watched, never held back.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use chassis::linger::{LINGER_BYTES_MAX, LINGER_WINDOW};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::forward::Source;
use crate::limits::Permit;
use crate::link::Link;
use crate::refusal::Refusal;
use crate::wheel::Ticks;

/// Why a body does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// [`Link::take_fault`] says more.
    #[error("the request's body was refused")]
    Refused,
    #[error("the request's body broke off")]
    Caller(#[source] hyper::Error),
    #[error("the answer's body broke off")]
    Upstream(#[source] hyper::Error),
    #[error("the answer's body made no progress")]
    Stalled,
}

/// The body of a request. When it is dropped before its end, what still comes is read and thrown
/// away in the background, so that the caller gets to read its answer.
#[derive(Debug)]
pub(crate) struct Upload {
    link: Rc<Link>,
    body: Option<Incoming>,
    left: u64,
    max: u64,
    /// From the last byte of the body to the head of the answer.
    response_wait: Ticks,
    /// Whether the caller waits to be told to send (RFC 9110 section 10.1.1).
    is_unasked: bool,
}

impl Upload {
    pub(crate) fn new(link: Rc<Link>, body: Incoming, expects: Expects) -> Self {
        let is_unasked = matches!(expects, Expects::Continue);
        let none = Ticks::new(0);
        Self { link, body: Some(body), left: 0, max: 0, response_wait: none, is_unasked }
    }

    /// No body.
    pub(crate) fn empty(link: Rc<Link>) -> Self {
        let none = Ticks::new(0);
        Self { link, body: None, left: 0, max: 0, response_wait: none, is_unasked: false }
    }

    /// Sets what a route allows.
    pub(crate) fn bounded(mut self, max: u64, response_wait: Ticks) -> Self {
        (self.left, self.max, self.response_wait) = (max, max, response_wait);
        self
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            return match Pin::new(body).poll_frame(cx) {
                Poll::Pending => {
                    if !self.link.starved.replace(true) {
                        self.link.deadline.set(self.link.core.waits.body_idle);
                    }
                    Poll::Pending
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(self.count(data))),
                    // Trailers end here (RFC 9110 section 6.5.1 allows it).
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    self.link.suspect(Refusal::SHORT_BODY);
                    Poll::Ready(Some(Err(Error::Caller(error))))
                }
                Poll::Ready(None) => {
                    self.body = None;
                    self.is_complete();
                    Poll::Ready(None)
                }
            };
        }
    }

    fn count(&mut self, data: Bytes) -> Result<Bytes, Error> {
        let length = data.len() as u64;
        let Some(left) = self.left.checked_sub(length) else {
            self.link.put_fault(Refusal::BodyTooLarge { max: self.max });
            return Err(Error::Refused);
        };
        self.left = left;
        self.link.bytes_in.set(self.link.bytes_in.get() + length);
        self.link.starved.set(false);
        if self.body.as_ref().is_none_or(Body::is_end_stream) {
            self.is_complete();
        } else {
            self.link.deadline.set(self.link.core.waits.body_idle);
        }
        Ok(data)
    }

    /// The upstream has the whole request; its time runs.
    fn is_complete(&self) {
        self.link.starved.set(false);
        self.link.deadline.set(self.response_wait);
    }
}

/// Whether a caller waits for `100 Continue` before it sends its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expects {
    Nothing,
    Continue,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.is_unasked = false;
        self.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        // A caller that was never asked for its body does not send it.
        if !self.is_unasked && !self.link.core.is_over() {
            self.link.core.tasks.spawn_local(linger(self.link.clone(), body));
        }
    }
}

/// Reads what is left of `body`, within bounds. Ends with the caller's connection.
async fn linger(link: Rc<Link>, mut body: Incoming) {
    let timer = link.core.wheel.timer();
    timer.set(LINGER_WINDOW.into());
    let mut read = 0_u64;
    poll_fn(|cx| {
        loop {
            if read > LINGER_BYTES_MAX || timer.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    read += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// The body of an upstream's answer. Holds the request's place among those in flight, and keeps the
/// connection when it was read to its end.
#[derive(Debug)]
pub(crate) struct Download {
    link: Rc<Link>,
    source: Source,
    body: Incoming,
    is_waiting: bool,
    is_over: bool,
    _permit: Permit,
}

impl Download {
    pub(crate) const fn new(
        link: Rc<Link>,
        source: Source,
        body: Incoming,
        permit: Permit,
    ) -> Self {
        Self { link, source, body, is_waiting: false, is_over: false, _permit: permit }
    }

    /// The next part of the body, without its trailers.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            return match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.is_waiting = false;
                    match frame.into_data() {
                        Ok(data) => Poll::Ready(Some(Ok(data))),
                        Err(_) => continue,
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.source = None;
                    Poll::Ready(Some(Err(Error::Upstream(error))))
                }
                Poll::Ready(None) => {
                    self.is_over = true;
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    if !std::mem::replace(&mut self.is_waiting, true) {
                        self.link.deadline.set(self.link.core.waits.body_idle);
                    }
                    self.link.deadline.poll(cx).map(|()| Some(Err(Error::Stalled)))
                }
            };
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some((connection, place)) = self.source.take()
            && (self.is_over || self.body.is_end_stream())
        {
            place.general.keep(connection);
        }
    }
}
