"""Checks a PostgreSQL store: its server and schema, its indexes, every row, and what is told twice."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .. import words
from ..diagnosis import Finding, Places, Rule, Visit, amount
from ..errors import StorageError
from ..model import Channel, Message, Session
from ..records import RECORDS
from . import postgres_relations as relations
from .postgres_link import Link
from .postgres_rows import MESSAGES, messages_where, sessions_where
from .postgres_schema import STEPS, Schema, schema_name

TIMEOUT = 600.0
"""Seconds for one statement: some of them read a whole table."""
PATIENCE = 1.0
_PAGE = 500
_SESSIONS = TypeAdapter(list[Session])
_CHANNELS = TypeAdapter(list[Channel])
_KINDS = {kind.kind: kind for kind in RECORDS}


async def examine(visit: Visit, url: str, findings: list[Finding]) -> None:
    """Looks at the bot's schema, which other processes may be using; what is mended makes them wait for a moment. Adds
    what it finds; a server that cannot be reached is a finding, too."""
    try:
        link = Link(url, visit.bot, TIMEOUT, PATIENCE)
    except StorageError as error:
        findings.append(Finding(what="unreachable", where="storage.url", sentence=str(error)))
        return
    try:
        await link.start()
        await _Look(visit, link, findings).run()
    except StorageError as error:
        said = f"{error} The check stopped there."
        findings.append(Finding(what="unreachable", where=link.place, sentence=said))
    finally:
        await link.close()


@dataclass(frozen=True)
class Table:
    """Rows that are read like the store reads them."""

    name: str
    key: str
    """Orders the rows, each one's different."""
    label: str
    """What a row is called, in SQL."""
    select: Callable[[str], str]
    read: Callable[[str], list[Any]]
    """The values in the JSON that the SELECT brings; raises what reading them raises."""
    doubtful: dict[str, str] = field(default_factory=dict)
    """Columns a row can do without, and what stands there then, in SQL."""
    removable: bool = False


