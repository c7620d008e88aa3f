"""What must hold between the rows of an SQLite store, as SQL: how to see where it does not, and how to mend that."""

from __future__ import annotations

from ..diagnosis import Rule
from .sqlite_rows import CHANNELS_BY_KEY, TIME

_FIRST, _LAST = (TIME.replace(":at", at) for at in ("min(m.at)", "max(m.at)"))
_STRANGERS = """
SELECT m.session, min(m.at) AS first, ifnull(rtrim(max(p.key), ':'), 'terminal:recovered') AS key
FROM messages AS m LEFT JOIN places AS p ON p.id = m.place
WHERE m.session NOT IN (SELECT id FROM sessions) GROUP BY m.session
"""
_KIND = "CASE front WHEN 'web' THEN 'web' WHEN 'terminal' THEN 'terminal' ELSE 'channel' END"
_NEW_CHANNELS = f"""
INSERT INTO channels (key, bot_name, front, channel_id, kind, name)
SELECT key, :bot, front, id, {_KIND}, id FROM (
    SELECT key, substr(key, 1, instr(key, ':') - 1) AS front, substr(key, instr(key, ':') + 1) AS id FROM (:keys)
) WHERE true ON CONFLICT (key) DO NOTHING
"""
_NO_CHANNEL = "SELECT DISTINCT channel_key AS key FROM sessions WHERE channel_key NOT IN (SELECT key FROM channels)"
_NO_SENDER = "FROM messages AS m WHERE m.sender NOT IN (SELECT id FROM senders)"
_NO_PLACE = """
SELECT DISTINCT place, session FROM messages WHERE event IS NOT NULL AND place NOT IN (SELECT id FROM places)
UNION SELECT p.place, m.session FROM pages AS p JOIN messages AS m ON m.id = p.message
WHERE p.place NOT IN (SELECT id FROM places)
"""

_NEAR = "(SELECT ifnull(max(n.at), 0) FROM messages AS n WHERE n.id < messages.id AND typeof(n.at) = 'integer')"

PARTNERS = (
    Rule(
        "message-time",
        "SELECT message_id FROM messages WHERE typeof(at) <> 'integer'",
        "Messages have no time that could be one; each takes that of the message before it.",
        (f"UPDATE messages SET at = {_NEAR} WHERE typeof(at) <> 'integer'",),
        "SELECT json_object('message_id', message_id, 'at', at) FROM messages WHERE typeof(at) <> 'integer'",
        lost=True,
    ),
    Rule(
        "channel-missing",
        _NO_CHANNEL,
        "Sessions stand in a channel that is gone. It is made anew with its id for a name; its door corrects that when "
        "somebody next speaks there.",
        (_NEW_CHANNELS.replace(":keys", _NO_CHANNEL),),
        lost=True,
    ),
    Rule(
        "session-missing",
        "SELECT 'session ' || session FROM messages WHERE session NOT IN (SELECT id FROM sessions) GROUP BY session",
        "The session of some messages is gone, so that nobody sees them. One is made for them, called "
        "`recovered-<number>`, without title and participants.",
        (
            _NEW_CHANNELS.replace(":keys", f"SELECT DISTINCT key FROM ({_STRANGERS})"),
            f"""
            INSERT INTO sessions (id, bot_name, channel_id, session_id, started_at, last_activity, message_count,
                is_active, channel_key, type, title, participants, context, last_at, closed_at, metadata)
            SELECT s.session, :bot, c.channel_id, 'recovered-' || s.session, {_FIRST}, {_LAST}, count(*), 0, c.key,
                'chat', '', '[]', '{{}}', {_LAST}, {_LAST}, '{{}}'
            FROM ({_STRANGERS}) AS s JOIN channels AS c ON c.key = s.key JOIN messages AS m ON m.session = s.session
            GROUP BY s.session
            """,
        ),
        lost=True,
    ),
    Rule(
        "sender-missing",
        f"SELECT m.message_id {_NO_SENDER}",
        "Who said some messages is gone, so that nobody sees them. They are put down to somebody unknown.",
        (
            f"""
            INSERT INTO senders (id, type, user_id, name)
            SELECT m.sender, iif(max(m.role) = 'user', 'user', 'persona'), 'unknown-' || m.sender,
                ifnull(max(m.persona), 'unknown') {_NO_SENDER} GROUP BY m.sender
            """,
        ),
        lost=True,
    ),
    Rule(
        "place-missing",
        f"SELECT 'place ' || place FROM ({_NO_PLACE})",
        "Where some messages came from is gone, so that they could be kept twice. It is told from their sessions.",
        (
            f"""
            INSERT OR IGNORE INTO places (id, key)
            SELECT p.place, s.channel_key || ':' FROM ({_NO_PLACE}) AS p JOIN sessions AS s ON s.id = p.session
            """,
            *(
                f"""
                UPDATE OR IGNORE {table} SET place = (
                    SELECT id FROM places WHERE key = (SELECT channel_key || ':' FROM sessions WHERE id = {session})
                ) WHERE place NOT IN (SELECT id FROM places)
                """
                for table, session in (
                    ("messages", "messages.session"),
                    ("pages", "(SELECT session FROM messages WHERE id = pages.message)"),
                )
            ),
        ),
    ),
)
"""Rows that other rows name; without them nobody sees those."""

