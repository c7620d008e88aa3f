"""How the model's values stand in SQLite's rows: the way in as JSON arrays, the way out as JSON that pydantic reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from ..model import Channel, Counts, Message, Receipt, Session, Spending, Text, storable
from .changes import located
from .json_text import json_text, storable_all

MESSAGES = TypeAdapter(list[Message])
SESSIONS = TypeAdapter(list[Session])
CHANNELS = TypeAdapter(list[Channel])
SPENDINGS = TypeAdapter(list[Spending])
COUNTS = TypeAdapter(Counts)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def stamp(at: datetime) -> str:
    """UTC text of one width, so that the order of the text is the order of time."""
    return located(at).isoformat(timespec="microseconds")[:-6] + "Z"


def micros(at: datetime) -> int:
    """Whole microseconds since 1970."""
    return (located(at) - _EPOCH) // _MICROSECOND


def split(origin: str | None) -> tuple[str | None, str | int | None]:
    """An origin as its place, `front:channel:`, which many share, and its event, a number where it is one."""
    if origin is None:
        return None, None
    front, colon, event = storable(origin).rpartition(":")
    whole = len(event) < 19 and event.isascii() and event.isdigit() and (event[0] != "0" or event == "0")
    return front + colon, int(event) if whole else event


def message_row(
    message: Message, session: int, sender: int, place: int | None, last_at: datetime | None
) -> tuple[str | int | None, ...]:
    """A message's columns of the view `batch`, with its session's, sender's and place's row numbers."""
    return (
        storable(message.id),
        session,
        sender,
        place,
        split(message.origin)[1],
        message.role,
        micros(message.at),
        storable(message.text),
        parts_of(message),
        message.persona and storable(message.persona),
        message.reply_to and storable(message.reply_to),
        message.asker and storable(message.asker),
        None if message.outcome == "whole" else message.outcome,
        json_of(message.usage),
        json_of(message.metadata),
        *(json_of(_timed(each)) for each in (message.edits, message.reactions, message.annotations)),
        message.pinned or None,
        None if message.deleted_at is None else micros(message.deleted_at),
        stamp(message.at),
        None if last_at is None else stamp(last_at),
    )


def _timed(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        located(value.at)
    return values


def session_row(session: Session) -> str:
    """A session in the view's JSON."""
    return json_text(
        {
            "session": session,
            "key": session.channel.key,
            "opened_at": stamp(session.opened_at),
            "last_at": stamp(session.last_at),
            "closed_at": session.closed_at and stamp(session.closed_at),
            "deleted_at": session.deleted_at and stamp(session.deleted_at),
        }
    )


def receipt_rows(message_id: str, receipts: tuple[Receipt, ...]) -> list[str]:
    """Receipts in the view's JSON."""
    rows = ([*split(receipt.origin), message_id, receipt.page] for receipt in receipts)
    return [json.dumps(storable_all(row), ensure_ascii=False) for row in rows]


def json_of(value: Any) -> str | None:
    """A part of a message that is seldom there."""
    return json_text(value) if value else None


def parts_of(message: Message) -> str | None:
    """None for the common case: one text, which stands in the row by itself."""
    plain = len(message.parts) == 1 and isinstance(message.parts[0], Text)
    return None if plain else json_text(message.parts)


KEPT_ALREADY = """
SELECT json_group_array(value ->> 0) FROM json_each(?)
WHERE EXISTS (SELECT 1 FROM messages WHERE message_id = value ->> 1)
   OR EXISTS (SELECT 1 FROM messages JOIN places ON places.id = place WHERE key = value ->> 2 AND event = value ->> 3)
"""

