"""What of a PostgreSQL store has to do with one person, as SQL: conditions for pages of messages and of sessions."""

from __future__ import annotations

_THEIR = "e.value -> 'sender' ->> 'id' = $2 AND e.value -> 'sender' ->> 'type' IN ('user', 'bot')"

TALK_OF = """(
    (m.user_id = $2 AND m.sender_type IN ('user', 'bot')) OR m.asker = $2 OR (m.role <> 'user' AND EXISTS (
        SELECT FROM bot.conversations AS q
        WHERE q.message_id = m.reply_to AND q.user_id = $2 AND q.sender_type IN ('user', 'bot')
    ))
)"""
MARKED_BY = f"""(
    EXISTS (SELECT FROM jsonb_array_elements(m.reactions) AS e WHERE {_THEIR})
    OR EXISTS (SELECT FROM jsonb_array_elements(m.annotations) AS e WHERE {_THEIR})
)"""
SESSIONS_WITH = """(
    s.session_id IN (
        SELECT q.session_id FROM bot.conversations AS q WHERE q.user_id = $2 AND q.sender_type IN ('user', 'bot')
    )
    OR EXISTS (SELECT FROM jsonb_array_elements(s.participants) AS e
        WHERE e.value ->> 'id' = $2 AND e.value ->> 'type' IN ('user', 'bot'))
    OR s.channel_key IN (SELECT c.key FROM bot.channels AS c WHERE c.kind = 'dm' AND c.parent_id = $2)
)"""
REMOVE_CHANNELS = """
WITH gone AS (
    DELETE FROM bot.channels AS c WHERE c.key = ANY ($1::text[])
        AND NOT EXISTS (SELECT FROM bot.sessions AS s WHERE s.channel_key = c.key) RETURNING 1
)
SELECT count(*) FROM gone
"""
