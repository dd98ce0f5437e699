//! The tables, their journal triggers, and the append-only migrations that make them.
//!
//! A migration that was published is never edited: a change is a new entry at the end of
//! [`MIGRATIONS`], and `PRAGMA user_version` counts how many a file has had.
//!
//! The journal is filled by triggers, so that no writer can forget it, whoever it is. What a trigger
//! must cover is every way in which a row that a cache may hold changes or goes away, also the quiet
//! ones: `REPLACE` deletes rows without firing delete triggers, hence the `BEFORE INSERT` ones. A
//! plain new token is not journalled: absence is never cached, so there is nothing to drop.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// `PRAGMA application_id`: "SGRP". `file` and we ourselves tell a replica from any other database.
pub(super) const APPLICATION_ID: i32 = 0x5347_5250;

/// How many migrations this program knows.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// Each makes the next version of the tables.
pub(super) const MIGRATIONS: &[&str] = &[FIRST, OPERATORS, AUDIT, USERS, TOKENS, ONCE, IDENTITY];

const FIRST: &str = r"
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
";

/// Who may use the admin API. Nothing of it is cached, so that the journal need not know.
const OPERATORS: &str = r"
CREATE TABLE operators (
    operator_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    permissions TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
";

/// Who changed what. Entries are never changed; old ones go as a whole. And what the lists of the admin
/// API need: installations of a store, in the order of their numbers.
const AUDIT: &str = r"
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
";

/// People, and the stores that merchants work for. Nothing of it is cached, so that the journal need not
/// know: tokens that rest on a person are ended in their own table.
const USERS: &str = r"
CREATE TABLE users (
    kind TEXT NOT NULL CHECK (kind IN ('customer', 'merchant')),
    number INTEGER NOT NULL CHECK (number BETWEEN 1 AND 9007199254740991),
    -- The store of a customer; merchants have memberships.
    store_id INTEGER REFERENCES stores CHECK ((kind = 'customer') = (store_id IS NOT NULL)),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    email_verified INTEGER NOT NULL DEFAULT 0 CHECK (email_verified IN (0, 1)),
    picture TEXT CHECK (length(picture) <= 2048),
    phone TEXT CHECK (length(phone) <= 16),
    phone_verified INTEGER NOT NULL DEFAULT 0 CHECK (phone_verified IN (0, 1)),
    locale TEXT CHECK (length(locale) <= 35),
    password_hash TEXT NOT NULL CHECK (length(password_hash) = 60),
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, number)
) STRICT, WITHOUT ROWID;

-- One account for an address among merchants, and among the customers of each store.
CREATE UNIQUE INDEX users_by_email ON users (email, kind, coalesce(store_id, 0));

CREATE TABLE memberships (
    merchant INTEGER NOT NULL,
    store_id INTEGER NOT NULL REFERENCES stores,
    role TEXT NOT NULL CHECK (length(role) BETWEEN 1 AND 64),
    PRIMARY KEY (merchant, store_id)
) STRICT, WITHOUT ROWID;
";

/// What token endpoints issue. A token remembers what it rests on, so that it ends with it: the generation of the
/// secret is compared when it is used, the grant and the person end it here.
const TOKENS: &str = r"
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
";

/// Which calls of the admin API were carried out.
const ONCE: &str = r"
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
";

