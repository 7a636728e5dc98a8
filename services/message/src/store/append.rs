//! Storing messages that were judged from memory. The heads of their rooms are asked for in the very
//! statement that moves them: whatever decides over a message moves the head of its room, so that a
//! room whose head is where it was remembered is still as it was remembered.

use chassis::database::{Database, List, Query, query};
use contract::message::Message;

use crate::store::row::signed;
use crate::store::{Error, Shard, Store};
use crate::writer::known::{KnownRoom, Origin};
use crate::writer::plan::Changes;

/// SQLSTATE of a division by zero, which is how the statement below says that a head had moved.
pub(super) const STALE: &str = "22012";

/// A whole batch and its commit as one statement. The shard is locked before any room, as in every
/// batch, so that writers never wait for each other in a circle.
const APPEND: &str = "
    WITH shard AS (
        UPDATE shards SET head = head + $2 WHERE shard = $1 RETURNING head - $2 AS before
    ), moved AS (
        UPDATE rooms
        SET head_seq = to_seq, message_count = n, last_message_seq = to_seq, active_at = $3
        FROM shard, unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
            AS c (room, from_seq, to_seq, n)
        WHERE rooms.id = c.room AND rooms.head_seq = c.from_seq
        RETURNING rooms.id
    ), list AS MATERIALIZED (
        SELECT * FROM unnest($8::uuid[], $9::text[], $10::bigint[], $11::bigint[], $12::uuid[],
            $13::text[], $14::text[], $15::text[], $16::uuid[]) WITH ORDINALITY
            AS c (id, room_id, seq, n, user_id, username, content, message_type, client_id, place)
    ), sent AS (
        INSERT INTO messages (id, room_id, seq, n, user_id, username, content, message_type,
            client_id, created_at)
        SELECT id, room_id, seq, n, user_id, username, content, message_type, client_id, $3
        FROM list
    ), logged AS (
        INSERT INTO log (shard_seq, shard, room_id, seq, type, ts, message_seq)
        SELECT shard.before + place, $1, room_id, seq, 'message.created', $3, seq
        FROM shard, list
    )
    SELECT 1 / (count(*) = cardinality($4::text[]))::int AS whole FROM moved";

impl Store {
    /// Stores a batch of nothing but new messages, all of one moment, and commits it; nothing of it
    /// when a head is not where the batch believes it.
    pub(crate) async fn append(&self, shard: Shard, changes: &Changes) -> Result<(), Error> {
        match &self.database {
            Database::Sqlite(_) => {
                let mut batch = self.begin(shard).await?;
                batch.write(changes).await?;
                batch.commit().await
            }
            Database::Postgres(_) => {
                let Some(first) = changes.messages.first() else { return Ok(()) };
                let query = query(APPEND)
                    .bind(shard.0)
                    .bind(signed(changes.messages.len() as u64))
                    .bind(first.created_at.0);
                let lists = rooms(&changes.rooms).into_iter().chain(messages(&changes.messages));
                let query = lists.fold(query, Query::bind);
                self.database.execute(query).await?;
                Ok(())
            }
        }
    }
}

fn rooms(moved: &[KnownRoom]) -> [List<'_>; 4] {
    let from = |room: &KnownRoom| match room.origin {
        Origin::Stored { head } => signed(head),
        // Nothing was remembered of it, so that it is not here.
        Origin::Made => 0,
    };
    [
        List::Texts(moved.iter().map(|room| room.room.id.as_str()).collect()),
        List::Integers(moved.iter().map(from).collect()),
        List::Integers(moved.iter().map(|room| signed(room.room.last_seq)).collect()),
        List::Integers(moved.iter().map(|room| signed(room.message_count)).collect()),
    ]
}

fn messages(sent: &[Message]) -> [List<'_>; 9] {
    [
        List::Ids(sent.iter().map(|message| Some(message.id.0)).collect()),
        List::Texts(sent.iter().map(|message| message.room_id.as_str()).collect()),
        List::Integers(sent.iter().map(|message| signed(message.seq)).collect()),
        List::Integers(sent.iter().map(|message| signed(message.n)).collect()),
        List::Ids(sent.iter().map(|message| Some(message.user_id.0)).collect()),
        List::Texts(sent.iter().map(|message| message.username.as_str()).collect()),
        List::Texts(sent.iter().map(|message| message.content.as_str()).collect()),
        List::Texts(sent.iter().map(|message| message.message_type.as_str()).collect()),
        List::Ids(sent.iter().map(|message| message.client_id.map(|id| id.0)).collect()),
    ]
}