_PART = "((:at % 1000000 + 1000000) % 1000000)"  # SQLite's own remainder is negative before 1970
TIME = f"strftime('%Y-%m-%dT%H:%M:%S', (:at - {_PART}) / 1000000, 'unixepoch') || printf('.%06dZ', {_PART})"
"""The microseconds :at as ISO text."""
_ORIGIN = "(SELECT key || :row.event FROM places WHERE places.id = :row.place)"
_MESSAGE = (
    """
SELECT json_group_array(json_object(
    'id', m.message_id, 'origin', :origin, 'session_id', s.session_id, 'role', m.role,
    'sender', json_object('type', n.type, 'id', n.user_id, 'name', n.name),
    'persona', m.persona, 'parts', ifnull(json(m.parts), json_array(json_object('type', 'text', 'text', m.content))),
    'at', :time, 'reply_to', m.reply_to, 'asker', m.asker,
    'outcome', ifnull(m.outcome, 'whole'), 'usage', json(m.usage), 'metadata', json(ifnull(m.metadata, '{}')),
    'receipts', json((
        SELECT json_group_array(json_object('origin', key || event, 'page', page))
        FROM (SELECT * FROM pages JOIN places ON places.id = place WHERE message = m.id ORDER BY page)
    )),
    'edits', json(ifnull(m.edits, '[]')), 'reactions', json(ifnull(m.reactions, '[]')),
    'annotations', json(ifnull(m.annotations, '[]')), 'pinned', json(iif(m.pinned, 'true', 'false')),
    'deleted_at', iif(m.deleted_at IS NULL, NULL, :gone)
)), json_group_array(m.id)
FROM (:which) AS m
CROSS JOIN sessions AS s ON s.id = m.session CROSS JOIN senders AS n ON n.id = m.sender
""".replace(":origin", _ORIGIN.replace(":row", "m"))
    .replace(":time", TIME.replace(":at", "m.at"))
    .replace(":gone", TIME.replace(":at", "m.deleted_at"))
)


def messages_where(which: str) -> str:
    """The messages whose rows a SELECT brings, in its order, and their row numbers."""
    return _MESSAGE.replace(":which", which)


BY_SESSION = "session = (SELECT id FROM sessions WHERE session_id = ?1 AND deleted_at IS NULL)"
MESSAGES_NEWEST_FIRST = messages_where(
    f"SELECT * FROM messages WHERE {BY_SESSION} AND deleted_at IS NULL ORDER BY id DESC LIMIT ?2"
)
MESSAGE_BY_ID = messages_where("SELECT * FROM messages WHERE message_id = ?1")
MESSAGE_BY_ORIGIN = messages_where(
    """SELECT * FROM messages WHERE id = coalesce(
        (SELECT id FROM messages WHERE place = (SELECT id FROM places WHERE key = ?1) AND event = ?2),
        (SELECT message FROM pages WHERE place = (SELECT id FROM places WHERE key = ?1) AND event = ?2)
    )"""
)
FOUND = """
SELECT turn, message_id FROM (
    SELECT asked.key AS turn, coalesce(
        (SELECT id FROM messages AS m WHERE m.place = p.id AND m.event = asked.value ->> 1),
        (SELECT message FROM pages WHERE pages.place = p.id AND pages.event = asked.value ->> 1)
    ) AS number
    FROM json_each(?1) AS asked JOIN places AS p ON p.key = asked.value ->> 0
) JOIN messages ON messages.id = number
"""
MESSAGES_DELETED = messages_where("SELECT * FROM messages WHERE deleted_at < ?1 ORDER BY deleted_at, id LIMIT ?2")
MESSAGES_BY_NUMBER = messages_where(
    "SELECT messages.* FROM json_each(?1) CROSS JOIN messages ON messages.id = value ORDER BY json_each.key"
)

_CHANNEL = """json_object(
    'front', c.front, 'id', c.channel_id, 'kind', c.kind, 'name', c.name, 'guild_id', c.guild_id,
    'guild_name', c.guild_name, 'parent_id', c.parent_id, 'past_names', json(c.past_names),
    'past_guild_names', json(c.past_guild_names)
)"""
CHANNEL_BY_KEY = f"SELECT json_group_array({_CHANNEL}) FROM channels AS c WHERE key = ?1"
CHANNELS_BY_KEY = (
    f"SELECT json_group_array({_CHANNEL}) FROM (SELECT * FROM channels WHERE key > ?1 ORDER BY key LIMIT ?2) AS c"
)

