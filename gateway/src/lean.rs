//! The lean way: plain HTTP/1.1 relayed by our own hands. One buffer per core, one send per head and
//! what came with it, and nothing held by a connection that waits.
//!
//! A request is read where it lies and walks through the doors at once (`arrival`); an exchange with
//! its upstream then moves bytes both ways (`exchange`) until the answer is out. What is not plain
//! goes the general way, and the connection with it.

mod answer;
mod arrival;
pub(crate) mod body;
mod caller;
mod download;
mod exchange;
mod failure;
mod job;
mod upload;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use chassis::linger::{LINGER_BYTES_MAX, LINGER_WINDOW};
use http::Response;
use tokio::net::TcpStream;

use crate::core::Core;
use crate::farewell::{linger, part, refuse};
use crate::link::Link;
use crate::visit::Visit;
use crate::wire::{After, whole};
use arrival::Step;
use body::Body;
use caller::{Caller, poll_read, poll_write};

/// Serves a caller's connection as long as its requests go this way. Gives it back, with what was read
/// and not served, when one does not.
pub(crate) async fn serve(link: &Rc<Link>, stream: TcpStream) -> Option<(TcpStream, Vec<u8>)> {
    let mut caller = Caller::new(stream);
    let mut waiting = None;
    loop {
        let next = poll_fn(|cx| arrival::poll(link, &mut caller, &mut waiting, cx)).await;
        let ended = match next {
            Step::Over => Ended::Gone,
            Step::General => return Some((caller.stream, caller.kept)),
            Step::Refused(refusal) => {
                Box::pin(refuse(link, caller.stream, &refusal)).await;
                return None;
            }
            Step::Waits { visit, wait } => {
                let keys = Box::pin(wait.over(link)).await;
                waiting = Some((*visit, keys));
                continue;
            }
            Step::Own(own) => say(link, &mut caller, *own).await,
            Step::Exchange(exchange) => exchange.run(&mut caller).await,
        };
        let goes_on = match ended {
            Ended::Gone => {
                Box::pin(part(caller.stream)).await;
                return None;
            }
            Ended::Whole(After::Closes, _) => false,
            Ended::Whole(After::Keeps, rest) => {
                rest.is_done() || Box::pin(skip(link, &mut caller, rest)).await
            }
        };
        if !goes_on {
            Box::pin(linger(caller.stream)).await;
            return None;
        }
    }
}

/// How a request ended for the caller.
#[derive(Debug)]
enum Ended {
    /// It is gone, or has to see that the answer is not whole.
    Gone,
    /// With a whole answer; this much of its body was not read.
    Whole(After, Body),
}

/// An answer of the gateway's own.
#[derive(Debug)]
struct Own {
    /// What is written, once it is [`whole_own`].
    bytes: Vec<u8>,
    visit: Visit,
    after: After,
    /// What is still to come of the request's body.
    rest: Body,
}

/// Writes `response` behind what stands in the bytes of `own`. The connection ends behind it when the
/// gateway does, or when more of the request is still to come than anybody reads for nothing.
fn whole_own(response: &Response<Bytes>, mut own: Own, core: &Core) -> Own {
    if core.is_closing() || own.rest.is_longer_than(LINGER_BYTES_MAX) {
        own.after = After::Closes;
    }
    whole(response, &mut own.visit, core, own.after, &mut own.bytes);
    own
}

/// Sends an answer of the gateway's own.
async fn say(link: &Link, caller: &mut Caller, own: Own) -> Ended {
    let Own { bytes, visit, after, rest } = own;
    let mut sent = 0;
    link.deadline.set(link.core.waits.body_idle);
    let is_out = poll_fn(|cx| {
        while let Some(left) = bytes.get(sent..).filter(|left| !left.is_empty()) {
            match poll_write(&mut caller.stream, left, cx) {
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return link.deadline.poll(cx).map(|()| false),
            }
        }
        Poll::Ready(true)
    })
    .await;
    link.core.spares.give_back(bytes);
    drop(visit);
    if is_out { Ended::Whole(after, rest) } else { Ended::Gone }
}

/// Reads what is left of a body that nobody wants, within bounds; says whether all of it came.
async fn skip(link: &Link, caller: &mut Caller, mut body: Body) -> bool {
    let timer = link.core.wheel.timer();
    timer.set(LINGER_WINDOW.into());
    let mut skipped = 0_u64;
    poll_fn(|cx| {
        while !body.is_done() {
            if skipped > LINGER_BYTES_MAX || timer.poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            let mut buffer = link.core.buffer.borrow_mut();
            let read = match poll_read(&mut caller.stream, &mut buffer, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
                Poll::Ready(Ok(read)) => read,
            };
            skipped += read as u64;
            let part = buffer.get_mut(..read).unwrap_or_default();
            let Ok(taken) = body.take(part) else { return Poll::Ready(false) };
            caller.keep(part.get(taken.read..).unwrap_or_default());
        }
        Poll::Ready(true)
    })
    .await
}