_REFERRED = """
SELECT DISTINCT found.value AS hash, m.id AS message FROM messages AS m, json_tree(json_array(
    json(iif(json_valid(m.parts), m.parts, 'null')), json(iif(json_valid(m.edits), m.edits, 'null')))) AS found
WHERE (m.parts IS NOT NULL OR m.edits IS NOT NULL) AND found.key = 'blob' AND found.type = 'text'
"""
_NEWEST = f"""
SELECT s.id, s.session_id, s.last_activity AS told, max(s.last_at, (
    SELECT ifnull({TIME.replace(":at", "max(m.at)")}, '') FROM messages AS m WHERE m.session = s.id
)) AS newest FROM sessions AS s
"""
_COUNTED = "(SELECT count(*) FROM messages WHERE session = sessions.id)"
_NO_MEMORY = "NOT EXISTS (SELECT 1 FROM records WHERE kind = 'memory' AND id = memory_id)"
_OTHER_AUDIENCE = """
FROM vectors AS v JOIN records AS r ON r.kind = 'memory' AND r.id = v.memory_id
WHERE v.audience <> iif(json_valid(r.body), r.body ->> 'audience', v.audience)
"""

SUMS = (
    Rule(
        "receipts",
        "SELECT 'message ' || message FROM pages WHERE message NOT IN (SELECT id FROM messages)",
        "Receipts of messages that are gone; they say nothing any more and can go.",
        ("DELETE FROM pages WHERE message NOT IN (SELECT id FROM messages)",),
        "SELECT json_object('place', place, 'event', event, 'message', message, 'page', page) FROM pages "
        "WHERE message NOT IN (SELECT id FROM messages)",
    ),
    Rule(
        "attachments",
        f"""
        SELECT hash FROM (SELECT hash, message FROM ({_REFERRED}) EXCEPT SELECT hash, message FROM attachments)
        UNION SELECT hash FROM (SELECT hash, message FROM attachments EXCEPT SELECT hash, message FROM ({_REFERRED}))
        """,
        "Which messages refer to which files is not what the messages say; it can be told anew from them.",
        ("DELETE FROM attachments", f"INSERT INTO attachments (hash, message) {_REFERRED}"),
    ),
    Rule(
        "message-count",
        f"SELECT session_id FROM sessions WHERE message_count IS NOT {_COUNTED}",
        "Sessions say that they hold another number of messages than they do; they can be counted anew.",
        (f"UPDATE sessions SET message_count = {_COUNTED} WHERE message_count IS NOT {_COUNTED}",),
    ),
    Rule(
        "last-activity",
        f"SELECT session_id FROM ({_NEWEST}) WHERE told < newest OR told NOT GLOB '????-??-??T??:??:??.??????Z'",
        "Sessions say that their newest message is older than it is; that can be told anew.",
        (
            f"UPDATE sessions SET last_activity = n.newest FROM ({_NEWEST}) AS n WHERE n.id = sessions.id "
            "AND (n.told < n.newest OR n.told NOT GLOB '????-??-??T??:??:??.??????Z')",
        ),
    ),
    Rule(
        "vectors",
        f"SELECT memory_id FROM vectors WHERE {_NO_MEMORY}",
        "Vectors of memories that are gone; they can go.",
        (f"DELETE FROM vectors WHERE {_NO_MEMORY}",),
        "SELECT json_object('memory_id', memory_id, 'model', model, 'audience', audience, 'data', hex(data)) "
        f"FROM vectors WHERE {_NO_MEMORY}",
    ),
    Rule(
        "audiences",
        f"SELECT v.memory_id {_OTHER_AUDIENCE}",
        "Vectors say that others may be told of a memory than the memory itself says; that can be told anew.",
        (
            f"""
            UPDATE vectors SET audience = (
                SELECT r.body ->> 'audience' {_OTHER_AUDIENCE} AND v.number = vectors.number
            ) WHERE number IN (SELECT v.number {_OTHER_AUDIENCE})
            """,
        ),
    ),
)
"""What is told twice, and must be the same both times."""

