//! Accounts that were deleted: which are known, what is still to be done about them, and taking their
//! names off what they wrote, a bounded number of rows at a time, so that nobody who writes waits long.

use chassis::database::{Database, List, Row, Text, query};
use contract::internal::accounts::DeletedAccount;
use contract::room::Member;
use contract::{RoomId, Timestamp, UserId};
use uuid::Uuid;

use crate::store::batch::json;
use crate::store::row::{self, signed};
use crate::store::{Error, Store};

/// Under which name stands what a deleted user wrote. Nobody can be called so: names have no spaces.
pub(crate) const DELETED_NAME: &str = "deleted user";
/// Rows that are renamed by one statement.
const ROWS_MAX: u32 = 500;

/// Everybody who writes waits for a moment: whoever looks up afterwards finds the account departed.
const LOCK_SHARDS: &str = "SELECT shard FROM shards ORDER BY shard FOR UPDATE";
const NOTE_DEPARTED: Text = Text {
    sqlite: "\
        INSERT INTO departed (user_id, deleted_at) \
        SELECT unhex(value ->> 0, '-'), value ->> 1 FROM json_each($1) WHERE true \
        ON CONFLICT (user_id) DO NOTHING",
    postgres: "\
        INSERT INTO departed (user_id, deleted_at) \
        SELECT (value ->> 0)::uuid, (value ->> 1)::bigint \
        FROM jsonb_array_elements($1::jsonb) AS c (value) ON CONFLICT (user_id) DO NOTHING",
};
const KEEP_CURSOR: &str = "\
    INSERT INTO meta (key, value) VALUES ('deleted_cursor', $1) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const CURSOR: &str = "SELECT value FROM meta WHERE key = 'deleted_cursor'";
const UNFINISHED: &str =
    "SELECT user_id FROM departed WHERE finished_at IS NULL ORDER BY user_id LIMIT $1";
const FINISH: &str = "UPDATE departed SET finished_at = $2 WHERE user_id = $1";
const ROOMS_OF: &str = "SELECT room_id FROM members WHERE user_id = $1 ORDER BY room_id LIMIT $2";

/// From a client id on, since it is the order of their index; the first of a page is the last one again.
const SENT_WITH_ID: &str = "\
    SELECT line, client_id FROM messages \
    WHERE user_id = $1 AND client_id >= $2 AND username <> $3 ORDER BY client_id LIMIT $4";
const SENT_WITHOUT_ID: &str = "\
    SELECT line FROM messages \
    WHERE user_id = $1 AND client_id IS NULL AND line > $2 AND username <> $3 ORDER BY line LIMIT $4";
const RENAME_MESSAGES: Text = Text {
    sqlite: "UPDATE messages SET username = $2 WHERE line IN (SELECT value FROM json_each($1))",
    postgres: "UPDATE messages SET username = $2 WHERE line = ANY($1)",
};

/// Those that begin with `$1`, whose end is `$2`, and not with `$3`.
const JOININGS: Text = Text {
    sqlite: "\
        SELECT room_id, seq, payload FROM log WHERE type = 'member.joined' \
        AND payload >= $1 AND payload < $2 AND substr(payload, 1, length($3)) <> $3 \
        ORDER BY payload LIMIT $4",
    postgres: "\
        SELECT room_id, seq, payload FROM log WHERE type = 'member.joined' \
        AND payload COLLATE \"C\" >= $1 AND payload COLLATE \"C\" < $2 \
        AND substr(payload, 1, length($3)) <> $3 ORDER BY payload COLLATE \"C\" LIMIT $4",
};
const RENAME_JOININGS: Text = Text {
    sqlite: "\
        UPDATE log SET payload = c.value ->> 2 FROM json_each($1) AS c \
        WHERE log.room_id = c.value ->> 0 AND log.seq = c.value ->> 1",
    postgres: "\
        UPDATE log SET payload = c.value ->> 2 FROM jsonb_array_elements($1::jsonb) AS c (value) \
        WHERE log.room_id = c.value ->> 0 AND log.seq = (c.value ->> 1)::bigint",
};

impl Store {
    /// How far the list of deleted accounts was read.
    pub(crate) async fn deleted_cursor(&self) -> Result<u64, Error> {
        let Some(kept) = self.database.fetch_optional(query(CURSOR)).await? else { return Ok(0) };
        kept.get::<&str>("value")?.parse().map_err(|_| Error::Corrupt("value"))
    }

