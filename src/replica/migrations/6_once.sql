-- Which calls of the admin API were carried out.

CREATE TABLE idempotency_keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- HMACs and digests of what the caller sent.
    key_hash BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    call_hash BLOB NOT NULL CHECK (length(call_hash) = 32),
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- Sealed; NULL: not kept (any more).
    answer BLOB CHECK (length(answer) <= 1048576)
) STRICT;
CREATE INDEX idempotency_answers ON idempotency_keys (at) WHERE answer IS NOT NULL;
