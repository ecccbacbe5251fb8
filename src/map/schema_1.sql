CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    source_site TEXT NOT NULL,
    target_site TEXT NOT NULL,
    archive     TEXT NOT NULL,
    wagon       TEXT NOT NULL,
    created     INTEGER NOT NULL
) STRICT;

CREATE TABLE record (
    id         INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,
    source_key TEXT NOT NULL,
    target_key TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('intent', 'done', 'removed')),
    base       TEXT NOT NULL,
    seen       TEXT,
    snapshot   INTEGER NOT NULL
) STRICT;
CREATE INDEX record_by_target ON record (kind, target_key);

CREATE TABLE record_key (
    kind       TEXT NOT NULL,
    source_key TEXT NOT NULL,
    record     INTEGER NOT NULL REFERENCES record (id),
    snapshot   INTEGER NOT NULL,
    PRIMARY KEY (kind, source_key, record)
) STRICT, WITHOUT ROWID;

CREATE TABLE progress (
    record   INTEGER PRIMARY KEY REFERENCES record (id),
    snapshot INTEGER NOT NULL,
    rules    TEXT NOT NULL,
    ledger   TEXT NOT NULL
) STRICT;

CREATE TABLE folder (
    record      INTEGER NOT NULL REFERENCES record (id),
    id          INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    source_path TEXT NOT NULL,
    target_path TEXT NOT NULL,
    base        TEXT NOT NULL,
    uids_lost   TEXT,
    state       TEXT NOT NULL CHECK (state IN ('done', 'removed')),
    snapshot    INTEGER NOT NULL,
    PRIMARY KEY (record, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE folder_key (
    record      INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    source_path TEXT NOT NULL,
    folder      INTEGER NOT NULL,
    snapshot    INTEGER NOT NULL,
    PRIMARY KEY (record, kind, source_path, folder)
) STRICT, WITHOUT ROWID;

CREATE TABLE item (
    record        INTEGER NOT NULL,
    id            INTEGER NOT NULL,
    folder        INTEGER NOT NULL,
    source_name   TEXT NOT NULL,
    target_name   TEXT,
    object        BLOB NOT NULL CHECK (length(object) = 32),
    target_object BLOB CHECK (length(target_object) = 32),
    flags         TEXT NOT NULL,
    keywords      TEXT,
    tags          TEXT,
    state         TEXT NOT NULL
        CHECK (state IN ('intent', 'done', 'adopted', 'rejected', 'deleted-on-target', 'removed')),
    reason        TEXT,
    snapshot      INTEGER NOT NULL,
    PRIMARY KEY (record, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_intent ON item (record, folder) WHERE state = 'intent';

CREATE TABLE setting (
    record   INTEGER NOT NULL REFERENCES record (id),
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    source   TEXT NOT NULL,
    written  TEXT,
    snapshot INTEGER NOT NULL,
    PRIMARY KEY (record, kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    record   INTEGER NOT NULL,
    folder   INTEGER NOT NULL,
    source   TEXT NOT NULL,
    written  TEXT NOT NULL,
    snapshot INTEGER NOT NULL,
    PRIMARY KEY (record, folder)
) STRICT, WITHOUT ROWID;

CREATE TABLE pending (
    record   INTEGER NOT NULL REFERENCES record (id),
    link     TEXT NOT NULL CHECK (link IN ('grant', 'mountpoint')),
    place    TEXT NOT NULL,
    refers   TEXT NOT NULL,
    cause    TEXT NOT NULL,
    snapshot INTEGER NOT NULL,
    PRIMARY KEY (record, link, place, refers)
) STRICT, WITHOUT ROWID;

CREATE TABLE conflict (
    no       INTEGER PRIMARY KEY,
    snapshot INTEGER NOT NULL,
    place    TEXT NOT NULL,
    what     TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX conflict_once ON conflict (snapshot, place, what);
