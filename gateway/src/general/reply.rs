//! An answer on its way to the caller as hyper sends it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use contract::Kind;
use http::header::{HeaderMap, HeaderValue};
use http::{Response, header};
use hyper::body::{Body, Frame, SizeHint};

use super::body::{Download, Error};
use super::trailers::{self, From, Takes};
use crate::grpc::{self, Dialect};
use crate::head::{Seen, Sink as _};
use crate::link::{Link, Span};
use crate::refusal::Refusal;
use crate::rewrite::{self, Maker};
use crate::visit::Visit;

/// What the corridor came to.
#[derive(Debug)]
pub(super) struct Answer {
    pub response: Response<Content>,
    pub maker: Maker,
    /// Whether the connection becomes a WebSocket behind it.
    pub becomes: Becomes,
}

/// What a connection is behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Becomes {
    Http,
    Socket,
}

impl Answer {
    /// An answer of the gateway's own.
    pub(super) fn own(response: Response<Bytes>) -> Self {
        let response = response.map(Content::Whole);
        Self { response, maker: Maker::Gateway, becomes: Becomes::Http }
    }
}

/// The bytes of an answer.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Bytes),
    Upstream(Box<Download>),
}

/// An answer's body, and the record of the request that goes with it.
#[derive(Debug)]
pub(super) struct Reply {
    content: Content,
    visit: Visit,
    link: Rc<Link>,
    takes: Takes,
}

/// The answer, whichever way the request went.
pub(super) fn respond(
    link: &Rc<Link>,
    mut visit: Visit,
    takes: Takes,
    outcome: Result<Answer, Refusal>,
) -> Response<Reply> {
    let answer = outcome.unwrap_or_else(|refusal| Answer::own(visit.refuse(&refusal)));
    let Answer { mut response, maker, becomes } = answer;
    visit.answered(response.status().as_u16());
    let mut headers = HeaderMap::with_capacity(response.headers().len() + 4);
    let fields = link.core.scratch.fields(response.headers());
    rewrite::answer(&fields, maker, Seen::default(), &visit, &mut headers);
    drop(fields);
    if takes == Takes::Announced {
        let lines = response.headers().get_all(header::TRAILER).iter().map(HeaderValue::as_bytes);
        trailers::announce(lines, visit.dialect, From::Upstream, &mut headers);
    }
    match becomes {
        Becomes::Socket => {
            headers.put("connection", b"upgrade");
            headers.put("upgrade", b"websocket");
        }
        // Nobody can tell when or where the next request would begin.
        Becomes::Http if ends_connection(link, &visit) => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Becomes::Http => {}
    }
    *response.headers_mut() = headers;
    let response = response.map(|content| Reply { content, visit, link: link.clone(), takes });
    if response.body().is_end_stream() {
        link.answer_ends();
    }
    response
}

/// Whether the answer is the connection's last.
fn ends_connection(link: &Link, visit: &Visit) -> bool {
    link.span() == Span::Connection && (visit.is_late() || link.is_broken())
}

impl Reply {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let polled = match &mut self.content {
                Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
                Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
                Content::Upstream(download) => download.poll_next(cx),
            };
            match &polled {
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                    if self.takes == Takes::Nothing {
                        continue;
                    }
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.visit.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(Some(Err(error))) => broke_off(&mut self.visit, error),
                Poll::Ready(None) | Poll::Pending => {}
            }
            return match polled {
                Poll::Ready(Some(Err(_))) if self.can_tell() => {
                    self.content = Content::Whole(Bytes::new());
                    Poll::Ready(Some(Ok(Frame::trailers(grpc::broke_off()))))
                }
                polled => polled,
            };
        }
    }

    /// Whether a caller can be told that its answer broke off: a call of gRPC, on a stream.
    fn can_tell(&self) -> bool {
        self.visit.dialect == Dialect::Grpc && self.takes == Takes::Trailers
    }

    /// Keeps an eye on how long a stream's caller takes nothing of it.
    fn watch(&self, polled: &Poll<Option<Result<Frame<Bytes>, Error>>>) {
        if self.link.span() == Span::Connection {
            return;
        }
        match polled {
            Poll::Ready(Some(Ok(_))) => self.link.timer.set(self.link.core.waits.body_idle),
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => self.link.timer.clear(),
        }
        let is_over = match polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || self.is_end_stream(),
            Poll::Ready(Some(Err(_)) | None) => true,
            Poll::Pending => false,
        };
        if is_over {
            self.link.answer_ends();
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let reply = self.get_mut();
        let polled = reply.poll_next(cx);
        reply.watch(&polled);
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Upstream(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Upstream(download) => download.size_hint(),
        }
    }
}

fn broke_off(visit: &mut Visit, error: &Error) {
    let kind = match error {
        Error::Stalled => Kind::UpstreamTimeout,
        Error::Upstream(_) | Error::Trailers | Error::Caller(_) | Error::Refused => {
            Kind::UpstreamFailed
        }
    };
    visit.broke_off(kind, chassis::refuse::chain(error));
}