/// The identity provider: its clients, its keys, who is signed in, who granted what, and the tokens of
/// that. Nothing of it is cached, so that the journal need not know.
const IDENTITY: &str = r"
CREATE TABLE oauth_clients (
    client_number INTEGER PRIMARY KEY CHECK (client_number BETWEEN 1 AND 9007199254740991),
    client_id TEXT NOT NULL UNIQUE CHECK (length(client_id) BETWEEN 1 AND 128),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    -- bcrypt; NULL: a public client.
    secret_hash TEXT CHECK (length(secret_hash) = 60),
    -- URIs separated by blanks, which no URI has.
    redirect_uris TEXT NOT NULL CHECK (length(redirect_uris) BETWEEN 1 AND 65536),
    logout_uris TEXT NOT NULL DEFAULT '' CHECK (length(logout_uris) <= 65536),
    scopes TEXT NOT NULL CHECK (length(scopes) <= 4096),
    -- The number of the merchant who registered it; NULL: an operator did.
    owner INTEGER,
    status TEXT NOT NULL CHECK (status IN ('enabled', 'disabled')),
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX oauth_clients_by_owner ON oauth_clients (owner) WHERE owner IS NOT NULL;

CREATE TABLE identity_keys (
    -- Of two that start in one second, the later one signs.
    position INTEGER PRIMARY KEY,
    kid TEXT NOT NULL UNIQUE CHECK (length(kid) BETWEEN 1 AND 64),
    purpose TEXT NOT NULL CHECK (purpose IN ('id_token', 'pages')),
    -- Hexadecimal (PKCS #8, or the bytes of a MAC key), or xchacha20poly1305:<hex> when it is sealed.
    private_key TEXT NOT NULL CHECK (length(private_key) BETWEEN 64 AND 4096),
    created_at INTEGER NOT NULL,
    starts_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sign_ins (
    session_hash BLOB PRIMARY KEY NOT NULL CHECK (length(session_hash) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('customer', 'merchant')),
    number INTEGER NOT NULL,
    auth_time INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_ins_by_user ON sign_ins (kind, number, auth_time);
CREATE INDEX sign_ins_by_end ON sign_ins (ends_at);

CREATE TABLE consents (
    kind TEXT NOT NULL CHECK (kind IN ('customer', 'merchant')),
    number INTEGER NOT NULL,
    client_number INTEGER NOT NULL REFERENCES oauth_clients,
    -- The store that a merchant chose; 0: none.
    store_id INTEGER NOT NULL,
    scopes TEXT NOT NULL CHECK (length(scopes) <= 4096),
    given_at INTEGER NOT NULL,
    PRIMARY KEY (kind, number, client_number, store_id)
) STRICT, WITHOUT ROWID;

-- One sign-in at a client: its code, and the family of tokens that the code was exchanged for.
CREATE TABLE identity_grants (
    grant_id INTEGER PRIMARY KEY,
    code_hash BLOB NOT NULL UNIQUE CHECK (length(code_hash) = 32),
    client_number INTEGER NOT NULL REFERENCES oauth_clients,
    kind TEXT NOT NULL CHECK (kind IN ('customer', 'merchant')),
    number INTEGER NOT NULL,
    store_id INTEGER,
    scopes TEXT NOT NULL CHECK (length(scopes) <= 4096),
    redirect_uri TEXT NOT NULL CHECK (length(redirect_uri) <= 2048),
    code_challenge TEXT CHECK (length(code_challenge) = 43),
    nonce TEXT CHECK (length(nonce) <= 1024),
    auth_time INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    code_expires_at INTEGER NOT NULL,
    redeemed_at INTEGER,
    ended_at INTEGER
) STRICT;

CREATE INDEX identity_grants_by_user ON identity_grants (kind, number, client_number);
CREATE INDEX identity_grants_by_age ON identity_grants (code_expires_at);

-- An access and a refresh token that were issued together and are revoked together.
CREATE TABLE identity_tokens (
    pair_id INTEGER PRIMARY KEY,
    grant_id INTEGER NOT NULL REFERENCES identity_grants,
    access_hash BLOB NOT NULL UNIQUE CHECK (length(access_hash) = 32),
    refresh_hash BLOB NOT NULL UNIQUE CHECK (length(refresh_hash) = 32),
    -- Of the access token.
    scopes TEXT NOT NULL CHECK (length(scopes) <= 4096),
    issued_at INTEGER NOT NULL,
    access_expires_at INTEGER NOT NULL,
    refresh_expires_at INTEGER NOT NULL,
    -- When the refresh token was used. Used once more, it ends the family.
    replaced_at INTEGER,
    ended_at INTEGER
) STRICT;

CREATE INDEX identity_tokens_by_grant ON identity_tokens (grant_id);
CREATE INDEX identity_tokens_by_end ON identity_tokens (refresh_expires_at);

-- Whoever changed the password, or lost their account, is signed out everywhere.
CREATE TRIGGER users_signed_out AFTER UPDATE OF password_hash, status ON users
WHEN OLD.password_hash <> NEW.password_hash OR NEW.status <> 'active' BEGIN
    DELETE FROM sign_ins WHERE kind = NEW.kind AND number = NEW.number;
END;
-- Tokens do not come back with the account.
CREATE TRIGGER users_disabled AFTER UPDATE OF status ON users WHEN NEW.status <> 'active' BEGIN
    UPDATE identity_grants SET ended_at = unixepoch()
        WHERE kind = NEW.kind AND number = NEW.number AND ended_at IS NULL;
END;
-- Nor with another one that is given its number.
CREATE TRIGGER users_forgotten AFTER DELETE ON users BEGIN
    DELETE FROM sign_ins WHERE kind = OLD.kind AND number = OLD.number;
    DELETE FROM consents WHERE kind = OLD.kind AND number = OLD.number;
    UPDATE identity_grants SET ended_at = unixepoch()
        WHERE kind = OLD.kind AND number = OLD.number AND ended_at IS NULL;
END;
";

/// What a database says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing yet: it may become a replica.
    Empty,
    /// A replica with this many migrations behind it.
    Replica(i32),
    /// Somebody else's.
    Foreign,
}

/// Reads what a database says it is, and changes nothing.
pub(super) fn kind(conn: &Connection) -> rusqlite::Result<Kind> {
    let number = |pragma: &str| conn.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let objects = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match (application, version, objects) {
        (0, 0, 0) => Kind::Empty,
        (application, version, _) if application == i64::from(APPLICATION_ID) && version > 0 => {
            Kind::Replica(i32::try_from(version).unwrap_or(i32::MAX))
        }
        _ => Kind::Foreign,
    })
}

/// Brings an empty or older replica up to [`VERSION`], all or nothing. The caller has made sure that
/// it is one of those; another process that does the same is waited for.
pub(super) fn migrate(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = Transaction::new(conn, TransactionBehavior::Immediate)?;
    let version: i32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        tx.execute_batch(migration)?;
    }
    if version < VERSION {
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.commit()
}
