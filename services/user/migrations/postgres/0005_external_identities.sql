-- Whom issuers elsewhere vouch for. A subject is unique at its issuer alone, and never given to another
-- there (OpenID Connect Core 1.0 section 2).
CREATE TABLE external_identities (
    issuer       TEXT   COLLATE "C" NOT NULL,              -- `iss` of its tokens
    subject      TEXT   COLLATE "C" NOT NULL,              -- `sub`
    account_id   TEXT   COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at   BIGINT NOT NULL,                          -- milliseconds since the Unix epoch
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX external_identities_by_account ON external_identities (account_id);
