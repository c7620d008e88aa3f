"""What must hold between the rows of a PostgreSQL store, as SQL: how to see where it does not, and how to mend that."""

from __future__ import annotations

from ..diagnosis import Rule
from .postgres_rows import CHANNELS_BY_KEY

_STRANGERS = """
SELECT m.session_id, min(m.channel_id) AS channel_id, min(m.channel_name) AS name, min(m.channel_type) AS kind,
    min(m.timestamp) AS first, max(m.timestamp) AS last, count(*) AS many, coalesce(
        (SELECT min(key) FROM bot.channels AS c WHERE c.channel_id = min(m.channel_id)),
        coalesce(min(split_part(m.origin, ':', 1)), 'terminal') || ':' || min(m.channel_id)
    ) AS key
FROM bot.conversations AS m WHERE NOT EXISTS (SELECT FROM bot.sessions AS s WHERE s.session_id = m.session_id)
GROUP BY m.session_id
"""

PARTNERS = (
    Rule(
        "session-missing",
        f"SELECT session_id FROM ({_STRANGERS}) AS s",
        "The session of some messages is gone, so that nobody sees them in it. It is made anew, without title and "
        "participants.",
        (
            f"""
            INSERT INTO bot.channels (key, bot_name, front, channel_id, kind, name)
            SELECT DISTINCT ON (key) key, :bot, split_part(key, ':', 1), channel_id, kind, name FROM ({_STRANGERS}) AS s
            ON CONFLICT DO NOTHING
            """,
            f"""
            INSERT INTO bot.sessions (bot_name, channel_id, session_id, started_at, last_activity, message_count,
                channel_key, type, title, participants, context, last_at, closed_at, tags, starred, archived, metadata)
            SELECT :bot, channel_id, session_id, first, last, many, key, 'chat', '', '[]', '{{}}', last, last, '[]',
                false, false, '{{}}'
            FROM ({_STRANGERS}) AS s
            """,
        ),
        lost=True,
    ),
)
"""Rows that other rows name."""

_REFERRED = """
SELECT DISTINCT found.value #>> '{}' AS hash, m.message_id
FROM bot.conversations AS m, jsonb_path_query(jsonb_build_array(m.parts, m.edits), 'strict $.**.blob') AS found(value)
WHERE (m.parts IS NOT NULL OR m.edits IS NOT NULL) AND jsonb_typeof(found.value) = 'string'
"""
_COUNTED = "(SELECT count(*) FROM bot.conversations AS m WHERE m.session_id = s.session_id)"
_NEWEST = "greatest(s.last_at, (SELECT max(timestamp) FROM bot.conversations AS m WHERE m.session_id = s.session_id))"
_NO_MEMORY = "NOT EXISTS (SELECT FROM bot.records AS r WHERE r.kind = 'memory' AND r.id = memory_id)"
_OTHER_AUDIENCE = "r.kind = 'memory' AND r.id = v.memory_id AND r.body ->> 'audience' <> v.audience"

SUMS = (
    Rule(
        "attachments",
        f"""
        SELECT hash FROM (({_REFERRED} EXCEPT SELECT hash, message_id FROM bot.attachments)
            UNION (SELECT hash, message_id FROM bot.attachments EXCEPT {_REFERRED})) AS other
        """,
        "Which messages refer to which files is not what the messages say; it can be told anew from them.",
        ("DELETE FROM bot.attachments", f"INSERT INTO bot.attachments (hash, message_id) {_REFERRED}"),
    ),
    Rule(
        "message-count",
        f"SELECT session_id FROM bot.sessions AS s WHERE message_count <> {_COUNTED}",
        "Sessions say that they hold another number of messages than they do; they can be counted anew.",
        (f"UPDATE bot.sessions AS s SET message_count = {_COUNTED} WHERE message_count <> {_COUNTED}",),
    ),
    Rule(
        "last-activity",
        f"SELECT session_id FROM bot.sessions AS s WHERE last_activity < {_NEWEST}",
        "Sessions say that their newest message is older than it is; that can be told anew.",
        (f"UPDATE bot.sessions AS s SET last_activity = {_NEWEST} WHERE last_activity < {_NEWEST}",),
    ),
    Rule(
        "vectors",
        f"SELECT memory_id FROM bot.vectors WHERE {_NO_MEMORY}",
        "Vectors of memories that are gone; they can go.",
        (f"DELETE FROM bot.vectors WHERE {_NO_MEMORY}",),
        f"SELECT to_jsonb(v)::text FROM bot.vectors AS v WHERE {_NO_MEMORY}",
    ),
    Rule(
        "audiences",
        f"SELECT v.memory_id FROM bot.vectors AS v, bot.records AS r WHERE {_OTHER_AUDIENCE}",
        "Vectors say that others may be told of a memory than the memory itself says; that can be told anew.",
        (
            "UPDATE bot.vectors AS v SET audience = r.body ->> 'audience' "
            f"FROM bot.records AS r WHERE {_OTHER_AUDIENCE}",
        ),
    ),
)
"""What is told twice, and must be the same both times."""

_MINE = "FROM bot.conversations AS m WHERE m.session_id = sessions.session_id"
DOUBTFUL_OF_MESSAGES = {
    "outcome": "'whole'",
    "sender_type": "'user'",
    **dict.fromkeys(("usage", "metadata", "reactions", "annotations", "edits", "parts"), "NULL"),
}
DOUBTFUL_OF_SESSIONS = {
    "type": "'chat'",
    "participants": "'[]'",
    "context": "'{}'",
    "tags": "'[]'",
    "metadata": "'{}'",
    "message_count": f"(SELECT count(*) {_MINE})",
}
DOUBTFUL_OF_CHANNELS = {
    "past_names": "'[]'",
    "past_guild_names": "'[]'",
    "kind": "CASE front WHEN 'web' THEN 'web' WHEN 'terminal' THEN 'terminal' ELSE 'channel' END",
}

INVALID = """
SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND NOT (i.indisvalid AND i.indisready)
"""
THERE = "SELECT indexname::text FROM pg_indexes WHERE schemaname = $1"
HOW_MANY = "SELECT (SELECT count(*) FROM bot.conversations), (SELECT count(*) FROM bot.sessions)"
CHUNK = "SELECT id, content FROM bot.conversations WHERE id > $1 ORDER BY id LIMIT 500"
# One that was amended meanwhile is another message by now.
_ANEW = """
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS anew(id, content, words)
WHERE m.id = anew.id AND m.content = anew.content AND m.words <> anew.words::tsvector
"""
MISSPELT = f"SELECT m.message_id FROM bot.conversations AS m, {_ANEW.strip().removeprefix('FROM ')}"
RESPELL = f"UPDATE bot.conversations AS m SET words = anew.words::tsvector {_ANEW}"


def channels_where(which: str) -> str:
    """The channels whose rows a SELECT brings."""
    return CHANNELS_BY_KEY.replace("SELECT * FROM bot.channels WHERE key > $1 ORDER BY key LIMIT $2", which)


def records_where(which: str) -> str:
    """The records whose rows a SELECT brings, each with its kind; of a memory with its vector."""
    return f"""
    SELECT coalesce(json_agg(json_build_object('kind', r.kind, 'body', CASE WHEN v.memory_id IS NULL THEN r.body
        ELSE r.body || jsonb_build_object('vector', jsonb_build_object('model', v.model, 'values', v.data)) END
    )), '[]')::text
    FROM ({which}) AS r LEFT JOIN bot.vectors AS v ON r.kind = 'memory' AND v.memory_id = r.id
    """
