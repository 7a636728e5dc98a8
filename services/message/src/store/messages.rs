//! Reading messages.

use chassis::database::query;
use contract::message::Message;
use contract::{MessageId, RoomId, UserId};

use crate::store::row::{self, message_columns, signed};
use crate::store::{Error, Store};

const FIND_MESSAGE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages AS m JOIN rooms AS r ON r.id = m.room_id \
     LEFT JOIN members AS me ON me.room_id = r.id AND me.user_id = $2 \
     WHERE m.id = $1 AND (NOT r.is_private OR me.user_id IS NOT NULL)"
);
const PAGE_BEFORE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages AS m WHERE m.room_id = $1 AND m.seq < $2 \
     ORDER BY m.seq DESC LIMIT $3 OFFSET $4"
);
const PAGE_AFTER: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages AS m WHERE m.room_id = $1 AND m.seq > $2 ORDER BY m.seq LIMIT $3"
);

/// Where a page of a history lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// At the end, or so many messages before it.
    Newest { skip: u32 },
    /// Right before this `seq`.
    Before(u64),
    /// Right after this `seq`.
    After(u64),
}

impl Store {
    /// The message, if `user` may read its room.
    pub(crate) async fn find_message(
        &self,
        id: MessageId,
        user: UserId,
    ) -> Result<Option<Message>, Error> {
        let query = query(FIND_MESSAGE).bind(id.0).bind(user.0);
        self.database.fetch_optional(query).await?.as_ref().map(row::message).transpose()
    }

    /// At most `limit` messages of a room, ascending.
    pub(crate) async fn page(
        &self,
        room: &RoomId,
        page: Page,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        let (before, skip) = match page {
            Page::After(seq) => return self.page_after(room, seq, limit).await,
            Page::Before(seq) => (seq, 0),
            Page::Newest { skip } => (u64::MAX, skip),
        };
        let query =
            query(PAGE_BEFORE).bind(room.as_str()).bind(signed(before)).bind(limit).bind(skip);
        let found = self.database.fetch_all(query).await?;
        found.iter().rev().map(row::message).collect()
    }

    async fn page_after(&self, room: &RoomId, seq: u64, limit: u32) -> Result<Vec<Message>, Error> {
        let query = query(PAGE_AFTER).bind(room.as_str()).bind(signed(seq)).bind(limit);
        self.database.fetch_all(query).await?.iter().map(row::message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_statement_reads_a_whole_table() {
        for statement in [FIND_MESSAGE, PAGE_BEFORE, PAGE_AFTER] {
            crate::fixture::assert_searches(statement.into()).await;
        }
    }
}
