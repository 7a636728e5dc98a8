//! Storing messages that were judged from memory. The heads of their rooms are asked for in the very
//! statement that moves them: whatever decides over a message moves the head of its room, so that a
//! room whose head is where it was remembered is still as it was remembered.

use chassis::database::{Database, Held, List, Query, query};
use contract::message::Message;

use crate::store::batch::{insert_messages, json, message, moved_room};
use crate::store::row::signed;
use crate::store::{Error, Shard, Store};
use crate::writer::known::{KnownRoom, Origin};
use crate::writer::plan::Changes;

/// SQLSTATE of a division by zero, which is how the statement below says that a head had moved.
pub(super) const STALE: &str = "22012";

/// A whole batch and its commit in one go. A place that is taken already breaks it.
const APPEND_FILE: &str = concat!(
    "BEGIN IMMEDIATE; \
     UPDATE shards SET head = head + $2 WHERE shard = $1; \
     UPDATE rooms \
     SET head_seq = c.value ->> 2, message_count = c.value ->> 3, last_message_seq = c.value ->> 5, \
         active_at = c.value ->> 6 \
     FROM json_each($3) AS c WHERE rooms.id = c.value ->> 0 AND rooms.head_seq = c.value ->> 1; ",
    insert_messages!("$4"),
    "; INSERT INTO log (shard_seq, shard, room_id, seq, type, ts, message_seq) \
     SELECT (SELECT head FROM shards WHERE shard = $1) - $2 + key + 1, $1, value ->> 1, value ->> 2, \
         'message.created', value ->> 10, value ->> 2 \
     FROM json_each($4); \
     COMMIT"
);

/// The same as one statement. The shard is locked before any room, as in every
/// batch, so that writers never wait for each other in a circle.
const APPEND_SERVER: &str = "
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
    pub(crate) async fn append(
        &self,
        shard: Shard,
        held: &mut Held,
        changes: &Changes,
    ) -> Result<(), Error> {
        let query = match &self.database {
            Database::Sqlite(_) => for_a_file(shard, changes)?,
            Database::Postgres(_) => for_a_server(shard, changes),
        };
        self.database.execute_on(held, query).await?;
        Ok(())
    }
}

fn for_a_file(shard: Shard, changes: &Changes) -> Result<Query<'_>, Error> {
    let rooms: Vec<_> = changes.rooms.iter().filter_map(moved_room).collect();
    let messages: Vec<_> = changes.messages.iter().map(message).collect();
    let count = signed(changes.messages.len() as u64);
    let query = query(APPEND_FILE).bind(shard.0).bind(count);
    Ok(query.bind(json(&rooms)?).bind(json(&messages)?))
}

fn for_a_server(shard: Shard, changes: &Changes) -> Query<'_> {
    let now = changes.messages.first().map(|message| message.created_at.0).unwrap_or_default();
    let count = signed(changes.messages.len() as u64);
    let query = query(APPEND_SERVER).bind(shard.0).bind(count).bind(now);
    let lists = rooms(&changes.rooms).into_iter().chain(messages(&changes.messages));
    lists.fold(query, Query::bind)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_statement_reads_no_whole_table() {
        crate::fixture::assert_postgres_searches(APPEND_SERVER).await;
    }
}
