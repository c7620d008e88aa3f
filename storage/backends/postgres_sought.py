"""Which messages and sessions are meant, asked of a PostgreSQL store: conditions, and the searches made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ..sought import Sought
from .changes import located
from .postgres_rows import IN_SIGHT

MATCHES = 1000


def of_sessions(sought: Sought, first: int) -> tuple[str, list[Any]]:
    """What must hold of a session `s`, and the values in it, from `$first` on."""
    asked: list[tuple[str, Any]] = []
    if sought.channel_keys is not None:
        asked.append(("s.channel_key = ANY ($0::text[])", sorted(sought.channel_keys)))
    if sought.session_ids is not None:
        asked.append(("s.session_id = ANY ($0::text[])", sorted(sought.session_ids)))
    asked += [("s.tags ?| $0::text[]", spellings) for spellings in _spelt(sought.tags)]
    if sought.starred is not None:
        asked.append(("s.starred = $0::boolean", sought.starred))
    if sought.archived is not None:
        asked.append(("s.archived = $0::boolean", sought.archived))
    return _together(asked, first)


def of_messages(sought: Sought, first: int) -> tuple[str, list[Any]]:
    """What must hold of a message `m`, and the values in it, from `$first` on."""
    asked: list[tuple[str, Any]] = []
    if sought.people is not None:
        asked.append(("m.user_id = ANY ($0::text[])", sorted(sought.people)))
    if sought.persona is not None:
        asked.append(("m.persona = $0::text", sought.persona))
    if sought.since is not None:
        asked.append(("m.timestamp >= $0::timestamptz", located(sought.since)))
    if sought.until is not None:
        asked.append(("m.timestamp < $0::timestamptz", located(sought.until)))
    if sought.files is not None:
        asked.append((f"{_WITH_FILES} = $0::boolean", sought.files))
    return _together(asked, first)


def holding(sought: Sought, first: int) -> tuple[str, list[Any]]:
    """What must hold of a session `s` that is meant, and holds a message that is, where anything is said of those."""
    condition, values = of_sessions(sought, first)
    if not sought.of_messages:
        return condition, values
    inside, more = of_messages(sought, first + len(values))
    there = "EXISTS (SELECT FROM bot.conversations AS m WHERE m.session_id = s.session_id AND m.deleted_at IS NULL"
    return f"{condition} AND {there} AND {inside})", [*values, *more]


def matching(sought: Sought) -> tuple[str, list[Any]]:
    """The messages in sight that are meant and match `$1`, of many those kept last, by time: number, words."""
    where, values = _where(sought, 2)
    words = "SELECT m.id, m.timestamp, m.content FROM bot.conversations AS m WHERE m.words @@ $1::text::tsquery"
    found = f"{words} AND {where} ORDER BY m.id DESC LIMIT {MATCHES}"
    return f"SELECT id, content FROM ({found}) AS found ORDER BY timestamp DESC, id DESC", values


def newest(sought: Sought) -> tuple[str, list[Any]]:
    """The numbers of the messages in sight that are meant, the newest first: `$1` of them after `$2`."""
    where, values = _where(sought, 3)
    order = "ORDER BY m.timestamp DESC, m.id DESC LIMIT $1::bigint OFFSET $2::bigint"
    return f"SELECT m.id FROM bot.conversations AS m WHERE {where} {order}", values


def tagged(sought: Sought, known: Iterable[tuple[str]]) -> Sought:
    """The same, its tags in every spelling among the rows of `TAGS`: PostgreSQL folds by its locale, which may be
    ASCII's."""
    wanted = {tag.casefold() for tag in sought.tags}
    spelt = (tag for (tag,) in known if tag.casefold() in wanted)
    return replace(sought, tags=tuple(dict.fromkeys((*sought.tags, *spelt))))


def _spelt(tags: Iterable[str]) -> list[list[str]]:
    """The spellings of each tag."""
    spelt: dict[str, list[str]] = {}
    for tag in tags:
        spelt.setdefault(tag.casefold(), []).append(tag)
    return list(spelt.values())


def _where(sought: Sought, first: int) -> tuple[str, list[Any]]:
    sessions, values = of_sessions(sought, first)
    messages, more = of_messages(sought, first + len(values))
    inside = f"m.session_id IN (SELECT s.session_id FROM bot.sessions AS s WHERE {sessions})" if values else "true"
    return f"{IN_SIGHT} AND {inside} AND {messages}", [*values, *more]


def _together(asked: Sequence[tuple[str, Any]], first: int) -> tuple[str, list[Any]]:
    said = [condition.replace("$0", f"${number}") for number, (condition, _) in enumerate(asked, first)]
    return " AND ".join(["true", *said]), [value for _, value in asked]


TAGS = "SELECT DISTINCT jsonb_array_elements_text(tags) FROM bot.sessions WHERE tags <> '[]'"
"""Every tag that a session has."""
_WITH_FILES = (
    "EXISTS (SELECT FROM jsonb_array_elements(m.parts) AS part "
    "WHERE part.value ->> 'type' IN ('image', 'audio', 'video', 'file'))"
)
