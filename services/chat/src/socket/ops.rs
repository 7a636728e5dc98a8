//! What a client may ask for, one frame at a time, in the order in which it asks.

use std::time::Duration;

use chassis::refuse::Refusal;
use contract::live::{self, Done, Envelope, Op, ServerFrame};
use contract::message::SendMessage;
use contract::scope::Scope;
use contract::{Channel, Kind};
use serde::de::DeserializeOwned;

use super::session::Session;
use crate::error::fault;
use crate::lane::{Draft, Reply};

/// What a client calls a request; without one there is no answer to a success.
pub(super) type RequestId = Option<u64>;

/// A frame whose operation is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Op(Op),
    /// A message without an `op`, on a room's own URL.
    ShortSend,
}

impl Request {
    /// What the token of whoever asks has to be for.
    const fn scope(self) -> Option<Scope> {
        match self {
            Self::ShortSend | Self::Op(Op::Send) => Some(Scope::MessagesWrite),
            Self::Op(Op::Sub | Op::History) => Some(Scope::MessagesRead),
            Self::Op(Op::Auth | Op::Unsub | Op::Ping | Op::Pong) => None,
        }
    }
}

/// Why a frame cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    BadFrame,
    UnknownOp(RequestId),
}

/// Whether frames without an `op` may be messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShortForm {
    Taken,
    Refused,
}

fn read(text: &str, short_form: ShortForm) -> Result<(RequestId, Request), Unread> {
    let Envelope { id, op } = serde_json::from_str(text).map_err(|_| Unread::BadFrame)?;
    if id == Some(0) {
        return Err(Unread::BadFrame);
    }
    match (op, short_form) {
        (Some(op), _) => {
            let op = Op::find(&op).ok_or(Unread::UnknownOp(id))?;
            Ok((id, Request::Op(op)))
        }
        (None, ShortForm::Taken) if is_short_send(text) => Ok((id, Request::ShortSend)),
        (None, ShortForm::Taken | ShortForm::Refused) => Err(Unread::BadFrame),
    }
}

fn is_short_send(text: &str) -> bool {
    let send = serde_json::from_str::<live::Send>(text);
    send.is_ok_and(|send| send.content.is_some() || send.text.is_some())
}

impl Session {
    /// Serves one frame. What takes long is awaited, so that answers come in order; sends are
    /// queued, and answered when they are stored.
    pub(super) async fn handle(&self, text: &str) {
        let short_form = if self.room.is_some() { ShortForm::Taken } else { ShortForm::Refused };
        let (id, request) = match read(text, short_form) {
            Ok(read) => read,
            Err(unread) => return self.refuse_unread(unread),
        };
        let allowed = request.scope().map_or(Ok(()), |scope| self.require(scope));
        let served = match request {
            _ if allowed.is_err() => allowed,
            Request::Op(Op::Pong) => Ok(()),
            Request::Op(Op::Ping) => {
                self.line.say(&ServerFrame::Pong { id });
                Ok(())
            }
            Request::Op(Op::Send) | Request::ShortSend => self.send(id, text, request),
            Request::Op(Op::Unsub) => self.unsubscribe(id, text),
            Request::Op(Op::Auth) => Box::pin(self.renew(id, text)).await,
            Request::Op(Op::Sub) => Box::pin(self.subscribe(id, text)).await,
            Request::Op(Op::History) => Box::pin(self.history(id, text)).await,
        };
        if let Err(refusal) = served {
            refusal.log("", "/ws");
            self.line.say(&fault(id, &refusal));
        }
    }

    /// Says that a frame was one too many.
    pub(super) fn refuse_for_rate(&self, text: &str, wait: Duration) {
        let id = serde_json::from_str::<Envelope<'_>>(text).ok().and_then(|frame| frame.id);
        let detail = format!("{} frames/s", self.node.config.ws.frames_per_second);
        let refusal = Refusal::new(Kind::RateLimited).detail(detail).retry_after(wait);
        self.line.say(&fault(id, &refusal));
    }

