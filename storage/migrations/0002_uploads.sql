-- Pictures that people sent, as jobs begin from them. Their files lie with the other pictures.

CREATE TABLE upload (
    job INTEGER PRIMARY KEY REFERENCES job (id),
    digest TEXT NOT NULL CHECK (length(digest) = 64)
) STRICT;
CREATE INDEX upload_digest ON upload (digest);
