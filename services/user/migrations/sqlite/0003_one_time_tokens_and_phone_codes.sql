-- What a mail carries so that whoever reads it may act once: confirming an address, setting a password.
CREATE TABLE one_time_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,               -- SHA-256 of the token
    account_id TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    purpose    TEXT    NOT NULL,                           -- "verify" or "reset"
    email_key  TEXT    NOT NULL,                           -- the address that it was sent to, in lower case
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER                                     -- NULL: still good
) STRICT;

CREATE INDEX one_time_tokens_by_account ON one_time_tokens (account_id, purpose);
CREATE INDEX one_time_tokens_by_expiry ON one_time_tokens (expires_at);

-- The code that was sent to a number, and how many were.
CREATE TABLE phone_codes (
    phone        TEXT    NOT NULL PRIMARY KEY,             -- E.164
    code         TEXT,                                     -- PHC string; NULL: used
    guesses      INTEGER NOT NULL,                         -- of this code
    expires_at   INTEGER NOT NULL,
    window_began INTEGER NOT NULL,                         -- with the first of those that are counted
    window_sent  INTEGER NOT NULL,
    day_began    INTEGER NOT NULL,
    day_sent     INTEGER NOT NULL,
    keep_until   INTEGER NOT NULL                          -- from then on the row says nothing
) STRICT;

CREATE INDEX phone_codes_by_end ON phone_codes (keep_until);
