-- What token endpoints issue. A token remembers what it rests on, so that it ends with it: the generation of the
-- secret is compared when it is used, the grant and the person end it here.

ALTER TABLE apps ADD COLUMN token_auth TEXT CHECK (token_auth IN ('basic', 'post'));
-- Separated by blanks.
ALTER TABLE apps ADD COLUMN redirect_uris TEXT NOT NULL DEFAULT '' CHECK (length(redirect_uris) <= 65536);

-- NULL: the token was not obtained with a secret alone.
ALTER TABLE access_tokens ADD COLUMN secret_generation INTEGER;
-- The person who granted it, such as merchant:7.
ALTER TABLE access_tokens ADD COLUMN subject TEXT CHECK (length(subject) BETWEEN 1 AND 64);
ALTER TABLE access_tokens ADD COLUMN grant_id INTEGER;
CREATE INDEX access_tokens_by_subject ON access_tokens (subject) WHERE subject IS NOT NULL;
CREATE INDEX access_tokens_by_grant ON access_tokens (grant_id) WHERE grant_id IS NOT NULL;

CREATE TABLE customer_tokens (
    token_hash BLOB PRIMARY KEY NOT NULL CHECK (length(token_hash) = 32),
    customer INTEGER NOT NULL,
    store_id INTEGER NOT NULL REFERENCES stores,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX customer_tokens_by_customer ON customer_tokens (customer);
CREATE INDEX customer_tokens_by_expiry ON customer_tokens (expires_at);

-- What a merchant granted an app: the family of the tokens that follow from one code.
CREATE TABLE app_grants (
    grant_id INTEGER PRIMARY KEY,
    app_id INTEGER NOT NULL REFERENCES apps,
    store_id INTEGER NOT NULL REFERENCES stores,
    subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 64),
    scopes TEXT NOT NULL CHECK (length(scopes) <= 4096),
    created_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX app_grants_by_subject ON app_grants (subject);
CREATE INDEX app_grants_by_installation ON app_grants (app_id, store_id);

CREATE TABLE app_codes (
    code_hash BLOB PRIMARY KEY NOT NULL CHECK (length(code_hash) = 32),
    app_id INTEGER NOT NULL REFERENCES apps,
    store_id INTEGER NOT NULL REFERENCES stores,
    subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 64),
    scopes TEXT NOT NULL CHECK (length(scopes) <= 4096),
    redirect_uri TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    -- Once it was used: what came of it, and ends when it is used again.
    grant_id INTEGER REFERENCES app_grants
) STRICT, WITHOUT ROWID;
CREATE INDEX app_codes_by_expiry ON app_codes (expires_at);
CREATE INDEX app_codes_by_grant ON app_codes (grant_id) WHERE grant_id IS NOT NULL;

CREATE TABLE app_refresh_tokens (
    token_hash BLOB PRIMARY KEY NOT NULL CHECK (length(token_hash) = 32),
    grant_id INTEGER NOT NULL REFERENCES app_grants,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX app_refresh_tokens_by_grant ON app_refresh_tokens (grant_id);
CREATE INDEX app_refresh_tokens_by_expiry ON app_refresh_tokens (expires_at);

CREATE TRIGGER customer_tokens_replacing BEFORE INSERT ON customer_tokens
WHEN EXISTS (SELECT 1 FROM customer_tokens WHERE token_hash = NEW.token_hash) BEGIN
    INSERT INTO changes (kind, key) VALUES ('customer_token', NEW.token_hash);
END;
CREATE TRIGGER customer_tokens_moved AFTER UPDATE OF token_hash ON customer_tokens
WHEN OLD.token_hash <> NEW.token_hash BEGIN
    INSERT INTO changes (kind, key) VALUES ('customer_token', OLD.token_hash);
END;
CREATE TRIGGER customer_tokens_updated AFTER UPDATE ON customer_tokens BEGIN
    INSERT INTO changes (kind, key) VALUES ('customer_token', NEW.token_hash);
END;
CREATE TRIGGER customer_tokens_deleted AFTER DELETE ON customer_tokens BEGIN
    INSERT INTO changes (kind, key) VALUES ('customer_token', OLD.token_hash);
END;

-- What was granted ends with the installation; another one does not bring it back.
CREATE TRIGGER installations_ended AFTER UPDATE OF status ON installations
WHEN NEW.status <> 'active' AND OLD.status = 'active' BEGIN
    UPDATE access_tokens SET revoked_at = unixepoch() WHERE revoked_at IS NULL AND grant_id IN
        (SELECT grant_id FROM app_grants WHERE app_id = NEW.app_id AND store_id = NEW.store_id AND ended_at IS NULL);
    UPDATE app_grants SET ended_at = unixepoch()
        WHERE app_id = NEW.app_id AND store_id = NEW.store_id AND ended_at IS NULL;
END;

-- What rests on a person ends when they may not sign in, or with the password that they signed in with.
CREATE TRIGGER users_ended AFTER UPDATE OF status, password_hash, store_id ON users
WHEN NEW.status <> 'active' OR OLD.password_hash <> NEW.password_hash OR OLD.store_id IS NOT NEW.store_id BEGIN
    UPDATE customer_tokens SET revoked_at = unixepoch()
        WHERE customer = OLD.number AND OLD.kind = 'customer' AND revoked_at IS NULL;
    UPDATE access_tokens SET revoked_at = unixepoch()
        WHERE subject = OLD.kind || ':' || OLD.number AND NEW.status <> 'active' AND revoked_at IS NULL;
    UPDATE app_grants SET ended_at = unixepoch()
        WHERE subject = OLD.kind || ':' || OLD.number AND NEW.status <> 'active' AND ended_at IS NULL;
END;
CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
    UPDATE customer_tokens SET revoked_at = unixepoch()
        WHERE customer = OLD.number AND OLD.kind = 'customer' AND revoked_at IS NULL;
    UPDATE access_tokens SET revoked_at = unixepoch()
        WHERE subject = OLD.kind || ':' || OLD.number AND revoked_at IS NULL;
    UPDATE app_grants SET ended_at = unixepoch()
        WHERE subject = OLD.kind || ':' || OLD.number AND ended_at IS NULL;
END;
