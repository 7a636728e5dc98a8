//! Reads as hyper does, without sockets and without waiting.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::{Body, Frame, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{client, server};

use super::message::{self, End, Message, Reading, Rest, Values};
use crate::head::{Head, Scratch};
use crate::pool::HEAD_BYTES_MAX;

/// Most turns that hyper may take over a byte before it stands still.
const TURNS: usize = 64;

/// What comes behind the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    Closes,
    /// Nothing, and the connection stays.
    Waits,
}

/// A connection on which everything that will ever come is here. What is written to it is gone.
struct Pipe {
    bytes: Bytes,
    at_end: AtEnd,
    /// Whether the bytes come by themselves, or once something was written.
    comes: bool,
}

impl Pipe {
    fn new(bytes: &[u8], at_end: AtEnd) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes), at_end, comes: true }
    }
}

/// What a server by hyper makes of a connection that says `bytes` and closes.
pub(super) fn requests(bytes: &[u8]) -> Reading {
    let messages = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let messages = messages.clone();
        async move {
            let (parts, mut body) = request.into_parts();
            let place = messages.borrow().len();
            messages.borrow_mut().push(request_message(&parts));
            loop {
                let frame = frame(&mut body).await;
                if !add(messages.borrow_mut().get_mut(place), frame) {
                    return Ok::<_, Infallible>(Response::new(Nothing));
                }
            }
        }
    });
    let mut builder = server::conn::http1::Builder::new();
    builder.half_close(true).header_read_timeout(None);
    let connection = builder.serve_connection(Pipe::new(bytes, AtEnd::Closes), service);
    let ended = run(bytes.len(), connection);
    let rest = if ended.is_ok() { Rest::Nothing } else { Rest::Refused };
    let messages = messages.take();
    Reading { messages, rest, keeps: false }
}

fn request_message(parts: &http::request::Parts) -> Message {
    let scratch = Scratch::default();
    let fields = scratch.fields(&parts.headers);
    let head = Head::of_hyper(parts, &fields);
    Message::new(message::request_line(&head), Values::of(head.fields))
}

/// What a client by hyper makes of `bytes` as the answer to a request by `method`.
pub(super) fn answer(bytes: &[u8], method: &Method, at_end: AtEnd) -> Reading {
    let mut pipe = Pipe::new(bytes, at_end);
    pipe.comes = false;
    let mut builder = client::conn::http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let shaken = run(1, builder.handshake::<_, Nothing>(pipe));
    let Ok((mut sender, connection)) = shaken else { panic!("hyper has no handshake to make") };
    let mut request = Request::new(Nothing);
    *request.method_mut() = method.clone();
    let mut connection = Some(Box::pin(connection));
    let mut asked = pin!(ask(&mut sender, request));
    run(
        bytes.len(),
        std::future::poll_fn(|cx| {
            if let Some(open) = &mut connection
                && open.as_mut().poll(cx).is_ready()
            {
                connection = None;
            }
            asked.as_mut().poll(cx)
        }),
    )
}

/// Asks, reads the whole answer, and whether another could be asked for.
async fn ask(
    sender: &mut client::conn::http1::SendRequest<Nothing>,
    request: Request<Nothing>,
) -> Reading {
    let mut reading = Reading { messages: Vec::new(), rest: Rest::Nothing, keeps: false };
    let Ok(response) = sender.send_request(request).await else {
        reading.rest = Rest::Refused;
        return reading;
    };
    let (parts, mut body) = response.into_parts();
    let reason = parts.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    let reason = reason.map_or(parts.status.canonical_reason().unwrap_or_default(), |reason| {
        str::from_utf8(reason).unwrap_or("not UTF-8")
    });
    let scratch = Scratch::default();
    let fields = scratch.fields(&parts.headers);
    let line = format!("{} {reason:?}", parts.status.as_u16());
    let mut message = Message::new(line, Values::of(fields.list()));
    while add(Some(&mut message), frame(&mut body).await) {}
    reading.keeps = message.end == End::Whole && sender.ready().await.is_ok();
    reading.messages.push(message);
    reading
}

type Framed = Option<Result<Frame<Bytes>, hyper::Error>>;

async fn frame(body: &mut Incoming) -> Framed {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// Adds a frame to the body of `message`; says whether more may come.
fn add(message: Option<&mut Message>, frame: Framed) -> bool {
    let Some(message) = message else { return false };
    match frame {
        Some(Ok(frame)) => {
            // Trailers go nowhere.
            message.body.extend_from_slice(&frame.into_data().unwrap_or_default());
            true
        }
        Some(Err(_)) => false,
        None => {
            message.end = End::Whole;
            false
        }
    }
}

/// Runs what never has to wait for anybody.
fn run<F: Future>(bytes: usize, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..(bytes + TURNS) * TURNS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("hyper stands still");
}

/// A body without a byte.
#[derive(Debug)]
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.comes || (self.bytes.is_empty() && self.at_end == AtEnd::Waits) {
            return Poll::Pending;
        }
        let length = self.bytes.len().min(cursor.remaining());
        cursor.put_slice(&self.bytes.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.comes = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
