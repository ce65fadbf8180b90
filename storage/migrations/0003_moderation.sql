-- What moderators decide, what people may spend where, and what was done about it.

ALTER TABLE job ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1));
ALTER TABLE job ADD COLUMN community TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN channel TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN shown TEXT NOT NULL DEFAULT '' CHECK (shown IN ('', 'spoiler', 'withheld'));
DROP INDEX job_queue;
DROP INDEX job_suspects;
CREATE INDEX job_queue ON job (turn, id, cost) WHERE status = 'queued' AND held = 0;
CREATE INDEX job_suspects ON job (turn, id) WHERE status = 'queued' AND suspect = 1 AND held = 0;
CREATE INDEX job_held ON job (id) WHERE held = 1;
CREATE INDEX job_community ON job (community, created);

-- Money besides an account's own: a person's in one community, a channel's, a community's ('' is the house).
-- `extra` is what was given on top of the allowance; it stays until it is spent.
CREATE TABLE purse (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    community TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('person', 'channel', 'pool')),
    key TEXT NOT NULL,
    extra INTEGER NOT NULL DEFAULT 0 CHECK (extra >= 0),
    UNIQUE (community, kind, key)
) STRICT;

-- What was spent of a purse's allowance in one window of the calendar: Unix seconds of its beginning.
CREATE TABLE meter (
    purse INTEGER NOT NULL REFERENCES purse (id),
    window INTEGER NOT NULL,
    spent INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),
    PRIMARY KEY (purse, window)
) STRICT, WITHOUT ROWID;

-- The ledger also keeps these. An entry without a purse moves the account's balance; one with a window moves
-- that window's meter; one with a purse alone moves its extra.
DROP TRIGGER ledger_moves_balance;
DROP TRIGGER ledger_never_changes;
DROP TRIGGER ledger_never_forgets;
DROP INDEX ledger_account;
DROP INDEX ledger_job;
ALTER TABLE ledger RENAME TO ledger_before;
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id),
    job INTEGER REFERENCES job (id),
    why TEXT NOT NULL CHECK (why IN (
        'grant', 'refill', 'reserve', 'settle', 'refund', 'give', 'take', 'gift', 'undo', 'forgotten'
    )),
    units INTEGER NOT NULL,
    at REAL NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    key TEXT NOT NULL UNIQUE,
    purse INTEGER REFERENCES purse (id),
    window INTEGER,
    CHECK (window IS NULL OR purse IS NOT NULL)
) STRICT;
INSERT INTO ledger (id, account, job, why, units, at, note, key)
    SELECT id, account, job, why, units, at, note, key FROM ledger_before;
DROP TABLE ledger_before;
CREATE INDEX ledger_account ON ledger (account, id);
CREATE UNIQUE INDEX ledger_job ON ledger (job, why, coalesce(purse, 0), coalesce(window, 0))
    WHERE job IS NOT NULL;
CREATE INDEX ledger_purse ON ledger (purse, id) WHERE purse IS NOT NULL;

-- Whoever is being forgotten, within the transaction that forgets them: it is empty at every other time.
CREATE TABLE forgetting (
    account INTEGER PRIMARY KEY
) STRICT;
CREATE TRIGGER ledger_moves AFTER INSERT ON ledger
    WHEN NOT EXISTS (SELECT 1 FROM forgetting WHERE account = new.account)
BEGIN
    UPDATE account SET balance = balance + new.units WHERE id = new.account AND new.purse IS NULL;
    UPDATE purse SET extra = extra + new.units WHERE id = new.purse AND new.window IS NULL;
    INSERT INTO meter (purse, window) SELECT new.purse, new.window WHERE new.window IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM meter WHERE purse = new.purse AND window = new.window);
    UPDATE meter SET spent = spent - new.units WHERE purse = new.purse AND window = new.window;
