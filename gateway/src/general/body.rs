//! Bodies on their way through: counted, watched, never held back.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use chassis::linger::{LINGER_BYTES_MAX, LINGER_WINDOW};
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::again::{Again, Home};
use super::forward::Source;
use super::trailers::{self, From, TooMany};
use crate::limits::{self, Permit};
use crate::link::{Link, Span};
use crate::pool::Carrier;
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
    #[error("the answer's trailers are too large")]
    Trailers,
    #[error("the answer's body made no progress")]
    Stalled,
}

/// The body of a request. When it is dropped before its end, what still comes is read and thrown
/// away in the background, so that the caller gets to read its answer; a stream needs none of that.
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
    again: Again,
}

impl Upload {
    pub(crate) fn new(link: Rc<Link>, body: Incoming, expects: Expects) -> Self {
        let is_unasked = matches!(expects, Expects::Continue);
        let mut upload = Self::empty(link);
        (upload.body, upload.is_unasked) = (Some(body), is_unasked);
        upload
    }

    /// No body.
    pub(crate) fn empty(link: Rc<Link>) -> Self {
        let (response_wait, again) = (Ticks::new(0), Again::default());
        Self { link, body: None, left: 0, max: 0, response_wait, is_unasked: false, again }
    }

    pub(super) const fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Sets what a route allows.
    pub(crate) fn bounded(mut self, max: u64, response_wait: Ticks) -> Self {
        (self.left, self.max, self.response_wait) = (max, max, response_wait);
        self
    }

    /// One that comes home when it was not acted on.
    pub(super) fn homing(mut self, home: &Rc<Home>) -> Self {
        self.again = std::mem::take(&mut self.again).to(home);
        self
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(part) = self.again.next() {
            if self.is_end_stream() {
                self.is_complete();
            }
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
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
                    // A frame of nothing is no progress.
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => Poll::Ready(Some(self.count(data).map(Frame::data))),
                    Err(frame) => match self.end_in(frame) {
                        Ok(None) => continue,
                        Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                        Err(error) => Poll::Ready(Some(Err(error))),
                    },
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

    /// What goes on of the trailers in `frame`.
    fn end_in(&mut self, frame: Frame<Bytes>) -> Result<Option<HeaderMap>, Error> {
        let Ok(trailers) = frame.into_trailers() else { return Ok(None) };
        let Ok(trailers) = trailers::pass_on(trailers, From::Caller) else {
            self.link.put_fault(limits::too_large(&self.link.core.plan.limits));
            return Err(Error::Refused);
        };
        if trailers.is_some() {
            self.again.lose();
            self.is_complete();
        }
        Ok(trailers)
    }

    fn count(&mut self, data: Bytes) -> Result<Bytes, Error> {
        let length = data.len() as u64;
        let Some(left) = self.left.checked_sub(length) else {
            self.link.put_fault(Refusal::BodyTooLarge { max: self.max });
            return Err(Error::Refused);
        };
        self.left = left;
        self.again.keep(&data);
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
        self.poll_next(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.again.ahead_bytes() == 0 && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let ahead = self.again.ahead_bytes();
        rest.exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + ahead))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (again, mut body) = (std::mem::take(&mut self.again), self.body.take());
        let is_home = again.go_home(|again| Self {
            link: self.link.clone(),
            body: body.take(),
            again,
            left: self.left,
            max: self.max,
            response_wait: self.response_wait,
            is_unasked: self.is_unasked,
        });
        if is_home || self.link.span() == Span::Stream {
            return;
        }
        let Some(body) = body.filter(|body| !body.is_end_stream()) else { return };
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
/// connection when it was read to its end and is its own.
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

    /// The next part of the body, or what may go on of its trailers.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            return match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.is_waiting = false;
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    match trailers::pass_on(trailers, From::Upstream) {
                        Ok(None) => continue,
                        Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                        Err(TooMany) => {
                            self.source = None;
                            Poll::Ready(Some(Err(Error::Trailers)))
                        }
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
        if let Some((Carrier::Connection(connection), place)) = self.source.take()
            && (self.is_over || self.body.is_end_stream())
        {
            place.general.keep(connection);
        }
    }
}
