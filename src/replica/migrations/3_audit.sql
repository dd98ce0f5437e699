-- Who changed what. Entries are never changed; old ones go as a whole. And what the lists of the admin
-- API need: installations of a store, in the order of their numbers.

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL CHECK (length(who) <= 200),
    origin TEXT NOT NULL CHECK (length(origin) <= 200),
    request_id TEXT CHECK (length(request_id) <= 200),
    action TEXT NOT NULL CHECK (length(action) <= 64),
    subject TEXT NOT NULL CHECK (length(subject) <= 300),
    -- A JSON object.
    detail TEXT NOT NULL CHECK (length(detail) <= 131072)
) STRICT;
CREATE INDEX audit_subjects ON audit (subject);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'entries of the audit record are not changed');
END;

CREATE INDEX installations_of_stores ON installations (store_id);
