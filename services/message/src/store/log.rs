//! Reading the change log.

use chassis::database::{Row, Text, query};
use contract::internal::LogEvent;
use contract::{EventKind, RoomId};
use serde_json::value::{RawValue, to_raw_value};

use crate::store::row::{self, message_columns, signed};
use crate::store::{Error, Store};

const HEADS: Text = Text {
    sqlite: "\
        SELECT r.id, r.head_seq FROM json_each($1) AS k CROSS JOIN rooms AS r WHERE r.id = k.value",
    postgres: "\
        SELECT r.id, r.head_seq FROM rooms AS r \
        WHERE r.id = ANY(ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))",
};
const EVENTS: &str = concat!(
    "SELECT l.seq, l.type, l.ts, l.payload, ",
    message_columns!(),
    " FROM log AS l \
     LEFT JOIN messages AS m ON m.room_id = l.room_id AND m.seq = l.message_seq \
     WHERE l.room_id = $1 AND l.seq > $2 AND l.seq <= $3 ORDER BY l.seq LIMIT $4"
);

impl Store {
    /// The heads of those rooms that exist.
    pub(crate) async fn heads(&self, rooms: &[&RoomId]) -> Result<Vec<(RoomId, u64)>, Error> {
        let list = serde_json::to_string(rooms).map_err(Error::Encoding)?;
        let found = self.database.fetch_all(query(HEADS).bind(list)).await?;
        let head = |found| Ok((row::room_id(found, "id")?, row::number(found, "head_seq")?));
        found.iter().map(head).collect()
    }

    /// Events after `after` up to and with `upto`, in order, at most `limit`; one about a message
    /// carries its newest state.
    pub(crate) async fn events(
        &self,
        room: &RoomId,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Result<Vec<LogEvent>, Error> {
        let query =
            query(EVENTS).bind(room.as_str()).bind(signed(after)).bind(signed(upto)).bind(limit);
        self.database.fetch_all(query).await?.iter().map(event).collect()
    }
}

fn event(found: &Row) -> Result<LogEvent, Error> {
    let kind = row::event_kind(found, "type")?;
    let data = match kind {
        EventKind::MessageCreated => {
            to_raw_value(&row::message(found)?).map_err(Error::Encoding)?
        }
        EventKind::MemberJoined | EventKind::MemberLeft => payload(found)?,
    };
    Ok(LogEvent { seq: row::number(found, "seq")?, kind, ts: row::time(found, "ts")?, data })
}

fn payload(found: &Row) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(found.get::<String>("payload")?).map_err(Error::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_statement_reads_a_whole_table() {
        for statement in [HEADS, EVENTS.into()] {
            crate::fixture::assert_searches(statement).await;
        }
    }
}
