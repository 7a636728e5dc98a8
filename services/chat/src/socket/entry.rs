//! From the upgrade to `hello`: who is calling, and may this socket stay. Whatever is wrong is said
//! on the open socket, because browsers hide the status of a failed upgrade.

use std::sync::Arc;

use chassis::refuse::Refusal;
use contract::live::{self, CloseCode, Envelope, Op, Position};
use contract::{Kind, RoomId};
use tokio::time::timeout;

use super::holder::{Holder, Presented, revoked};
use super::inbox::Inbox;
use super::line::{Ending, Line};
use super::ops::RequestId;
use super::session::Session;
use super::{Node, subscribe};
use crate::error::fault;

/// What the upgrade request brought.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) protocol: Protocol,
    pub(crate) credentials: Credentials,
    pub(crate) room: Option<RoomUrl>,
}

/// Whether we speak what the client wants to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Spoken,
    Foreign,
}

/// Credentials of the upgrade request.
#[derive(Debug)]
pub(crate) enum Credentials {
    /// None: the first frame has to bring them.
    Awaited,
    Checked(Result<Box<Holder>, Refusal>),
}

/// A room's own URL.
#[derive(Debug, Clone)]
pub(crate) struct RoomUrl {
    /// `None` when it is no room's id.
    pub(crate) room: Option<RoomId>,
    pub(crate) since: Option<Position>,
}

/// Talks with a client from the first frame to the reason for the last. Safe to drop: the places
/// that were taken are given back.
pub(super) async fn talk(
    node: &Arc<Node>,
    number: u64,
    line: &Arc<Line>,
    inbox: &mut Inbox,
    entry: Entry,
) -> Ending {
    if entry.protocol == Protocol::Foreign {
        return Ending::Close(CloseCode::Subprotocol);
    }
    let (request, holder) = match authenticate(node, inbox, entry.credentials).await {
        Ok(entered) => entered,
        Err(Entrance::Over(ending)) => return ending,
        Err(Entrance::Refused(id, refusal)) => {
            line.say(&fault(id, &refusal));
            return Ending::Close(close_code(refusal.kind()));
        }
    };
    let Some(_admitted) = node.admission.admit(holder.person.id) else {
        let detail = "You have too many sockets open: close one.";
        line.say(&fault(request, &Refusal::new(Kind::RateLimited).detail(detail)));
        return Ending::Close(CloseCode::TooManySockets);
    };
    let room = entry.room.as_ref().and_then(|url| url.room.clone());
    let exp = holder.warrant.expires_at;
    let session = Session::new(node.clone(), number, line.clone(), *holder, room);
    // Between the look at the token and here it may have been revoked, and nobody knew of this socket.
    if session.is_revoked() {
        line.say(&fault(request, &revoked()));
        return Ending::Close(CloseCode::Revoked);
    }
    session.hello();
    session.acknowledge(request, live::Done::Auth { exp });
    let ending = match &entry.room {
        None => Ok(()),
        Some(url) => Box::pin(subscribe::open_room(&session, url)).await,
    };
    match ending {
        Ok(()) => session.run(inbox).await,
        Err(code) => Ending::Close(code),
    }
}

/// Why nobody was let in.
enum Entrance {
    Over(Ending),
    Refused(RequestId, Refusal),
}

async fn authenticate(
    node: &Node,
    inbox: &mut Inbox,
    credentials: Credentials,
) -> Result<(RequestId, Box<Holder>), Entrance> {
    match credentials {
        Credentials::Checked(checked) => {
            checked.map(|holder| (None, holder)).map_err(|refusal| Entrance::Refused(None, refusal))
        }
        Credentials::Awaited => {
            let text = match timeout(node.config.ws.auth_timeout, inbox.next()).await {
                Ok(Ok(text)) => text,
                Ok(Err(ending)) => return Err(Entrance::Over(ending)),
                Err(_) => return Err(Entrance::Refused(None, unauthenticated())),
            };
            Box::pin(check_first(node, &text)).await
        }
    }
}

/// The first frame of a client without other credentials has to be `auth`.
async fn check_first(node: &Node, text: &str) -> Result<(RequestId, Box<Holder>), Entrance> {
    let envelope = serde_json::from_str::<Envelope<'_>>(text);
    let envelope = envelope.map_err(|_| Entrance::Refused(None, unauthenticated()))?;
    let id = envelope.id.filter(|id| *id > 0);
    let is_auth = envelope.op.as_deref().and_then(Op::find) == Some(Op::Auth);
    let auth = if is_auth { serde_json::from_str::<live::Auth>(text).ok() } else { None };
    let Some(auth) = auth else { return Err(Entrance::Refused(id, unauthenticated())) };
    let holder = node.identify(Presented::token(auth.token)).await;
    holder.map(|holder| (id, Box::new(holder))).map_err(|refusal| Entrance::Refused(id, refusal))
}

fn unauthenticated() -> Refusal {
    let detail = r#"Send {"op":"auth","token":"<access token>"} first."#;
    Refusal::new(Kind::Unauthenticated).detail(detail)
}

/// The close code that says the same as a refusal.
pub(super) fn close_code(kind: Kind) -> CloseCode {
    match kind.status() {
        401 if kind == Kind::RevokedToken => CloseCode::Revoked,
        401 => CloseCode::Unauthenticated,
        403 => CloseCode::Forbidden,
        404 => CloseCode::NotFound,
        _ => CloseCode::Internal,
    }
}
