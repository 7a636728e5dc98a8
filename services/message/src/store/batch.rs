//! The transaction of a batch: what its commands name is read with one statement for each table,
//! whatever they change is written with one statement for each table. Lists travel as one JSON
//! parameter.

use chassis::database::{Database, Held, Row, Text, Transaction, query};
use contract::message::Message;
use contract::{ClientId, MessageId, RoomId, UserId};
use serde::Serialize;

use crate::store::row::{self, message_columns, room_columns, signed};
use crate::store::{Error, Shard, Store};
use crate::writer::known::{Known, KnownRoom, Origin};
use crate::writer::plan::{Changes, Entry};

/// The first statement of every batch on PostgreSQL: another replica's writer waits here, and then sees
/// what this one left. SQLite lets nobody else write anyway.
const LOCK_SHARD: &str = "SELECT head FROM shards WHERE shard = $1 FOR UPDATE";
const KNOWN_ROOMS: Text = Text {
    sqlite: concat!(
        "SELECT ",
        room_columns!(),
        ", r.message_count, r.last_message_seq, r.active_at \
         FROM json_each($1) AS k CROSS JOIN rooms AS r WHERE r.id = k.value"
    ),
    postgres: concat!(
        "SELECT ",
        room_columns!(),
        ", r.message_count, r.last_message_seq, r.active_at \
         FROM rooms AS r WHERE r.id = ANY(ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))"
    ),
};
const KNOWN_MEMBERS: Text = Text {
    sqlite: "\
        SELECT m.room_id, m.user_id, m.username, m.role, m.joined_at \
        FROM json_each($1) AS k CROSS JOIN members AS m \
        WHERE m.room_id = k.value ->> 0 AND m.user_id = unhex(k.value ->> 1, '-')",
    postgres: "\
        SELECT m.room_id, m.user_id, m.username, m.role, m.joined_at \
        FROM jsonb_array_elements($1::jsonb) AS k (value) JOIN members AS m \
        ON m.room_id = k.value ->> 0 AND m.user_id = (k.value ->> 1)::uuid",
};
const KNOWN_SENT: Text = Text {
    sqlite: concat!(
        "SELECT ",
        message_columns!(),
        " FROM json_each($1) AS k CROSS JOIN messages AS m \
         WHERE m.user_id = unhex(k.value ->> 0, '-') AND m.client_id = unhex(k.value ->> 1, '-')"
    ),
    postgres: concat!(
        "SELECT ",
        message_columns!(),
        " FROM jsonb_array_elements($1::jsonb) AS k (value) JOIN messages AS m \
         ON m.user_id = (k.value ->> 0)::uuid AND m.client_id = (k.value ->> 1)::uuid"
    ),
};
const KNOWN_PARENTS: Text = Text {
    sqlite: "\
        SELECT m.id, m.room_id FROM json_each($1) AS k CROSS JOIN messages AS m \
        WHERE m.id = unhex(k.value, '-')",
    postgres: "\
        SELECT m.id, m.room_id FROM messages AS m \
        WHERE m.id = ANY(ARRAY(SELECT jsonb_array_elements_text($1::jsonb)::uuid))",
};
const KNOWN_DEPARTED: Text = Text {
    sqlite: "\
        SELECT d.user_id FROM json_each($1) AS k CROSS JOIN departed AS d \
        WHERE d.user_id = unhex(k.value, '-')",
    postgres: "\
        SELECT d.user_id FROM departed AS d \
        WHERE d.user_id = ANY(ARRAY(SELECT jsonb_array_elements_text($1::jsonb)::uuid))",
};

