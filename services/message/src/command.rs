//! What the writer is asked to do, and what it answers. Everything here has been parsed: what is
//! left to judge takes a look into the store.

use std::sync::Arc;

use contract::internal::{BatchItem, BatchOp};
use contract::message::{Message, SendMessage};
use contract::problem::FieldFault;
use contract::room::{CreateRoom, Room};
use contract::{ClientId, MessageId, RoomId, UserId};

use crate::error::{Error, invalid};
use crate::text::{Content, Description, MessageType, RoomName};

/// Most people that a room can be made with, beside its creator.
pub(crate) const MEMBERS_ADDED_MAX: usize = 200;

/// Who acts.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    pub(crate) id: UserId,
    /// The name that readers see beside what he or she does now.
    pub(crate) name: Arc<str>,
}

/// One change of the conversations, judged and stored by the writer.
#[derive(Debug)]
pub(crate) enum Work {
    Send(Draft),
    Create(NewRoom),
    Join(RoomId),
    Leave(RoomId),
}

impl Work {
    /// The room that it is about; a room to be made may have no id yet.
    pub(crate) const fn room(&self) -> Option<&RoomId> {
        match self {
            Self::Send(draft) => Some(&draft.room),
            Self::Create(room) => room.id.as_ref(),
            Self::Join(room) | Self::Leave(room) => Some(room),
        }
    }
}

/// What became of a change.
#[derive(Debug)]
pub(crate) enum Outcome {
    Sent(Sent),
    /// The room as it is after the change.
    Room(Room),
}

/// A stored message.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) message: Message,
    pub(crate) novelty: Novelty,
}

/// Whether a command changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    /// The same command was stored before.
    Repeat,
}

/// A message that somebody wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) room: RoomId,
    pub(crate) content: Content,
    pub(crate) kind: MessageType,
    pub(crate) parent: Option<MessageId>,
    pub(crate) client: Option<ClientId>,
}

impl Draft {
    /// Whether `message` is what sending this draft would have made.
    pub(crate) fn says_the_same_as(&self, message: &Message) -> bool {
        self.room == message.room_id
            && self.content.as_str() == message.content
            && self.kind.as_str() == message.message_type
            && self.parent == message.parent_id
    }
}

impl TryFrom<SendMessage> for Draft {
    type Error = Error;

    fn try_from(body: SendMessage) -> Result<Self, Error> {
        let mut faults = Vec::new();
        let content = keep(Content::try_from(body.content), "content", &mut faults);
        let kind = body.message_type.map_or_else(|| Ok(MessageType::default()), TryInto::try_into);
        let kind = keep(kind, "messageType", &mut faults);
        if body.room_id.is_none() {
            faults.push(FieldFault::new("roomId", "is required"));
        }
        if body.deliver_at.is_some() {
            faults.push(FieldFault::new("deliverAt", "scheduling is not served"));
        }
        let (Some(content), Some(kind), Some(room), true) =
            (content, kind, body.room_id, faults.is_empty())
        else {
            return Err(Error::Invalid(faults));
        };
        let room = room.parse().map_err(|_| Error::NoSuchRoom)?;
        Ok(Self { room, content, kind, parent: body.parent_id, client: body.client_id })
    }
}

impl Draft {
    /// The draft of a batch's item, and whose it is.
    pub(crate) fn of_item(item: BatchItem) -> Result<(Author, Self), Error> {
        let BatchOp::Send = item.op;
        if item.username.contains('\0') {
            return Err(invalid("username", "must not contain the character NUL"));
        }
        let author = Author { id: item.user_id, name: item.username.into() };
        let draft = SendMessage {
            room_id: Some(item.room_id),
            content: item.content,
            client_id: item.client_id,
            message_type: item.message_type,
            parent_id: item.parent_id,
            deliver_at: item.deliver_at,
        };
        Ok((author, draft.try_into()?))
    }
}

/// A room that somebody wants to make.
#[derive(Debug, Clone)]
pub(crate) struct NewRoom {
    /// The id that the creator chose.
    pub(crate) id: Option<RoomId>,
    pub(crate) name: RoomName,
    pub(crate) description: Option<Description>,
    pub(crate) is_private: bool,
    /// Who joins with the creator.
    pub(crate) members: Vec<UserId>,
}

impl TryFrom<CreateRoom> for NewRoom {
    type Error = Error;

    fn try_from(body: CreateRoom) -> Result<Self, Error> {
        let mut faults = Vec::new();
        let id = body.id.map(|id| id.parse::<RoomId>()).transpose();
        let id = id.map_err(|_| "must be 1 to 64 characters of A-Za-z0-9_-");
        let id = keep(id, "id", &mut faults);
        let name = keep(body.name.parse::<RoomName>(), "name", &mut faults);
        let description = body.description.filter(|text| !text.trim().is_empty());
        let description = description.map(|text| text.parse::<Description>()).transpose();
        let description = keep(description, "description", &mut faults);
        if body.members.len() > MEMBERS_ADDED_MAX {
            faults.push(FieldFault::new("members", "must be at most 200"));
        }
        let (Some(id), Some(name), Some(description), true) =
            (id, name, description, faults.is_empty())
        else {
            return Err(Error::Invalid(faults));
        };
        Ok(Self { id, name, description, is_private: body.is_private, members: body.members })
    }
}

/// The parsed field; or nothing, and why among the faults.
fn keep<T>(
    parsed: Result<T, impl ToString>,
    field: &'static str,
    faults: &mut Vec<FieldFault>,
) -> Option<T> {
    parsed.map_err(|fault| faults.push(FieldFault::new(field, fault.to_string()))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(error: Error) -> Vec<String> {
        let Error::Invalid(faults) = error else { panic!("not invalid: {error}") };
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn every_fault_of_a_draft_is_named_at_once() {
        let body = SendMessage {
            content: " ".into(),
            message_type: Some("No".into()),
            deliver_at: Some("businessHours".into()),
            ..SendMessage::default()
        };
        let error = Draft::try_from(body).unwrap_err();
        assert_eq!(fields(error), ["content", "messageType", "roomId", "deliverAt"]);
    }

    #[test]
    fn a_room_id_of_the_wrong_form_is_an_unknown_room() {
        let body = SendMessage {
            room_id: Some("no such/room".into()),
            content: "hi".into(),
            ..SendMessage::default()
        };
        assert!(matches!(Draft::try_from(body), Err(Error::NoSuchRoom)));
    }

    #[test]
    fn a_draft_is_of_type_text_unless_it_says_otherwise() {
        let body = SendMessage {
            room_id: Some("r".into()),
            content: "hi".into(),
            ..SendMessage::default()
        };
        assert_eq!(Draft::try_from(body).unwrap().kind.as_str(), "text");
    }

    #[test]
    fn every_fault_of_a_room_is_named_at_once() {
        let body = CreateRoom {
            id: Some("a b".into()),
            description: Some("x".repeat(501)),
            members: vec![UserId(uuid::Uuid::nil()); 201],
            ..CreateRoom::default()
        };
        let error = NewRoom::try_from(body).unwrap_err();
        assert_eq!(fields(error), ["id", "name", "description", "members"]);
    }

    #[test]
    fn a_blank_description_is_none() {
        let body = CreateRoom {
            name: "Tea".into(),
            description: Some("  ".into()),
            ..CreateRoom::default()
        };
        assert!(NewRoom::try_from(body).unwrap().description.is_none());
    }
}
