//! Reading rooms and their members.

use std::fmt;
use std::str::FromStr;

use chassis::database::{Row, query};
use contract::id::BadId;
use contract::room::{Member, MemberRole, Room};
use contract::{RoomId, Timestamp, UserId};

use crate::store::row::{self, message_columns, room_columns};
use crate::store::{Error, Store};

const FIND_ROOM: &str = concat!(
    "SELECT ",
    room_columns!(),
    ", me.role AS me_role FROM rooms AS r \
     LEFT JOIN members AS me ON me.room_id = r.id AND me.user_id = $2 WHERE r.id = $1"
);
const LIST_MEMBERS: &str = "\
    SELECT user_id, username, role, joined_at FROM members \
    WHERE room_id = $1 ORDER BY joined_at, user_id LIMIT $2";

/// What both lists show and how they go on; `$2` is the pattern, `($3, $4)` the cursor.
macro_rules! listed {
    ($from:literal) => {
        concat!(
            "SELECT ",
            room_columns!(),
            ", r.active_at AS active_at, ",
            message_columns!(),
            " FROM ",
            $from,
            " LEFT JOIN messages AS m ON m.room_id = r.id AND m.seq = r.last_message_seq \
             WHERE (NOT r.is_private OR me.user_id IS NOT NULL) \
             AND r.search LIKE $2 ESCAPE '\\' AND (r.active_at, r.id) < ($3, $4) \
             ORDER BY r.active_at DESC, r.id DESC LIMIT $5"
        )
    };
}

const LIST_VISIBLE: &str =
    listed!("rooms AS r LEFT JOIN members AS me ON me.room_id = r.id AND me.user_id = $1");
const LIST_MINE: &str =
    listed!("members AS me JOIN rooms AS r ON r.id = me.room_id AND me.user_id = $1");

/// Which rooms a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Whatever the caller may see.
    Visible,
    /// Where the caller is a member.
    Mine,
}

/// A place in the list of rooms: after this one come those with less recent activity. Written as
/// one word, which callers give back as they got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    active_at: Timestamp,
    id: String,
}

impl Cursor {
    /// Before the first room.
    pub(crate) fn start() -> Self {
        Self { active_at: Timestamp(i64::MAX), id: String::new() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.active_at.0, self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let (active_at, id) = text.split_once('.').ok_or(BadId)?;
        let active_at = active_at.parse().map(Timestamp).map_err(|_| BadId)?;
        Ok(Self { active_at, id: id.parse::<RoomId>()?.into() })
    }
}

/// A room in a list, and the place in the list that it stands for.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) room: Room,
    pub(crate) place: Cursor,
}

impl Store {
    /// The room, whoever may see it, and what `user` is in it.
    pub(crate) async fn find_room(
        &self,
        id: &RoomId,
        user: UserId,
    ) -> Result<Option<(Room, Option<MemberRole>)>, Error> {
        let query = query(FIND_ROOM).bind(id.as_str()).bind(user.0);
        let Some(found) = self.database.fetch_optional(query).await? else { return Ok(None) };
        let role: Option<&str> = found.get("me_role")?;
        Ok(Some((row::room(&found)?, role.map(row::role).transpose()?)))
    }

    /// The members who have been there longest, at most `limit`.
    pub(crate) async fn members(&self, id: &RoomId, limit: u32) -> Result<Vec<Member>, Error> {
        let query = query(LIST_MEMBERS).bind(id.as_str()).bind(limit);
        self.database.fetch_all(query).await?.iter().map(row::member).collect()
    }

    /// Rooms after `place` whose name or id has `part` in it, at most `limit`, latest activity
    /// first, each with its newest message.
    pub(crate) async fn rooms(
        &self,
        user: UserId,
        scope: Scope,
        part: &str,
        place: &Cursor,
        limit: u32,
    ) -> Result<Vec<Listed>, Error> {
        let statement = match scope {
            Scope::Visible => LIST_VISIBLE,
            Scope::Mine => LIST_MINE,
        };
        let query = query(statement)
            .bind(user.0)
            .bind(pattern(part))
            .bind(place.active_at.0)
            .bind(place.id.as_str())
            .bind(limit);
        self.database.fetch_all(query).await?.iter().map(listed).collect()
    }
}

fn listed(found: &Row) -> Result<Listed, Error> {
    let room = Room { last_message: row::joined_message(found)?, ..row::room(found)? };
    let active_at = row::time(found, "active_at")?;
    Ok(Listed { place: Cursor { active_at, id: room.id.to_string() }, room })
}

/// What `LIKE` takes for "has this in it".
fn pattern(part: &str) -> String {
    let mut pattern = String::from("%");
    for letter in part.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let cursor = Cursor { active_at: Timestamp(17), id: "general".to_owned() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "17", "x.general", "17.", "17.a b"] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadId), "{bad}");
        }
    }

    #[test]
    fn a_search_takes_its_letters_literally() {
        assert_eq!(pattern("50%_A\\"), "%50\\%\\_a\\\\%");
    }

    #[tokio::test]
    async fn no_statement_reads_a_whole_table() {
        for statement in [FIND_ROOM, LIST_MEMBERS, LIST_VISIBLE, LIST_MINE] {
            crate::fixture::assert_searches(statement.into()).await;
        }
    }
}
