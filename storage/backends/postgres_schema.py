"""A bot's own schema in PostgreSQL: making it, and bringing it up to date."""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]

from ..errors import NewerSchema, Unavailable

STEPS = Path(__file__).parent / "schema" / "postgres"
STEP = 86_400.0
"""Seconds that a step may take, over years of talk."""
_PGVECTOR = (0, 8)
"""The first that goes on searching its index until enough may be told."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('bot.', 0))"  # the writers' own: they wait for an upgrade
_KNOWN = """
CREATE TABLE IF NOT EXISTS bot.schema_steps (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now()
)
"""


class Schema(NamedTuple):
    """What a statement needs to know to find its tables."""

    name: str
    vectors: str | None
    """The schema in which the extension `vector` stands; None where there is none, or one that is too old."""

    def spelt(self, sql: str) -> str:
        """The statement with this bot's schema in place of `bot.`, and the extension's in place of `vec.`."""
        sql = re.sub(r"\bbot\.", f'"{self.name}".', sql)
        return re.sub(r"\bvec\.", f'"{self.vectors}".', sql) if self.vectors else sql


def schema_name(bot_name: str) -> str:
    """`troupe_<bot>`. Raises ValueError for a name that no bot can have."""
    if not _NAME.fullmatch(bot_name):
        raise ValueError(f"{bot_name!r} cannot name a schema: a bot's name is lower-case letters, digits, - and _")
    return f"troupe_{bot_name}"


async def prepare(connection: Any, bot_name: str, place: str) -> tuple[Schema, int]:
    """Runs the numbered steps that the database has not seen, all or none; returns the schema and a number that no
    other program that opens it gets. Raises `NewerSchema`."""
    schema = Schema(schema_name(bot_name), None)
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")  # a step may take its time
        # The lock comes before the look: of two programs starting at once, the second sees the first one's work.
        await connection.execute(schema.spelt(_LOCK))
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema.name):
            await connection.execute(f'CREATE SCHEMA "{schema.name}"')
        if await connection.fetchval("SELECT to_regclass($1)", schema.spelt("bot.schema_steps")) is None:
            await connection.execute(schema.spelt(_KNOWN))
        await _upgrade(connection, schema, place)
        number = await connection.fetchval(schema.spelt("SELECT nextval('bot.writers')"))
    return schema._replace(vectors=await _extension(connection)), number


async def _upgrade(connection: Any, schema: Schema, place: str) -> None:
    steps = sorted(STEPS.glob("[0-9]*.sql"))
    done = await connection.fetch(schema.spelt("SELECT number, checksum FROM bot.schema_steps ORDER BY number"))
    if len(done) > len(steps):
        raise NewerSchema(
            f"{place} has schema version {len(done)} of this bot, and this program knows versions up to {len(steps)}: "
            "start the newer Troupe that wrote it, or restore a backup from before the upgrade. Nothing was changed."
        )
    for number, step in enumerate(steps, 1):
        script = step.read_text("utf-8")
        checksum = hashlib.sha256(script.encode()).hexdigest()
        if number > len(done):
            await connection.execute(schema.spelt(script), timeout=STEP)
            insert = schema.spelt("INSERT INTO bot.schema_steps (number, name, checksum) VALUES ($1, $2, $3)")
            await connection.execute(insert, number, step.stem, checksum)
        elif done[number - 1]["checksum"] != checksum:
            raise Unavailable(
                f"{place} was made by another step {step.name} than this program's: start the Troupe that made it. "
                "Nothing was changed."
            )


async def _extension(connection: Any) -> str | None:
    """Where pgvector stands, put there if this user may; nothing depends on it but speed."""
    find = """
        SELECT n.nspname, e.extversion FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector'
    """
    there = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')"
    if not await connection.fetchrow(find) and await connection.fetchval(there):
        with contextlib.suppress(asyncpg.PostgresError):  # not allowed, or another bot was quicker
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    schema, version = await connection.fetchrow(find) or (None, "")
    return schema if tuple(map(int, re.findall(r"\d+", version)[:2])) >= _PGVECTOR else None
