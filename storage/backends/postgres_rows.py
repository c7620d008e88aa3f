"""How the model's values stand in PostgreSQL's rows: the way in and the way out, as JSON both times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, TypeAdapter

from .. import words
from ..model import Channel, Counts, Message, Receipt, Session, Spending, Text, storable
from .changes import Append, KeepChannel, KeepReceipts, Plain, SaveSession, located
from .cursors import Key
from .json_text import json_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MESSAGES = TypeAdapter(list[Message])
SESSIONS = TypeAdapter(list[Session])
CHANNELS = TypeAdapter(list[Channel])
SPENDINGS = TypeAdapter(list[Spending])
COUNTS = TypeAdapter(Counts)
HOW_MANY = TypeAdapter(dict[str, int])
IDS = TypeAdapter(set[str])


@dataclass(slots=True)
class Rows:
    """What one change writes, as rows of JSON for the arguments of `write_batch`."""

    number: int
    channel: str | None = None
    session: str | None = None
    message: str | None = None
    receipts: Iterable[str] = ()
    attachments: Iterable[str] = ()


def rows_of(change: Plain, number: int) -> Rows:
    """The rows of a change. Raises ValueError for a time without a timezone."""
    match change:
        case Append(session, message):
            receipts = _receipt_rows(message.id, message.receipts, number)
            files = [json_text({"hash": each, "message_id": message.id, "change": number}) for each in message.blobs]
            told = json_text(_message_row(session, message, number))
            return Rows(number, None, session_row(session, message.at, number), told, receipts, files)
        case SaveSession(session):
            return Rows(number, session=session_row(session))
        case KeepChannel(channel):
            return Rows(number, channel=_spliced({"key": channel.key}, channel))
        case KeepReceipts(message_id, receipts):
            return Rows(number, receipts=_receipt_rows(message_id, receipts, None))


def arguments(batch: Iterable[Rows]) -> list[str]:
    """The arguments of `write_batch` after the bot's name."""
    columns: tuple[list[str], ...] = ([], [], [], [], [])
    for rows in batch:
        for column, row in zip(columns, (rows.channel, rows.session, rows.message), strict=False):
            if row is not None:
                column.append(row)
        columns[3].extend(rows.receipts)
        columns[4].extend(rows.attachments)
    return [f"[{','.join(column)}]" for column in columns]


def session_row(session: Session, said_at: datetime | None = None, number: int | None = None) -> str:
    """A session as `write_sessions` takes it, with the time and the change of the message that it came with."""
    for at in (session.opened_at, session.last_at, session.closed_at, session.deleted_at):
        if at is not None:
            located(at)
    return _spliced({"channel_key": session.channel.key, "said_at": said_at, "change": number}, session)


def wording(message: Message) -> tuple[str, str | None, str]:
    """The columns that hold its words: `content`, `parts` (None for the common case, one text) and `words`."""
    content = storable(message.text)
    plain = len(message.parts) == 1 and isinstance(message.parts[0], Text)
    return content, None if plain else json_text(message.parts), words.tsvector(content)


def check_times(message: Message) -> None:
    """Raises ValueError for a time in it that has no timezone."""
    said = (message.edits, message.reactions, message.annotations)
    for at in (message.at, message.deleted_at, *(each.at for group in said for each in group)):
        if at is not None:
            located(at)


def key_values(cursor: str | None, key: Key | None) -> list[Any]:
    """A cursor's key as the database takes it: of two parts, the first is a time."""
    if key is None:
        return []
    if len(key) == 1 or not isinstance(key[0], int):
        return list(key)
    try:
        return [EPOCH + key[0] * MICROSECOND, *key[1:]]
    except OverflowError:
        raise ValueError(f"{str(cursor)[:80]!r} is not a cursor of this list: take one from a page of it") from None