    /// Notes that accounts are no more, and that the list was read up to `cursor`, as one. When this
    /// returns nobody joins or makes a room for them any more.
    pub(crate) async fn note_departed(
        &self,
        accounts: &[DeletedAccount],
        cursor: u64,
    ) -> Result<(), Error> {
        let rows: Vec<_> = accounts.iter().map(|one| (one.user_id, one.deleted_at.0)).collect();
        let mut transaction = self.database.begin().await?;
        match self.database {
            Database::Sqlite(_) => {}
            Database::Postgres(_) => {
                transaction.fetch_all(query(LOCK_SHARDS)).await?;
            }
        }
        transaction.execute(query(NOTE_DEPARTED).bind(json(&rows)?)).await?;
        transaction.execute(query(KEEP_CURSOR).bind(cursor.to_string())).await?;
        Ok(transaction.commit().await?)
    }

    /// Departed accounts about which something is still to be done, at most `limit`.
    pub(crate) async fn unfinished(&self, limit: u32) -> Result<Vec<UserId>, Error> {
        let found = self.database.fetch_all(query(UNFINISHED).bind(limit)).await?;
        found.iter().map(|row| row::uuid(row, "user_id").map(UserId)).collect()
    }

    /// Nothing is left to be done about `user`.
    pub(crate) async fn finish(&self, user: UserId, now: Timestamp) -> Result<(), Error> {
        self.database.execute(query(FINISH).bind(user.0).bind(now.0)).await?;
        Ok(())
    }

    /// Rooms in which `user` is a member, at most `limit`.
    pub(crate) async fn rooms_of(&self, user: UserId, limit: u32) -> Result<Vec<RoomId>, Error> {
        let found = self.database.fetch_all(query(ROOMS_OF).bind(user.0).bind(limit)).await?;
        found.iter().map(|row| row::room_id(row, "room_id")).collect()
    }

    /// Takes the name of `user` off every message and joining. Where it breaks off, what was done stays
    /// done. Whoever calls this sees to it that nothing is written under the name meanwhile.
    pub(crate) async fn take_name_off(&self, user: UserId) -> Result<(), Error> {
        self.rename_messages_with_id(user).await?;
        self.rename_messages_without_id(user).await?;
        self.rename_joinings(user).await
    }

    async fn rename_messages_with_id(&self, user: UserId) -> Result<(), Error> {
        let mut from = Uuid::nil();
        loop {
            let page = query(SENT_WITH_ID).bind(user.0).bind(from).bind(DELETED_NAME);
            let found = self.database.fetch_all(page.bind(ROWS_MAX)).await?;
            let Some(last) = found.last() else { return Ok(()) };
            from = row::uuid(last, "client_id")?;
            self.rename_messages(&found).await?;
        }
    }

    async fn rename_messages_without_id(&self, user: UserId) -> Result<(), Error> {
        let mut after = 0_i64;
        loop {
            let page = query(SENT_WITHOUT_ID).bind(user.0).bind(after).bind(DELETED_NAME);
            let found = self.database.fetch_all(page.bind(ROWS_MAX)).await?;
            let Some(last) = found.last() else { return Ok(()) };
            after = last.get("line")?;
            self.rename_messages(&found).await?;
        }
    }

    async fn rename_messages(&self, found: &[Row]) -> Result<(), Error> {
        let lines: Result<Vec<i64>, _> = found.iter().map(|row| row.get("line")).collect();
        let rename = query(RENAME_MESSAGES).bind(List::Integers(lines?)).bind(DELETED_NAME);
        self.database.execute(rename).await?;
        Ok(())
    }

    async fn rename_joinings(&self, user: UserId) -> Result<(), Error> {
        let named = format!("{{\"userId\":\"{}\",\"username\":\"", user.0);
        let end = format!("{named}\u{10ffff}");
        let renamed = format!("{named}{DELETED_NAME}\"");
        loop {
            let page = query(JOININGS).bind(&*named).bind(&*end).bind(&*renamed);
            let found = self.database.fetch_all(page.bind(ROWS_MAX)).await?;
            if found.is_empty() {
                return Ok(());
            }
            let rows: Result<Vec<_>, _> = found.iter().map(renamed_joining).collect();
            self.database.execute(query(RENAME_JOININGS).bind(json(&rows?)?)).await?;
        }
    }
}

/// The room and number of a joining, and its payload under the other name.
fn renamed_joining(found: &Row) -> Result<(RoomId, i64, String), Error> {
    let member: Member = serde_json::from_str(found.get("payload")?).map_err(Error::Encoding)?;
    let member = Member { username: Some(DELETED_NAME.to_owned()), ..member };
    let seq = signed(row::number(found, "seq")?);
    Ok((row::room_id(found, "room_id")?, seq, json(&member)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_statement_reads_a_whole_table() {
        // The index of the unfinished holds nothing else, and is read whole.
        for statement in [
            FINISH.into(),
            ROOMS_OF.into(),
            SENT_WITH_ID.into(),
            SENT_WITHOUT_ID.into(),
            RENAME_MESSAGES,
            JOININGS,
            RENAME_JOININGS,
        ] {
            crate::fixture::assert_searches(statement).await;
        }
    }
}
