CREATE TABLE pass (
    -- One row: the snapshot that these marks go with, and when its pass began.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    snapshot INTEGER NOT NULL,
    started INTEGER NOT NULL
) STRICT;

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    -- SHA-256 of the settings' JSON lines.
    settings BLOB NOT NULL
) STRICT;

CREATE TABLE folder (
    account INTEGER NOT NULL,
    id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    ident TEXT,
    -- The connector's own; empty: look again.
    mark BLOB NOT NULL,
    -- JSON object, item name -> version, where items may be edited in place.
    versions BLOB NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;
