-- What a safety check said of a picture (the chance that it is for adults only; NULL: nobody looked), whether
-- its channel is for adults, and whether it was withheld by the check and so costs nothing.
ALTER TABLE piece ADD COLUMN unsafe REAL CHECK (unsafe BETWEEN 0.0 AND 1.0);
ALTER TABLE job ADD COLUMN adult INTEGER NOT NULL DEFAULT 0 CHECK (adult IN (0, 1));
ALTER TABLE job ADD COLUMN free INTEGER NOT NULL DEFAULT 0 CHECK (free IN (0, 1));
