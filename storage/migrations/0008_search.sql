-- Moderators look through a large ledger by its moments, and for the few entries that are not of jobs.
CREATE INDEX ledger_at ON ledger (at);
CREATE INDEX ledger_rare ON ledger (why, at) WHERE why NOT IN ('reserve', 'refund');
