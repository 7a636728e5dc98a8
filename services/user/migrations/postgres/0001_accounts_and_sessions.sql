-- Accounts. The *_key columns hold the lower-case form, so that uniqueness ignores case while the
-- spelling that its owner chose is kept. What is compared, sorted or searched goes byte by byte
-- (COLLATE "C"), whatever the server's language, as it does in SQLite.
CREATE TABLE accounts (
    id             TEXT    COLLATE "C" NOT NULL PRIMARY KEY,  -- UUIDv7
    username       TEXT    NOT NULL,
    username_key   TEXT    COLLATE "C" NOT NULL CONSTRAINT accounts_username_is_free UNIQUE,
    email          TEXT,
    email_key      TEXT    COLLATE "C" CONSTRAINT accounts_email_is_free UNIQUE,
    email_verified BOOLEAN NOT NULL DEFAULT FALSE,
    phone          TEXT    COLLATE "C" CONSTRAINT accounts_phone_is_free UNIQUE, -- E.164
    phone_verified BOOLEAN NOT NULL DEFAULT FALSE,
    password       TEXT,                                   -- PHC string; NULL: no way in by password
    display_name   TEXT    COLLATE "C",
    first_name     TEXT,
    last_name      TEXT,
    avatar_url     TEXT,
    bio            TEXT,
    location       TEXT,
    roles          TEXT    COLLATE "C" NOT NULL,           -- words separated by commas
    store_id       TEXT,
    operator_group TEXT,
    created_at     BIGINT  NOT NULL,                       -- milliseconds since the Unix epoch
    updated_at     BIGINT  NOT NULL
);

-- A session is one sign-in: the family of refresh tokens that grew from it.
CREATE TABLE sessions (
    id           TEXT   COLLATE "C" NOT NULL PRIMARY KEY,  -- UUIDv7
    account_id   TEXT   COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,                          -- moves on with every refresh
    ended_at     BIGINT                                    -- NULL: alive
);

CREATE INDEX sessions_by_account ON sessions (account_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Spent tokens stay, so that using one again is noticed and ends its session.
CREATE TABLE refresh_tokens (
    hash       BYTEA  NOT NULL PRIMARY KEY,                -- SHA-256 of the token
    session_id TEXT   COLLATE "C" NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    used_at    BIGINT                                      -- NULL: the newest of its session
);

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_age ON refresh_tokens (created_at);

-- The code that makes the first administrator: at most one row.
CREATE TABLE setup (
    id        BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    code_hash BYTEA  NOT NULL,                             -- SHA-256 of the code
    used_at   BIGINT                                       -- NULL: still good
);
