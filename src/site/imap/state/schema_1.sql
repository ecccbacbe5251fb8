-- What an IMAP server told at the last look: folders, messages, and which message bears which name.
CREATE TABLE server (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Random; a mark that was made with another state says nothing.
    id BLOB NOT NULL
) STRICT;

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    address TEXT NOT NULL UNIQUE,
    -- Counts the looks at the whole account.
    look INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    path TEXT NOT NULL,
    -- Its name as the server spells it.
    wire BLOB NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL,
    -- 0: not known.
    modseq INTEGER NOT NULL,
    -- JSON: special use, subscription, lasting name, grants.
    about TEXT NOT NULL,
    -- Grows with every change of the folder or of a message in it.
    changed INTEGER NOT NULL,
    UNIQUE (account, path)
) STRICT;

CREATE TABLE message (
    folder INTEGER NOT NULL REFERENCES folder (id),
    uid INTEGER NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    -- Null until the whole account has been looked at.
    name TEXT,
    -- By what it is known again elsewhere; null where it was delivered and not looked at since.
    ident TEXT,
    size INTEGER NOT NULL,
    date INTEGER NOT NULL,
    flags TEXT NOT NULL,
    -- JSON list; empty text: none.
    keywords TEXT NOT NULL,
    -- Delivered as passed on (Maildir's P), for which IMAP has the keyword $Forwarded only.
    passed INTEGER NOT NULL DEFAULT 0,
    -- SHA-256 of what the server has, where it was delivered with other bytes; and who changed them.
    object BLOB,
    by_server INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (folder, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_name ON message (account, name);
CREATE INDEX message_ident ON message (account, ident);

-- Messages that left a folder and may turn up in another.
CREATE TABLE departed (
    account INTEGER NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    ident TEXT,
    look INTEGER NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX departed_ident ON departed (account, ident);

-- Deliveries that were announced; what became of them only the server knows.
CREATE TABLE intent (
    account INTEGER NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    folder INTEGER NOT NULL REFERENCES folder (id),
    uid_validity INTEGER NOT NULL,
    -- The message has this UID or a greater one, if it is there.
    uid_from INTEGER NOT NULL,
    size INTEGER NOT NULL,
    -- SHA-256 of what was sent; whether its line ends had to be changed for that.
    hash BLOB NOT NULL,
    mended INTEGER NOT NULL,
    date INTEGER NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX intent_folder ON intent (folder);
