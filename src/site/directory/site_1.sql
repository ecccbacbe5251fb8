-- site.sqlite, version 1: what a directory site has no other file for.
--
-- Addresses, names and paths are the keys that the rest of the site uses now; a rename updates the key here, and what
-- hangs below follows (ON UPDATE CASCADE). Rows for things that are no longer there mean nothing.
-- Words are those of archives: kinds of records, folders, grantees and settings in kebab-case.

CREATE TABLE site (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL                      -- the site's own, for ever
) STRICT;

-- The lasting id of a record: the same under every key that it has had.
CREATE TABLE record (
    kind TEXT NOT NULL,                   -- domain, cos, account, list, alias, settings
    key TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    name TEXT PRIMARY KEY,                -- server and global settings, for reference only
    attributes TEXT NOT NULL              -- JSON object of strings, here and below
) STRICT, WITHOUT ROWID;

CREATE TABLE domain (
    name TEXT PRIMARY KEY,
    attributes TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cos (
    name TEXT PRIMARY KEY,
    quota_bytes INTEGER,
    attributes TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Adds to an account that etc/passwd or the tree has; makes none by itself. Where both speak of one thing, etc/passwd
-- counts, except that nologin there is whichever of locked and closed stands here.
CREATE TABLE account (
    address TEXT PRIMARY KEY,
    class TEXT NOT NULL,                  -- user, location, equipment
    status TEXT NOT NULL,                 -- active, locked, closed
    cos TEXT,
    name TEXT,                            -- only where etc/passwd cannot hold it
    groups TEXT NOT NULL,                 -- JSON array: groups that etc/passwd cannot hold
    attributes TEXT NOT NULL              -- all but those that begin with "passwd."
) STRICT, WITHOUT ROWID;

-- An address of etc/virtual_alias: whether it is a list, and what a list has beside its members.
CREATE TABLE address (
    address TEXT PRIMARY KEY,
    kind TEXT NOT NULL,                   -- list, alias
    mapped INTEGER NOT NULL,              -- 1: it has a line in etc/virtual_alias, and without one is gone; 0: no members
    name TEXT,
    owners TEXT NOT NULL,                 -- JSON array of addresses
    attributes TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    account TEXT NOT NULL REFERENCES account (address) ON UPDATE CASCADE ON DELETE CASCADE,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,                  -- JSON, as in an archive
    PRIMARY KEY (account, kind, key)
) STRICT, WITHOUT ROWID;

-- What a folder has beside its files. NULL: nothing is said here.
CREATE TABLE folder (
    account TEXT NOT NULL REFERENCES account (address) ON UPDATE CASCADE ON DELETE CASCADE,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    special_use TEXT,                     -- empty: none, whatever its name
    subscribed INTEGER,                   -- kinds other than mail
    title TEXT,                           -- mail and files; other kinds have their displayname file
    color TEXT,
    PRIMARY KEY (account, kind, path)
) STRICT, WITHOUT ROWID;

-- Grants that dovecot-acl has no word for, and all of folders that are not mail.
CREATE TABLE folder_grant (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    grantee TEXT NOT NULL,                -- user, group, list, domain, cos, everyone, public, guest, owner
    who TEXT NOT NULL,                    -- empty for everyone, public and owner
    negative INTEGER NOT NULL,
    rights TEXT NOT NULL,
    PRIMARY KEY (account, kind, path, grantee, who, negative),
    FOREIGN KEY (account, kind, path) REFERENCES folder (account, kind, path) ON UPDATE CASCADE ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- An item's tags, and the keywords that its folder has no letter left for. The name is that of the item in an archive.
CREATE TABLE item_label (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    label TEXT NOT NULL,                  -- tag, keyword
    value TEXT NOT NULL,
    PRIMARY KEY (account, kind, path, name, label, value),
    FOREIGN KEY (account, kind, path) REFERENCES folder (account, kind, path) ON UPDATE CASCADE ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
