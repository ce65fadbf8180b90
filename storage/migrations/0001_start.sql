-- The first tables. Times are Unix seconds (UTC); money is in units, 1 000 to the credit.

-- One row: the virtual clock of the queue, the last day that was refilled (days since 1970-01-01)
-- and the salt with which people's ids are hashed where they must not be readable.
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    clock REAL NOT NULL,
    day INTEGER NOT NULL,
    salt BLOB NOT NULL
) STRICT;
INSERT INTO meta (id, clock, day, salt) VALUES (1, 0.0, 0, randomblob(16));

-- A person. `finish` is the virtual time at which their share is used up; the owner (`unlimited`) may owe.
CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    language TEXT NOT NULL,
    unlimited INTEGER NOT NULL CHECK (unlimited IN (0, 1)),
    weight REAL NOT NULL CHECK (weight > 0),
    finish REAL NOT NULL,
    balance INTEGER NOT NULL DEFAULT 0 CHECK (unlimited = 1 OR balance >= 0),
    settings TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL
) STRICT;

-- Where a person is known: `platform:user`.
CREATE TABLE identity (
    who TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX identity_account ON identity (account);

-- Codes with which a second chat joins an account (their salted hash), and who tried how often.
CREATE TABLE link (
    code TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    expires REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX link_account ON link (account);
CREATE TABLE link_try (
    subject TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX link_try_subject ON link_try (subject, at);

-- A request that somebody was charged for. `turn` is its place in virtual time, `share` what it added to the
-- account's `finish`, `attempt` the fencing token, `arrived` the pictures that came.
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id),
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    price INTEGER NOT NULL CHECK (price >= 0),
    cost REAL NOT NULL CHECK (cost >= 0),
    share REAL NOT NULL CHECK (share >= 0),
    turn REAL NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    attempt INTEGER NOT NULL DEFAULT 0,
    engine TEXT NOT NULL DEFAULT '',
    place TEXT NOT NULL,
    language TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    parent INTEGER REFERENCES job (id),
    parent_index INTEGER,
    code TEXT NOT NULL DEFAULT '',
    suspect INTEGER NOT NULL DEFAULT 0 CHECK (suspect IN (0, 1)),
    deaths INTEGER NOT NULL DEFAULT 0,
    private INTEGER NOT NULL DEFAULT 0 CHECK (private IN (0, 1)),
    seconds REAL NOT NULL DEFAULT 0,
    arrived INTEGER NOT NULL DEFAULT 0 CHECK (arrived >= 0),
    UNIQUE (account, key)
) STRICT;
CREATE INDEX job_queue ON job (turn, id, cost) WHERE status = 'queued';
CREATE INDEX job_suspects ON job (turn, id) WHERE status = 'queued' AND suspect = 1;
CREATE INDEX job_waiting ON job (account) WHERE status = 'queued';
CREATE INDEX job_running ON job (started, id) WHERE status = 'running';
CREATE INDEX job_account ON job (account, id);
CREATE INDEX job_parent ON job (parent) WHERE parent IS NOT NULL;

-- Money. Rows are only ever added; each moves the balance in the same breath.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id),
    job INTEGER REFERENCES job (id),
    why TEXT NOT NULL CHECK (why IN ('grant', 'refill', 'reserve', 'settle', 'refund')),
    units INTEGER NOT NULL,
    at REAL NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    key TEXT NOT NULL UNIQUE
) STRICT;
CREATE INDEX ledger_account ON ledger (account, id);
CREATE UNIQUE INDEX ledger_job ON ledger (job, why) WHERE job IS NOT NULL;
CREATE TRIGGER ledger_moves_balance AFTER INSERT ON ledger BEGIN
    UPDATE account SET balance = balance + new.units WHERE id = new.account;
END;
CREATE TRIGGER ledger_never_changes BEFORE UPDATE ON ledger BEGIN
    SELECT raise(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER ledger_never_forgets BEFORE DELETE ON ledger BEGIN
    SELECT raise(ABORT, 'the ledger is append-only');
END;

-- Events of the chats, each once.
CREATE TABLE inbox (
    platform TEXT NOT NULL,
    event TEXT NOT NULL,
    place TEXT NOT NULL,
    payload BLOB NOT NULL,
    at REAL NOT NULL,
    done INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)),
    PRIMARY KEY (platform, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_pending ON inbox (at) WHERE done = 0;
CREATE INDEX inbox_age ON inbox (at);

-- The pictures of jobs, each of which lies in the picture folder under its SHA-256 (number -1: the grid).
CREATE TABLE piece (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL REFERENCES job (id),
    account INTEGER NOT NULL REFERENCES account (id),
    number INTEGER NOT NULL CHECK (number >= -1),
    digest TEXT NOT NULL CHECK (length(digest) = 64),
    seed INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    size INTEGER NOT NULL,
    starred INTEGER NOT NULL DEFAULT 0 CHECK (starred IN (0, 1)),
    created REAL NOT NULL,
    preview BLOB NOT NULL,
    UNIQUE (job, number)
) STRICT;
CREATE INDEX piece_account ON piece (account, id) WHERE number >= 0;
CREATE INDEX piece_starred ON piece (account, id) WHERE number >= 0 AND starred = 1;
CREATE INDEX piece_digest ON piece (digest);
CREATE INDEX piece_age ON piece (created) WHERE starred = 0;

-- Finished jobs that somebody has yet to be shown; a job is delivered once.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL UNIQUE REFERENCES job (id),
    tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    over REAL,
    outcome TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX outbox_due ON outbox (due, id) WHERE over IS NULL;

-- What the moderation rules said; never the prompt itself.
CREATE TABLE decision (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id),
    rule TEXT NOT NULL,
    verdict TEXT NOT NULL,
    prompt TEXT NOT NULL CHECK (length(prompt) = 64),
    at REAL NOT NULL
) STRICT;
CREATE INDEX decision_account ON decision (account, id);
