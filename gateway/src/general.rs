//! The general way: hyper in and out, behind a gate that lets only well-framed messages through. For
//! whatever is rare, for HTTP/2 at either end, and for everything when the lean way is off.

mod again;
mod body;
mod forward;
mod gate;
mod multiplexed;
mod reply;
mod socket;
mod streams;
mod trailers;
mod upgrade;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;

use crate::corridor::{self, Halt, Keys, Passed};
use crate::farewell::{linger, part, refuse};
use crate::grpc::Dialect;
use crate::head::{Head, Seen};
use crate::limits;
use crate::link::{Link, Span, Stage};
use crate::refusal::Refusal;
use crate::tunnel::Tunnel;
use crate::visit::Visit;
use crate::way::Way;
use body::Expects;
use gate::Gate;
use reply::{Answer, Reply};
use trailers::Takes;

pub(crate) use body::Upload;
pub(crate) use upgrade::{Handshake, handshake};

/// Most bytes that hyper holds of one caller: more than the gate lets a head have.
const HTTP_BUFFER_BYTES: usize = 128 * 1024;

/// How a connection ended.
enum End {
    /// By the rules of HTTP, or by the caller.
    Over,
    /// It made no progress.
    Late,
}

/// What is left to do when HTTP is over on a connection.
#[derive(Debug)]
pub(crate) enum Rest {
    Nothing,
    Close(TcpStream),
    /// More may come that nobody can make sense of.
    Linger(TcpStream),
    Refuse(TcpStream, Refusal),
    /// With what the caller sent right behind its request.
    Tunnel(Tunnel, TcpStream, Vec<u8>),
    /// It speaks HTTP/2, with what was read of that.
    Streams(TcpStream, Vec<u8>),
}

impl Rest {
    /// Does it. What is short is boxed apart: a tunnel is long, and takes no more room than it needs.
    pub(crate) async fn run(self, link: &Rc<Link>) {
        match self {
            Self::Nothing => {}
            Self::Close(stream) => Box::pin(part(stream)).await,
            Self::Linger(stream) => Box::pin(linger(stream)).await,
            Self::Refuse(stream, refusal) => Box::pin(refuse(link, stream, &refusal)).await,
            Self::Tunnel(tunnel, stream, ahead) => tunnel.run(link, stream, ahead).await,
            Self::Streams(stream, ahead) => Box::pin(streams::serve(link, stream, ahead)).await,
        }
    }
}

/// Serves a caller's connection, of which `kept` was read already, as long as it speaks HTTP.
pub(crate) async fn serve(link: &Rc<Link>, stream: TcpStream, kept: Vec<u8>) -> Rest {
    let gate = Gate::new(stream, kept, link.clone());
    let service = service_fn(|request| {
        let link = link.clone();
        async move { Ok::<_, Infallible>(answer(link, request).await) }
    });
    let mut http = http1::Builder::new()
        .max_buf_size(HTTP_BUFFER_BYTES)
        .header_read_timeout(None)
        .serve_connection(gate, service);
    let mut is_told = false;
    let end = poll_fn(|cx| {
        if link.core.is_closing() && !is_told {
            is_told = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        if link.timer.poll(cx).is_ready() {
            return Poll::Ready(End::Late);
        }
        // What went wrong on a caller's connection is the caller's business.
        Pin::new(&mut http).poll(cx).map(|_| End::Over)
    });
    let end = end.await;
    let gate = http.into_parts().io;
    if gate.is_stalled() {
        // Whatever is said now would stand in the middle of an answer that is not out yet.
        return Rest::Nothing;
    }
    let has_streams = gate.has_streams();
    let (stream, ahead) = gate.into_parts();
    if has_streams {
        return Rest::Streams(stream, ahead);
    }
    if let Some(tunnel) = link.take_tunnel() {
        return Rest::Tunnel(tunnel, stream, ahead);
    }
    match (end, link.stage()) {
        (End::Over, Stage::Serving) | (End::Late, Stage::Serving | Stage::Idle) => Rest::Nothing,
        (End::Late, Stage::Head) => Rest::Refuse(stream, Refusal::Slow),
        (End::Over, Stage::Idle) if link.is_broken() => Rest::Linger(stream),
        (End::Over, Stage::Head) => match link.take_fault() {
            Some(refusal) => Rest::Refuse(stream, refusal),
            None => Rest::Close(stream),
        },
        (End::Over, Stage::Idle) => Rest::Close(stream),
    }
}

/// Answers one request, whatever comes.
async fn answer(link: Rc<Link>, request: Request<Incoming>) -> Response<Reply> {
    link.core.counters.general_requests.add(1);
    let (parts, body) = request.into_parts();
    let fields = link.core.scratch.fields(&parts.headers);
    let head = Head::of_hyper(&parts, &fields);
    let expects = head.seen.has(Seen::EXPECT);
    let expects = if expects { Expects::Continue } else { Expects::Nothing };
    let upload = Upload::new(link.clone(), body, expects);
    let takes = Takes::of(&head);
    let mut visit = Visit::begin(&link, &head);
    visit.dialect = Dialect::of(&head);
    let mut passed = match checked(&link, &head) {
        Ok(()) => corridor::pass(&link, &mut visit, &head, &Keys::MayCome, Way::General),
        Err(refusal) => Err(refusal.into()),
    };
    if let Err(Halt::Waits(wait)) = passed {
        // Rare: kept out of the room that every request takes.
        let keys = Box::pin(wait.over(&link)).await;
        passed = corridor::pass(&link, &mut visit, &head, &keys, Way::General);
    }
    let outcome = match passed {
        Err(Halt::Refused(refusal)) => Err(refusal),
        Err(Halt::Waits(_)) => Err(Refusal::NoKeys),
        Err(Halt::General) => Err(Refusal::Internal("the general way leads nowhere")),
        Ok(Passed::Here(response)) => Ok(Answer::own(response)),
        Ok(Passed::On(order)) => match forward::outbound(&head, &order, &visit, &upload) {
            Ok(request) => {
                let job = forward::Job::new(&head, order);
                drop(fields);
                forward::send(&link, job, request, upload).await
            }
            Err(refusal) => Err(refusal),
        },
    };
    reply::respond(&link, visit, takes, outcome)
}

/// What the gate sees to on a connection, of a stream that had none.
fn checked(link: &Link, head: &Head<'_>) -> Result<(), Refusal> {
    match link.span() {
        Span::Connection => Ok(()),
        Span::Stream => limits::stream(head, &link.core.plan.limits),
    }
}
