"""What is asked of PostgreSQL beyond single rows: pages, searches, sums and likenesses."""

from __future__ import annotations

from typing import NamedTuple

from .cursors import Direction


class Listing(NamedTuple):
    """A list that is read in pages: where its rows are and what orders them."""

    rows: str
    """`table AS alias`."""
    keys: str
    """The columns that order it, each row's different."""


MESSAGES = Listing("bot.conversations AS m", "m.id")
SESSIONS = Listing("bot.sessions AS s", "s.last_at, s.id")
RECORDS = Listing("bot.records AS r", "r.at, r.id")


def page(listing: Listing, where: str, direction: Direction, key: str) -> tuple[str, str]:
    """The SELECT of a page's rows from its cursor on, and of whether there are any on the other side of it.

    `key` names the parameters of the cursor's key (`$2, $3`), or is empty at either end; `$1` is the limit."""
    beyond, back = ("<", ">=") if direction == "older" else (">", "<=")
    order = ", ".join(f"{column} {'DESC' if direction == 'older' else 'ASC'}" for column in listing.keys.split(", "))
    onwards = f"AND ({listing.keys}) {beyond} ({key})" if key else ""
    rows = f"SELECT * FROM {listing.rows} WHERE {where} {onwards} ORDER BY {order} LIMIT $1"
    others = (
        f"EXISTS (SELECT FROM {listing.rows} WHERE {where} AND ({listing.keys}) {back} ({key}))" if key else "false"
    )
    return rows, others


REFERENCES = """
SELECT coalesce(json_object_agg(hash, many), '{}')::text FROM (
    SELECT hash, count(*) AS many FROM bot.attachments WHERE hash = ANY ($1::text[]) GROUP BY hash
) AS referred
"""
PINNED = """
SELECT coalesce(json_agg(DISTINCT session_id), '[]')::text FROM bot.conversations
WHERE session_id = ANY ($1::text[]) AND pinned
"""
SIZES = """
SELECT coalesce(json_object_agg(s.session_id, (
    SELECT coalesce(sum(octet_length(m.content)), 0) FROM bot.conversations AS m WHERE m.session_id = s.session_id
)), '{}')::text FROM bot.sessions AS s WHERE s.session_id = ANY ($1::text[])
"""
HOW_MUCH = """
SELECT json_build_object(
    'channels', (SELECT count(*) FROM bot.channels),
    'sessions', (SELECT count(*) FROM bot.sessions),
    'open_sessions', (SELECT count(*) FROM bot.sessions WHERE closed_at IS NULL),
    'messages', (SELECT coalesce(sum(message_count), 0) FROM bot.sessions),
    'records', (
        SELECT coalesce(json_object_agg(kind, many), '{}')
        FROM (SELECT kind, count(*) AS many FROM bot.records GROUP BY kind) AS kinds
    )
)::text
"""

_KEYS = {
    "day": "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "user": "user_id",
    "channel": "channel_key",
    "persona": "persona",
    "model": "usage ->> 'model'",
    "seat": "user_id || chr(10) || channel_key",
}
_SPENDING = """
WITH spent AS (
    SELECT m.timestamp AS at, m.usage, coalesce(m.asker, question.user_id, '') AS user_id, s.channel_key,
        coalesce(m.persona, '') AS persona
    FROM bot.conversations AS m JOIN bot.sessions AS s ON s.session_id = m.session_id
    LEFT JOIN bot.conversations AS question ON question.message_id = m.reply_to
    WHERE m.usage IS NOT NULL AND m.timestamp >= $1 AND m.timestamp < $2
    UNION ALL
    SELECT at, body -> 'usage', body ->> 'user_id', body ->> 'channel_key', body ->> 'persona'
    FROM bot.records AS r WHERE kind = 'spent' AND at >= $1 AND at < $2
        AND NOT EXISTS (SELECT FROM bot.conversations AS anew WHERE anew.message_id = r.id)
)
SELECT coalesce(json_agg(sums), '[]')::text FROM (
    SELECT (:key) COLLATE "C" AS key, count(*) AS answers, sum((usage ->> 'tokens_in')::bigint) AS tokens_in,
        sum((usage ->> 'tokens_out')::bigint) AS tokens_out, sum((usage ->> 'cache_read')::bigint) AS cache_read,
        sum((usage ->> 'cache_write')::bigint) AS cache_write,
        coalesce(sum((usage ->> 'cost_micros')::bigint), 0) AS cost_micros,
        count(*) FILTER (WHERE usage ->> 'cost_micros' IS NULL) AS unpriced
    FROM spent GROUP BY 1 ORDER BY 1
) AS sums
"""
SPENDING = {by: _SPENDING.replace(":key", key) for by, key in _KEYS.items()}

KEEP_RECORDS = """
WITH gone AS (
    DELETE FROM bot.vectors USING jsonb_to_recordset($2::jsonb) AS n(kind text, id text)
    WHERE n.kind = 'memory' AND memory_id = n.id AND NOT EXISTS (
        SELECT FROM jsonb_to_recordset($3::jsonb) AS w(id text) WHERE w.id = memory_id)
), seen AS (
    INSERT INTO bot.vectors (memory_id, model, audience, data)
    SELECT id, model, audience, data
    FROM jsonb_to_recordset($3::jsonb) AS v(id text, model text, audience text, data double precision[]) ORDER BY id
    ON CONFLICT (memory_id) DO UPDATE SET model = excluded.model, audience = excluded.audience, data = excluded.data
)
INSERT INTO bot.records (kind, id, bot_name, at, about, body)
SELECT kind, id, $1, at, about, body
FROM jsonb_to_recordset($2::jsonb) AS n(kind text, id text, at timestamptz, about text, body jsonb) ORDER BY kind, id
ON CONFLICT (kind, id) DO UPDATE SET at = excluded.at, about = excluded.about, body = excluded.body
"""
REMOVE_RECORDS = """
WITH seen AS (DELETE FROM bot.vectors WHERE $1 = 'memory' AND memory_id = ANY ($2::text[])),
gone AS (DELETE FROM bot.records WHERE kind = $1 AND id = ANY ($2::text[]) RETURNING 1)
SELECT count(*) FROM gone
"""

NEAREST = """
SELECT memory_id, likeness FROM (
    SELECT memory_id, bot.cosine(data, $1) AS likeness FROM bot.vectors
    WHERE model = $2 AND dimensions = cardinality($1::double precision[]) AND audience = ANY ($3::text[])
) AS seen WHERE likeness IS NOT NULL ORDER BY likeness DESC, memory_id LIMIT $4
"""
INDEXED = 2000
"""The most dimensions that pgvector can index."""


def nearest_by_index(dimensions: int) -> str:
    """`NEAREST` by pgvector: by its index where many memories may be told, exactly where few may."""
    apart = f"data::vec.vector({dimensions}) OPERATOR(vec.<=>) $1::double precision[]::vec.vector({dimensions})"
    return f"""
    SELECT memory_id, bot.cosine(data, $1) AS likeness FROM (
        SELECT memory_id, data FROM bot.vectors
        WHERE model = $2 AND dimensions = {dimensions} AND audience = ANY ($3::text[]) ORDER BY {apart} LIMIT $4
    ) AS seen WHERE bot.cosine(data, $1) IS NOT NULL ORDER BY likeness DESC, memory_id
    """


def vector_index(dimensions: int) -> str:
    """What the index of one model's vectors is on; its name comes before it, and `AND model = …` after it."""
    return f"""
    bot.vectors USING hnsw ((data::vec.vector({dimensions})) vec.vector_cosine_ops) WHERE dimensions = {dimensions}
    """
