-- What a mail carries so that whoever reads it may act once: confirming an address, setting a password.
CREATE TABLE one_time_tokens (
    hash       BYTEA  NOT NULL PRIMARY KEY,                -- SHA-256 of the token
    account_id TEXT   COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    purpose    TEXT   COLLATE "C" NOT NULL,                -- "verify" or "reset"
    email_key  TEXT   COLLATE "C" NOT NULL,                -- the address that it was sent to, in lower case
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT                                      -- NULL: still good
);

CREATE INDEX one_time_tokens_by_account ON one_time_tokens (account_id, purpose);
CREATE INDEX one_time_tokens_by_expiry ON one_time_tokens (expires_at);

-- The code that was sent to a number, and how many were.
CREATE TABLE phone_codes (
    phone        TEXT   COLLATE "C" NOT NULL PRIMARY KEY,  -- E.164
    code         TEXT,                                     -- PHC string; NULL: used
    guesses      BIGINT NOT NULL,                          -- of this code
    expires_at   BIGINT NOT NULL,
    window_began BIGINT NOT NULL,                          -- with the first of those that are counted
    window_sent  BIGINT NOT NULL,
    day_began    BIGINT NOT NULL,
    day_sent     BIGINT NOT NULL,
    keep_until   BIGINT NOT NULL                           -- from then on the row says nothing
);

CREATE INDEX phone_codes_by_end ON phone_codes (keep_until);
