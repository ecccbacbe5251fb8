-- By how many bytes some servers make the message shorter; it is looked for with that size too.
ALTER TABLE intent ADD COLUMN less INTEGER NOT NULL DEFAULT 0;