const MAKE_ROOMS: Text = Text {
    sqlite: "\
        INSERT INTO rooms (id, name, search, description, kind, creator_id, is_private, created_at, \
            head_seq, message_count, member_count, last_message_seq, active_at) \
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
            unhex(value ->> 5, '-'), value ->> 6, value ->> 7, value ->> 8, value ->> 9, \
            value ->> 10, value ->> 11, value ->> 12 \
        FROM json_each($1)",
    postgres: "\
        INSERT INTO rooms (id, name, search, description, kind, creator_id, is_private, created_at, \
            head_seq, message_count, member_count, last_message_seq, active_at) \
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
            (value ->> 5)::uuid, (value ->> 6)::boolean, (value ->> 7)::bigint, \
            (value ->> 8)::bigint, (value ->> 9)::bigint, (value ->> 10)::bigint, \
            (value ->> 11)::bigint, (value ->> 12)::bigint \
        FROM jsonb_array_elements($1::jsonb) AS c (value)",
};
/// The old head is asked for, so that a number that moved under us breaks the batch.
const MOVE_ROOMS: Text = Text {
    sqlite: "\
        UPDATE rooms SET head_seq = c.value ->> 2, message_count = c.value ->> 3, \
            member_count = c.value ->> 4, last_message_seq = c.value ->> 5, \
            active_at = c.value ->> 6 \
        FROM json_each($1) AS c WHERE rooms.id = c.value ->> 0 AND rooms.head_seq = c.value ->> 1",
    postgres: "\
        UPDATE rooms SET head_seq = (c.value ->> 2)::bigint, \
            message_count = (c.value ->> 3)::bigint, member_count = (c.value ->> 4)::bigint, \
            last_message_seq = (c.value ->> 5)::bigint, active_at = (c.value ->> 6)::bigint \
        FROM jsonb_array_elements($1::jsonb) AS c (value) \
        WHERE rooms.id = c.value ->> 0 AND rooms.head_seq = (c.value ->> 1)::bigint",
};
const PUT_MEMBERS: Text = Text {
    sqlite: "\
        INSERT INTO members (room_id, user_id, username, role, joined_at) \
        SELECT value ->> 0, unhex(value ->> 1, '-'), value ->> 2, value ->> 3, value ->> 4 \
        FROM json_each($1) WHERE true \
        ON CONFLICT (room_id, user_id) DO UPDATE SET \
            username = excluded.username, role = excluded.role, joined_at = excluded.joined_at",
    postgres: "\
        INSERT INTO members (room_id, user_id, username, role, joined_at) \
        SELECT value ->> 0, (value ->> 1)::uuid, value ->> 2, value ->> 3, (value ->> 4)::bigint \
        FROM jsonb_array_elements($1::jsonb) AS c (value) \
        ON CONFLICT (room_id, user_id) DO UPDATE SET \
            username = excluded.username, role = excluded.role, joined_at = excluded.joined_at",
};
const REMOVE_MEMBERS: Text = Text {
    sqlite: "\
        DELETE FROM members WHERE (room_id, user_id) IN \
            (SELECT value ->> 0, unhex(value ->> 1, '-') FROM json_each($1))",
    postgres: "\
        DELETE FROM members USING jsonb_array_elements($1::jsonb) AS c (value) \
        WHERE room_id = c.value ->> 0 AND user_id = (c.value ->> 1)::uuid",
};
/// Stores the rows of a list in SQLite.
macro_rules! insert_messages {
    ($list:literal) => {
        concat!(
            "INSERT INTO messages (id, room_id, seq, n, user_id, username, content, message_type, \
                 parent_id, client_id, created_at) \
             SELECT unhex(value ->> 0, '-'), value ->> 1, value ->> 2, value ->> 3, \
                 unhex(value ->> 4, '-'), value ->> 5, value ->> 6, value ->> 7, \
                 unhex(value ->> 8, '-'), unhex(value ->> 9, '-'), value ->> 10 \
             FROM json_each(",
            $list,
            ")"
        )
    };
}
pub(super) use insert_messages;

