-- Access tokens of an account that were made before this second are dead.
ALTER TABLE accounts ADD COLUMN tokens_from BIGINT NOT NULL DEFAULT 0; -- seconds since the Unix epoch

-- A search in the directory reads this index from end to end where a name is rare, and of the accounts
-- themselves no more than it finds. The key is the lower-case form of the display name.
ALTER TABLE accounts ADD COLUMN display_key TEXT COLLATE "C";
UPDATE accounts SET display_key = lower(display_name);
CREATE INDEX accounts_directory ON accounts (username_key, display_key, roles);

-- Where a session was opened, as its owner recognises it.
ALTER TABLE sessions ADD COLUMN device TEXT;
ALTER TABLE sessions ADD COLUMN address TEXT;

-- What ended before its time, for everybody who checks tokens. Rows go when every token that they are
-- about has expired.
CREATE TABLE revocations (
    cursor     BIGINT NOT NULL PRIMARY KEY,                -- rises by one, in the order of commits
    session_id TEXT   COLLATE "C",                         -- a session's or a machine key's tokens, or
    account_id TEXT   COLLATE "C",                         -- an account's, made before `not_before`
    not_before BIGINT NOT NULL,
    until      BIGINT NOT NULL,
    CHECK ((session_id IS NULL) <> (account_id IS NULL))
);

CREATE INDEX revocations_by_end ON revocations (until);

-- The newest cursor: whoever writes a revocation takes the next one, and others wait.
CREATE TABLE feed (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    cursor BIGINT NOT NULL
);

INSERT INTO feed (id, cursor) VALUES (1, 0);

-- Accounts that were deleted, for services that keep something in their names.
CREATE TABLE deleted_accounts (
    account_id TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    cursor     BIGINT NOT NULL UNIQUE,                     -- of the feed, when it happened
    deleted_at BIGINT NOT NULL
);

-- Refusals and changes: who, what, from where. Rows are added, and never anything else before their
-- time is over.
CREATE TABLE audit (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    action     TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,                            -- "done", or the kind of the refusal
    actor_id   TEXT   COLLATE "C",                         -- who did or wanted it, where that is known
    account_id TEXT   COLLATE "C",                         -- whom it is about
    address    TEXT,                                       -- from where
    detail     TEXT,
    keep_until BIGINT NOT NULL
);

CREATE INDEX audit_by_time ON audit (at, seq);
CREATE INDEX audit_by_account ON audit (account_id, seq);
CREATE INDEX audit_by_actor ON audit (actor_id, seq);
CREATE INDEX audit_by_end ON audit (keep_until);

CREATE FUNCTION refuse_to_change_the_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END
$$;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
FOR EACH ROW EXECUTE FUNCTION refuse_to_change_the_audit();

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
FOR EACH ROW WHEN (OLD.keep_until > extract(epoch FROM now()) * 1000)
EXECUTE FUNCTION refuse_to_change_the_audit();

CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit();
