-- People, and the stores that merchants work for. Nothing of it is cached, so that the journal need not
-- know: tokens that rest on a person are ended in their own table.

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