    fn refuse_unread(&self, unread: Unread) {
        let (id, refusal) = match unread {
            Unread::BadFrame => (None, Refusal::new(Kind::BadFrame)),
            Unread::UnknownOp(id) => (id, Refusal::new(Kind::UnknownOp)),
        };
        self.line.say(&fault(id, &refusal));
    }

    /// The channel that a frame names, or the one of the URL.
    pub(super) fn channel(&self, named: Option<String>) -> Result<Channel, Refusal> {
        match (named, &self.room) {
            (Some(name), _) => name.parse().map_err(|_| Refusal::new(Kind::NotFound)),
            (None, Some(room)) => Ok(room.clone().into()),
            (None, None) => Err(Refusal::invalid("ch", "is required")),
        }
    }

    fn send(&self, id: RequestId, text: &str, request: Request) -> Result<(), Refusal> {
        let send: live::Send = fields(text)?;
        let channel = self.channel(send.ch)?;
        let content = match request {
            Request::ShortSend => send.content.or(send.text),
            Request::Op(_) => send.content,
        };
        let content = content.ok_or_else(|| Refusal::invalid("content", "is required"))?;
        if request != Request::ShortSend && send.client_id.is_none() {
            return Err(Refusal::invalid("clientId", "is required"));
        }
        let message = SendMessage {
            room_id: None,
            content,
            client_id: send.client_id,
            message_type: send.message_type,
            parent_id: send.parent_id,
            deliver_at: send.deliver_at,
        };
        let draft = Draft { author: &self.person, room: channel.room(), message };
        self.node.lane.send(draft, Reply::Socket { line: self.line.clone(), id });
        Ok(())
    }

    fn unsubscribe(&self, id: RequestId, text: &str) -> Result<(), Refusal> {
        let unsub: live::Unsub = fields(text)?;
        self.leave(&self.channel(unsub.ch)?);
        self.acknowledge(id, Done::Plain {});
        Ok(())
    }
}

/// The fields of a frame; one that breaks a rule is named.
pub(super) fn fields<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    chassis::json::parse(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_multiplexed(text: &str) -> Result<(RequestId, Request), Unread> {
        read(text, ShortForm::Refused)
    }

    #[test]
    fn what_is_no_object_or_has_no_op_is_a_bad_frame() {
        for bad in ["", "hello", "[]", "7", "{}", r#"{"id":1}"#, r#"{"op":null}"#, r#"{"op":7}"#] {
            assert_eq!(on_multiplexed(bad), Err(Unread::BadFrame), "{bad}");
        }
    }

    #[test]
    fn an_id_is_a_number_above_zero() {
        for bad in ["0", "-1", "1.5", "\"1\""] {
            let text = format!(r#"{{"op":"ping","id":{bad}}}"#);
            assert_eq!(on_multiplexed(&text), Err(Unread::BadFrame), "{bad}");
        }
        assert_eq!(on_multiplexed(r#"{"op":"ping","id":9}"#), Ok((Some(9), Request::Op(Op::Ping))));
        assert_eq!(on_multiplexed(r#"{"op":"ping"}"#), Ok((None, Request::Op(Op::Ping))));
    }

    #[test]
    fn an_unknown_op_keeps_the_id_of_its_frame() {
        let frame = r#"{"op":"fly","id":3,"more":{"x":1}}"#;
        assert_eq!(on_multiplexed(frame), Err(Unread::UnknownOp(Some(3))));
    }

    #[test]
    fn the_short_form_is_taken_on_a_rooms_own_url_alone() {
        for text in [r#"{"content":"hi"}"#, r#"{"text":"hi","id":2}"#] {
            assert_eq!(on_multiplexed(text), Err(Unread::BadFrame));
            let (_, request) = read(text, ShortForm::Taken).unwrap();
            assert_eq!(request, Request::ShortSend);
        }
        assert_eq!(read(r#"{"id":2}"#, ShortForm::Taken), Err(Unread::BadFrame));
    }
}
