-- SHA-256 of what the account's rows say; empty in those of before, which are not believed.
ALTER TABLE account ADD COLUMN digest BLOB NOT NULL DEFAULT x'';
