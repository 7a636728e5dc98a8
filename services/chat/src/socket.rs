//! One WebSocket, from the upgrade to its last byte.
//!
//! A socket is one task: it reads and answers requests, keeps time, and writes on where the peer
//! was slow. Everybody else queues on its [`Line`] and goes on.

mod admission;
mod entry;
mod flush;
mod history;
mod holder;
mod inbox;
mod keeper;
mod line;
mod ops;
mod outbox;
mod rate;
mod renewal;
mod roll;
mod session;
mod subscribe;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chassis::identity::Identity;
use chassis::{Clock, Random, Stop};
use contract::live::CloseCode;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::accounts::Accounts;
use crate::codec;
use crate::config::Chat;
use crate::conversations::Conversations;
use crate::hub::Hub;
use crate::lane::Lane;
pub(crate) use admission::{Admission, Place};
pub(crate) use entry::{Credentials, Entry, Protocol, RoomUrl};
pub(crate) use flush::Flushers;
pub(crate) use holder::Presented;
use inbox::Inbox;
use line::{Ending, Flushed};
pub(crate) use line::{Lag, Line};
use outbox::Bounds;
pub(crate) use roll::Roll;

/// What all sockets of a node share.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) config: Chat,
    pub(crate) hub: Arc<Hub>,
    pub(crate) lane: Lane,
    pub(crate) conversations: Conversations,
    pub(crate) accounts: Accounts,
    pub(crate) identity: Identity,
    pub(crate) admission: Arc<Admission>,
    pub(crate) roll: Arc<Roll>,
    pub(crate) flushers: Flushers,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) stop: Stop,
    pub(crate) sockets: AtomicU64,
}

/// Serves a socket until it is over; `early` is what came behind its upgrade request.
pub(crate) async fn serve(node: Arc<Node>, stream: TcpStream, early: Bytes, entry: Entry) {
    let number = node.sockets.fetch_add(1, Ordering::Relaxed);
    let ws = &node.config.ws;
    let bounds = Bounds { frames_max: ws.queue_frames_max, bytes_max: ws.queue_bytes_max };
    let line = Line::new(stream, bounds, node.flushers.pick(number));
    let mut inbox = Inbox::new(line.clone(), &early);
    let ending = tokio::select! {
        ending = entry::talk(&node, number, &line, &mut inbox, entry) => ending,
        ending = line.ended() => ending,
        () = node.stop.cancelled() => Ending::Gone,
    };
    line.end(ending);
    debug!(socket = number, ?ending, "A socket ends");
    tokio::select! {
        () = finish(&node, &line, &mut inbox, ending) => {}
        () = node.stop.cancelled() => {}
    }
}

/// The closing handshake (RFC 6455 section 7.1): our close frame, then the peer's, within bounds. A
/// connection that was closed with bytes unread would be reset, and the close frame lost.
async fn finish(node: &Node, line: &Arc<Line>, inbox: &mut Inbox, ending: Ending) {
    let window = node.config.ws.close_timeout;
    match ending {
        Ending::Gone => return,
        Ending::Answered => line.append_last(codec::close(CloseCode::Normal)),
        Ending::Close(CloseCode::SlowConsumer) => {
            line.set_last(codec::close(CloseCode::SlowConsumer));
        }
        Ending::Close(code) => line.append_last(codec::close(code)),
    }
    let flushed = timeout(window, line.drain()).await;
    if flushed == Ok(Flushed::Drained) && ending != Ending::Answered {
        timeout(window, inbox.until_closed()).await.ok();
    }
}
