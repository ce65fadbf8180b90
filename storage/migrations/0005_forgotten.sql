-- Salted marks of whoever was forgotten in the last days, so that it is no way to a second first grant.
CREATE TABLE forgotten (
    mark TEXT PRIMARY KEY,
    until REAL NOT NULL
) STRICT, WITHOUT ROWID;
