-- Moves on a server without MOVE: copied there, then removed here. What of it was done only the server knows.
CREATE TABLE copying (
    account INTEGER NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    -- Where the message lay.
    folder INTEGER NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    ident TEXT,
    size INTEGER NOT NULL,
    -- Where it goes; the copy has this UID or a greater one, if it is there.
    to_folder INTEGER NOT NULL,
    to_validity INTEGER NOT NULL,
    to_from INTEGER NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
