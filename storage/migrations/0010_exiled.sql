-- One sanction may count against several accounts of a person: `origin` is the id that it had in the first.
ALTER TABLE sanction ADD COLUMN origin INTEGER;
UPDATE sanction SET origin = id;
CREATE UNIQUE INDEX sanction_origin ON sanction (origin, account);
-- What forbids something to somebody who left an account or was forgotten, by a salted mark of who it was, and
-- until when that is kept.
CREATE TABLE exiled (
    mark TEXT NOT NULL,
    origin INTEGER NOT NULL,
    community TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('freeze', 'block')),
    until REAL,
    kept REAL NOT NULL,
    PRIMARY KEY (mark, origin)
) STRICT, WITHOUT ROWID;
CREATE INDEX exiled_origin ON exiled (origin);