def _message_row(session: Session, message: Message, number: int) -> dict[str, Any]:
    check_times(message)
    content, _, spelt = wording(message)
    plain = len(message.parts) == 1 and isinstance(message.parts[0], Text)
    sender = message.sender
    row = {
        "channel_id": session.channel.id,
        "channel_name": session.channel.name,
        "channel_type": "dm" if session.channel.kind == "dm" else "channel",
        "user_id": sender and sender.id,
        "username": sender and sender.name,
        "sender_type": sender and sender.type,
        "session_id": message.session_id,
        "message_id": message.id,
        "role": message.role,
        "content": content,
        "timestamp": message.at,
        "metadata": message.metadata or None,
        "origin": message.origin,
        "persona": message.persona,
        "parts": None if plain else message.parts,
        "reply_to": message.reply_to,
        "asker": message.asker,
        "outcome": message.outcome,
        "usage": message.usage,
        "edits": message.edits or None,
        "reactions": message.reactions or None,
        "annotations": message.annotations or None,
        "pinned": message.pinned,
        "deleted_at": message.deleted_at,
        "change": number,
        "words": spelt,
    }
    return {name: value for name, value in row.items() if value is not None}


def _receipt_rows(message_id: str, receipts: tuple[Receipt, ...], number: int | None) -> Iterator[str]:
    return (_spliced({"message_id": message_id, "change": number}, receipt) for receipt in receipts)


def _spliced(more: dict[str, Any], value: BaseModel) -> str:
    """The JSON of a value with more fields in front."""
    return f"{json_text(more)[:-1]},{json_text(value)[1:]}"


WRITE = "SELECT bot.write_batch($1, $2, $3, $4, $5, $6)"

IN_SIGHT = (
    "m.deleted_at IS NULL AND m.session_id NOT IN (SELECT session_id FROM bot.sessions WHERE deleted_at IS NOT NULL)"
)

_MESSAGE = """
SELECT coalesce(json_agg(json_build_object(
    'id', m.message_id, 'origin', m.origin, 'session_id', m.session_id, 'role', m.role,
    'sender', json_build_object('type', m.sender_type, 'id', m.user_id, 'name', m.username), 'persona', m.persona,
    'parts', coalesce(m.parts, jsonb_build_array(jsonb_build_object('type', 'text', 'text', m.content))),
    'at', m.timestamp, 'reply_to', m.reply_to, 'asker', m.asker, 'outcome', m.outcome,
    'usage', m.usage,
    'receipts', coalesce((
        SELECT json_agg(json_build_object('origin', r.origin, 'page', r.page) ORDER BY r.page)
        FROM bot.receipts AS r WHERE r.message_id = m.message_id
    ), '[]'),
    'edits', coalesce(m.edits, '[]'), 'reactions', coalesce(m.reactions, '[]'),
    'annotations', coalesce(m.annotations, '[]'), 'pinned', m.pinned, 'deleted_at', m.deleted_at,
    'metadata', coalesce(m.metadata, '{}')
)), '[]')::text, coalesce(json_agg(json_build_array(m.id)), '[]')::text
FROM (:which) AS m
"""


def messages_where(which: str) -> str:
    """The messages whose rows a SELECT brings, in its order, and their keys: row number."""
    return _MESSAGE.replace(":which", which)


MESSAGES_NEWEST_FIRST = messages_where(
    f"SELECT * FROM bot.conversations AS m WHERE m.session_id = $1 AND {IN_SIGHT} ORDER BY m.id DESC LIMIT $2"
)
MESSAGE_BY_ID = messages_where("SELECT * FROM bot.conversations WHERE message_id = $1")
MESSAGE_TO_AMEND = messages_where("SELECT * FROM bot.conversations WHERE message_id = $1 FOR UPDATE")
MESSAGE_BY_ORIGIN = messages_where(
    """SELECT * FROM bot.conversations WHERE message_id = coalesce(
        (SELECT message_id FROM bot.conversations WHERE origin = $1),
        (SELECT message_id FROM bot.receipts WHERE origin = $1)
    )"""
)
FOUND = """
SELECT asked.turn, found.message_id
FROM unnest($1::text[]) WITH ORDINALITY AS asked(origin, turn) CROSS JOIN LATERAL (
    SELECT coalesce(
        (SELECT message_id FROM bot.conversations WHERE origin = asked.origin),
        (SELECT message_id FROM bot.receipts WHERE origin = asked.origin)
    ) AS message_id
) AS found
WHERE found.message_id IS NOT NULL
"""
MESSAGES_BY_NUMBER = messages_where("SELECT * FROM bot.conversations WHERE id = ANY ($1::bigint[])")
MESSAGES_DELETED = messages_where(
    "SELECT * FROM bot.conversations WHERE deleted_at < $1 ORDER BY deleted_at, id LIMIT $2"
)

