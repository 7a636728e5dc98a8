-- Rooms, members, messages and their change log. Ids are the 16 bytes of a UUID, but for those of
-- rooms, which people choose; times are milliseconds since the Unix epoch.

-- Facts about this database. `epoch` names the life of its log and changes only when the log lost
-- its tail.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A sequence of commits. Whoever writes takes its row first, so that two writers take turns.
CREATE TABLE shards (
    shard INTEGER PRIMARY KEY,
    head  INTEGER NOT NULL
) STRICT;

INSERT INTO shards (shard, head) VALUES (0, 0);

CREATE TABLE rooms (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    -- Name and id in lower case: what a search looks at.
    search           TEXT NOT NULL,
    description      TEXT,
    kind             TEXT NOT NULL,
    creator_id       BLOB NOT NULL,
    is_private       INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    -- Number of the newest durable event.
    head_seq         INTEGER NOT NULL,
    message_count    INTEGER NOT NULL,
    member_count     INTEGER NOT NULL,
    -- `seq` of the newest message; 0 while there is none.
    last_message_seq INTEGER NOT NULL,
    -- When the newest message was stored, or else when the room was made.
    active_at        INTEGER NOT NULL
) STRICT;

CREATE INDEX rooms_by_activity ON rooms (active_at, id);

CREATE TABLE members (
    room_id   TEXT NOT NULL REFERENCES rooms (id),
    user_id   BLOB NOT NULL,
    username  TEXT,
    role      TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user_id, room_id);

-- Appended in the order of commit; a table clustered by (room_id, seq) would dirty a page per room.
CREATE TABLE messages (
    line         INTEGER PRIMARY KEY,
    id           BLOB NOT NULL,
    room_id      TEXT NOT NULL REFERENCES rooms (id),
    seq          INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    user_id      BLOB NOT NULL,
    username     TEXT NOT NULL,
    content      TEXT NOT NULL,
    message_type TEXT NOT NULL,
    parent_id    BLOB,
    client_id    BLOB,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX messages_by_id ON messages (id);
CREATE UNIQUE INDEX messages_by_place ON messages (room_id, seq);
CREATE UNIQUE INDEX messages_by_client_id ON messages (user_id, client_id)
    WHERE client_id IS NOT NULL;

-- Every durable event, and the outbox of the bell. An event about a message says which by its `seq`
-- and is read with that message's newest state, so that a text stands in one place only; any other
-- event keeps its `payload`.
CREATE TABLE log (
    shard_seq   INTEGER PRIMARY KEY,
    shard       INTEGER NOT NULL REFERENCES shards (shard),
    room_id     TEXT NOT NULL REFERENCES rooms (id),
    seq         INTEGER NOT NULL,
    type        TEXT NOT NULL,
    ts          INTEGER NOT NULL,
    message_seq INTEGER,
    payload     TEXT,
    CHECK ((message_seq IS NULL) <> (payload IS NULL))
) STRICT;

CREATE UNIQUE INDEX log_by_place ON log (room_id, seq);
