-- The same as in the folder beside this one, on a server that replicas share. Names are compared byte
-- by byte (COLLATE "C"), as SQLite does it. What the batch has just made or moved itself is not asked
-- for again by foreign keys: they would look up every row's room once more.

CREATE TABLE meta (
    key   TEXT COLLATE "C" PRIMARY KEY,
    value TEXT NOT NULL
);

-- A sequence of commits. Whoever writes locks its row first, so that two writers take turns. How many
-- rows there are is how many writers each replica has, and where rooms are: they never change.
CREATE TABLE shards (
    shard BIGINT PRIMARY KEY,
    head  BIGINT NOT NULL
);

INSERT INTO shards (shard, head) SELECT shard, 0 FROM generate_series(0, 1) AS shard;

-- Its rows change with every message: room is left for that on each page.
CREATE TABLE rooms (
    id               TEXT COLLATE "C" PRIMARY KEY,
    name             TEXT NOT NULL,
    search           TEXT NOT NULL,
    description      TEXT,
    kind             TEXT NOT NULL,
    creator_id       UUID NOT NULL,
    is_private       BOOLEAN NOT NULL,
    created_at       BIGINT NOT NULL,
    head_seq         BIGINT NOT NULL,
    message_count    BIGINT NOT NULL,
    member_count     BIGINT NOT NULL,
    last_message_seq BIGINT NOT NULL,
    active_at        BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX rooms_by_activity ON rooms (active_at, id);

CREATE TABLE members (
    room_id   TEXT COLLATE "C" NOT NULL REFERENCES rooms (id),
    user_id   UUID NOT NULL,
    username  TEXT,
    role      TEXT NOT NULL,
    joined_at BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id)
);

CREATE INDEX members_by_user ON members (user_id, room_id);

CREATE TABLE messages (
    line         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           UUID NOT NULL,
    room_id      TEXT COLLATE "C" NOT NULL,
    seq          BIGINT NOT NULL,
    n            BIGINT NOT NULL,
    user_id      UUID NOT NULL,
    username     TEXT NOT NULL,
    content      TEXT NOT NULL,
    message_type TEXT NOT NULL,
    parent_id    UUID,
    client_id    UUID,
    created_at   BIGINT NOT NULL
);

CREATE UNIQUE INDEX messages_by_id ON messages (id);
CREATE UNIQUE INDEX messages_by_place ON messages (room_id, seq);
CREATE UNIQUE INDEX messages_by_client_id ON messages (user_id, client_id)
    WHERE client_id IS NOT NULL;

-- One partition for each day, made ahead by the service, so that an old day is dropped as a whole. What
-- comes before its day was made lies outside until it is.
CREATE TABLE log (
    shard_seq   BIGINT NOT NULL,
    shard       BIGINT NOT NULL,
    room_id     TEXT COLLATE "C" NOT NULL,
    seq         BIGINT NOT NULL,
    type        TEXT NOT NULL,
    ts          BIGINT NOT NULL,
    message_seq BIGINT,
    payload     TEXT,
    CHECK ((message_seq IS NULL) <> (payload IS NULL))
) PARTITION BY RANGE (ts);

CREATE TABLE log_outside PARTITION OF log DEFAULT;

CREATE INDEX log_by_place ON log (room_id, seq);
CREATE INDEX log_by_commit ON log (shard, shard_seq);

-- Makes the partition of a day, counted from the Unix epoch, unless it is there, and moves into it what
-- lies outside of it. Nobody who reads or writes waits for it long: it gives up soon and is called again.
CREATE FUNCTION make_log_day(day BIGINT) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name TEXT := 'log_' || to_char(to_timestamp(day * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD');
    first BIGINT := day * 86400000;
    beyond BIGINT := (day + 1) * 86400000;
BEGIN
    SET LOCAL lock_timeout = '200ms';
    -- Replicas take turns.
    PERFORM pg_advisory_xact_lock('log'::regclass::bigint);
    IF to_regclass(name) IS NULL THEN
        LOCK TABLE log_outside IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE log INCLUDING CONSTRAINTS)', name);
        EXECUTE format('WITH moved AS (DELETE FROM log_outside WHERE ts >= %s AND ts < %s RETURNING *)
            INSERT INTO %I SELECT * FROM moved', first, beyond, name);
        EXECUTE format('ALTER TABLE log ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            name, first, beyond);
    END IF;
END $$;

-- Drops every day before this one, and what lies outside before it.
CREATE FUNCTION drop_log_days(before BIGINT) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name TEXT;
    oldest TEXT := 'log_' || to_char(to_timestamp(before * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    SET LOCAL lock_timeout = '200ms';
    PERFORM pg_advisory_xact_lock('log'::regclass::bigint);
    DELETE FROM log_outside WHERE ts < before * 86400000;
    FOR name IN
        SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
        WHERE inhparent = 'log'::regclass AND relname ~ '^log_[0-9]{8}$' AND relname < oldest
    LOOP
        EXECUTE format('DROP TABLE %I', name);
    END LOOP;
END $$;