DOUBTFUL_OF_MESSAGES = {
    "content": "readable(CAST(content AS BLOB))",
    **dict.fromkeys(("outcome", "usage", "metadata", "reactions", "annotations", "edits", "parts"), "NULL"),
    **dict.fromkeys(("persona", "reply_to", "asker", "pinned", "deleted_at", "event"), "NULL"),
}
_BORN = f"(SELECT ifnull({_FIRST}, '1970-01-01T00:00:00.000000Z') FROM messages AS m WHERE m.session = sessions.id)"
_DIED = f"(SELECT ifnull({_LAST}, '1970-01-01T00:00:00.000000Z') FROM messages AS m WHERE m.session = sessions.id)"
DOUBTFUL_OF_SESSIONS = {
    "type": "'chat'",
    "title": "readable(CAST(title AS BLOB))",
    "started_at": _BORN,
    "last_at": _DIED,
    "participants": "'[]'",
    "context": "'{}'",
    "tags": "'[]'",
    "metadata": "'{}'",
    "message_count": _COUNTED,
    "closed_at": f"iif(closed_at IS NULL, NULL, {_DIED})",
    **dict.fromkeys(("persona", "follows", "parent_id", "branched_at", "deleted_at"), "NULL"),
}
DOUBTFUL_OF_CHANNELS = {
    "past_names": "'[]'",
    "past_guild_names": "'[]'",
    "name": "readable(CAST(name AS BLOB))",
    "kind": f"{_KIND}",
    **dict.fromkeys(("guild_name", "parent_id"), "NULL"),
}
CHANNELS = CHANNELS_BY_KEY.replace("SELECT * FROM channels WHERE key > ?1 ORDER BY key LIMIT ?2", ":which")
RECORDS = """
SELECT r.kind, r.body, v.model, v.data FROM (:which) AS r
LEFT JOIN vectors AS v ON v.memory_id = r.id AND r.kind = 'memory'
"""
STRAY_DOCUMENTS = """
SELECT EXISTS (SELECT id FROM search_docsize WHERE id > ?1 OR id NOT IN (SELECT id FROM messages))
    OR EXISTS (SELECT id FROM messages WHERE id <= ?1 AND id NOT IN (SELECT id FROM search_docsize))
"""
