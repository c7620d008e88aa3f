"""What is noted in the metadata of sessions and lines on where talk goes on, and how it is taken off again."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from storage.model import Session

PARTICIPANTS = 50
"""The most people a session remembers by name, the latest newcomers."""

PLACED = "placed"
"""In that of a line which could have gone into several sessions: the rule by which it went into its own, and the id of
the one that came next, if any."""
KEPT = "keep"
"""In a session's: the next line of a person continues it, however long the silence."""
CLEARED = "cleared"
"""In a session's: people took it away themselves, and may bring it back."""
MERGED = "merged_into"
"""In a session's: the id of the session that holds its lines now."""
BEGUN = "begun"
"""In a session's: since when, in ISO 8601, it alone goes on where several could, because people have begun it or taken
it up."""
BEGUN_BY = "begun_by"
"""In a session's: for whom of those in it that is so, and for whoever was in one session with them, as a fingerprint;
left out, for everybody."""


def begun(session: Session) -> float:
    """Since when it alone goes on, in Unix seconds; 0 where people have not decided that."""
    try:
        return datetime.fromisoformat(session.metadata[BEGUN]).timestamp()
    except (KeyError, ValueError):
        return 0.0


def begun_for(session: Session) -> str | None:
    """For whom it alone goes on: empty where that is known no more; None: for everybody."""
    mark = session.metadata.get(BEGUN_BY)
    if mark is None:
        return None
    return next((each.id for each in session.participants if fingerprint(session, each.id) == mark), "")


def waits(session: Session) -> bool:
    """Whether it was begun or taken up for one person, and nobody has spoken there since."""
    return BEGUN_BY in session.metadata and session.last_at.timestamp() <= begun(session)


def fingerprint(session: Session, person_id: str) -> str:
    """Tells a person of a session from the others, and says nothing once they were forgotten there."""
    return sha256(f"{session.id} {person_id}".encode()).hexdigest()[:16]


def without(session: Session, mark: str) -> Session:
    """The session without an entry of its metadata."""
    if mark not in session.metadata:
        return session
    return session.model_copy(update={"metadata": {k: v for k, v in session.metadata.items() if k != mark}})


def without_summary(session: Session) -> Session:
    """The session with an empty summary."""
    if not session.context.summary:
        return session
    return session.model_copy(update={"context": session.context.model_copy(update={"summary": ""})})
