-- Stores, apps and their secrets, installations, access tokens, and the journal of what changed.

CREATE TABLE stores (
    store_id INTEGER PRIMARY KEY CHECK (store_id BETWEEN 1 AND 9007199254740991),
    name TEXT NOT NULL CHECK (length(name) <= 200),
    domain TEXT UNIQUE CHECK (length(domain) BETWEEN 1 AND 253),
    organization TEXT CHECK (length(organization) BETWEEN 1 AND 200),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE apps (
    app_id INTEGER PRIMARY KEY CHECK (app_id BETWEEN 1 AND 9007199254740991),
    client_id TEXT NOT NULL UNIQUE CHECK (length(client_id) BETWEEN 1 AND 128),
    name TEXT NOT NULL CHECK (length(name) <= 200),
    organization TEXT CHECK (length(organization) BETWEEN 1 AND 200),
    scopes TEXT NOT NULL CHECK (length(scopes) <= 4096),
    status TEXT NOT NULL CHECK (status IN ('enabled', 'disabled')),
    -- NULL: none. Otherwise the key's text, or xchacha20poly1305:<hex> when it is sealed.
    session_signing_key TEXT CHECK (length(session_signing_key) BETWEEN 1 AND 1024),
    -- CIDRs separated by blanks; empty: from anywhere.
    allow_ips TEXT NOT NULL DEFAULT '' CHECK (length(allow_ips) <= 65536),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE app_secrets (
    app_id INTEGER NOT NULL REFERENCES apps,
    generation INTEGER NOT NULL,
    hash TEXT NOT NULL CHECK (length(hash) <= 128),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    PRIMARY KEY (app_id, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE installations (
    installation_id INTEGER PRIMARY KEY CHECK (installation_id BETWEEN 1 AND 9007199254740991),
    app_id INTEGER NOT NULL REFERENCES apps,
    store_id INTEGER NOT NULL REFERENCES stores,
    scopes TEXT NOT NULL CHECK (length(scopes) <= 4096),
    status TEXT NOT NULL CHECK (status IN ('active', 'uninstalled')),
    created_at INTEGER NOT NULL,
    UNIQUE (app_id, store_id)
) STRICT;

CREATE TABLE access_tokens (
    token_hash BLOB PRIMARY KEY NOT NULL CHECK (length(token_hash) = 32),
    app_id INTEGER NOT NULL REFERENCES apps,
    store_id INTEGER NOT NULL REFERENCES stores,
    -- NULL: whatever the installation has.
    scopes TEXT CHECK (length(scopes) <= 4096),
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The journal: keys of records that changed. kind 'all': every record may have changed.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL DEFAULT (CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)),
    kind TEXT NOT NULL,
    key ANY NOT NULL
) STRICT;

CREATE TABLE replica_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    replica_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    -- A known text sealed with the key of replica.key_file, once anything is sealed.
    key_check TEXT
) STRICT;

INSERT INTO replica_state (id, replica_id, created_at) VALUES (1, randomblob(16), unixepoch());
-- The journal is never empty, so that a reader always has a place to hold on to.
INSERT INTO changes (kind, key) VALUES ('all', '');

CREATE TRIGGER stores_inserting BEFORE INSERT ON stores BEGIN
    INSERT INTO changes (kind, key)
        SELECT 'store', store_id FROM stores WHERE domain = NEW.domain AND store_id <> NEW.store_id;
END;
CREATE TRIGGER stores_inserted AFTER INSERT ON stores BEGIN
    INSERT INTO changes (kind, key) VALUES ('store', NEW.store_id);
END;
CREATE TRIGGER stores_renaming BEFORE UPDATE OF store_id, domain ON stores BEGIN
    INSERT INTO changes (kind, key) SELECT 'all', '' WHERE OLD.store_id <> NEW.store_id;
    INSERT INTO changes (kind, key)
        SELECT 'store', store_id FROM stores WHERE domain = NEW.domain AND store_id <> OLD.store_id;
END;
CREATE TRIGGER stores_updated AFTER UPDATE ON stores BEGIN
    INSERT INTO changes (kind, key) VALUES ('store', NEW.store_id);
END;
CREATE TRIGGER stores_deleted AFTER DELETE ON stores BEGIN
    INSERT INTO changes (kind, key) VALUES ('store', OLD.store_id);
END;

-- Installations and tokens carry the client id of their app: a changed pair drops everything.
CREATE TRIGGER apps_inserting BEFORE INSERT ON apps
WHEN EXISTS (SELECT 1 FROM apps WHERE app_id = NEW.app_id AND client_id <> NEW.client_id)
    OR EXISTS (SELECT 1 FROM apps WHERE client_id = NEW.client_id AND app_id <> NEW.app_id) BEGIN
    INSERT INTO changes (kind, key) VALUES ('all', '');
END;
CREATE TRIGGER apps_inserted AFTER INSERT ON apps BEGIN
    INSERT INTO changes (kind, key) VALUES ('app', NEW.client_id);
END;
CREATE TRIGGER apps_renamed AFTER UPDATE OF app_id, client_id ON apps
WHEN OLD.app_id <> NEW.app_id OR OLD.client_id <> NEW.client_id BEGIN
    INSERT INTO changes (kind, key) VALUES ('all', '');
END;
CREATE TRIGGER apps_updated AFTER UPDATE ON apps BEGIN
    INSERT INTO changes (kind, key) VALUES ('app', NEW.client_id);
END;
CREATE TRIGGER apps_deleted AFTER DELETE ON apps BEGIN
    INSERT INTO changes (kind, key) VALUES ('all', '');
END;

CREATE TRIGGER app_secrets_inserted AFTER INSERT ON app_secrets BEGIN
    INSERT INTO changes (kind, key) SELECT 'app', client_id FROM apps WHERE app_id = NEW.app_id;
END;
-- Not last_used_at, which says nothing about what is valid.
CREATE TRIGGER app_secrets_updated AFTER UPDATE OF app_id, generation, hash, expires_at ON app_secrets BEGIN
    INSERT INTO changes (kind, key)
        SELECT 'app', client_id FROM apps WHERE app_id IN (OLD.app_id, NEW.app_id);
END;
CREATE TRIGGER app_secrets_deleted AFTER DELETE ON app_secrets BEGIN
    INSERT INTO changes (kind, key) SELECT 'app', client_id FROM apps WHERE app_id = OLD.app_id;
END;

CREATE TRIGGER installations_inserting BEFORE INSERT ON installations BEGIN
    INSERT INTO changes (kind, key)
        SELECT 'installation', app_id || ':' || store_id || ':' || installation_id FROM installations
        WHERE installation_id = NEW.installation_id OR (app_id = NEW.app_id AND store_id = NEW.store_id);
END;
CREATE TRIGGER installations_inserted AFTER INSERT ON installations BEGIN
    INSERT INTO changes (kind, key)
        VALUES ('installation', NEW.app_id || ':' || NEW.store_id || ':' || NEW.installation_id);
END;
CREATE TRIGGER installations_moved AFTER UPDATE OF installation_id, app_id, store_id ON installations
WHEN OLD.installation_id <> NEW.installation_id OR OLD.app_id <> NEW.app_id OR OLD.store_id <> NEW.store_id BEGIN
    INSERT INTO changes (kind, key) VALUES ('all', '');
END;
CREATE TRIGGER installations_updated AFTER UPDATE ON installations BEGIN
    INSERT INTO changes (kind, key)
        VALUES ('installation', NEW.app_id || ':' || NEW.store_id || ':' || NEW.installation_id);
END;
CREATE TRIGGER installations_deleted AFTER DELETE ON installations BEGIN
    INSERT INTO changes (kind, key)
        VALUES ('installation', OLD.app_id || ':' || OLD.store_id || ':' || OLD.installation_id);
END;

CREATE TRIGGER access_tokens_replacing BEFORE INSERT ON access_tokens
WHEN EXISTS (SELECT 1 FROM access_tokens WHERE token_hash = NEW.token_hash) BEGIN
    INSERT INTO changes (kind, key) VALUES ('token', NEW.token_hash);
END;
CREATE TRIGGER access_tokens_moved AFTER UPDATE OF token_hash ON access_tokens
WHEN OLD.token_hash <> NEW.token_hash BEGIN
    INSERT INTO changes (kind, key) VALUES ('token', OLD.token_hash);
END;
CREATE TRIGGER access_tokens_updated AFTER UPDATE ON access_tokens BEGIN
    INSERT INTO changes (kind, key) VALUES ('token', NEW.token_hash);
END;
CREATE TRIGGER access_tokens_deleted AFTER DELETE ON access_tokens BEGIN
    INSERT INTO changes (kind, key) VALUES ('token', OLD.token_hash);
END;
