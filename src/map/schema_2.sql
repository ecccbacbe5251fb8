CREATE TABLE trusted (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    snapshot INTEGER NOT NULL,
    digest   TEXT NOT NULL
) STRICT;
