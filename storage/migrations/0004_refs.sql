-- What could not be shown is told when its person comes back.
CREATE INDEX outbox_missed ON outbox (job) WHERE outcome IN ('gone', 'unsure');

-- Under which id a platform knows a picture that was sent there; forgotten with the picture.
CREATE TABLE ref (
    platform TEXT NOT NULL,
    digest TEXT NOT NULL,
    ref TEXT NOT NULL,
    PRIMARY KEY (platform, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX ref_digest ON ref (digest);
CREATE TRIGGER ref_goes_with_its_picture AFTER DELETE ON piece
WHEN NOT EXISTS (SELECT 1 FROM piece WHERE digest = old.digest) BEGIN
    DELETE FROM ref WHERE digest = old.digest;
END;