class _Look:
    def __init__(self, visit: Visit, link: Link, findings: list[Finding]) -> None:
        self._visit = visit
        self._link = link
        self._schema = Schema(schema_name(visit.bot), None)
        self._found = findings

    async def run(self) -> None:
        there = await self._ask("SELECT 1 FROM pg_namespace WHERE nspname = $1", self._schema.name)
        if not there or not await self._steps():
            return
        await self._indexes()
        for rule in relations.PARTNERS:
            await self._related(rule)
        for table in TABLES:
            await self._rows(table)
        await self._words()
        for rule in relations.SUMS:
            await self._related(rule)
        self._visit.whole = True
        ((self._visit.messages, self._visit.sessions),) = await self._ask(relations.HOW_MANY)

    async def _ask(self, sql: str, *values: Any) -> list[Any]:
        spelt = self._schema.spelt(sql)
        found: list[Any] = await self._link.read(lambda connection: connection.fetch(spelt, *values))
        return found

    async def _mend(self, *statements: str) -> bool:
        """Runs statements in one transaction, while no writer is in one."""

        async def work(connection: Any) -> None:
            async with connection.transaction():
                for statement in ("SELECT bot.take_turn()", *statements):
                    await connection.execute(self._schema.spelt(statement))

        try:
            await self._link.write(work)
        except StorageError:
            return False
        return True

    def _say(self, what: str, where: str, sentence: str, **more: Any) -> None:
        self._found.append(Finding(what=what, where=f"{self._schema.name}: {where}", sentence=sentence, **more))

    async def _steps(self) -> bool:
        """Whether the schema is the one that this program knows, by number and by the checksum of each step."""
        steps = [
            (step.name, hashlib.sha256(step.read_bytes()).hexdigest()) for step in sorted(STEPS.glob("[0-9]*.sql"))
        ]
        done = [row["checksum"] for row in await self._ask("SELECT checksum FROM bot.schema_steps ORDER BY number")]
        if len(done) != len(steps):
            newer = len(done) > len(steps)
            remedy = "check it with the newer Troupe that wrote it" if newer else "start the bot once, then check again"
            said = f"The schema has version {len(done)}, and this program checks {len(steps)}: {remedy}."
            self._say("newer-schema" if newer else "older-schema", "schema_steps", said)
            return False
        other = [name for (name, checksum), told in zip(steps, done, strict=True) if checksum != told]
        if other:
            said = "The schema was made by other steps than this program's: check it with the Troupe that made it."
            self._say("schema-steps", ", ".join(other), said, count=len(other))
        return not other

    async def _indexes(self) -> None:
        """Indexes that the server does not use any more, and those that are gone."""
        broken = [name for (name,) in await self._ask(relations.INVALID, self._schema.name)]
        mends = [f'REINDEX INDEX bot."{name}"' for name in broken]
        script = "".join(step.read_text("utf-8") for step in sorted(STEPS.glob("[0-9]*.sql")))
        there = {name for (name,) in await self._ask(relations.THERE, self._schema.name)}
        for made in re.finditer(r"^CREATE (?:UNIQUE )?INDEX (\w+) ON [^;]+;", script, re.MULTILINE):
            if made[1] not in there:
                broken.append(made[1])
                mends.append(made[0])
        if broken:
            fixed = self._visit.fix and await self._mend(*mends)
            said = "Indexes are gone or not in use, so that looking things up is slow; they can be made anew."
            where, count = str(Places(broken)), len(broken)
            self._say("indexes", where, said, count=count, fixable=True, fixed=fixed)

    async def _related(self, rule: Rule) -> None:
        self._visit.tell(rule.what, 0, 0)
        places = Places(str(place) for (place,) in await self._ask(rule.find))
        if not places.count:
            return
        fixed, fix = False, self._visit.fix
        if fix:
            for (row,) in await self._ask(rule.aside) if rule.aside else ():
                self._visit.aside(f"{rule.what}.jsonl", row.encode())
            bot = self._visit.bot  # only letters that need no quoting
            fixed = await self._mend(*(statement.replace(":bot", f"'{bot}'") for statement in rule.mends))
            fixed = fixed and not await self._ask(rule.find)
        said = rule.sentence if fixed or not fix else f"{rule.sentence} It could not be mended. {self._visit.backup}"
        more = {"fixable": fixed or not fix, "fixed": fixed, "lost": rule.lost}
        self._say(rule.what, str(places), said, count=places.count, **more)

    async def _rows(self, table: Table) -> None:
        """Reads every row. Of one that cannot be read the columns at fault are emptied; a copy is put aside."""
        ((total,),) = await self._ask(f"SELECT count(*) FROM bot.{table.name}")
        bad, outcomes, done = Places(), {"mended": 0, "gone": 0, "left": 0}, 0
        after: tuple[Any, ...] | None = None
        order = f"ORDER BY {table.key} LIMIT {_PAGE}"
        while True:
            beyond = f"WHERE ({table.key}) > ({_parameters(after)})" if after else ""
            keys = [
                tuple(row)
                for row in await self._ask(f"SELECT {table.key} FROM bot.{table.name} {beyond} {order}", *(after or ()))
            ]
            if not keys:
                break
            for key in await self._unreadable(table, keys):
                ((label,),) = await self._ask(f"SELECT {table.label} {self._one(table, key)}", *key)
                bad.add(label)
                outcomes[await self._mended(table, key) if self._visit.fix else "left"] += 1
            after, done = keys[-1], done + len(keys)
            self._visit.tell(table.name, done, total)
        if bad.count:
            self._say_unreadable(table, bad, outcomes)

    def _say_unreadable(self, table: Table, bad: Places, outcomes: dict[str, int]) -> None:
        said = (
            f"{amount(bad.count, 'row')} cannot be read: somebody changed them by hand, or a program wrote them wrong."
        )
        left, fix = outcomes["left"], self._visit.fix
        if fix:
            kept = f"a copy of each is in {self._visit.root / 'doctor'}"
            gone = f"{outcomes['gone']:,} had to go"
            said = f"{said} {outcomes['mended']:,} can be read again, without what was at fault; {gone}; {kept}."
        if fix and left:
            said = f"{said} {left:,} could not be mended. {self._visit.backup}"
        more = {"fixable": not (fix and left), "fixed": not left, "lost": bool(outcomes["gone"] or (fix and left))}
        self._say(f"unreadable-{table.name}", str(bad), said, count=bad.count, **more)

    def _one(self, table: Table, key: tuple[Any, ...]) -> str:
        return f"FROM bot.{table.name} WHERE ({table.key}) = ({_parameters(key)})"

    async def _unreadable(self, table: Table, keys: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        first, last = keys[0], keys[-1]
        which = (
            f"SELECT * FROM bot.{table.name} WHERE ({table.key}) >= ({_parameters(first)}) "
            f"AND ({table.key}) <= ({_parameters(last, len(first))})"
        )
        ((found, *_),) = await self._ask(table.select(which), *first, *last)
        try:
            self._note(table.read(found))
            return []
        except (ValidationError, KeyError):
            return [key for key in keys if not await self._readable(table, key)]

    async def _readable(self, table: Table, key: tuple[Any, ...]) -> bool:
        ((found, *_),) = await self._ask(table.select(f"SELECT * {self._one(table, key)}"), *key)
        try:
            self._note(table.read(found))
        except (ValidationError, KeyError):
            return False
        return True

    def _note(self, values: list[Any]) -> None:
        for value in values:
            if isinstance(value, Message):
                self._visit.ledger.note(value)

    async def _mended(self, table: Table, key: tuple[Any, ...]) -> str:
        """`mended`, `gone` or, with the row as it was, `left`."""
        one = self._schema.spelt(self._one(table, key))
        read = self._schema.spelt(table.select(f"SELECT * {self._one(table, key)}"))
        held = self._schema.spelt(f"CREATE TEMP TABLE held (LIKE bot.{table.name}) ON COMMIT DROP")
        numbers = _parameters(key)

        async def well(connection: Any) -> bool:
            try:
                return bool(table.read((await connection.fetchrow(read, *key))[0]))
            except (ValidationError, KeyError):
                return False

        async def put(connection: Any, column: str, value: str) -> None:
            told = f"UPDATE bot.{table.name} SET {column} = {value} WHERE ({table.key}) = ({numbers})"
            await connection.execute(self._schema.spelt(told), *key)

        async def work(connection: Any) -> str:
            async with connection.transaction():
                await connection.execute(self._schema.spelt("SELECT bot.take_turn()"))
                row = await connection.fetchval(f"SELECT to_jsonb(one)::text FROM (SELECT * {one}) AS one", *key)
                self._visit.aside(f"unreadable-{table.name}.jsonl", row.encode())
                await connection.execute(held)
                await connection.execute(f"INSERT INTO pg_temp.held SELECT * {one}", *key)
                for column, empty in table.doubtful.items():
                    await put(connection, column, empty)
                if table.doubtful and await well(connection):
                    for column, empty in table.doubtful.items():
                        await put(connection, column, f"(SELECT {column} FROM pg_temp.held)")
                        if not await well(connection):
                            await put(connection, column, empty)
                    return "mended"
                if table.removable:
                    await connection.execute(f"DELETE {one}", *key)
                    return "gone"
                raise _Left

        try:
            return await self._link.write(work)
        except (_Left, StorageError):
            return "left"

    async def _words(self) -> None:
        """The search's words of every message, against what its content is spelt to now."""
        lexer = await self._ask("SELECT value FROM bot.facts WHERE name = 'lexer'")
        if lexer and lexer[0][0] != words.LEXER:
            return  # spelt anew when the store is next opened
        wrong, last, fixed = Places(), 0, True
        while found := await self._ask(relations.CHUNK, last):
            told = ([row[0] for row in found], [row[1] for row in found], [words.tsvector(row[1]) for row in found])
            other = await self._ask(relations.MISSPELT, *told)
            for (label,) in other:
                wrong.add(label)
            if other and self._visit.fix:
                sql = self._schema.spelt(relations.RESPELL)
                await self._link.write(lambda connection, told=told, sql=sql: connection.execute(sql, *told))  # type: ignore[misc]
                fixed = fixed and not await self._ask(relations.MISSPELT, *told)
            last = found[-1][0]
            self._visit.tell("search words", last, 0)
        if wrong.count:
            said = "The search does not hold the words of these messages; they can be spelt anew."
            self._say("search", str(wrong), said, count=wrong.count, fixable=True, fixed=self._visit.fix and fixed)


class _Left(Exception):
    """A row that cannot be mended stays as it is."""


def _parameters(key: tuple[Any, ...], before: int = 0) -> str:
    return ", ".join(f"${number}" for number in range(before + 1, before + len(key) + 1))


def _read_records(found: str) -> list[Any]:
    """Of a kind that only a newer program knows, a record counts as read."""
    return [
        _KINDS[each["kind"]].model_validate_json(json.dumps(each["body"]))
        for each in json.loads(found)
        if each["kind"] in _KINDS
    ]


TABLES = (
    Table("channels", "key", "key", relations.channels_where, _CHANNELS.validate_json, relations.DOUBTFUL_OF_CHANNELS),
    Table("sessions", "id", "session_id", sessions_where, _SESSIONS.validate_json, relations.DOUBTFUL_OF_SESSIONS),
    Table(
        "conversations",
        "id",
        "message_id",
        messages_where,
        MESSAGES.validate_json,
        relations.DOUBTFUL_OF_MESSAGES,
        removable=True,
    ),
    Table("records", "kind, id", "kind || ' ' || id", relations.records_where, _read_records, removable=True),
)
