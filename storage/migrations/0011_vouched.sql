-- What a raid does not take back: somebody who moderates there asked for it, or a moderator approved it.
ALTER TABLE job ADD COLUMN vouched INTEGER NOT NULL DEFAULT 0 CHECK (vouched IN (0, 1));
