-- What each person asked for on a UTC day and what came of it, so that nobody counts a year of jobs to say so.
CREATE TABLE usage (
    community TEXT NOT NULL,
    day INTEGER NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    jobs INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    pictures INTEGER NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (community, day, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_account ON usage (account);
INSERT INTO usage (community, day, account, jobs, failed, pictures, units)
    SELECT community, CAST(created / 86400 AS INTEGER), account, count(*), sum(status = 'failed'), sum(arrived),
        sum(price * arrived / max(1, json_extract(request, '$.count')))
    FROM job GROUP BY 1, 2, 3;
