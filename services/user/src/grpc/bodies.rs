//! Bodies that know when it is over: streams that only wait would hold the process up until its grace
//! has passed, and whoever reads what a caller sends would read on after the answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use chassis::Stop;
use http_body::{Frame, SizeHint};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

type Moment = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of an answer, which says goodbye when the drain begins and it has nothing to say.
pub(super) struct UntilDrain {
    inner: Body,
    drained: Moment,
    is_over: bool,
    /// Ends the body of the request.
    _answered: DropGuard,
}

/// The body of a request, which ends at the latest with the answer's.
pub(super) struct UntilAnswered {
    inner: Body,
    answered: Moment,
}

impl UntilDrain {
    pub(super) fn new(inner: Body, stop: Stop, answered: DropGuard) -> Self {
        let drained = Box::pin(async move { stop.drain_began().await });
        Self { inner, drained, is_over: false, _answered: answered }
    }
}

impl UntilAnswered {
    pub(super) fn new(inner: Body, answered: CancellationToken) -> Self {
        Self { inner, answered: Box::pin(answered.cancelled_owned()) }
    }
}

impl http_body::Body for UntilDrain {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(self.drained.as_mut().poll(context));
        self.is_over = true;
        Poll::Ready(Some(Ok(Frame::trailers(goodbye()))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl http_body::Body for UntilAnswered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(self.answered.as_mut().poll(context));
        Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn goodbye() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // What does not fit a header is no text of ours.
    Status::unavailable("The service is leaving.").add_header(&mut trailers).ok();
    trailers
}
