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
-- account's `finish`, `attempt` the fencing token, `arrived` the pictures that came. No raid
-- takes back what is `vouched` for: somebody who moderates there asked for it, or a moderator approved it.
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
    held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
    community TEXT NOT NULL DEFAULT '',
    channel TEXT NOT NULL DEFAULT '',
    shown TEXT NOT NULL DEFAULT '' CHECK (shown IN ('', 'spoiler', 'withheld')),
    adult INTEGER NOT NULL DEFAULT 0 CHECK (adult IN (0, 1)),
    free INTEGER NOT NULL DEFAULT 0 CHECK (free IN (0, 1)),
    vouched INTEGER NOT NULL DEFAULT 0 CHECK (vouched IN (0, 1)),
    UNIQUE (account, key)
) STRICT;
CREATE INDEX job_queue ON job (turn, id, cost) WHERE status = 'queued' AND held = 0;
CREATE INDEX job_suspects ON job (turn, id) WHERE status = 'queued' AND suspect = 1 AND held = 0;
CREATE INDEX job_held ON job (id) WHERE held = 1;
CREATE INDEX job_community ON job (community, created);
CREATE INDEX job_waiting ON job (account) WHERE status = 'queued';
CREATE INDEX job_running ON job (started, id) WHERE status = 'running';
CREATE INDEX job_account ON job (account, id);
CREATE INDEX job_parent ON job (parent) WHERE parent IS NOT NULL;

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

-- Every entry that moved money: of a purse's window, of a purse's extra, or of the account itself. Rows are
-- only ever added.
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
CREATE INDEX ledger_account ON ledger (account, id);
CREATE UNIQUE INDEX ledger_job ON ledger (job, why, coalesce(purse, 0), coalesce(window, 0))
    WHERE job IS NOT NULL;
CREATE INDEX ledger_purse ON ledger (purse, id) WHERE purse IS NOT NULL;
CREATE INDEX ledger_at ON ledger (at);
CREATE INDEX ledger_rare ON ledger (why, at) WHERE why NOT IN ('reserve', 'refund');

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
    unsafe REAL CHECK (unsafe BETWEEN 0.0 AND 1.0),
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

-- Pictures that people sent, as jobs begin from them. Their files lie with the other pictures.
CREATE TABLE upload (
    job INTEGER PRIMARY KEY REFERENCES job (id),
    digest TEXT NOT NULL CHECK (length(digest) = 64)
) STRICT;
CREATE INDEX upload_digest ON upload (digest);

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
, origin INTEGER) STRICT;
CREATE INDEX sanction_account ON sanction (account, ended);
-- One sanction may count against several accounts of a person: `origin` is the id that it had in the first.
CREATE UNIQUE INDEX sanction_origin ON sanction (origin, account);

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

-- Salted marks of whoever was forgotten in the last days, so that it is no way to a second first grant.
CREATE TABLE forgotten (
    mark TEXT PRIMARY KEY,
    until REAL NOT NULL
) STRICT, WITHOUT ROWID;

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
