"""Which messages and sessions are meant, asked of an SQLite store: conditions, and the searches made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ..model import storable
from ..sought import Sought
from .json_text import storable_all
from .sqlite_rows import micros

Bound = dict[str, str | int]
MATCHES = 1000
_WEIGHED = 8000
"""Characters of a message that are weighed."""


def of_sessions(sought: Sought) -> tuple[str, Bound]:
    """What must hold of a session `s`, and the values in it."""
    asked: list[tuple[str, str, str | int]] = []
    if sought.channel_keys is not None:
        asked.append(("s.channel_key IN (SELECT value FROM json_each(:keys))", "keys", _listed(sought.channel_keys)))
    if sought.session_ids is not None:
        asked.append(("s.session_id IN (SELECT value FROM json_each(:ids))", "ids", _listed(sought.session_ids)))
    if sought.tags:
        asked.append((_TAGGED, "tags", _listed(sought.tags)))
    if sought.starred is not None:
        asked.append(("s.starred = :starred", "starred", int(sought.starred)))
    if sought.archived is not None:
        asked.append(("s.archived = :archived", "archived", int(sought.archived)))
    return _together(asked)


def of_messages(sought: Sought) -> tuple[str, Bound]:
    """What must hold of a message `m`, and the values in it."""
    asked: list[tuple[str, str, str | int]] = []
    if sought.people is not None:
        asked.append((_SAID_BY, "people", _listed(sought.people)))
    if sought.persona is not None:
        asked.append(("m.persona = :persona", "persona", storable(sought.persona)))
    if sought.since is not None:
        asked.append(("m.at >= :since", "since", micros(sought.since)))
    if sought.until is not None:
        asked.append(("m.at < :until", "until", micros(sought.until)))
    if sought.files is not None:
        asked.append((f"({_WITH_FILES}) = :files", "files", int(sought.files)))
    return _together(asked)


def holding(sought: Sought) -> tuple[str, Bound]:
    """What must hold of a session `s` that is meant, and holds a message that is, where anything is said of those."""
    condition, bound = of_sessions(sought)
    if not sought.of_messages:
        return condition, bound
    inside, more = of_messages(sought)
    there = f"EXISTS (SELECT 1 FROM messages AS m WHERE m.session = s.id AND m.deleted_at IS NULL AND {inside})"
    return f"{condition} AND {there}", bound | more


def matching(sought: Sought) -> tuple[str, Bound]:
    """The messages in sight that are meant and match `:query`, of many those kept last, by time: number, words."""
    sessions, bound = of_sessions(sought)
    messages, more = of_messages(sought)
    return (
        f"""
        SELECT id, words FROM (
            SELECT m.id, m.at, substr(m.content, 1, {_WEIGHED}) AS words
            FROM (SELECT rowid FROM search WHERE search MATCH :query) AS hit
            CROSS JOIN messages AS m ON m.id = hit.rowid CROSS JOIN sessions AS s ON s.id = m.session
            WHERE m.deleted_at IS NULL AND s.deleted_at IS NULL AND {sessions} AND {messages}
            ORDER BY hit.rowid DESC LIMIT {MATCHES}
        ) ORDER BY at DESC, id DESC
        """,
        bound | more,
    )


def newest(sought: Sought) -> tuple[str, Bound]:
    """The numbers of the messages in sight that are meant, the newest first: `:limit` of them after `:skip`."""
    sessions, bound = of_sessions(sought)
    messages, more = of_messages(sought)
    if bound:  # few sessions, by their index
        inside = f"m.session IN (SELECT s.id FROM sessions AS s WHERE s.deleted_at IS NULL AND {sessions})"
    else:
        inside = "m.session NOT IN (SELECT s.id FROM sessions AS s WHERE s.deleted_at IS NOT NULL)"
    where = f"m.deleted_at IS NULL AND {inside} AND {messages}"
    return (
        f"SELECT m.id FROM messages AS m WHERE {where} ORDER BY m.at DESC, m.id DESC LIMIT :limit OFFSET :skip",
        bound | more,
    )


def _together(asked: Sequence[tuple[str, str, str | int]]) -> tuple[str, Bound]:
    conditions = ["true", *(condition for condition, _, _ in asked)]
    return " AND ".join(conditions), {name: value for _, name, value in asked}


def _listed(values: Iterable[str]) -> str:
    return json.dumps(storable_all(list(values)))


_TAGGED = (
    "NOT EXISTS (SELECT 1 FROM json_each(:tags) AS wanted WHERE folded(wanted.value) NOT IN "
    "(SELECT folded(had.value) FROM json_each(s.tags) AS had))"
)
_SAID_BY = "m.sender IN (SELECT id FROM senders WHERE user_id IN (SELECT value FROM json_each(:people)))"
_WITH_FILES = (
    "m.parts IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(m.parts) AS part "
    "WHERE part.value ->> '$.type' IN ('image', 'audio', 'video', 'file'))"
)