END;
CREATE TRIGGER ledger_never_changes BEFORE UPDATE ON ledger BEGIN
    SELECT raise(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER ledger_never_forgets BEFORE DELETE ON ledger
    WHEN NOT EXISTS (SELECT 1 FROM forgetting WHERE account = old.account)
BEGIN
    SELECT raise(ABORT, 'the ledger is append-only');
END;

-- How much may be spent. `key`: an account, a role, a channel; '' for everybody and for the pool.
CREATE TABLE allowance (
    community TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('person', 'role', 'everybody', 'channel', 'pool')),
    key TEXT NOT NULL,
    period TEXT NOT NULL CHECK (period IN ('day', 'week', 'month')),
    units INTEGER NOT NULL CHECK (units >= 0),
    PRIMARY KEY (community, kind, key)
) STRICT, WITHOUT ROWID;

-- Everything else that a community decides, as JSON; a channel ('' is all of them) says what differs there.
CREATE TABLE policy (
    community TEXT NOT NULL,
    channel TEXT NOT NULL,
    said TEXT NOT NULL,
    PRIMARY KEY (community, channel)
) STRICT, WITHOUT ROWID;

-- Roles that moderators give here, for chats that have none of their own.
CREATE TABLE membership (
    community TEXT NOT NULL,
    role TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    PRIMARY KEY (community, role, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX membership_account ON membership (account);

-- What roles and channels are called, to be shown; never people.
CREATE TABLE title (
    thing TEXT PRIMARY KEY,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may not, for how long and why; only people make them. `until` NULL lasts until it is ended.
CREATE TABLE sanction (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    community TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    kind TEXT NOT NULL CHECK (kind IN ('freeze', 'block', 'warn')),
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    until REAL,
    ended INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1))
) STRICT;
CREATE INDEX sanction_account ON sanction (account, ended);

-- A community's own rules beside the operator's.
CREATE TABLE rule (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    community TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('word', 'pattern', 'allow')),
    text TEXT NOT NULL,
    UNIQUE (community, kind, text)
) STRICT;

-- What moderators did, each once; `back` says how to undo it ('' cannot be undone).
CREATE TABLE act (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    community TEXT NOT NULL,
    moderator INTEGER NOT NULL REFERENCES account (id),
    what TEXT NOT NULL,
    subject INTEGER REFERENCES account (id),
    facts TEXT NOT NULL,
    back TEXT NOT NULL,
    at REAL NOT NULL,
    key TEXT NOT NULL UNIQUE,
    undone INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1))
) STRICT;
CREATE INDEX act_community ON act (community, id);
CREATE INDEX act_subject ON act (subject) WHERE subject IS NOT NULL;

-- What a moderator is asked to decide: a refused request (kept for an appeal, forgotten without one), or a
-- reported job. `turn` is the place in the queue that the request would have had.
CREATE TABLE matter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('refusal', 'report')),
    state TEXT NOT NULL CHECK (state IN ('offered', 'open', 'approved', 'upheld', 'removed', 'spoilered')),
    community TEXT NOT NULL,
    channel TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    job INTEGER REFERENCES job (id),
    rule TEXT NOT NULL,
    matched TEXT NOT NULL,
    request TEXT NOT NULL,
    context TEXT NOT NULL,
    turn REAL NOT NULL,
    place TEXT NOT NULL,
    language TEXT NOT NULL,
    at REAL NOT NULL,
    card TEXT NOT NULL DEFAULT '',
    told INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1)),
    moderator INTEGER REFERENCES account (id)
) STRICT;
CREATE INDEX matter_open ON matter (community, id) WHERE state = 'open';
CREATE INDEX matter_offered ON matter (at) WHERE state = 'offered';
CREATE INDEX matter_untold ON matter (id) WHERE told = 0 AND state <> 'offered';
CREATE INDEX matter_account ON matter (account);
CREATE INDEX matter_job ON matter (job) WHERE job IS NOT NULL;

-- Anonymous counts by UTC day, for /transparency: they outlive whoever they count.
CREATE TABLE tally (
    community TEXT NOT NULL,
    what TEXT NOT NULL,
    day INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (community, what, day)
) STRICT, WITHOUT ROWID;
