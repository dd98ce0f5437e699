-- Who may use the admin API. Nothing of it is cached, so that the journal need not know.

CREATE TABLE operators (
    operator_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    permissions TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
