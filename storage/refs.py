"""Under which id a platform knows a picture that was sent there: it need not be sent again."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import msgspec

from inference.request import Request


@dataclass(frozen=True, slots=True)
class Known:
    """A picture (``index`` -1: the grid) of a job, and the platform's id of it."""

    job: int
    index: int
    prompt: str
    ref: str


_request = msgspec.json.Decoder(Request)

RECENT_SQL = """
    SELECT piece.job, piece.number, job.request, ref.ref
    FROM piece JOIN ref ON ref.digest = piece.digest AND ref.platform = ? JOIN job ON job.id = piece.job
    WHERE piece.account = ? AND job.shown = '' ORDER BY piece.id DESC LIMIT ?
"""


def put(tx: sqlite3.Connection, platform: str, digest: str, ref: str) -> None:
    """The platform knows this picture as ``ref``, if the picture still hangs."""
    tx.execute(
        "INSERT INTO ref (platform, digest, ref) SELECT ?1, ?2, ?3 "
        "WHERE EXISTS (SELECT 1 FROM piece WHERE digest = ?2) "
        "ON CONFLICT (platform, digest) DO UPDATE SET ref = excluded.ref",
        (platform, digest, ref),
    )


def recent(tx: sqlite3.Connection, platform: str, account_id: int, limit: int) -> tuple[Known, ...]:
    """The newest ``limit`` pictures of an account that the platform knows and that nothing covers."""
    rows = tx.execute(RECENT_SQL, (platform, account_id, limit)).fetchall()
    return tuple(Known(job, index, _request.decode(text).prompt, ref) for job, index, text, ref in rows)