_CHANNEL = """json_build_object(
    'front', c.front, 'id', c.channel_id, 'kind', c.kind, 'name', c.name, 'guild_id', c.guild_id,
    'guild_name', c.guild_name, 'parent_id', c.parent_id, 'past_names', c.past_names,
    'past_guild_names', c.past_guild_names
)"""
CHANNEL_BY_KEY = f"SELECT coalesce(json_agg({_CHANNEL}), '[]')::text FROM bot.channels AS c WHERE key = $1"
CHANNELS_BY_KEY = (
    f"SELECT coalesce(json_agg({_CHANNEL}), '[]')::text "
    "FROM (SELECT * FROM bot.channels WHERE key > $1 ORDER BY key LIMIT $2) AS c"
)

# The channel is looked up in the list, not joined, so that the order of the sessions stays.
_SESSION = f"""
SELECT coalesce(json_agg(json_build_object(
    'id', s.session_id, 'channel', (SELECT {_CHANNEL} FROM bot.channels AS c WHERE c.key = s.channel_key),
    'type', s.type, 'title', s.title, 'persona', s.persona, 'participants', s.participants, 'context', s.context,
    'opened_at', s.started_at, 'last_at', s.last_at, 'closed_at', s.closed_at, 'message_count', s.message_count,
    'follows', s.follows, 'parent_id', s.parent_id, 'branched_at', s.branched_at, 'tags', s.tags,
    'starred', s.starred, 'archived', s.archived, 'deleted_at', s.deleted_at, 'metadata', s.metadata
)), '[]')::text,
coalesce(json_agg(json_build_array((extract(epoch FROM s.last_at) * 1000000)::bigint, s.id)), '[]')::text
FROM (:which) AS s
"""


def sessions_where(which: str) -> str:
    """The sessions whose rows a SELECT brings, in its order, and their keys: when a person last spoke, row number."""
    return _SESSION.replace(":which", which)


SESSION_BY_ID = sessions_where("SELECT * FROM bot.sessions WHERE session_id = $1")
SESSIONS_IDLE = sessions_where(
    "SELECT * FROM bot.sessions WHERE is_active AND deleted_at IS NULL AND last_at < $1 ORDER BY last_at, id LIMIT $2"
)
SESSIONS_DELETED = sessions_where("SELECT * FROM bot.sessions WHERE deleted_at < $1 ORDER BY deleted_at, id LIMIT $2")
SESSIONS_LAST_FIRST = sessions_where(
    "SELECT * FROM bot.sessions WHERE deleted_at IS NULL ORDER BY last_at DESC, id DESC LIMIT $1"
)
SESSIONS_OF_CHANNEL = sessions_where(
    "SELECT * FROM bot.sessions WHERE channel_key = $2 AND deleted_at IS NULL ORDER BY last_at DESC, id DESC LIMIT $1"
)

_RECORD = """
SELECT coalesce(json_agg(CASE WHEN v.memory_id IS NULL THEN r.body ELSE r.body || jsonb_build_object(
    'vector', jsonb_build_object('model', v.model, 'values', v.data)) END ORDER BY r.place), '[]')::text,
    coalesce(json_agg(
        json_build_array((extract(epoch FROM r.at) * 1000000)::bigint, r.id) ORDER BY r.place), '[]')::text
FROM (SELECT found.*, row_number() OVER () AS place FROM (:which) AS found) AS r
LEFT JOIN bot.vectors AS v ON r.kind = 'memory' AND v.memory_id = r.id
"""


def records_where(which: str) -> str:
    """The records whose rows a SELECT brings, in its order, and their keys: time, id."""
    return _RECORD.replace(":which", which)


RECORD_BY_ID = records_where("SELECT * FROM bot.records WHERE kind = $1 AND id = $2")
RECORDS_BY_ID = records_where("SELECT * FROM bot.records WHERE kind = $1 AND id = ANY ($2::text[])")