const APPEND_MESSAGES: Text = Text {
    sqlite: insert_messages!("$1"),
    postgres: "\
        INSERT INTO messages (id, room_id, seq, n, user_id, username, content, message_type, \
            parent_id, client_id, created_at) \
        SELECT (value ->> 0)::uuid, value ->> 1, (value ->> 2)::bigint, (value ->> 3)::bigint, \
            (value ->> 4)::uuid, value ->> 5, value ->> 6, value ->> 7, (value ->> 8)::uuid, \
            (value ->> 9)::uuid, (value ->> 10)::bigint \
        FROM jsonb_array_elements($1::jsonb) AS c (value)",
};
const MOVE_SHARD: &str = "UPDATE shards SET head = head + $2 WHERE shard = $1 RETURNING head";
/// `$2` is the number before the first row's; rows keep the order of the list.
const APPEND_LOG: Text = Text {
    sqlite: "\
        INSERT INTO log (shard_seq, shard, room_id, seq, type, ts, message_seq, payload) \
        SELECT $2 + key + 1, $3, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
            value ->> 5 \
        FROM json_each($1)",
    postgres: "\
        INSERT INTO log (shard_seq, shard, room_id, seq, type, ts, message_seq, payload) \
        SELECT $2 + number, $3, value ->> 0, (value ->> 1)::bigint, value ->> 2, \
            (value ->> 3)::bigint, (value ->> 4)::bigint, value ->> 5 \
        FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS c (value, number)",
};

/// What the commands of a batch name, each once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) rooms: Vec<RoomId>,
    pub(crate) members: Vec<(RoomId, UserId)>,
    pub(crate) sent: Vec<(UserId, ClientId)>,
    pub(crate) parents: Vec<MessageId>,
    /// Who would become members.
    pub(crate) joining: Vec<UserId>,
}

/// A batch on its way into the store. Dropped before its end, it leaves no trace.
#[derive(Debug)]
pub(crate) struct Batch {
    transaction: Transaction,
    shard: Shard,
}

impl Store {
    /// Begins to write to `shard`; nobody else writes there until the batch is gone.
    pub(crate) async fn begin(&self, shard: Shard, held: &mut Held) -> Result<Batch, Error> {
        let mut transaction = self.database.begin_on(held).await?;
        match self.database {
            Database::Sqlite(_) => {}
            Database::Postgres(_) => {
                transaction.execute(query(LOCK_SHARD).bind(shard.0)).await?;
            }
        }
        Ok(Batch { transaction, shard })
    }
}

impl Batch {
    /// Looks up what the commands name.
    pub(crate) async fn look_up(&mut self, names: &Names) -> Result<Known, Error> {
        let mut known = Known::default();
        for found in self.list(KNOWN_ROOMS, &names.rooms).await? {
            let room = known_room(&found)?;
            known.rooms.insert(room.room.id.clone(), room);
        }
        for found in self.list(KNOWN_MEMBERS, &names.members).await? {
            let member = row::member(&found)?;
            if let Some(room) = known.rooms.get_mut(&row::room_id(&found, "room_id")?) {
                room.members.insert(member.user_id, member);
            }
        }
        for found in self.list(KNOWN_SENT, &names.sent).await? {
            let message = row::message(&found)?;
            known.sent.extend(message.client_id.map(|id| ((message.user_id, id), message)));
        }
        for found in self.list(KNOWN_PARENTS, &names.parents).await? {
            let id = MessageId(row::uuid(&found, "id")?);
            known.parents.insert(id, row::room_id(&found, "room_id")?);
        }
        for found in self.list(KNOWN_DEPARTED, &names.joining).await? {
            known.departed.insert(UserId(row::uuid(&found, "user_id")?));
        }
        Ok(known)
    }

    /// Writes what the batch changes.
    pub(crate) async fn write(&mut self, changes: &Changes) -> Result<(), Error> {
        let made = changes.rooms.iter().filter(|room| room.origin == Origin::Made);
        self.put(MAKE_ROOMS, &made.map(made_room).collect::<Vec<_>>()).await?;
        let moved = changes.rooms.iter().filter_map(moved_room).collect::<Vec<_>>();
        if self.put(MOVE_ROOMS, &moved).await? != moved.len() {
            return Err(Error::Raced);
        }
        self.put(REMOVE_MEMBERS, &changes.left).await?;
        let joined = changes.joined.iter().map(|(room, member)| {
            (room, member.user_id, &member.username, member.role.as_str(), member.joined_at.0)
        });
        self.put(PUT_MEMBERS, &joined.collect::<Vec<_>>()).await?;
        self.put(APPEND_MESSAGES, &changes.messages.iter().map(message).collect::<Vec<_>>())
            .await?;
        self.append_log(&changes.log).await
    }

