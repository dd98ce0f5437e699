-- The identity provider: its clients, its keys, who is signed in, who granted what, and the tokens of
-- that. Nothing of it is cached, so that the journal need not know.

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
