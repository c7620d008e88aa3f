"""What of an SQLite store has to do with one person, as SQL: conditions for pages of messages and of sessions."""

from __future__ import annotations

_NAMES = "(SELECT id FROM senders WHERE user_id = :user AND type IN ('user', 'bot'))"
_THEIR = "e.value ->> '$.sender.id' = :user AND e.value ->> '$.sender.type' IN ('user', 'bot')"

TALK_OF = f"""
FROM messages WHERE (
    sender IN {_NAMES} OR asker = :user OR (role <> 'user' AND reply_to IS NOT NULL AND EXISTS (
        SELECT 1 FROM messages AS q WHERE q.message_id = messages.reply_to AND q.sender IN {_NAMES}
    ))
)
"""
MARKED_BY = f"""
FROM messages WHERE (
    (reactions IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(messages.reactions) AS e WHERE {_THEIR}))
    OR (annotations IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(messages.annotations) AS e WHERE {_THEIR}))
)
"""
SESSIONS_WITH = f"""
FROM sessions WHERE (
    id IN (SELECT session FROM messages WHERE sender IN {_NAMES})
    OR EXISTS (SELECT 1 FROM json_each(sessions.participants) AS e
        WHERE e.value ->> '$.id' = :user AND e.value ->> '$.type' IN ('user', 'bot'))
    OR channel_key IN (SELECT key FROM channels WHERE kind = 'dm' AND parent_id = :user)
)
"""