    /// Makes it last. When this returns, the disk has it.
    pub(crate) async fn commit(self, held: &mut Held) -> Result<(), Error> {
        Ok(self.transaction.commit_on(held).await?)
    }

    /// Gives up a batch that changes nothing.
    pub(crate) async fn give_up(self, held: &mut Held) -> Result<(), Error> {
        Ok(self.transaction.rollback_on(held).await?)
    }

    async fn append_log(&mut self, log: &[Entry]) -> Result<(), Error> {
        if log.is_empty() {
            return Ok(());
        }
        let count = signed(log.len() as u64);
        let moved = query(MOVE_SHARD).bind(self.shard.0).bind(count);
        let moved = self.transaction.fetch_optional(moved).await?.ok_or(Error::Corrupt("shard"))?;
        let before = moved.get::<i64>("head")? - count;
        let rows = log.iter().map(|entry| {
            let payload = entry.message_seq.is_none().then(|| entry.data.get());
            (&entry.room, entry.seq, entry.kind.as_str(), entry.ts.0, entry.message_seq, payload)
        });
        let list = json(&rows.collect::<Vec<_>>())?;
        let query = query(APPEND_LOG).bind(list).bind(before).bind(self.shard.0);
        self.transaction.execute(query).await?;
        Ok(())
    }

    async fn list<T: Serialize>(&mut self, statement: Text, list: &[T]) -> Result<Vec<Row>, Error> {
        if list.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.transaction.fetch_all(query(statement).bind(json(list)?)).await?)
    }

    /// How many rows the statement changed.
    async fn put<T: Serialize>(&mut self, statement: Text, list: &[T]) -> Result<usize, Error> {
        if list.is_empty() {
            return Ok(0);
        }
        let changed = self.transaction.execute(query(statement).bind(json(list)?)).await?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }
}

pub(super) fn json<T: Serialize + ?Sized>(list: &T) -> Result<String, Error> {
    serde_json::to_string(list).map_err(Error::Encoding)
}

fn known_room(found: &Row) -> Result<KnownRoom, Error> {
    let room = row::room(found)?;
    let message_count = row::number(found, "message_count")?;
    let last_message_seq = row::number(found, "last_message_seq")?;
    Ok(KnownRoom::stored(room, message_count, last_message_seq, row::time(found, "active_at")?))
}

fn made_room(made: &KnownRoom) -> impl Serialize + use<'_> {
    let room = &made.room;
    (
        &room.id,
        &room.name,
        format!("{}\n{}", room.name, room.id).to_lowercase(),
        &room.description,
        room.kind.as_str(),
        room.creator_id,
        room.is_private,
        room.created_at.0,
        room.last_seq,
        made.message_count,
        room.member_count,
        made.last_message_seq,
        made.active_at.0,
    )
}

pub(super) fn moved_room(moved: &KnownRoom) -> Option<impl Serialize + use<'_>> {
    let Origin::Stored { head } = moved.origin else { return None };
    let room = &moved.room;
    Some((
        &room.id,
        head,
        room.last_seq,
        moved.message_count,
        room.member_count,
        moved.last_message_seq,
        moved.active_at.0,
    ))
}

pub(super) fn message(message: &Message) -> impl Serialize + use<'_> {
    (
        message.id,
        &message.room_id,
        message.seq,
        message.n,
        message.user_id,
        &message.username,
        &message.content,
        &message.message_type,
        message.parent_id,
        message.client_id,
        message.created_at.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_statement_reads_a_whole_table() {
        for statement in [
            KNOWN_ROOMS,
            KNOWN_MEMBERS,
            KNOWN_SENT,
            KNOWN_PARENTS,
            KNOWN_DEPARTED,
            MOVE_ROOMS,
            REMOVE_MEMBERS,
            MOVE_SHARD.into(),
        ] {
            crate::fixture::assert_searches(statement).await;
        }
    }
}