# CROSS JOIN keeps the sessions outermost, and with them their order.
_SESSION = f"""
SELECT json_group_array(json_object(
    'id', s.session_id, 'channel', {_CHANNEL}, 'type', s.type, 'title', s.title, 'persona', s.persona,
    'participants', json(s.participants), 'context', json(s.context), 'opened_at', s.started_at,
    'last_at', s.last_at, 'closed_at', s.closed_at, 'message_count', s.message_count, 'follows', s.follows,
    'parent_id', s.parent_id, 'branched_at', s.branched_at, 'tags', json(s.tags),
    'starred', json(iif(s.starred, 'true', 'false')), 'archived', json(iif(s.archived, 'true', 'false')),
    'deleted_at', s.deleted_at, 'metadata', json(s.metadata)
)), json_group_array(json_array(s.last_at, s.id))
FROM (:which) AS s CROSS JOIN channels AS c ON c.key = s.channel_key
"""


def sessions_where(which: str) -> str:
    """The sessions whose rows a SELECT brings, in its order, and their keys: when a person last spoke, row number."""
    return _SESSION.replace(":which", which)


SESSION_BY_ID = sessions_where("SELECT * FROM sessions WHERE session_id = ?1")
SESSIONS_IDLE = sessions_where(
    "SELECT * FROM sessions INDEXED BY idx_sessions_active WHERE is_active = 1 AND last_at < ?1 "
    "AND deleted_at IS NULL ORDER BY last_at, id LIMIT ?2"
)
SESSIONS_DELETED = sessions_where("SELECT * FROM sessions WHERE deleted_at < ?1 ORDER BY deleted_at, id LIMIT ?2")
SESSIONS_LAST_FIRST = {
    of_channel: sessions_where(
        f"SELECT * FROM sessions WHERE {'channel_key = ?1' if of_channel else '?1 IS NULL'} "
        "AND deleted_at IS NULL ORDER BY last_at DESC, id DESC LIMIT ?2"
    )
    for of_channel in (False, True)
}

HOW_MUCH = """
SELECT json_object(
    'channels', (SELECT count(*) FROM channels),
    'sessions', (SELECT count(*) FROM sessions),
    'open_sessions', (SELECT count(*) FROM sessions WHERE closed_at IS NULL),
    'messages', (SELECT ifnull(sum(message_count), 0) FROM sessions),
    'records', (
        SELECT json_group_object(kind, many) FROM (SELECT kind, count(*) AS many FROM records GROUP BY kind)
    )
)
"""

_KEYS = {
    "day": "date(at / 1000000, 'unixepoch')",
    "user": "user_id",
    "channel": "channel_key",
    "persona": "persona",
    "model": "usage ->> 'model'",
    "seat": "user_id || char(10) || channel_key",
}
ASKER = """coalesce(m.asker, (
    SELECT user_id FROM messages AS q JOIN senders ON senders.id = q.sender WHERE q.message_id = m.reply_to
), '')"""
_SPENDING = f"""
WITH spent AS (
    SELECT m.at, m.usage, {ASKER} AS user_id, s.channel_key, ifnull(m.persona, '') AS persona
    FROM messages AS m JOIN sessions AS s ON s.id = m.session
    WHERE m.usage IS NOT NULL AND m.at >= ?1 AND m.at < ?2
    UNION ALL
    SELECT at, body -> 'usage', body ->> 'user_id', body ->> 'channel_key', body ->> 'persona'
    FROM records WHERE kind = 'spent' AND at >= ?1 AND at < ?2
        AND NOT EXISTS (SELECT 1 FROM messages WHERE message_id = records.id) -- else it was brought back
)
SELECT json_group_array(json_object('key', key, 'answers', answers, 'tokens_in', tokens_in,
    'tokens_out', tokens_out, 'cache_read', cache_read, 'cache_write', cache_write, 'cost_micros', cost_micros,
    'unpriced', unpriced
)) FROM (
    SELECT :key AS key, count(*) AS answers, sum(usage ->> 'tokens_in') AS tokens_in,
        sum(usage ->> 'tokens_out') AS tokens_out, sum(usage ->> 'cache_read') AS cache_read,
        sum(usage ->> 'cache_write') AS cache_write, ifnull(sum(usage ->> 'cost_micros'), 0) AS cost_micros,
        sum(usage ->> 'cost_micros' IS NULL) AS unpriced
    FROM spent GROUP BY 1 ORDER BY 1
)
"""
SPENDING = {by: _SPENDING.replace(":key", key) for by, key in _KEYS.items()}
