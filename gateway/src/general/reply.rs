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
use crate::head::{Seen, Sink as _};
use crate::link::Link;
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
}

/// The answer, whichever way the request went.
pub(super) fn respond(
    link: &Rc<Link>,
    mut visit: Visit,
    outcome: Result<Answer, Refusal>,
) -> Response<Reply> {
    let answer = outcome.unwrap_or_else(|refusal| Answer::own(visit.refuse(&refusal)));
    let Answer { mut response, maker, becomes } = answer;
    visit.answered(response.status().as_u16());
    let mut headers = HeaderMap::with_capacity(response.headers().len() + 4);
    let fields = link.core.scratch.fields(response.headers());
    rewrite::answer(&fields, maker, Seen::default(), &visit, &mut headers);
    drop(fields);
    match becomes {
        Becomes::Socket => {
            headers.put("connection", b"upgrade");
            headers.put("upgrade", b"websocket");
        }
        // Nobody can tell when or where the next request would begin.
        Becomes::Http if visit.is_late() || link.is_broken() => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Becomes::Http => {}
    }
    *response.headers_mut() = headers;
    response.map(|content| Reply { content, visit })
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let reply = self.get_mut();
        let polled = match &mut reply.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Content::Upstream(download) => download.poll_data(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(data))) => reply.visit.bytes_out += data.len() as u64,
            Poll::Ready(Some(Err(error))) => broke_off(&mut reply.visit, error),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled.map(|data| data.map(|data| data.map(Frame::data)))
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
        Error::Upstream(_) | Error::Caller(_) | Error::Refused => Kind::UpstreamFailed,
    };
    visit.broke_off(kind, chassis::refuse::chain(error));
}
