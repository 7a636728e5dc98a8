-- Whom issuers elsewhere vouch for. A subject is unique at its issuer alone, and never given to another
-- there (OpenID Connect Core 1.0 section 2).
CREATE TABLE external_identities (
    issuer       TEXT    NOT NULL,                         -- `iss` of its tokens
    subject      TEXT    NOT NULL,                         -- `sub`
    account_id   TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,                         -- milliseconds since the Unix epoch
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;

CREATE INDEX external_identities_by_account ON external_identities (account_id);
