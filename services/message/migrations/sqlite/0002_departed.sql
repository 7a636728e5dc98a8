-- Accounts that were deleted. What they wrote stays, under another name, and nobody joins for them any
-- more. How far the user service's list of them was read stands in `meta`, as `deleted_cursor`.
CREATE TABLE departed (
    user_id     BLOB PRIMARY KEY,
    deleted_at  INTEGER NOT NULL,
    -- When its memberships had ended and its name was gone; none while that is to be done.
    finished_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX departed_unfinished ON departed (user_id) WHERE finished_at IS NULL;

-- What somebody wrote without a client id; the rest is found by `messages_by_client_id`.
CREATE INDEX messages_by_sender ON messages (user_id, line) WHERE client_id IS NULL;

-- A payload about a member begins with the user's id and name.
CREATE INDEX log_by_joining ON log (payload) WHERE type = 'member.joined';
