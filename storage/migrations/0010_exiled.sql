-- What forbids something to somebody who left an account or was forgotten, by a salted mark of who it was.
CREATE TABLE exiled (
    mark TEXT NOT NULL,
    community TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('freeze', 'block')),
    until REAL,
    PRIMARY KEY (mark, community, kind)
) STRICT, WITHOUT ROWID;
