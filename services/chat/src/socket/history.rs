//! `history`: a page of messages, with the position from which to subscribe.

use chassis::refuse::Refusal;
use contract::Kind;
use contract::live::{self, Done, HISTORY_ITEMS_MAX, Position};
use contract::message::Message;

use super::ops::{RequestId, fields};
use super::session::Session;
use super::subscribe::FRAME_ROOM_BYTES;
use crate::conversations::Page;

/// Messages of a page when the client does not say.
const ITEMS_DEFAULT: u32 = 50;

impl Session {
    pub(super) async fn history(&self, id: RequestId, text: &str) -> Result<(), Refusal> {
        let wanted: live::History = fields(text)?;
        let channel = self.channel(wanted.ch)?;
        let page = match (wanted.before, wanted.after) {
            (None, None) => Page::Newest,
            (Some(seq), None) => Page::Before(seq),
            (None, Some(seq)) => Page::After(seq),
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid("before", "cannot stand beside after"));
            }
        };
        let limit = wanted.limit.unwrap_or(ITEMS_DEFAULT).clamp(1, HISTORY_ITEMS_MAX);
        let conversations = &self.node.conversations;
        // The position is read first: what comes later is heard twice rather than never.
        let heads = conversations.heads(std::slice::from_ref(&channel)).await?;
        // One more than wanted shows whether there are more.
        let room = channel.room();
        let items = conversations.messages(&self.person, room, page, limit + 1).await?;
        let head = heads.get(&channel).ok_or(Refusal::new(Kind::NotFound))?;
        let as_of = Position { epoch: head.epoch.clone(), seq: head.head };
        let (items, more) = trim(items, page, usize::try_from(limit).unwrap_or(usize::MAX));
        self.acknowledge(id, Done::History { items, as_of, more });
        Ok(())
    }
}

/// Keeps those next to where the page begins: at most `limit`, and no more than fit in a frame.
fn trim(mut items: Vec<Message>, page: Page, limit: usize) -> (Vec<Message>, bool) {
    let had = items.len();
    let mut room = FRAME_ROOM_BYTES;
    let mut fits = |message: &Message| {
        let bytes = serde_json::to_vec(message).map_or(0, |json| json.len());
        let left = room.checked_sub(bytes);
        room = left.unwrap_or(0);
        left.is_some()
    };
    match page {
        Page::After(_) => {
            let kept = items.iter().take(limit).take_while(|message| fits(message)).count();
            items.truncate(kept);
        }
        Page::Newest | Page::Before(_) => {
            let kept = items.iter().rev().take(limit).take_while(|message| fits(message)).count();
            items.drain(..had - kept);
        }
    }
    let more = items.len() < had;
    (items, more)
}

#[cfg(test)]
mod tests {
    use contract::message::MessageStatus;
    use contract::{MessageId, Timestamp, UserId};
    use uuid::Uuid;

    use super::*;

    fn messages(count: u64, content: &str) -> Vec<Message> {
        let one = |seq| Message {
            id: MessageId(Uuid::nil()),
            room_id: "a".parse().unwrap(),
            seq,
            n: seq,
            user_id: UserId(Uuid::nil()),
            username: "ada".to_owned(),
            content: content.to_owned(),
            message_type: "text".to_owned(),
            parent_id: None,
            client_id: None,
            created_at: Timestamp(0),
            edited_at: None,
            deleted: false,
            reactions: Vec::new(),
            status: MessageStatus::Sent,
        };
        (1..=count).map(one).collect()
    }

    fn seqs((items, more): (Vec<Message>, bool)) -> (Vec<u64>, bool) {
        (items.iter().map(|message| message.seq).collect(), more)
    }

    #[test]
    fn the_one_too_many_is_the_farthest() {
        assert_eq!(seqs(trim(messages(3, "x"), Page::After(0), 2)), (vec![1, 2], true));
        assert_eq!(seqs(trim(messages(3, "x"), Page::Newest, 2)), (vec![2, 3], true));
        assert_eq!(seqs(trim(messages(2, "x"), Page::Before(9), 2)), (vec![1, 2], false));
    }

    #[test]
    fn a_page_fits_in_a_frame() {
        let long = "\u{1}".repeat(8_000);
        let (items, more) = trim(messages(100, &long), Page::Newest, 100);
        assert!(more && (10..30).contains(&items.len()), "{}", items.len());
        assert_eq!(items.last().unwrap().seq, 100);
    }
}
